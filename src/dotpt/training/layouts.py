"""`listing_of`: which library filled a folder, and its checkpoints. Adding a layout is a reader and a line here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dotpt.errors import NoCheckpoint, SourceNotFound, UsageError
from dotpt.source.failures import from_os_error
from dotpt.training import layout_accelerate, layout_dotpt, layout_ignite, layout_lightning, layout_trainer
from dotpt.training.folder import Entry
from dotpt.training.listing import Listing
from dotpt.training.measures import chosen, newest, ranked

Reader = Callable[[Path], "Listing | None"]
READERS: tuple[Reader, ...] = (
    layout_dotpt.read,
    layout_trainer.read,
    layout_accelerate.read,
    layout_lightning.read,
    layout_ignite.read,
)
_SHOWN = 8
_TRIES = 5
_LONGEST = 20  # digits of a step


def listing_of(folder: str | os.PathLike[str]) -> Listing:
    """The checkpoints of a run.

    Args:
        folder: a folder of ours, a Lightning or Accelerate project, a Trainer's output folder, an Ignite
            folder, or a part of one.

    Raises:
        SourceNotFound: there is no such folder.
        NoCheckpoint: no library that is known has left a checkpoint in it.
        UsageError: it is a file.

    Example:
        >>> import dotpt, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dotpt.save({"step": 10}, f"{folder}/step-00000010.pt")
        ...     [entry.step for entry in listing_of(folder).entries]
        [10]
    """
    path = Path(folder)
    try:
        if not path.is_dir():
            raise _no_folder(path)
        found = _read(path)
    except OSError as error:
        if isinstance(error, SourceNotFound):
            raise
        raise from_os_error(error, str(path)) from error
    if found is None or not found.entries:
        raise _no_checkpoint(path, found)
    return found


def _read(path: Path) -> Listing | None:
    """What the first reader that knows the folder says. A run may delete checkpoints while they are listed."""
    for attempt in range(_TRIES):
        try:
            return next((listing for reader in READERS if (listing := reader(path)) is not None), None)
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise
    return None


def entry_at(listing: Listing, which: str) -> Entry:
    """The checkpoint of a step, of a name, the ``latest``, or the ``best``.

    Raises:
        NoCheckpoint: there is no such one; the message names the nearest.
    """
    complete = [entry for entry in newest(listing) if not entry.problem]
    if which == "best":
        return ranked(listing, chosen(listing, None, None))[0]
    if which == "latest" and complete:
        return complete[0]
    step = int(which) if which.isdecimal() and len(which) < _LONGEST else None
    named = [one for one in newest(listing) if which in (listing.name_of(one), one.path.name, str(one.path))]
    found = named or [entry for entry in newest(listing) if entry.step == step]
    for entry in found:
        if not entry.problem:
            return entry
    if found:
        raise NoCheckpoint(f"The checkpoint {which} is damaged: {found[0].problem}", path=str(found[0].path))
    raise _no_such(listing, which, step)


def _no_such(listing: Listing, which: str, step: int | None) -> NoCheckpoint:
    steps = sorted({entry.step for entry in listing.entries}, key=lambda one: (abs(one - (step or 0)), one))
    near = ", ".join(map(str, sorted(steps[:_SHOWN])))
    more = f", and {len(steps) - _SHOWN:,} more" if len(steps) > _SHOWN else ""
    what = f"of step {step}" if step is not None else f"called {which!r}"
    return NoCheckpoint(
        f"There is no checkpoint {what}.",
        path=str(listing.folder),
        hint=f"a step (there are {near}{more}), latest, best, or a name that `dotpt checkpoints ls` shows",
    )


def _no_folder(path: Path) -> SourceNotFound | UsageError:
    if path.exists():
        hint = f"dotpt checkpoints ls {path.parent}, or dotpt inspect {path}"
        return UsageError("This is a file, and a run is a folder.", path=str(path), hint=hint)
    return SourceNotFound("There is no such folder.", path=str(path), hint="check the path with `ls`")


def _no_checkpoint(path: Path, found: Listing | None) -> NoCheckpoint:
    if found is not None:
        return NoCheckpoint("The run in this folder has not saved a checkpoint yet.", path=str(path))
    names = sorted(one.name for one in path.iterdir())
    if not names:
        return NoCheckpoint("The folder is empty: no checkpoint was saved into it.", path=str(path))
    inside = f"{', '.join(names[:3])}{f' and {len(names) - 3:,} more' if len(names) > 3 else ''}"
    return NoCheckpoint(
        f"No checkpoint lies in this folder, only {inside}.",
        path=str(path),
        hint="a folder of dotpt.Checkpointer, Lightning, the Trainer, Accelerate or Ignite; "
        "`dotpt ls FILE` shows any single file",
    )
