"""Globs choose names, and one that chooses none is a mistake."""

from __future__ import annotations

import pytest

from dotpt.errors import UsageError
from dotpt.models.selection import Selection, check_globs, globs_of

NAMES = ["backbone.0.weight", "backbone.0.bias", "head.weight"]


@pytest.mark.parametrize(
    ("only", "exclude", "chosen"),
    [
        (None, None, NAMES),
        ("backbone.*", None, NAMES[:2]),
        (["head.*", "*.bias"], None, NAMES[1:]),
        (None, "*.bias", [NAMES[0], NAMES[2]]),
        ("backbone.*", ("*.bias",), NAMES[:1]),
    ],
)
def test_what_is_chosen(only: object, exclude: object, chosen: list[str]) -> None:
    selection = Selection(only, exclude)
    assert [name for name in NAMES if name in selection] == chosen
    assert selection.everything == (only is None and exclude is None)
    selection.check(NAMES)


def test_what_matches_nothing_names_what_is_near() -> None:
    with pytest.raises(UsageError, match=r"exclude='hed\.\*' matches no name .*head\.weight"):
        Selection(None, "hed.*").check(NAMES)
    with pytest.raises(UsageError, match="freeze='x'"):
        check_globs("freeze", ["x"], [])


@pytest.mark.parametrize("given", [3, [3], object()])
def test_what_is_no_glob(given: object) -> None:
    with pytest.raises(UsageError, match="only= takes globs"):
        globs_of("only", given)
