"""What crosses this boundary: a run's folder, whichever library filled it, as a list of checkpoints with their metrics.

Invariant: listing reads directories, names and notes, never a tensor, so that thousands of checkpoints take a moment;
what is known of a checkpoint that way is that its files are complete, not that every byte is right (`why_not_whole`).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotpt.errors import DotptError
from dotpt.saving.metadata import read_metadata
from dotpt.training.finding import why_damaged
from dotpt.training.folder import Entry
from dotpt.training.seal import why_broken

Progress = Callable[[int, int], None]
Point = tuple[int, float]  # a step, and what was measured then
OURS = "dotpt"
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".pkl", ".ckpt")  # of what torch's programs write
_INDEX = ".index.json"


@dataclass(frozen=True, slots=True)
class Listing:
    """The checkpoints of a run.

    Attributes:
        folder: where they lie.
        layout: the library whose layout it is: ``dotpt``, ``Lightning``, ``Trainer``, ``Accelerate``, ``Ignite``.
        entries: in the order of saving. A `path` is a file or, of some libraries, a folder.
        curves: what was measured, by name, in the order of the steps; also at checkpoints that are gone.
        restarts: the steps at which the run went on after it was stopped.
        best: the metric and mode by which the library itself says what is best, if it does.
        run: the id of the run, if it is one of ours.
        notes: what else to know, a sentence each.
    """

    folder: Path
    layout: str
    entries: Sequence[Entry]
    curves: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    restarts: Sequence[int] = ()
    best: tuple[str, str] | None = None
    run: str = ""
    notes: Sequence[str] = ()

    def name_of(self, entry: Entry) -> str:
        """What a checkpoint is called in its folder."""
        return entry.path.relative_to(self.folder).as_posix() if entry.path != self.folder else entry.path.name


# -- the files of a checkpoint ----------------------------------------------------------------------------------------


def torch_files(path: Path) -> list[Path]:
    """The files of a checkpoint that dotpt can read; the shards of one index come as that index."""
    if not path.is_dir():
        return [path]
    files = sorted(found for found in path.rglob("*") if found.is_file())
    indexes = [found for found in files if found.name.endswith(_INDEX)]
    stems = {found.name.removesuffix(_INDEX).partition(".")[0] for found in indexes}
    return indexes + [found for found in files if found.suffix in _SUFFIXES and not _is_shard(found, stems)]


def _is_shard(path: Path, stems: set[str]) -> bool:
    return any(path.name.startswith(f"{stem}-") and "-of-" in path.name for stem in stems)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(found.stat().st_size for found in path.rglob("*") if found.is_file())


def time_of(path: Path) -> str:
    """When it was changed last, in UTC: ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))


def why_incomplete(path: Path) -> str:
    """What can be seen to be wrong without reading the tensors, a sentence; "" if nothing can."""
    for found in torch_files(path):
        try:
            read_metadata(found)
        except DotptError as error:
            return _of(found, path, error.problem)
    return ""


def why_not_whole(entry: Entry, progress: Progress | None = None) -> str:
    """What is wrong with a checkpoint, a sentence; "" if every checksum and hash that it has is right."""
    if entry.problem:
        return entry.problem
    broken = why_broken(entry.path) if entry.path.is_dir() else None
    return why_files_damaged(entry.path, progress) if broken is None else broken


def why_files_damaged(checkpoint: Path, progress: Progress | None = None) -> str:
    """What is wrong with a checkpoint's files, a sentence; "" if what they say of themselves is right."""
    for path in torch_files(checkpoint):
        problem = why_damaged(path, progress)
        if problem:
            return _of(path, checkpoint, problem)
    return ""


def _of(path: Path, checkpoint: Path, problem: str) -> str:
    """A problem, with the file that has it where a checkpoint is made of several."""
    return problem if path == checkpoint else f"{path.relative_to(checkpoint).as_posix()}: {problem}"


# -- what the readers of layouts share --------------------------------------------------------------------------------


def folders_in(folder: Path) -> Iterator[Path]:
    """The folders in a folder, by name."""
    with os.scandir(folder) as found:
        yield from sorted(Path(one.path) for one in found if one.is_dir())


def curves_of(entries: Sequence[Entry]) -> dict[str, list[Point]]:
    """The metrics of checkpoints as curves."""
    curves: dict[str, dict[int, float]] = {}
    for entry in entries:
        for name, value in entry.stored.metrics.items():
            curves.setdefault(name, {})[entry.step] = value
    return {name: sorted(points.items()) for name, points in curves.items()}


def numbers_in(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a JSON object by name."""
    found = {}
    for name, value in record.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                found[name] = float(value)
            except OverflowError:  # a whole number of hundreds of digits measures nothing
                continue
    return found


def whole_number(value: float) -> int:
    """A step or an epoch; 0 for what is none."""
    return int(value) if math.isfinite(value) else 0
