"""What to resume from in a folder that any library filled: its newest checkpoint that is whole."""

from __future__ import annotations

import os
from pathlib import Path

from dotpt.errors import NoCheckpoint, SourceNotFound
from dotpt.training.finding import first_whole
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
    return first_whole(folder, newest(listing), why_not_whole, listing.name_of, stacklevel=3)
