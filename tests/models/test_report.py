"""A report reads well at any width, says everything, and obeys nobody."""

from __future__ import annotations

import copy
import json

import pytest

from dotpt.models.facts import Facts
from dotpt.models.report import Cast, Converted, FitReport, Resized, Unfit
from dotpt.models.report_table import as_html, as_text, hint_of, lines_of, problem_of, rows_of, shorten


def full() -> FitReport:
    """A report with something in every list."""
    long = "encoder.layers.11.attention.self.query.weight"
    return FitReport(
        "Net",
        "runs/a.pt",
        "state_dict",
        matched=["a", "b", "cut", "made"],
        renamed={"old.b": "b"},
        cast=[Cast("a", "float64", "float32")],
        converted=[Converted("made", ("q", "k"), "joined along 0")],
        resized=[Resized("cut", "sliced", (10, 4), (3, 4)), Resized("wide", "padded", (3,), (4,))],
        skipped=[Unfit("left.out", (1,), (2,), "its shape is another one")],
        missing=[long],
        unexpected=[long.replace("query", "q")],
        mismatched=[
            Unfit("head.weight", (1000, 2048), (10, 2048), "another shape"),
            Unfit("x", None, (2,), "no"),
        ],
        errors=["x: torch cannot copy it"],
        own_code=["packed"],
        tied=[("a", "z")],
        left=["frozen.too"],
        dropped={"n_averaged": "a counter"},
        kept=["bn.num_batches_tracked"],
        frozen=["a"],
        assigned=["a"],
        notes=["the prefix module. was taken off all 4 names"],
        closest={long: long.replace("query", "q")},
        rules={"q.": "query."},
        command="dotpt fit runs/a.pt --model nets:Net --rules q.=query.",
        in_file={long.replace("query", "q"): Facts((768, 768), "float32")},
        in_model={long: Facts((768, 768), "float32"), "a": Facts((2,), "float32")},
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_keeps_to_the_width(width: int) -> None:
    lines = lines_of(full(), width)
    assert max(map(len, lines[: next(i for i, line in enumerate(lines) if line.startswith("Try:"))])) <= width
    assert not any(line != line.rstrip() for line in lines)


def test_everything_is_in_it() -> None:
    text = as_text(full(), 200)
    for word in (
        "mismatch", "missing", "unexpected", "closest", "refused", "skipped", "sliced", "padded", "cast", "converted",
        "renamed", "dropped", "tied", "own code", "left", "frozen", "note:", "Try:",
    ):  # fmt: skip
        assert word in text, word
    assert "self.query.weight may be encoder.layers.11.attention.self.q.weight, of the same shape" in text
    assert "rules={'q.': 'query.'}" in text
    assert "dotpt fit runs/a.pt --model nets:Net --rules q.=query." in text
    kinds = [row[0] for row in rows_of(full())]
    assert kinds.index("mismatch") < kinds.index("renamed")


def test_a_prefix_is_told_once() -> None:
    report = FitReport("Net", renamed={"module.a": "a", "module.old.b": "new.b"}, unwrapped="module. was taken off")
    assert [row[1] for row in rows_of(report)] == ["new.b"]
    report.unwrapped = ""
    assert [row[1] for row in rows_of(report)] == ["a", "new.b"]


def test_many_rows_are_counted_instead() -> None:
    report = FitReport("Net", missing=[f"layer.{number}" for number in range(1000)])
    lines = as_text(report).splitlines()
    assert len(lines) < 20
    assert "... and 988 more" in as_text(report)
    assert len(as_text(report, rows=None).splitlines()) > 1000


def test_strangers_names_are_escaped() -> None:
    hostile = "a\x1b[31m\nb<script>\u202e"
    report = FitReport("Net", "f\x1b.pt", unexpected=[hostile], missing=[hostile], dropped={hostile: hostile})
    report.notes, report.rules, report.errors = [hostile], {hostile: hostile}, [hostile]
    text = as_text(report)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script>" not in as_html(report)
    assert "<script>" not in report._repr_html_()
    assert repr(report).startswith("<dotpt.FitReport: Net <- f\\x1b.pt")


def test_it_is_plain_values() -> None:
    report = full()
    document = json.loads(json.dumps(report.to_dict()))
    assert document["ok"] is False
    assert document["mismatched"][0]["file"] == [1000, 2048]
    assert document["in_model"]["a"] == {"dtype": "float32", "shape": [2]}
    assert copy.deepcopy(report).to_dict() == report.to_dict()


def test_what_is_ok() -> None:
    assert FitReport("Net", skipped=[Unfit("a", (1,), (2,), "asked for")], left=["b"], dropped={"c": "a counter"}).ok
    unfit = Unfit("a", (1,), (2,), "")
    for wrong in ({"missing": ["a"]}, {"unexpected": ["a"]}, {"errors": ["a"]}, {"mismatched": [unfit]}):
        report = FitReport("Net", **wrong)  # type: ignore[arg-type]
        assert not report.ok
        assert problem_of(report).endswith(".")
        assert hint_of(report)


def test_torchs_names_are_there() -> None:
    report = full()
    assert report.missing_keys is report.missing
    assert report.unexpected_keys is report.unexpected
    assert [one.name for one in report.sliced] == ["cut"]
    assert [one.name for one in report.padded] == ["wide"]


def test_shorten_keeps_the_end() -> None:
    assert shorten("abc", 10) == "abc"
    assert shorten("encoder.layers.0.attention.weight", 22) == "enc...attention.weight"
    assert len(shorten("x" * 100, 3)) <= 4
