"""What crosses this boundary: bytes that come once and in order in, a `Source` with random access out.

Invariants: at most `MEMORY` bytes are held in memory, the rest lies in a temporary file without a name, which
vanishes with the source or the process; what has no announced end is cut off at ``limits.inflated_bytes``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING

from dotpt.errors import LimitExceeded, SourceError
from dotpt.limits import MIB, Limits
from dotpt.source.failures import from_os_error
from dotpt.source.local import FileSource
from dotpt.source.memory import BytesSource

if TYPE_CHECKING:
    from typing_extensions import Self

MEMORY = 64 * MIB
PIECE = 1 * MIB


class Spool:
    """Collects bytes, then is a source of them. Leaving its ``with`` block drops what was not finished.

    Args:
        name: what messages call the finished source.
        memory: bytes that are held in memory.

    Example:
        >>> with Spool("<pipe>") as spool:
        ...     spool.write(b"abc")
        ...     source = spool.finish()
        >>> source.read(1, 2)
        b'bc'
    """

    def __init__(self, name: str, memory: int | None = None) -> None:
        self.name = name
        self.size = 0
        self._most = MEMORY if memory is None else memory
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Add ``data`` at the end. A full disk is a `SourceError`."""
        self.size += len(data)
        try:
            if self._file is None and self.size > self._most:
                self._move_to_disk()
            if self._file is None:
                self._memory += data
            else:
                self._file.write(data)
        except OSError as error:
            raise self._disk_error(error) from error

    def finish(self) -> BytesSource | FileSource:
        """The source of all that was written. Nothing can be written any more."""
        if self._file is None:
            return BytesSource(memoryview(self._memory), self.name)
        try:
            self._file.flush()
            return FileSource(os.dup(self._file.fileno()), self.name)
        except OSError as error:
            raise self._disk_error(error) from error

    def _move_to_disk(self) -> None:
        from tempfile import TemporaryFile

        self._file = TemporaryFile(prefix="dotpt-")  # noqa: SIM115 - it lives as long as the spool
        self._file.write(self._memory)
        self._memory = bytearray()

    def _disk_error(self, error: OSError) -> SourceError:
        from tempfile import gettempdir

        hint = "set TMPDIR to a folder with more space"
        return from_os_error(error, self.name, f"kept in the temporary folder {gettempdir()}", hint=hint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk again, on the way out of the error that says so
                self._file.close()


def spooled(
    read: Callable[[int], bytes], name: str, limits: Limits, announced: int | None = None
) -> BytesSource | FileSource:
    """Read a stream to its end and make a source of it.

    Args:
        read: returns at most so many bytes, ``b""`` at the end.
        name: what messages call the source.
        limits: ``inflated_bytes`` bounds a stream whose length is not announced.
        announced: how many bytes the stream is said to have.

    Raises:
        LimitExceeded: the stream goes on beyond the limit.
        SourceError: the stream has another length than announced, or there is no room for it.
    """
    with Spool(name) as spool:
        if announced is not None:
            _check_room(announced, name)
        while data := read(PIECE):
            spool.write(data)
            if announced is None and spool.size > limits.inflated_bytes:
                raise LimitExceeded("inflated_bytes", spool.size, limits.inflated_bytes, path=name)
            if announced is not None and spool.size > announced:
                break
        if announced is not None and spool.size != announced:
            verb = "ended early" if spool.size < announced else "went on beyond its end"
            raise SourceError(
                f"The download {verb}.", path=name, found=spool.size, expected=announced, hint="download it again"
            )
        return spool.finish()


def _check_room(size: int, name: str) -> None:
    from shutil import disk_usage
    from tempfile import gettempdir

    folder = gettempdir()
    free = disk_usage(folder).free
    if size > MEMORY and size > free:
        raise SourceError(
            f"The file has {size:,} bytes, and the temporary folder {folder} has room for {free:,}.",
            path=name,
            hint="set TMPDIR to a folder with more space",
        )
