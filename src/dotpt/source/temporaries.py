"""What crosses this boundary: a folder and a name in, a new, locked, empty file beside that name out.

A temporary is called ``.{name}.{16 hex digits}.dotpt-tmp``. Its writer holds a lock on it (flock) as long as it
lives, and the system lets go of that lock when the writer dies, however it dies. So a temporary that is not locked
was left by a killed run, and `sweep` removes it. Invariants: nothing with another name is ever removed, and no
temporary that somebody still writes. Where a lock means nothing (network file systems that keep locks to each
machine, Windows) only what nobody touched for a day is swept.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import time
from contextlib import suppress
from functools import partial
from importlib import import_module

from dotpt.source.mounts import file_system, is_network

_SUFFIX = ".dotpt-tmp"
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.dotpt-tmp", re.DOTALL)
_NAME_BYTES = 143  # what encrypted folders (eCryptfs) take; others take 255
_ABANDONED_AFTER = 24 * 60 * 60  # seconds
_TRIES = 100

# A folder of 100,000 files takes a while to look through. Then it is left alone for a hundred times as long.
_SLOW = 0.01  # seconds
_rest_until: dict[str, float] = {}

_NO_LOCKS_HERE = frozenset(
    getattr(errno, name)
    for name in ("ENOTSUP", "EOPNOTSUPP", "ENOSYS", "ENOLCK", "EINVAL", "EBADF", "EPERM", "EACCES")
    if hasattr(errno, name)
)


def sibling(folder: str, name: str, ending: str) -> str:
    """The path of a hidden file beside ``name``, which is cut where the file system would find it too long."""
    room = _NAME_BYTES - len(ending) - 1
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return os.path.join(folder, f".{name}{ending}")  # noqa: PTH118 - a path of any bytes


class Temporary:
    """A new file that has its final content, but not yet its final name.

    Attributes:
        path: where it is, "" once it has another name.
        file: the file, open for reading and writing, and locked.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._folder, self._name = folder, name
        self.path = ""
        self.file: io.FileIO | None = None

    def choose_path(self) -> str:
        """A path that nobody else has thought of."""
        self.path = sibling(self._folder, self._name, f".{os.urandom(8).hex()}{_SUFFIX}")
        return self.path

    def create(self, mode: int) -> None:
        """Make the file.

        Args:
            mode: its permissions, before the umask takes its part.
        """
        for _ in range(_TRIES):
            # A descriptor in an object is never lost, wherever Ctrl-C strikes; hence no bare os.open.
            self.file = io.FileIO(self.choose_path(), "x+b", opener=partial(os.open, mode=mode))
            # A sweeper may have been faster than our lock: then the file is gone, or about to be.
            if try_lock(self.file.fileno()) is not False and os.path.lexists(self.path):
                return
            self.remove()
        raise FileExistsError(errno.EEXIST, "No temporary file could be kept beside it", self.path)

    def remove(self) -> None:
        """Unlink and close the file. What cannot be unlinked is left to the next save, which sweeps it."""
        if os.name != "posix":  # Windows removes no open file
            self.close()
        if self.path:
            with suppress(OSError):
                os.unlink(self.path)  # noqa: PTH108
            self.path = ""
        self.close()

    def close(self) -> None:
        """Close the file, which lets go of the lock."""
        file, self.file = self.file, None
        if file is not None:
            with suppress(OSError):  # its content was synced, or is not wanted
                file.close()


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file for this process: True, False if another has it, None where there are no locks."""
    try:
        fcntl = import_module("fcntl")
    except ImportError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS_HERE:
            return None
        raise
    return True


def sweep(folder: str) -> None:
    """Remove the temporaries that killed runs left in ``folder``.

    This is housekeeping: what cannot be looked at or removed is left, and no save fails for it.
    """
    began = time.monotonic()
    if began < _rest_until.get(folder, 0.0):
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX) and _TEMPORARY.fullmatch(entry.name):
                _remove_if_abandoned(entry.path)
    spent = time.monotonic() - began
    if spent > _SLOW:
        _rest_until[folder] = began + 100 * spent


def _remove_if_abandoned(path: str) -> None:
    flags = os.O_RDONLY
    for flag in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_NOCTTY", "O_NOINHERIT"):
        flags |= getattr(os, flag, 0)
    with suppress(OSError):
        descriptor = os.open(path, flags)
        try:
            abandoned = _is_abandoned(descriptor)
            if abandoned and os.name == "posix":
                os.unlink(path)  # noqa: PTH108 - while the lock is held: its writer sees that the file is gone
        finally:
            os.close(descriptor)
        if abandoned and os.name != "posix":
            os.unlink(path)  # noqa: PTH108 - Windows removes no open file


def _is_abandoned(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return False
    locked = try_lock(descriptor)
    if locked is None or is_network(file_system(status.st_dev)):
        return locked is not False and time.time() - status.st_mtime > _ABANDONED_AFTER
    return locked
