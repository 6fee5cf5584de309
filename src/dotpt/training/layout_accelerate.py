"""Folders that Accelerate's ``save_state`` wrote.

Layout, as accelerate 1.15 writes it, in this order::

    checkpoints/checkpoint_0/        with automatic naming; else a name of the user's, such as step_500 or epoch_1
        model.safetensors            or pytorch_model.bin; of further models model_1.safetensors, ...
        optimizer.bin  scheduler.bin  sampler.bin  scaler.pt
        random_states_0.pkl          one for each process; a zip of torch's, in spite of its name
        custom_checkpoint_0.pkl

No metrics are noted in them. The number is the one of the name.
"""

from __future__ import annotations

import re
from pathlib import Path

from dotpt.training.folder import Entry
from dotpt.training.listing import Listing, folders_in, size_of, time_of, why_incomplete
from dotpt.training.moments import Stored

LAYOUT = "Accelerate"
_NAMED = re.compile(r"checkpoint_(\d+)")
_NUMBER = re.compile(r"(\d+)(?=\D*$)")
_STATES = "random_states_*.pkl"


def read(folder: Path) -> Listing | None:
    """The checkpoints of an Accelerate project, or a single one of them; None if it is none."""
    for place in (folder / "checkpoints", folder):
        found = [path for path in folders_in(place) if _is_checkpoint(path)] if place.is_dir() else []
        if found:
            return _listing(place, found)
    return _listing(folder, [folder]) if any(folder.glob(_STATES)) else None


def _is_checkpoint(path: Path) -> bool:
    return _NAMED.fullmatch(path.name) is not None or any(path.glob(_STATES))


def _listing(folder: Path, found: list[Path]) -> Listing:
    automatic = all(_NAMED.fullmatch(path.name) for path in found)
    # step_500 and epoch_1 cannot be compared by their numbers
    found.sort(key=lambda path: (_number(path) if automatic else 0, path.stat().st_mtime_ns, _number(path)))
    entries = [
        Entry(path, size_of(path), Stored(_number(path), number), saved=time_of(path), problem=_problem(path))
        for number, path in enumerate(found)
    ]
    return Listing(folder, LAYOUT, entries)


def _number(path: Path) -> int:
    found = _NUMBER.search(path.resolve().name)
    return int(found[1]) if found else 0


def _problem(path: Path) -> str:
    if not any(path.glob(_STATES)):
        return "It has no random_states_0.pkl, which is written last: the save was cut off."
    return why_incomplete(path)
