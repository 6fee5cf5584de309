"""What crosses this boundary: a run's folder in, its checkpoints in the order of saving out; what may be deleted.

Invariant: only what this run wrote is ever deleted, and what a file says of itself decides that, not its name. The
order is the `sequence` in the files, so neither a clock that is set back nor a run that went on from an older step
makes an old checkpoint the latest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dotpt.errors import DotptError
from dotpt.saving.metadata import read_metadata
from dotpt.source.failures import from_write_error
from dotpt.training.moments import Stored

NOTE = "checkpoint"  # the key of our note in a file's metadata
_NAME = re.compile(r"step-(\d{8,20})\.pt")


@dataclass(frozen=True, slots=True)
class Entry:
    """One checkpoint of a folder.

    Attributes:
        path: the file.
        size: its bytes.
        stored: what policies decide by. Of a file that cannot be read the step is that of its name, the sequence -1.
        run: which run wrote it; "" if none of ours.
        saved: when, as its writer's clock had it: ISO 8601, UTC.
        problem: why its note could not be read, or "".
    """

    path: Path
    size: int
    stored: Stored
    run: str = ""
    saved: str = ""
    problem: str = ""

    @property
    def step(self) -> int:
        """The step that it was saved at."""
        return self.stored.step


def name_of(step: int) -> str:
    """The name of the file of a step: ``step-00001000.pt``."""
    return f"step-{step:08d}.pt"


def note_of(stored: Stored, run: str, saved: str) -> dict[str, Any]:
    """What is noted in a checkpoint's metadata, for `entries_of` to read."""
    return {
        NOTE: {
            "run": run,
            "sequence": stored.sequence,
            "step": stored.step,
            "epoch": stored.epoch,
            "elapsed": round(stored.elapsed, 3),
            "metrics": {name: value if abs(value) <= 1e308 else str(value) for name, value in stored.metrics.items()},
            "saved": saved,
        }
    }


def entries_of(folder: str | os.PathLike[str]) -> list[Entry]:
    """The checkpoints in a folder, oldest save first. Only the notes are read, no tensor and no pickle."""
    entries = [_entry(*file) for file in _files(folder)]
    return sorted(entries, key=lambda entry: (entry.stored.sequence, entry.step))


def elapsed_of(path: str | os.PathLike[str]) -> float:
    """Seconds that the run had been training when a checkpoint was saved; 0 if it does not say."""
    entry = _noted(Path(path), 0, read_metadata(path).get(NOTE))
    return entry.stored.elapsed if entry else 0.0


def make_folder(folder: Path) -> None:
    """Make a run's folder, and those above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_write_error(error, str(folder), state="nothing was started") from error


def _files(folder: str | os.PathLike[str]) -> Iterator[tuple[Path, os.stat_result, int]]:
    with os.scandir(folder) as found:
        for one in found:
            name = _NAME.fullmatch(one.name)
            if name and one.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # the run that writes here has just deleted it
                    yield Path(one.path), one.stat(), int(name[1])


def _entry(path: Path, status: os.stat_result, step: int) -> Entry:
    size = status.st_size
    try:
        note = _note(path, (status.st_dev, status.st_ino, size, status.st_mtime_ns))
    except DotptError as error:
        return Entry(path, size, Stored(step, -1), problem=error.problem)
    return _noted(path, size, note) or Entry(path, size, Stored(step, -1))


@lru_cache(4096)
def _note(path: Path, _state: tuple[int, ...]) -> Any:
    """The note of a file in this state; a run with hundreds of checkpoints does not read them all at every save."""
    return read_metadata(path).get(NOTE)


def _noted(path: Path, size: int, note: Any) -> Entry | None:
    """The entry that a note describes, or None if it is not one of ours: anybody can write anything there."""
    if not isinstance(note, Mapping):
        return None
    step, sequence, epoch = (note.get(key) for key in ("step", "sequence", "epoch"))
    elapsed = _number(note.get("elapsed"))
    if elapsed is None or type(step) is not int or type(sequence) is not int or type(epoch) is not int:
        return None
    noted = note.get("metrics")
    read = {str(name): _number(value) for name, value in noted.items()} if isinstance(noted, Mapping) else {}
    metrics = {name: value for name, value in read.items() if value is not None}
    stored = Stored(step, sequence, epoch, elapsed, metrics)
    return Entry(path, size, stored, run=str(note.get("run", "")), saved=str(note.get("saved", "")))


def _number(noted: Any) -> float | None:
    """A number of the note; JSON has no NaN and no infinity, so those are texts."""
    if not isinstance(noted, (int, float)) and noted not in ("nan", "inf", "-inf"):
        return None
    try:
        return float(noted)
    except OverflowError:  # an integer of 400 digits: nobody has measured that
        return None
