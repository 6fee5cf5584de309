"""Our own folders: ``step-00001000.pt`` with a note in each, and the journal ``checkpoints.jsonl`` beside them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dotpt.errors import DotptError, UsageError
from dotpt.formats.delta import check_base
from dotpt.training.finding import best_of
from dotpt.training.folder import Entry, entries_of
from dotpt.training.history import JOURNAL, records_of, run_of
from dotpt.training.listing import OURS, Listing, Point, curves_of, numbers_in
from dotpt.training.policy_text import policy_of
from dotpt.training.retention import bases_of


def read(folder: Path) -> Listing | None:
    """The checkpoints of a folder of ours; None if it is none."""
    entries = [_with_its_base(entry) for entry in entries_of(folder)]
    journal = folder / JOURNAL
    if not entries and not journal.is_file():
        return None
    records = list(records_of(journal))
    curves, restarts = _told(records)
    for name, points in curves_of(entries).items():  # files may have been copied without the journal
        curves[name] = sorted((dict(points) | dict(curves.get(name, ()))).items())
    ordered = in_order(entries)
    return Listing(
        folder, OURS, ordered, curves, restarts, _best(records), run_of(journal), _notes(entries, run_of(journal))
    )


def _with_its_base(entry: Entry) -> Entry:
    """An entry, its problem noted if the file that it refers to is not there."""
    if not entry.problem and bases_of([entry.path]):
        try:
            check_base(entry.path)
        except DotptError as error:
            return replace(entry, problem=error.problem)
    return entry


def _best(records: Iterable[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The metric that the run itself goes by, and how: from the policy that it was last started with."""
    kept = [record["keep"] for record in records if record.get("event") == "start" and "keep" in record]
    try:
        best = best_of(policy_of(str(kept[-1]))) if kept else None
    except UsageError:  # its policy knows no best, or is one of its user's own
        return None
    return (best.metric, best.mode) if best else None


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By their order of saving; those that say nothing of themselves stand where their step would."""
    entries = list(entries)
    told = [entry for entry in entries if entry.stored.sequence >= 0]
    for entry in sorted((entry for entry in entries if entry.stored.sequence < 0), key=lambda one: one.step):
        steps = [one.step for one in told]
        place = bisect_right(steps, entry.step) if steps == sorted(steps) else len(told)
        told.insert(place, entry)
    return told


def _told(records: Iterable[Mapping[str, Any]]) -> tuple[dict[str, list[Point]], list[int]]:
    """Curves and restarts from the journal. What a run did behind the step that it later went back to is dropped."""
    curves: dict[str, dict[int, float]] = {}
    restarts: list[int] = []
    resumed = None
    for record in records:
        step = record.get("step")
        if type(step) is not int:
            continue
        if record.get("event") == "load":
            resumed = step
        elif record.get("event") == "save":
            if resumed is not None:
                restarts.append(resumed)
                curves = {
                    name: {at: value for at, value in points.items() if at <= resumed}
                    for name, points in curves.items()
                }
                resumed = None
            metrics = record.get("metrics")
            for name, value in numbers_in(metrics if isinstance(metrics, Mapping) else {}).items():
                curves.setdefault(name, {})[step] = value
    return {name: sorted(points.items()) for name, points in curves.items()}, restarts


def _notes(entries: Iterable[Entry], run: str) -> list[str]:
    others = sum(1 for entry in entries if entry.run != run and not entry.problem)
    if not others:
        return []
    return [f"{others:,} of these were written by another run, and are never deleted by this one."]
