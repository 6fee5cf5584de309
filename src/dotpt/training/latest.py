"""What to resume from in a folder that any library filled: its newest checkpoint that is whole."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from dotpt.errors import NoCheckpoint, SourceNotFound
from dotpt.training.finding import DamagedCheckpoint
from dotpt.training.layouts import listing_of
from dotpt.training.listing import why_not_whole
from dotpt.training.measures import newest


def latest_whole(folder: str | os.PathLike[str]) -> Path | None:
    """The newest whole checkpoint of a run: one of ours, of Lightning, transformers' Trainer, Accelerate or Ignite.

    Args:
        folder: the run's folder.

    Returns:
        A file or, of libraries that write folders, a folder. None if there is no checkpoint yet.

    Raises:
        NoCheckpoint: there are some, and none is whole.
        DamagedCheckpoint: (a warning) one was passed over.

    Example:
        >>> import dotpt, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dotpt.save({"step": 10}, f"{folder}/step-00000010.pt")
        ...     latest_whole(folder).name
        'step-00000010.pt'
        >>> latest_whole("nowhere") is None
        True
    """
    try:
        listing = listing_of(folder)
    except (SourceNotFound, NoCheckpoint):
        return None
    passed = []
    for entry in newest(listing):
        problem = why_not_whole(entry)
        if not problem:
            return entry.path
        passed.append(listing.name_of(entry))
        warnings.warn(f"{passed[-1]} is passed over: {problem}", DamagedCheckpoint, stacklevel=2)
    raise NoCheckpoint(
        f"No checkpoint here is whole ({', '.join(passed)}).",
        path=str(folder),
        hint="dotpt checkpoints verify says what is wrong with each; to begin anew, give another folder",
    )
