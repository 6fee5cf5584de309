"""What crosses this boundary: a file descriptor in, positioned reads and mappings out.

Invariants: the descriptor's own position is the same before and after every call, so a descriptor may be shared
with a file object; the size is that of the moment of opening, and a file that shrank since is `SourceChanged`.
Only `os.open`, `os.fstat` and one of `preadv`, `pread`, `lseek` + `readinto` are needed: the same code runs on
Linux, macOS and Windows. Closing while another thread reads is the caller's mistake, as with any descriptor.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import sys
import threading
from functools import cached_property

from dotpt.errors import SourceChanged, UsageError
from dotpt.source.base import Source
from dotpt.source.failures import closed, from_os_error
from dotpt.source.mounts import file_system, is_network

# Linux moves at most 2 GiB - 4 KiB in one call, macOS refuses 2 GiB and more.
PIECE = 1 << 30
_SMALL_READ = 1 << 16
_SHARING = frozenset({"bcachefs", "btrfs", "ocfs2", "xfs", "zfs"})
_NOT_COPIED = frozenset(
    getattr(errno, name)
    for name in ("EBADF", "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EPERM", "EXDEV")
    if hasattr(errno, name)
)
# What is copied at a time where there is no `preadv` to fill the target directly.
COPY_PIECE = 8 << 20


class FileSource(Source):
    """A local regular file.

    Args:
        descriptor: an open file descriptor. The source owns it: `close` closes it.
        name: what messages call the file.
        base: where in the file the source begins, in bytes.

    Attributes:
        is_file: whether `map` works: false for an empty file and for one that begins at another byte than 0.
        wrapped: "gzip" if the bytes came out of a gzip stream (then the file is an unnamed temporary one).
    """

    local = True
    wrapped: str | None = None

    def __init__(self, descriptor: int, name: str, *, base: int = 0) -> None:
        status = os.fstat(descriptor)
        self._descriptor: int | None = descriptor
        self._device = status.st_dev
        self._identity = _identity(status)
        self._base = base
        self._position_lock = threading.Lock()
        self.name = name
        self.size = max(status.st_size - base, 0)
        self.is_file = base == 0 and self.size > 0

    def read(self, offset: int, length: int) -> bytes:
        """The ``length`` bytes from ``offset`` on; a small read is one system call and nothing else."""
        pread = getattr(os, "pread", None)
        inside = 0 <= offset <= offset + length <= self.size
        if not inside or length > _SMALL_READ or pread is None or self._descriptor is None:
            return super().read(offset, length)
        try:
            data: bytes = pread(self._descriptor, length, self._base + offset)
        except OSError as error:
            raise from_os_error(error, self.name) from error
        return data if len(data) == length else super().read(offset, length)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with the bytes from ``offset`` on."""
        descriptor = self._open_descriptor()
        self.check_range(offset, len(target))
        done = 0
        while done < len(target):
            position = self._base + offset + done
            try:
                count = self._read_some(descriptor, position, target[done : done + PIECE])
            except OSError as error:
                raise from_os_error(error, self.name) from error
            if count == 0:
                raise self._changed(f"The file ended at byte {position:,} while it was being read")
            done += count

    def _read_some(self, descriptor: int, position: int, target: memoryview) -> int:
        """Read at least one byte, or return 0 at the end of the file. Python itself repeats after EINTR."""
        preadv = getattr(os, "preadv", None)
        if preadv is not None:
            return int(preadv(descriptor, [target], position))
        pread = getattr(os, "pread", None)
        if pread is not None:
            data = pread(descriptor, min(len(target), COPY_PIECE), position)
            target[: len(data)] = data
            return len(data)
        with self._position_lock:
            before = os.lseek(descriptor, 0, os.SEEK_CUR)
            try:
                os.lseek(descriptor, position, os.SEEK_SET)
                return io.FileIO(descriptor, closefd=False).readinto(target) or 0
            finally:
                os.lseek(descriptor, before, os.SEEK_SET)

    def map(self, *, shared: bool = False) -> mmap.mmap:
        """The file as a private mapping: what is written to it never reaches the file. It outlives `close`.

        Args:
            shared: what is written to the mapping does reach the file.

        Raises:
            UsageError: the file cannot be mapped, see `is_file`.
            SourceChanged: the file became shorter, or another one was put in its place.
            SourceError: the system refuses.
        """
        descriptor = self._open_descriptor()
        if not self.is_file:
            raise UsageError("An empty file, or one that begins in the middle, cannot be mapped.", path=self.name)
        try:
            return self._map_shared() if shared else _map_privately(descriptor, self.size)
        except ValueError as error:  # "mmap length is greater than file size"
            raise self._changed("The file became shorter") from error
        except OSError as error:
            raise from_os_error(error, self.name, "mapped", hint="read it instead of mapping it") from error

    def _map_shared(self) -> mmap.mmap:
        """The file opened again, for writing, if it is still the one that was opened for reading."""
        descriptor = os.open(self.name, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            if _identity(os.fstat(descriptor)) != self._identity:
                raise self._changed("Another file has taken its place")
            return mmap.mmap(descriptor, self.size, access=mmap.ACCESS_WRITE)
        finally:
            os.close(descriptor)

    def unchanged(self) -> bool:
        """True if size, time of change and identity of the file are those of its opening.

        Raises:
            SourceChanged: they are not.
        """
        if _identity(os.fstat(self._open_descriptor())) != self._identity:
            raise self._changed("The file was written to after it was opened")
        return True

    @cached_property
    def network_fs(self) -> bool:
        """Whether the file lies on a network file system, where reading is much faster than mapping."""
        return is_network(file_system(self._device))

    @cached_property
    def shares_blocks(self) -> bool:
        """Whether its file system may give a copy the same blocks, so that it takes no room."""
        return file_system(self._device) in _SHARING

    def copy_to(self, target: int, offset: int, length: int) -> int:
        """Copy bytes to an open file, at its position, without passing them through this process.

        Returns:
            How many were copied; 0 where the system does not do that.
        """
        copy = getattr(os, "copy_file_range", None)
        self.check_range(offset, length)
        if copy is None:
            return 0
        try:
            return int(copy(self._open_descriptor(), target, length, offset_src=self._base + offset))
        except OSError as error:
            if error.errno in _NOT_COPIED:
                return 0
            raise

    def close(self) -> None:
        """Close the descriptor."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.close(descriptor)
            except OSError as error:
                raise from_os_error(error, self.name, "closed") from error

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise closed(self.name)
        return self._descriptor

    def _changed(self, what: str) -> SourceChanged:
        return SourceChanged(
            f"{what}.",
            path=self.name,
            expected=self._base + self.size,
            found=os.fstat(self._open_descriptor()).st_size,
            hint="wait until whoever writes it is done, and open it again",
        )


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _map_privately(descriptor: int, size: int) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    except OSError as error:
        # Linux refuses a writable private mapping larger than memory and swap, for all of it might be written to.
        # Models larger than memory are what mapping is for, so ask again without a reservation.
        unreserved = _no_reserve()
        if error.errno != errno.ENOMEM or not unreserved:
            raise
        flags, protection = mmap.MAP_PRIVATE | unreserved, mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(descriptor, size, flags=flags, prot=protection)


def _no_reserve() -> int:
    """MAP_NORESERVE, which older versions of Python do not name; its value depends on the processor."""
    import platform

    usual = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
    return int(getattr(mmap, "MAP_NORESERVE", 0x4000 if usual else 0))
