"""One writer for a folder: a lock of the system on a file in it, which goes when its process goes, however that dies.

The lock belongs to the process (``lockf``), not to the open file (``flock``): the workers of a DataLoader are forked,
and would hold the other kind for some seconds after their parent was killed.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from dotpt.errors import RunInUse
from dotpt.source.failures import from_write_error

LOCK = ".dotpt-lock"
_PAUSE = 0.1  # seconds between two tries
_held: dict[str, int] = {}  # by this process, with its number: a child that is forked has none of them


class FolderLock:
    """The right to write into a run's folder.

    Args:
        folder: where; it is there already.
        wait: seconds to wait for another process to finish, before this one is refused.

    Raises:
        RunInUse: somebody else has it; the message says who.
        WriteError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, wait: float = 0.0) -> None:
        self._folder = os.path.realpath(folder)
        self._descriptor = -1
        if _held.get(self._folder) == os.getpid():  # closing a second descriptor would let go of the first one's lock
            raise _in_use(self._folder, "another Checkpointer of this process")
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._descriptor = os.open(f"{self._folder}/{LOCK}", flags, 0o666)
            self._take(wait)
        except OSError as error:
            self.release()
            raise from_write_error(error, self._folder, state="nothing was started") from error
        except BaseException:
            self.release()
            raise

    def _take(self, wait: float) -> None:
        deadline = time.monotonic() + wait
        while not _lock(self._descriptor):
            if time.monotonic() >= deadline:
                raise _in_use(self._folder, _owner(self._descriptor))
            time.sleep(_PAUSE)
        _held[self._folder] = os.getpid()
        owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps(owner).encode())

    def release(self) -> None:
        """Let the next one in. The file stays: removing it could take the lock from under somebody who waits."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            if _held.get(self._folder) == os.getpid():
                del _held[self._folder]
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl = import_module("fcntl")
    except ImportError:
        return True  # a system without such locks: that there is one writer is up to the user
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return True  # a file system without such locks
        raise
    return True


def _in_use(folder: str, owner: str) -> RunInUse:
    return RunInUse(
        f"Checkpoints are already being written into this folder, by {owner}.",
        path=folder,
        hint="let it finish, give another folder, or wait for it: Checkpointer(..., wait=60)",
    )


def _owner(descriptor: int) -> str:
    try:
        owner: Any = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {owner['process']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written; who it is only helps the reader
        return "another process"
