"""Folders that Ignite's ``Checkpoint`` handler wrote.

Layout, as ignite 0.5 writes it::

    checkpoint_1000.pt                          step or epoch: what its user counts by
    best_checkpoint_3_val_accuracy=0.9731.pt    a prefix, and the score behind the step
    best_checkpoint_val_accuracy=0.9731.pt      a score and no step

A single object gives its name in the place of ``checkpoint``; such a file is known by the note that
`dotpt.training.adapters.ignite` leaves in it, or by its score. Of the score the name has four digits, the note all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotpt.errors import DotptError
from dotpt.saving.metadata import read_metadata
from dotpt.training.folder import Entry
from dotpt.training.listing import Listing, curves_of, numbers_in, size_of, time_of
from dotpt.training.moments import Stored

LAYOUT = "Ignite"
NOTE = "ignite"
_NUMBER = r"-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)"
_NAME = re.compile(rf"(?P<name>.+?)(?:_(?P<step>\d+))?(?:_(?P<metric>[^\W\d][\w/]*)=(?P<score>{_NUMBER}))?\.pt")


def read(folder: Path) -> Listing | None:
    """The checkpoints of an Ignite folder; None if it is none."""
    found = [(path, name) for path in sorted(folder.glob("*.pt")) if (name := _NAME.fullmatch(path.name))]
    entries = [entry for path, name in found if (entry := _entry(path, name)) is not None]
    if not entries:
        return None
    entries.sort(key=lambda entry: (entry.step, entry.path.stat().st_mtime_ns))
    return Listing(folder, LAYOUT, entries, curves_of(entries))


def _entry(path: Path, name: re.Match[str]) -> Entry | None:
    problem, note = "", None
    try:
        note = read_metadata(path).get(NOTE)
    except DotptError as error:
        problem = error.problem
    usual = name["step"] is not None and name["name"].endswith("checkpoint")
    if not (usual or name["score"] or isinstance(note, Mapping)):
        return None
    metrics = {name["metric"]: float(name["score"])} if name["score"] else {}
    stored = Stored(int(name["step"] or 0), path.stat().st_mtime_ns, metrics=metrics | _noted(note))
    return Entry(path, size_of(path), stored, saved=time_of(path), problem=problem)


def _noted(note: Any) -> dict[str, float]:
    """The score in full."""
    if not isinstance(note, Mapping):
        return {}
    metric, value = note.get("score_name"), note.get("priority")
    return numbers_in({metric: value}) if isinstance(metric, str) else {}
