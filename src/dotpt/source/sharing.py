"""What crosses this boundary: a folder in; whether files in it can have blocks in common out."""

from __future__ import annotations

import tempfile
from importlib import import_module
from typing import Any

_FICLONE = 0x40049409
BLOCK = 4096  # of every file system that shares; what is shared begins at a multiple of it


def can_share(folder: str) -> bool:
    """Whether a copy within the folder takes no room: tried with one block, for no name of a file system says it."""
    try:
        fcntl: Any = import_module("fcntl")
        with tempfile.TemporaryFile(dir=folder) as first, tempfile.TemporaryFile(dir=folder) as second:
            first.write(bytes(BLOCK))
            first.flush()
            fcntl.ioctl(second.fileno(), _FICLONE, first.fileno())
    except (ImportError, OSError):  # it cannot, or does not say
        return False
    return True
