"""A file that is scanned and then loaded by somebody else: both get the same bytes.

A path is opened once; what was opened is scanned, and it, not the path, goes to the loader. A file object that is a
plain file or memory is scanned from where it stands, and stands there again. Anything else (a decompressor, a remote
file, a stream) might give other bytes when it is read again: it is copied first, and the copy is scanned and loaded.

Invariant: a loader gets a path only where it can do nothing else (to map it); then it is one that leads to what was
opened (Linux), or it is compared with what was opened right before.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Any

from dotpt.errors import LimitExceeded, SourceChanged, UsageError
from dotpt.guard.guarding import most_copied
from dotpt.scan.findings import Findings
from dotpt.scan.policy import Policy
from dotpt.scan.scan import scan
from dotpt.source.stream import name_of

_IN_MEMORY, _PIECE = 64 << 20, 1 << 20
_PLAIN = (io.FileIO, io.BufferedReader, io.BufferedRandom)
_ENDS = (io.FileIO, io.BufferedReader)
_RAW_ENDS = frozenset((("_io", "FileIO"), ("socket", "SocketIO")))
_LINKS = "/proc/self/fd"  # where Linux has what is open in this process, as paths


def is_loadable(source: Any) -> bool:
    """Whether a loader's argument is a path or a file object. What else it is, the loader itself refuses."""
    return isinstance(source, (str, os.PathLike)) or hasattr(source, "read")


class Held:
    """A file between the scan and the load.

    Attributes:
        file: what is scanned, and loaded.
        path: the path that was opened; None for a file object.
    """

    def __init__(self, file: IO[bytes], path: str | None, name: str) -> None:
        self.file = file
        self.path = path
        self._name = name
        self._identity = _identity(file)

    def scanned(self, policy: Policy) -> Findings:
        """What a scan finds, from where the file stands.

        Raises:
            SourceChanged: somebody has written to the file meanwhile.
        """
        findings = scan(self.file, policy=policy)
        findings.path = self._name
        if _identity(self.file) != self._identity:
            raise SourceChanged("The file was written to while it was scanned.", path=self._name)
        return findings

    def as_path(self) -> Any:
        """A path that leads to what was opened, whatever has taken its place; the file object itself if it has none."""
        link = f"{_LINKS}/{self.file.fileno()}" if self.path is not None else ""
        return link if link and os.path.exists(link) else self.same_path()  # noqa: PTH110 - what it leads to may be gone

    def same_path(self) -> Any:
        """The path itself, if it still is what was opened; the file object if it has none.

        Raises:
            SourceChanged: another file has taken its place.
        """
        if self.path is None:
            return self.file
        with open(self.path, "rb") as again:  # noqa: PTH123 - as loaders open it
            if _identity(again) != self._identity:
                raise SourceChanged("Another file has taken its place since it was scanned.", path=self._name)
        return self.path


@contextmanager
def held(source: Any) -> Iterator[Held]:
    """Open a path once, or take a file object as it stands.

    Raises:
        OSError: as a loader would raise it.
        LimitExceeded: a stream does not end.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.fsdecode(source)
        with open(path, "rb") as file:  # noqa: PTH123 - the errors of loaders
            yield Held(file, path, path)
    elif isinstance(source, io.BytesIO) or is_plain_file(source):
        yield Held(source, None, name_of(source))
    else:
        start = _position(source)
        with _copy(source) as copy:
            yield Held(copy, None, name_of(source))
            if start is not None:
                source.seek(start + copy.tell())


def is_plain_file(source: Any) -> bool:
    """Whether a file object is a regular file and nothing more: it gives the same bytes again."""
    raw = getattr(source, "raw", source)
    return type(source) in _PLAIN and type(raw) is io.FileIO and stat.S_ISREG(mode_of(raw))


def is_conversation(source: Any) -> bool:
    """Whether a file object is the end of a pipe, a socket or a terminal, and nothing more."""
    raw = getattr(source, "raw", source)
    if type(source) not in _ENDS or (type(raw).__module__, type(raw).__name__) not in _RAW_ENDS:
        return False
    mode = mode_of(raw)
    return mode != 0 and not stat.S_ISREG(mode)


def mode_of(raw: Any) -> int:
    """What kind of file is behind a raw file object, as `stat` has it; 0 if there is none that the system knows."""
    try:
        return os.fstat(raw.fileno()).st_mode
    except (AttributeError, OSError, TypeError, ValueError):  # no descriptor, or a closed one
        return 0


def _identity(file: IO[bytes]) -> tuple[int, ...]:
    if isinstance(file, io.BytesIO):
        return (file.getbuffer().nbytes,)
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _position(source: Any) -> int | None:
    seekable = getattr(source, "seekable", None)
    return source.tell() if callable(seekable) and seekable() else None


@contextmanager
def _copy(source: Any) -> Iterator[IO[bytes]]:
    """All that follows, in memory or in a temporary file without a name."""
    limit, size, copy = most_copied(), 0, io.BytesIO()
    kept: IO[bytes] = copy
    try:
        while piece := source.read(_PIECE):
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise UsageError("The file object does not return bytes.", hint='open it with mode "rb"')
            size += len(piece)
            if size > limit:
                raise LimitExceeded("inflated_bytes", size, limit, path=name_of(source))
            if kept is copy and size > _IN_MEMORY:
                kept = TemporaryFile(prefix="dotpt-")  # noqa: SIM115 - closed below
                kept.write(copy.getbuffer())
                copy = io.BytesIO()
            kept.write(piece)
        kept.seek(0)
        yield kept
    finally:
        kept.close()
