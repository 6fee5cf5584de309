"""What crosses this boundary: bytes in order in, calls of a file object's ``write`` out.

File objects, devices and pipes cannot be replaced as a whole: what was written stays written. Invariants: every byte
arrives once and in order, whatever count the object returns; a file object of the caller is flushed and never closed.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dotpt.errors import DotptError, NotWritable, UsageError, WriteError
from dotpt.limits import MIB
from dotpt.source.base import Source
from dotpt.source.disk import sync_file
from dotpt.source.failures import closed_sink, from_write_error
from dotpt.source.memory import flat_view
from dotpt.source.sink import Sink
from dotpt.source.stream import FileObjectSource, name_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PIECE = 16 * MIB
_HOLE = 64 * 1024  # less than this is written as zeros
_ZEROS = bytes(_HOLE)


class StreamSink(Sink):
    """A binary file object, written to from its position on.

    Args:
        stream: has ``write``; a raw one may take fewer bytes than it is given.
        name: what messages call it.
        owned: whether it was opened here, and is to be closed.
        durable: whether to wait until the disk has it (a block device that was opened here).

    Raises:
        UsageError: it is no binary file object that is open for writing.

    Example:
        >>> class Listing:
        ...     def write(self, data):
        ...         print(len(data))
        >>> with StreamSink(Listing()) as sink:
        ...     sink.write(b"content")
        ...     sink.commit()
        7
    """

    _state = "what was written so far stays there"

    def __init__(self, stream: Any, name: str | None = None, *, owned: bool = False, durable: bool = False) -> None:
        self.name = name_of(stream) if name is None else name
        self.position = 0
        self._check(stream)
        self._stream = stream
        self._owned, self._durable = owned, durable
        self._only_bytes = False

    def _check(self, stream: Any) -> None:
        if not callable(getattr(stream, "write", None)):
            raise NotWritable(
                f"A {type(stream).__name__} is not something to write to.",
                hint="pass a path, an address or a binary file object",
            )
        if isinstance(stream, io.TextIOBase):
            hint = "pass its .buffer" if hasattr(stream, "buffer") else 'open it with mode "wb"'
            raise UsageError("The file object is open as text.", path=self.name, hint=hint)
        if getattr(stream, "closed", False) is True:
            raise UsageError("The file object is closed.", path=self.name, hint="save inside its `with` block")
        writable = getattr(stream, "writable", None)
        if callable(writable) and not writable() and not _never_said(type(stream)):
            raise UsageError("The file object is not open for writing.", path=self.name, hint='open it with mode "wb"')

    def write(self, data: Buffer) -> None:
        """Add all bytes of ``data``."""
        view, done = flat_view(data, self.name), 0
        with self._explained():
            while done < len(view):
                done += self._write_some(view[done : done + _PIECE])

    def _write_some(self, piece: memoryview) -> int:
        stream = self._open_stream()
        if not self._only_bytes:
            try:
                count = stream.write(piece)
            except TypeError:  # some objects know `bytes` and no other buffer
                self._only_bytes = True
        if self._only_bytes:
            count = stream.write(bytes(piece))
        if count is None and not isinstance(stream, io.RawIOBase):  # such objects take everything
            count = len(piece)
        if not isinstance(count, int) or not 0 < count <= len(piece):
            problem = f"The file object took {count} of {len(piece):,} bytes, and {self._state}."
            hint = "pass a blocking file object" if count is None else None
            raise WriteError(problem, path=self.name, hint=hint)
        self.position += count
        return count

    def skip(self, size: int) -> None:
        """Add ``size`` zero bytes: a hole at the end of a plain file, zeros elsewhere."""
        if size < 0:
            raise UsageError(f"A hole of {size} bytes cannot be made.", path=self.name)
        if size >= _HOLE:
            with self._explained():
                if self._is_at_end_of_file():
                    self._stream.seek(size - 1, os.SEEK_CUR)
                    self.position += size - 1
                    size = 1  # this byte makes the file as long as it is to be
        for done in range(0, size, _HOLE):
            self.write(_ZEROS[: size - done])

    def _is_at_end_of_file(self) -> bool:
        stream = self._open_stream()
        if type(stream) not in (io.FileIO, io.BufferedWriter, io.BufferedRandom) or _position(stream) is None:
            return False
        if "a" in str(getattr(stream, "mode", "")):
            return False
        stream.flush()
        status = os.fstat(stream.fileno())
        return stat.S_ISREG(status.st_mode) and bool(stream.tell() >= status.st_size)

    def reopen(self) -> Source:
        """What was written, if the object can seek and read; its position is the same afterwards."""
        stream = self._open_stream()
        readable = getattr(stream, "readable", None)
        end = _position(stream)
        if end is None or not hasattr(stream, "read") or (callable(readable) and not readable()):
            hint = 'open it so that it can be read too (mode "w+b"), or save to a path'
            raise UsageError("The file object cannot be read back.", path=self.name, hint=hint)
        with self._explained():
            self._flush()
            try:
                stream.seek(end - self.position)
                source = FileObjectSource(stream, self.name)
            finally:
                stream.seek(end)
        source.size = min(source.size, self.position)
        return source

    def commit(self) -> None:
        """Flush the file object."""
        stream = self._open_stream()
        with self._explained():
            self._flush()
            if self._durable:
                sync_file(stream.fileno())
            if self._owned:
                stream.close()
        self._stream = None

    def abort(self) -> None:
        """Forget the file object. What was written stays where it is."""
        stream, self._stream = self._stream, None
        if stream is not None and self._owned:
            with suppress(OSError):  # on the way out of another error
                stream.close()

    def _flush(self) -> None:
        flush = getattr(self._stream, "flush", None)
        if callable(flush):
            flush()

    def _open_stream(self) -> Any:
        if self._stream is None:
            raise closed_sink(self.name)
        return self._stream

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The object is the caller's: whatever it raises becomes an error that says where it came from."""
        try:
            yield
        except DotptError:
            raise
        except OSError as error:
            raise from_write_error(error, self.name, state=self._state) from error
        except TypeError as error:
            problem = f"The file object takes no bytes: {error}; {self._state}."
            raise NotWritable(problem, path=self.name, hint="pass a binary file object") from error
        except Exception as error:
            problem = f"The file object could not be written to: {type(error).__name__}: {error}; {self._state}."
            raise WriteError(problem, path=self.name, hint="pass a binary file object") from error


def _position(stream: Any) -> int | None:
    """Where the object stands, or None if it cannot seek; then it cannot be read back either, and need not."""
    seekable = getattr(stream, "seekable", None)
    if not (hasattr(stream, "seek") and hasattr(stream, "tell")) or (callable(seekable) and not seekable()):
        return None
    try:
        return int(stream.tell())
    except Exception:
        return None


def _never_said(kind: type) -> bool:
    """Whether a class left out whether it can be written to, which Python takes for no (torch.distributed has one)."""
    inherited = getattr(kind, "writable", None) is io.IOBase.writable
    return inherited and kind.__module__ not in ("io", "_io")
