"""Folders that Lightning's ModelCheckpoint and its loggers wrote.

Layout, as Lightning 2 writes it::

    lightning_logs/version_0/
        hparams.yaml
        metrics.csv                                      CSVLogger's: epoch,step,train_loss,val_loss
        checkpoints/
            epoch=1-step=16.ckpt                         the default name; step counts from 1, in metrics.csv from 0
            m-epoch=01-val_loss=0.948.ckpt               a name of the user's, with ``-v1`` behind it if it was taken
            epoch=0-val/acc=0.50.ckpt                    a metric with a slash makes a folder
            last.ckpt

What the name does not say of epoch and step is read from the file.
"""

from __future__ import annotations

import csv
import math
import re
from bisect import bisect_right
from pathlib import Path
from typing import Any

from dotpt.archive.archive import open as open_archive
from dotpt.errors import DotptError
from dotpt.training.folder import Entry
from dotpt.training.listing import Listing, Point, curves_of, folders_in, size_of, time_of, whole_number, why_incomplete
from dotpt.training.moments import Stored

LAYOUT = "Lightning"
METRICS = "metrics.csv"
_SUFFIX = ".ckpt"
_VERSION = re.compile(r"version_(\d+)")
_VALUE = re.compile(r"(?:^|-)([^=-]+)=(-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf))(?=-|$)", re.IGNORECASE)
_PLACES = ("epoch", "step")
_OURS = "checkpoint/"  # what saves take, as `dotpt.training.adapters.lightning` logs it: no metric of the run


def read(folder: Path) -> Listing | None:
    """The checkpoints of a Lightning folder: the project's, a version's, or the one that they lie in; None if none."""
    place, notes = _place(folder)
    found = _checkpoints(place) if place else []
    if place is None or not found:
        return None
    table = _table(place.parent / METRICS if place.name == "checkpoints" else place / METRICS)
    facts = sorted(
        (_facts(path, place) for path in found), key=lambda one: (one["step"], one["time"], str(one["path"]))
    )
    entries = [_entry(number, one, table) for number, one in enumerate(facts)]
    curves = curves_of(entries) | {name: [(step + 1, value) for step, value in rows] for name, rows in table.items()}
    return Listing(place, LAYOUT, entries, curves, notes=notes)


def _place(folder: Path) -> tuple[Path | None, list[str]]:
    """Where the checkpoints lie, and a word on those that are left out."""
    for place in (folder, folder / "checkpoints"):
        if _checkpoints(place, deep=False):
            return place, []
    for parent in (folder / "lightning_logs", folder):
        versions = [path for path in folders_in(parent) if _VERSION.fullmatch(path.name)] if parent.is_dir() else []
        versions = [path for path in versions if _checkpoints(path / "checkpoints")]
        if versions:
            versions.sort(key=lambda path: int(path.name.removeprefix("version_")))
            others = [path.name for path in versions[:-1]]
            notes = [f"This is {versions[-1].name}; there are also {', '.join(others)}."] if others else []
            return versions[-1] / "checkpoints", notes
    deep = folder / "checkpoints"
    return (deep, []) if _checkpoints(deep) else (folder, []) if folder.name == "checkpoints" else (None, [])


def _checkpoints(folder: Path, *, deep: bool = True) -> list[Path]:
    """Files, and the folders that sharded strategies write. A link leads to one of the others."""
    if not folder.is_dir():
        return []
    found = folder.rglob(f"*{_SUFFIX}") if deep else folder.glob(f"*{_SUFFIX}")
    return [path for path in found if not path.is_symlink()]


def _facts(path: Path, place: Path) -> dict[str, Any]:
    name = path.relative_to(place).as_posix().removesuffix(_SUFFIX)
    texts: dict[str, str] = dict(_VALUE.findall(name))
    said = {metric: float(text) for metric, text in texts.items()}
    problem = why_incomplete(path)
    if "step" not in said and not problem and path.is_file():
        problem = _read_place(path, said)
    return {
        "path": path,
        "time": path.stat().st_mtime_ns,
        "step": whole_number(said.get("step", 0.0)),
        "epoch": whole_number(said.get("epoch", 0.0)),
        "metrics": {metric: text for metric, text in texts.items() if metric not in _PLACES},
        "problem": problem,
    }


def _read_place(path: Path, said: dict[str, float]) -> str:
    """Note the epoch and the step that the file gives; what is wrong with it, or ""."""
    try:
        with open_archive(path, verify=False) as archive:
            tree = archive.contents.tree if isinstance(archive.contents.tree, dict) else {}
            for name, key in (("step", "global_step"), ("epoch", "epoch")):
                if type(tree.get(key)) is int:
                    said[name] = float(tree[key])
    except DotptError as error:
        return error.problem
    return ""


def _entry(number: int, facts: dict[str, Any], table: dict[str, list[Point]]) -> Entry:
    metrics = _measured(table, facts["step"])
    for name, text in facts["metrics"].items():
        decimals = len(text.partition(".")[2]) if "e" not in text.lower() else 0
        if name not in metrics or f"{metrics[name]:.{decimals}f}" != text:  # else the table has it in full
            metrics[name] = float(text)
    path: Path = facts["path"]
    stored = Stored(facts["step"], number, facts["epoch"], metrics=metrics)
    return Entry(path, size_of(path), stored, saved=time_of(path), problem=facts["problem"])


def _measured(table: dict[str, list[Point]], step: int) -> dict[str, float]:
    """The newest value of each metric before a checkpoint was saved."""
    values = {}
    for name, rows in table.items():
        behind = bisect_right(rows, (step - 1, float("inf")))
        if behind:
            values[name] = rows[behind - 1][1]
    return values


def _table(path: Path) -> dict[str, list[Point]]:
    """The columns of metrics.csv: (step, value) of each row that has one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # there is none: another logger was used
        return {}
    columns: dict[str, list[Point]] = {}
    try:
        rows = list(csv.DictReader(text.splitlines()))
    except csv.Error:  # not what CSVLogger writes
        return {}
    for row in rows:
        step = _number(row.get("step"))
        if step is None or not math.isfinite(step):
            continue
        for name, cell in row.items():
            value = _number(cell)
            if value is not None and isinstance(name, str) and name not in _PLACES and not name.startswith(_OURS):
                columns.setdefault(name, []).append((int(step), value))
    return {name: sorted(rows) for name, rows in columns.items()}


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
