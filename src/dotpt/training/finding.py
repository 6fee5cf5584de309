"""Which checkpoint to go on from: the newest *whole* one, the best, or the one of a step.

Whole means that every checksum and hash was compared, before anything live is touched.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dotpt.archive.verify import verify
from dotpt.errors import DotptError, NoCheckpoint, UsageError
from dotpt.training.folder import Entry, entries_of
from dotpt.training.policies import Best, Policy, parts_of


class DamagedCheckpoint(UserWarning):
    """A checkpoint was passed over, because it is not whole."""


def choose(folder: Path, which: str | int | os.PathLike[str], keep: Policy) -> Path | None:
    """The checkpoint that is meant; None if the folder has none at all.

    Args:
        folder: the run's folder.
        which: ``"latest"``, ``"best"``, a step, or the path of any checkpoint.
        keep: where ``"best"`` finds out what is best.

    Raises:
        NoCheckpoint: there are checkpoints, but not that one, or none that is whole.
        DamagedCheckpoint: (a warning) one was passed over.
    """
    if isinstance(which, (str, os.PathLike)) and which not in ("latest", "best"):
        return _given(Path(which))
    entries = entries_of(folder) if folder.is_dir() else []
    if not entries:
        return None
    ordered: Iterable[Entry]
    if isinstance(which, int):
        entries = [entry for entry in entries if entry.step == which] or _no_such_step(folder, which, entries)
        ordered = reversed(entries)
    elif which == "best":
        policy = best_of(keep)
        ranked = policy.ranked([entry.stored for entry in entries])
        by_sequence = {entry.stored.sequence: entry for entry in entries}
        ordered = (by_sequence[stored.sequence] for stored in ranked)
    else:
        # What says nothing of itself cannot be put in order, but it may be newer than all others: it is named at least.
        ordered = sorted(entries, key=_newest_first)
    return first_whole(folder, ordered, _why_passed_over, lambda entry: entry.path.name, stacklevel=5)


def best_of(keep: Policy) -> Best:
    """The policy that says what is best."""
    found = next((policy for policy in parts_of(keep) if isinstance(policy, Best)), None)
    if found is None:
        raise UsageError("Nothing says what is best.", hint='Checkpointer(..., keep=Best(1, "val_loss", "min"))')
    return found


def _newest_first(entry: Entry) -> tuple[bool, int, int]:
    return not entry.problem, -entry.stored.sequence, -entry.step


def _why_passed_over(entry: Entry) -> str:
    return entry.problem or why_damaged(entry.path)


def first_whole(
    folder: str | os.PathLike[str],
    entries: Iterable[Entry],
    why: Callable[[Entry], str],
    name_of: Callable[[Entry], str],
    *,
    stacklevel: int,
) -> Path:
    """The first checkpoint that is whole.

    Args:
        folder: where they lie, for the error.
        entries: in the order in which they are wanted; none is read after the first whole one.
        why: what is wrong with one, a sentence; "" if it is whole.
        name_of: what one is called in messages.
        stacklevel: whose line a warning names, as `warnings.warn` has it: 2 is the caller's.

    Raises:
        NoCheckpoint: none is whole.
        DamagedCheckpoint: (a warning) one was passed over.
    """
    passed = []
    for entry in entries:
        problem = why(entry)
        if not problem:
            return entry.path
        passed.append(name_of(entry))
        warnings.warn(f"{passed[-1]} is passed over: {problem}", DamagedCheckpoint, stacklevel=stacklevel)
    raise NoCheckpoint(
        f"No checkpoint here is whole ({', '.join(passed)}).",
        path=str(folder),
        hint="dotpt checkpoints verify says what is wrong with each; to begin anew, give another folder",
    )


def why_damaged(path: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """What is wrong with a checkpoint, a sentence; "" if it is whole."""
    try:
        found = verify(path, progress=progress)
    except DotptError as error:
        return error.problem
    if found.damaged:
        return f"{found.damaged[0].name} is damaged ({', '.join(found.damaged[0].tensors[:3]) or 'no tensor'})."
    return found.deviations[0].text if found.deviations else ""


def _given(path: Path) -> Path:
    problem = why_damaged(path)
    if problem:
        raise NoCheckpoint(problem, path=str(path), hint='restore("latest"), a step, or the path of another checkpoint')
    return path


def _no_such_step(folder: Path, step: int, entries: Sequence[Entry]) -> list[Entry]:
    steps = ", ".join(str(entry.step) for entry in entries[-8:])
    raise NoCheckpoint(f"There is no checkpoint of step {step}.", path=str(folder), hint=f"there are those of {steps}")
