"""What crosses this boundary: a folder and a keep policy in, files deleted out.

Invariant: a file goes only if this run wrote it, the policy does not want it, and a newer checkpoint has been read back
from the disk whole. The newest whole one is never deleted, whatever the policy says, nor a file that unchanged tensors
of one that stays lie in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from dotpt.formats.delta import needs_of
from dotpt.training.folder import Entry
from dotpt.training.policies import Policy


def superfluous(entries: Sequence[Entry], keep: Policy, run: str, newest_whole: int) -> list[Entry]:
    """The checkpoints that may go.

    Args:
        entries: all of a folder, oldest first.
        keep: what the user wants to keep.
        run: the run that is asking; others' files stay.
        newest_whole: the sequence number of a checkpoint that is known to be whole; nothing newer goes, nor it itself.
    """
    ours = [entry for entry in entries if entry.run == run and entry.stored.sequence >= 0]
    wanted = keep.kept([entry.stored for entry in ours])
    going = [entry for entry in ours if entry.stored.sequence not in wanted and entry.stored.sequence < newest_whole]
    if not going:
        return []
    leaving = {entry.path for entry in going}
    needed = {file for file, _ in bases_of(entry.path for entry in entries if entry.path not in leaving)}
    return [entry for entry in going if entry.path.name not in needed]


def bases_of(paths: Iterable[Path]) -> set[tuple[str, str]]:
    """The files that these need, as far as they can be read: the name of each, and the hash of its manifest."""
    found = set()
    for path in paths:
        with suppress(FileNotFoundError):
            status = path.stat()
            found.add(_base_of(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)))
    return {base for base in found if base is not None}


@lru_cache(4096)
def _base_of(path: Path, _state: tuple[int, ...]) -> tuple[str, str] | None:
    """What a file in this state needs."""
    needs = needs_of(path)
    return (needs.file, needs.manifest) if needs is not None else None


def delete(path: Path) -> bool:
    """Delete a file; False if it was gone already."""
    try:
        os.unlink(path)  # noqa: PTH108 - the errors are the same, and the name is final
    except FileNotFoundError:
        return False
    return True
