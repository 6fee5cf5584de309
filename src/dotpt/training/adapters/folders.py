"""What crosses this boundary: a checkpoint's folder that a library has just written; it is checked and sealed.

Invariant: one process does it, after all of them have written their files.
"""

from __future__ import annotations

import os
from pathlib import Path

from dotpt.errors import ContainerError, DotptError
from dotpt.training.listing import why_files_damaged
from dotpt.training.seal import seal


def check_and_seal(folder: str | os.PathLike[str], *, first: bool, durable: bool) -> None:
    """Every process calls it; the first one reads the files back, waits for the disk, and notes their hashes.

    Raises:
        ContainerError: a file is not whole. Every process raises what the first one found.
        WriteError: the disk does not take it.
    """
    from dotpt.training.torch_ranks import from_first, gathered

    gathered(None)  # until all have written their files
    failure = from_first(_failure(Path(folder), durable) if first else None)
    if failure is not None:
        raise failure


def _failure(folder: Path, durable: bool) -> DotptError | None:
    try:
        problem = why_files_damaged(folder)
        if problem:
            return ContainerError(f"The checkpoint was not saved whole. {problem}", path=str(folder))
        seal(folder, durable=durable)
    except DotptError as error:
        return error
    return None
