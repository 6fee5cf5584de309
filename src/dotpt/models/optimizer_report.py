"""What crosses this boundary: what became of every parameter when a saved optimizer met a live one, as an object.

Invariant: every parameter of the optimizer is in exactly one of ``matched``, ``stateless``, ``added``, ``skipped`` and
``unplaced``; nothing here knows torch, and a report holds texts and numbers only, so that it can be kept and sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from textwrap import wrap
from typing import Any

from dotpt.errors import readable
from dotpt.models.report import Cast, Unfit
from dotpt.models.report_table import ROWS, WIDTH, Row, table

HEADINGS = ("", "name", "in the file", "in the optimizer")
#: How the saved parameters were told apart: what `OptimizerReport.naming` says, in words.
NAMINGS = {
    "names": "the file names its parameters",
    "order": "INFERRED: names from the order and the shapes of the weights saved with it",
    "position": "INFERRED: names by position, as torch does",
    "": "nothing tells which of the saved parameters is which",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A hyper-parameter of a group that is not the same in the file and in the optimizer.

    Attributes:
        group: number of the group in the optimizer.
        key: ``lr``, ``betas``, ...
        file: what the file says; None where it says nothing.
        before: what the optimizer was made with.
        now: what it is after the call.
    """

    group: int
    key: str
    file: Any
    before: Any
    now: Any


@dataclass
class OptimizerReport:
    """What became of every parameter when the state of an optimizer was loaded.

    Attributes:
        optimizer: the class of the optimizer.
        source: the file, as the user named it; "" for a checkpoint in memory.
        address: where in it the state lies; "" for the whole of it.
        naming: how saved parameters were told apart: ``names`` (the file says them), ``order`` (INFERRED from the
            weights saved with it), ``position`` (INFERRED, as torch does), "" (not at all).
        matched: parameters that got their state.
        stateless: parameters that the file knows and keeps nothing for.
        added: parameters that the file does not know; they start afresh.
        removed: parameters of the file that the optimizer does not have; their state is left out.
        skipped: parameters of another shape now; they start afresh.
        unplaced: parameters of this optimizer that state could be meant for, which nothing tells.
        renamed: name in the file -> name in the model.
        moved: parameters that stand elsewhere among the others: place in the file, place in the optimizer.
        regrouped: parameters whose group took the settings of another group than theirs in the file: the number of
            their group there, and of the one in the optimizer.
        groups: for each group of the optimizer, the group of the file whose settings it took; None for its own.
        settings: hyper-parameters that differ.
        cast: state whose type was changed, because the optimizer cannot step otherwise, or because nothing is lost.
        problems: what keeps the state from being loaded, a sentence each.
        notes: what else a reader should know, a sentence each.
        loaded: whether the optimizer was given the state.
    """

    optimizer: str
    source: str = ""
    address: str = ""
    naming: str = ""
    matched: list[str] = field(default_factory=list)
    stateless: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    skipped: list[Unfit] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    moved: dict[str, tuple[int, int]] = field(default_factory=dict)
    regrouped: dict[str, tuple[int, int]] = field(default_factory=dict)
    groups: list[int | None] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    cast: list[Cast] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loaded: bool = False

    @property
    def ok(self) -> bool:
        """Whether the file and the optimizer have the same parameters, and every one got what was kept for it."""
        return not (self.problems or self.added or self.removed or self.skipped or self.unplaced)

    @property
    def summary(self) -> str:
        """The report in one line."""
        total = len(self.matched) + len(self.stateless) + len(self.added) + len(self.skipped) + len(self.unplaced)
        verb = "loaded" if self.loaded else "would fit"
        facts = [f"state of {len(self.matched):,} of {total:,} parameters {verb}"]
        for count, word in (
            (len(self.stateless), "without any"), (len(self.added), "added"), (len(self.removed), "removed"),
            (len(self.skipped), "of another shape"), (len(self.unplaced), "unclear"),
            (len(self.renamed), "renamed"), (len(self.moved), "moved"), (len(self.regrouped), "in another group"),
            (len(self.cast), "cast"), (len(self.settings), "settings of the file"), (len(self.problems), "problems"),
        ):  # fmt: skip
            if count:
                facts.append(f"{count:,} {word}")
        place = self.source or "a checkpoint"
        place += f" ({self.address})" if self.address else ""
        return readable(f"{self.optimizer} <- {place}: {', '.join(facts)}").replace("\n", "\\n")

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {"ok": self.ok, "summary": self.summary} | asdict(self)

    def __repr__(self) -> str:
        return f"<dotpt.OptimizerReport: {self.summary}>"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, width: int = WIDTH, rows: int | None = ROWS) -> list[str]:
        """The lines of the report: the summary, what is wrong, the table, the notes."""
        lines = wrap(self.summary, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for problem in self.problems:
            lines += _prose(f"problem: {readable(problem)}", width)
        lines += table(self.rows(), width, rows, HEADINGS)
        for note in (NAMINGS[self.naming], *self.notes):
            lines += _prose(f"note: {readable(note)}", width)
        return lines

    def rows(self) -> Iterator[Row]:
        """One row for everything that is not as it was, what matters most first."""
        for kind, names, there, here in (
            ("unclear", self.unplaced, "", "not loaded"),
            ("added", self.added, "", "starts afresh"),
            ("removed", self.removed, "left out", ""),
        ):
            for name in names:
                yield kind, name, there, here
        for unfit in self.skipped:
            yield "skipped", unfit.name, str(list(unfit.file or ())), str(list(unfit.model or ()))
        for cast in self.cast:
            yield "cast", cast.name, cast.file, cast.model
        if not any("the prefix" in note.lower() for note in self.notes):  # that says it of all of them
            for old, new in self.renamed.items():
                yield "renamed", new, old, ""
        for name, (old_place, new_place) in self.moved.items():
            yield "moved", name, f"parameter {old_place}", f"parameter {new_place}"
        for name, (old_group, new_group) in self.regrouped.items():
            yield "regrouped", name, f"group {old_group}", f"group {new_group}, settings of {self.groups[new_group]}"
        for one in self.settings:
            taken = "" if one.now == one.before else f", now {_spelled(one.now)}"
            yield "setting", f"{one.key} of group {one.group}", _spelled(one.file), f"{_spelled(one.before)}{taken}"


def _spelled(value: Any) -> str:
    return "not there" if value is None else str(value)


def _prose(text: str, width: int) -> list[str]:
    return wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
