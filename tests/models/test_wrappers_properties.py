"""Properties of unwrapping: all names or none, no two of them one, and what matched still does."""

from __future__ import annotations

from typing import Any

import pytest

from dotpt.models.wrappers import COUNTER, unwrap

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

WRAPPERS = st.sampled_from(["module", "_orig_mod", "model", "net", "_fsdp_wrapped_module"])
PARTS = st.sampled_from(["module", "_orig_mod", "model", "net", "a", "b", "0", "weight", COUNTER])
NAMES = st.lists(st.lists(PARTS, min_size=1, max_size=4).map(".".join), unique=True, max_size=8)
PLAIN = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "0", "1"]), min_size=1, max_size=3).map(".".join),
    unique=True, min_size=1, max_size=8,
)  # fmt: skip
CHAINS = st.lists(WRAPPERS, max_size=3)


@settings(max_examples=500, deadline=None)
@given(NAMES, NAMES)
def test_all_names_or_none_and_no_two_are_one(have: list[str], want: list[str]) -> None:
    found = unwrap(have, want)
    if found is None:
        return
    assert [*found.names, *found.dropped] == sorted(have, key=lambda name: name in found.dropped)
    assert len(set(found.names.values())) == len(found.names)
    assert all(found.names[name] == name for name in set(have) & set(want))
    assert set(have) & set(want) < set(found.names.values()) & set(want) or found.dropped
    assert found.words


@settings(max_examples=500, deadline=None)
@given(PLAIN, CHAINS, CHAINS)
def test_any_chains_of_wrappers_are_seen_through(names: list[str], have: list[str], want: list[str]) -> None:
    file = [".".join([*have, name]) for name in names]
    model = [".".join([*want, name]) for name in names]
    found = unwrap(file, model)
    if file == model:
        assert found is None
    else:
        assert found is not None
        assert found.names == dict(zip(file, model, strict=True))


@settings(max_examples=300, deadline=None)
@given(PLAIN, st.data())
def test_reserved_parts_are_seen_through_wherever_they_are(names: list[str], data: Any) -> None:
    def wrapped(name: str) -> str:
        parts = name.split(".")
        for _ in range(data.draw(st.integers(0, 2))):
            parts.insert(data.draw(st.integers(0, len(parts) - 1)), "_orig_mod")
        return ".".join(parts)

    file = [wrapped(name) for name in names]
    found = unwrap(file, names)
    if file != names:
        assert found is not None
        assert found.names == dict(zip(file, names, strict=True))
