"""What crosses this boundary: bytes in order in, a file that is replaced whole out.

1. a temporary beside the destination, locked (`temporaries`), or the spare of the last save (`recycling`);
2. the bytes, with the space reserved and the disk kept busy (`disk`);
3. the length cut to what was written, the permissions of the old file (`attributes`), a sync of the file;
4. one rename over the destination;
5. a sync of the folder.

Invariant: at every instruction the destination is the whole old file or the whole new one; up to step 4 it is the
old one, and any failure, Ctrl-C included, removes the temporary. Only a killed process leaves one, and the next save
into the folder sweeps it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dotpt.errors import UsageError, WriteError
from dotpt.limits import MIB
from dotpt.source.attributes import keep_attributes
from dotpt.source.base import Source
from dotpt.source.disk import (
    EarlyWriteback,
    check_room,
    forget,
    late_errors,
    preallocate,
    sync_file,
    sync_folder,
)
from dotpt.source.failures import UNTOUCHED, closed_sink, from_write_error
from dotpt.source.local import FileSource
from dotpt.source.memory import flat_view
from dotpt.source.recycling import can_recycle, drop_second_name, drop_spare, keep_spare, spare_of, take_spare
from dotpt.source.sink import Sink
from dotpt.source.temporaries import Temporary, sweep

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PIECE = 8 * MIB  # what one system call is given, so that the disk starts on it while the next is copied
_COPIED = 64 * MIB  # a multiple of every block, for only whole blocks are shared
_HOLE = 64 * 1024  # less than this is written as zeros: a hole costs an extent
_ZEROS = bytes(_HOLE)


class FileSink(Sink):
    """A file of the local system that is replaced at `commit`. Made by `dotpt.source.open_sink`.

    Args:
        path: the absolute path of the file. It is no link, and a regular file is there or nothing.
        name: what messages call it.
        durable, recycle: see `dotpt.source.open_sink`.
    """

    def __init__(self, path: str, name: str, *, durable: bool = True, recycle: bool = False) -> None:
        self.name = name
        self.position = 0
        self._path = path
        self._folder, base = os.path.split(path)
        self._spare = spare_of(self._folder, base)
        self._durable = durable
        self._size: int | None = None
        self._old: os.stat_result | None = None
        self._replaced = self._spare_named = False
        self._process = os.getpid()
        self._temporary = Temporary(self._folder, base)
        try:
            with self._explained():
                self._open(recycle)
        except BaseException:
            self.abort()
            raise
        self._early = EarlyWriteback(self._descriptor())

    def _open(self, recycle: bool) -> None:
        self._old = _status(self._path)
        sweep(self._folder)
        self._recycle = recycle and can_recycle(self._folder)
        if not self._recycle or self._old is None:
            drop_spare(self._spare)
        self._recycled = (
            self._recycle and self._old is not None and take_spare(self._spare, self._temporary, self._durable)
        )
        if not self._recycled:
            # Nobody may read the new content who could not read the old: its permissions come at the end.
            self._temporary.create(0o666 if self._old is None else 0o600)

    def reserve(self, size: int) -> None:
        """Check that ``size`` bytes fit, and take them from the disk where that is cheap."""
        descriptor = self._descriptor()
        self._size = size
        with self._explained():
            check_room(descriptor, self._folder, size, self.name)
            preallocate(descriptor, size)

    def write(self, data: Buffer) -> None:
        """Add all bytes of ``data`` at the end."""
        view, descriptor, done = flat_view(data, self.name), self._descriptor(), 0
        try:
            while done < len(view):
                count = os.write(descriptor, view[done : done + _PIECE])
                if not count:
                    raise OSError(None, "the system accepts no more bytes")
                done += count
                self.position += count
                if self._durable:
                    self._early.written(self.position)
        except OSError as error:
            raise self._failure(error, len(view) - done) from error

    def skip(self, size: int) -> None:
        """Add ``size`` zero bytes; a hole, unless it is small, space was reserved, or the blocks are recycled."""
        if size < 0:
            raise UsageError(f"A hole of {size} bytes cannot be made.", path=self.name)
        if self._recycled or size < _HOLE:
            for done in range(0, size, _HOLE):
                self.write(_ZEROS[: size - done])
            return
        descriptor = self._descriptor()
        with self._explained():
            os.lseek(descriptor, size, os.SEEK_CUR)
        self.position += size

    def copy_from(self, source: Source, start: int, length: int) -> None:
        """Add ``length`` bytes of a source from ``start`` on: within the system if it can, sharing blocks at best."""
        descriptor, done = self._descriptor(), 0
        while isinstance(source, FileSource) and done < length:
            with self._explained():
                count = source.copy_to(descriptor, start + done, min(_COPIED, length - done))
            if not count:
                break
            done += count
            self.position += count
            if self._durable:
                self._early.written(self.position)
        super().copy_from(source, start + done, length - done)

    def reopen(self) -> Source:
        """What was written so far, read from the disk and not from memory, where the system lets us choose."""
        descriptor = self._descriptor()
        with self._explained():
            os.ftruncate(descriptor, self.position)
            sync_file(descriptor)
            forget(descriptor)
            copy = os.dup(descriptor)
            try:
                return FileSource(copy, self.name)
            except BaseException:
                os.close(copy)
                raise

    def commit(self) -> None:
        """Replace the file.

        Raises:
            WriteError: that failed. The old file is untouched, unless the message says that the new one is in place.
        """
        descriptor = self._descriptor()
        try:
            with self._explained():
                self._finish(descriptor)
                self._replace()
            if self._durable:
                self._sync_folder()
        finally:
            self.abort()

    def _finish(self, descriptor: int) -> None:
        os.ftruncate(descriptor, self.position)
        self._old = _status(self._path) or self._old
        if self._old is not None:
            keep_attributes(self._path, self._old, descriptor)
        if self._durable:
            sync_file(descriptor)
        else:
            late_errors(descriptor)

    def _replace(self) -> None:
        if self._recycle:
            self._spare_named = True
            keep_spare(self._path, self._spare)
        if os.name != "posix":  # Windows renames no open file
            self._temporary.close()
        os.replace(self._temporary.path, self._path)  # noqa: PTH105
        self._replaced, self._temporary.path = True, ""

    def _sync_folder(self) -> None:
        try:
            sync_folder(self._folder)
        except OSError as error:
            state = "the new file is in its place, but may not survive a power cut"
            raise from_write_error(error, self.name, self._size, state) from error

    def abort(self) -> None:
        """Remove what was not committed. The old file was never touched."""
        if os.getpid() != self._process:  # a fork inherits the object, not the save
            self._temporary.close()
            return
        self._temporary.remove()
        if self._spare_named and not self._replaced:
            drop_second_name(self._path, self._spare)
            self._spare_named = False

    def __del__(self) -> None:
        if getattr(self, "_temporary", None) is not None:
            self.abort()

    def _descriptor(self) -> int:
        if self._temporary.file is None:
            raise closed_sink(self.name)
        return self._temporary.file.fileno()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except WriteError:
            raise
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError, missing: int = 0) -> WriteError:
        size = self._size if self._size is not None else self.position + missing
        return from_write_error(error, self.name, size, "nothing was saved" if self._old is None else UNTOUCHED)


def _status(path: str) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return os.stat(path)  # noqa: PTH116
    return None
