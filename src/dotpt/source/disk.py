"""What crosses this boundary: an open file in, what the disk under it can do and has done out.

Space is asked for before it is needed; what was written is sent to the disk early, and waited for once. Invariants:
a sync that failed is never repeated (the kernel forgets the failure and the next sync says that all is well), and
advice that a system does not take is no error.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from importlib import import_module

from dotpt.errors import NoSpace
from dotpt.limits import MIB
from dotpt.source.failures import UNTOUCHED
from dotpt.source.mounts import file_system

# Elsewhere the C library may fake a reservation by writing into every block, which takes longer than it saves.
_RESERVES = frozenset({"ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay"})
_BLOCK = 512  # the unit of st_blocks
_EARLY = 8 * MIB  # bytes that are sent to the disk at a time while more are written


def _codes(names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names.split() if hasattr(errno, name))


_NOT_SUPPORTED = _codes("ENOTSUP EOPNOTSUPP EINVAL ENOSYS")


def check_room(descriptor: int, folder: str, size: int, name: str) -> None:
    """Raise `NoSpace` if ``size`` bytes do not fit, with the blocks that an open file has already."""
    free = _free(folder)
    if free is None:
        return
    held = getattr(os.fstat(descriptor), "st_blocks", 0) * _BLOCK
    if size <= free + held:
        return
    failure = NoSpace(
        f"The file needs {size:,} bytes, and {free:,} are free on the disk; nothing was written, and {UNTOUCHED}.",
        path=name,
        found=free,
        expected=size,
        hint="free some space on that disk, or save to another one",
    )
    failure.errno, failure.size = errno.ENOSPC, size
    raise failure


def _free(folder: str) -> int | None:
    """The bytes that this user may still fill, None if the file system does not say."""
    if not hasattr(os, "statvfs"):
        from shutil import disk_usage

        return disk_usage(folder).free
    try:
        facts = os.statvfs(folder)
    except OSError:  # a check that cannot be made refuses nothing
        return None
    if not facts.f_blocks:
        return None
    blocks = facts.f_bfree if os.geteuid() == 0 else facts.f_bavail
    return blocks * facts.f_frsize


def preallocate(descriptor: int, size: int) -> None:
    """Take ``size`` bytes of the disk for an open file, where that is cheap; the file may become that long."""
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is None or not size or file_system(os.fstat(descriptor).st_dev) not in _RESERVES:
        return
    try:
        allocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise


class EarlyWriteback:
    """Sends what is written to the disk while more is written, so that little is left for the sync at the end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sent = 0

    def written(self, position: int) -> None:
        """Tell that the file is complete up to ``position``."""
        if position - self._sent < _EARLY:
            return
        # Linux starts to write dirty pages when it is told that they will not be needed, and does not wait for them.
        forget(self._descriptor, self._sent, position - self._sent)
        self._sent = position


def forget(descriptor: int, start: int = 0, length: int = 0) -> None:
    """Tell the system that a range (``length`` 0: to the end) is not needed in memory; what is dirty stays there."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None:
        with suppress(OSError):
            advise(descriptor, start, length, os.POSIX_FADV_DONTNEED)


def sync_file(descriptor: int) -> None:
    """Wait until the disk has the file, its cache included."""
    with suppress(ImportError):
        fcntl = import_module("fcntl")
        full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync leaves the data in the disk's own cache
        if full is not None:
            try:
                fcntl.fcntl(descriptor, full)
                return
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
    os.fsync(descriptor)


def late_errors(descriptor: int) -> None:
    """Raise what a network file system found out late.

    It says that it could not store a write when a descriptor is closed. Any copy of the descriptor will do.
    """
    os.close(os.dup(descriptor))


def sync_folder(folder: str) -> None:
    """Wait until the disk has the names in ``folder``. Where a folder cannot be synced, its names need not be."""
    directory = getattr(os, "O_DIRECTORY", None)
    if directory is None:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | directory | getattr(os, "O_CLOEXEC", 0))
    except PermissionError:  # a folder that may be written to and not read
        os.sync()
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)
