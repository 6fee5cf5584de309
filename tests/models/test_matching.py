"""Names and shapes of a file meet those of a model, without torch."""

from __future__ import annotations

import pytest

from dotpt.errors import UsageError
from dotpt.models.facts import Facts
from dotpt.models.matching import check_mismatched, judge, match_names, module_metadata, select, suggest_names
from dotpt.models.report import FitReport
from dotpt.models.rules import Rules
from dotpt.models.selection import Selection


def facts(*shape: int, dtype: str = "float32") -> Facts:
    return Facts(shape, dtype)


@pytest.mark.parametrize(
    ("had", "wanted", "mismatched", "how"),
    [
        ((3, 4), (3, 4), "error", "same"),
        ((1,), (), "error", "single"),
        ((2,), (), "error", "error"),
        ((), (1,), "error", "error"),
        ((3, 4), (2, 4), "error", "error"),
        ((3, 4), (2, 4), "skip", "skip"),
        ((3, 4), (2, 4), "slice", "sliced"),
        ((3, 4), (2, 5), "slice", "error"),
        ((3, 4), (3, 4, 1), "slice", "error"),
        ((3, 4), (3, 5), "pad", "padded"),
        ((3, 4), (2, 5), "pad", "error"),
        ((3, 4), (2, 5), lambda *_: None, "function"),
    ],
)
def test_how_a_tensor_gets_in(had: tuple[int, ...], wanted: tuple[int, ...], mismatched: object, how: str) -> None:
    verdict = judge(facts(*had), facts(*wanted), mismatched)
    assert verdict.how == how
    assert bool(verdict.why) == (how in ("error", "skip"))


def test_a_misspelt_mismatched_is_corrected() -> None:
    with pytest.raises(UsageError, match='mismatched="slice"'):
        check_mismatched("slcie")
    with pytest.raises(UsageError, match="or a function"):
        check_mismatched(None)


def test_rules_come_first_then_wrappers() -> None:
    report = FitReport("Net")
    have = {"module.old.weight": facts(2), "module.fc.weight": facts(3), "module.gone": facts(1)}
    rules = Rules.of([{"module.old.weight": "module.new.weight"}, {"drop": "module.gone"}, {"nothing.": "x."}])
    recipes = match_names(have, ["new.weight", "fc.weight"], rules, report)
    assert {new: recipe.inputs for new, recipe in recipes.items()} == {
        "new.weight": ("module.old.weight",),
        "fc.weight": ("module.fc.weight",),
    }
    assert list(report.dropped) == ["module.gone"]
    assert any("module." in note for note in report.notes)
    assert any("matched nothing" in note for note in report.notes)


def test_what_is_not_selected_is_told() -> None:
    report = FitReport("Net")
    recipes = match_names({name: facts(1) for name in ("a.x", "b.x", "c.x")}, ["a.x", "b.x"], Rules(), report)
    kept = select(recipes, ["a.x", "b.x"], Selection("a.*"), report)
    assert list(kept) == ["a.x"]
    assert report.left == ["b.x"]
    assert report.dropped == {"c.x": "not selected"}


def test_versions_follow_the_names() -> None:
    recipes = match_names({"module.bn.weight": facts(1)}, ["bn.weight"], Rules(), FitReport("Net"))
    versions = {place: {"version": len(place)} for place in ("", "module", "module.bn", "module.relu")}
    assert module_metadata(versions, recipes) == {"": {"version": 6}, "bn": {"version": 9}, "relu": {"version": 11}}
    recipes = match_names({"bn.weight": facts(1)}, ["module.bn.weight"], Rules(), FitReport("Net"))
    assert module_metadata({"bn": {"version": 2}, "": {}}, recipes) == {"module.bn": {"version": 2}, "module": {}}
    assert module_metadata(None, recipes) is None


def test_names_are_suggested() -> None:
    report = FitReport("Net", missing=["body.0.weight", "body.0.bias"], unexpected=["trunk.0.weight", "trunk.0.bias"])
    report.in_model = {"body.0.weight": facts(2, 2), "body.0.bias": facts(2)}
    report.in_file = {"trunk.0.weight": facts(2, 2), "trunk.0.bias": facts(2)}
    suggest_names(report)
    assert report.closest == {"body.0.weight": "trunk.0.weight", "body.0.bias": "trunk.0.bias"}
    assert report.rules == {"trunk.": "body."}


def test_a_rule_is_tried_again_when_wrappers_are_off() -> None:
    report = FitReport("Net")
    have = {name: facts(1) for name in ("module.a.x", "module.b.x", "module.old.x")}
    recipes = match_names(have, ["a.x", "b.x", "new.x"], Rules.of({"old.": "new."}), report)
    assert {name: recipe.inputs[0] for name, recipe in recipes.items()} == {
        "a.x": "module.a.x", "b.x": "module.b.x", "new.x": "module.old.x",
    }  # fmt: skip
    assert not any("matched nothing" in note for note in report.notes)
