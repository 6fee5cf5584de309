"""What crosses this boundary: a file object of the caller in, a `Source` out.

Invariants: byte 0 of the source is where the object stood; after every call the object stands there where it
stood before the call; the object is never closed by us. An object that cannot seek is read to its end at once.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dotpt.errors import DotptError, SourceChanged, SourceError, UsageError
from dotpt.limits import Limits
from dotpt.source.base import Source
from dotpt.source.failures import closed, from_os_error
from dotpt.source.local import FileSource
from dotpt.source.spool import spooled

_READ_AT_MOST = 1 << 30
# Objects of these modules decompress: each step back starts again from the first byte.
_SLOW_TO_SEEK = frozenset({"gzip", "bz2", "lzma", "zipfile", "isal.igzip", "zlib_ng.gzip_ng", "tarfile"})


def open_file_object(stream: Any, limits: Limits) -> Source:
    """A source over a binary file object, from its present position on.

    Args:
        stream: has ``read``, and ``seek`` and ``tell`` unless it is to be read to its end here.
        limits: ``inflated_bytes`` bounds what is read from an object that cannot seek.

    Raises:
        UsageError: not a binary file object open for reading.
        SourceError: it cannot be read.
    """
    name = name_of(stream)
    with _foreign_errors(name):
        _check_binary(stream, name)
        start = _position(stream)
        if start is None:
            return spooled(_reader(stream, name), name, limits)
        if type(stream).__module__ in _SLOW_TO_SEEK:
            try:
                return spooled(_reader(stream, name), name, limits)
            finally:
                stream.seek(start)
        return _over_descriptor(stream, name, start) or FileObjectSource(stream, name)


class FileObjectSource(Source):
    """A seekable binary file object, borrowed from the caller.

    Args:
        stream: has ``read`` (or ``readinto``), ``seek`` and ``tell``. Its position is byte 0 of the source.
        name: what messages call it.

    Example:
        >>> stream = io.BytesIO(b"abcdef")
        >>> _ = stream.seek(2)
        >>> FileObjectSource(stream).read(0, 3), stream.tell()
        (b'cde', 2)
    """

    def __init__(self, stream: Any, name: str = "<file object>") -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.name = name
        self._base = int(stream.tell())
        try:
            stream.seek(0, os.SEEK_END)
            # not what `seek` returns: a view of torch.distributed.checkpoint gives the place in the file around it
            self.size = max(int(stream.tell()) - self._base, 0)
        finally:
            stream.seek(self._base)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with the bytes from ``offset`` on."""
        if self._stream is None:
            raise closed(self.name)
        self.check_range(offset, len(target))
        with self._lock, _foreign_errors(self.name):
            before = self._stream.tell()
            try:
                self._stream.seek(self._base + offset)
                self._fill(target)
            finally:
                self._stream.seek(before)

    def _fill(self, target: memoryview) -> None:
        readinto = getattr(self._stream, "readinto", None)
        done = 0
        while done < len(target):
            piece = target[done : done + _READ_AT_MOST]
            if readinto is not None:
                count = readinto(piece)
            else:
                data = self._stream.read(len(piece))
                count = None if data is None else len(data)
                if count is not None and count <= len(piece):
                    piece[:count] = data
            if count is None or not 0 <= count <= len(piece):
                problem = "The file object returned another number of bytes than it was asked for."
                raise SourceError(problem, path=self.name)
            if count == 0:
                raise SourceChanged("The file object became shorter while it was being read.", path=self.name)
            done += count

    def close(self) -> None:
        """Forget the file object. It stays open: it is the caller's."""
        self._stream = None


def name_of(stream: Any) -> str:
    """What messages call a file object."""
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) and name else f"<{type(stream).__name__}>"


def _check_binary(stream: Any, name: str) -> None:
    if not hasattr(stream, "read"):
        raise UsageError(
            f"A {type(stream).__name__} is not something to read from.",
            hint="pass a path, a URL, bytes or a binary file object",
        )
    if isinstance(stream, io.TextIOBase):
        hint = "pass its .buffer" if hasattr(stream, "buffer") else 'open it with mode "rb"'
        raise UsageError("The file object is open as text.", path=name, hint=hint)
    readable = getattr(stream, "readable", None)
    if callable(readable) and not readable():
        raise UsageError("The file object is not open for reading.", path=name, hint='open it with mode "rb"')


@contextmanager
def _foreign_errors(name: str) -> Iterator[None]:
    """The object is the caller's: whatever it raises becomes an error that says where it came from."""
    try:
        yield
    except DotptError:
        raise
    except OSError as error:
        raise from_os_error(error, name) from error
    except Exception as error:
        problem = f"The file object could not be read: {type(error).__name__}: {error}."
        raise SourceError(problem, path=name) from error


def _position(stream: Any) -> int | None:
    """Where the object stands, or None if it cannot seek."""
    seekable = getattr(stream, "seekable", None)
    if not (hasattr(stream, "seek") and hasattr(stream, "tell")) or (callable(seekable) and not seekable()):
        return None
    try:
        position = int(stream.tell())
        stream.seek(position)
    except (OSError, NotImplementedError):  # io.UnsupportedOperation is an OSError; pipes say ESPIPE
        return None
    return position


def _reader(stream: Any, name: str) -> Any:
    def read(length: int) -> bytes:
        data = stream.read(length)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise UsageError("The file object does not return bytes.", path=name, hint='open it with mode "rb"')
        return bytes(data)

    return read


def _over_descriptor(stream: Any, name: str, start: int) -> FileSource | None:
    """Plain files are read by position, without a lock and without the object's buffer."""
    if type(stream) not in (io.FileIO, io.BufferedReader) or not _is_raw_file(stream):
        return None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return None
    return FileSource(os.dup(stream.fileno()), name, base=start)


def _is_raw_file(stream: Any) -> bool:
    return type(getattr(stream, "raw", stream)) is io.FileIO
