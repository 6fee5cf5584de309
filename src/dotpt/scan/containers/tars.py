"""Tar files: torch's before 0.2, read as load reads them; any other, member by member.

Invariant: every byte belongs to a header, a member, or is zero; what is not is looked into as well.
"""

from __future__ import annotations

import tarfile
from io import RawIOBase

from dotpt.container.sniff.result import Sniffed
from dotpt.errors import DotptError
from dotpt.scan.containers.members import Members
from dotpt.scan.raw import search_names
from dotpt.scan.session import Session
from dotpt.scan.strict import read_as_load
from dotpt.source.base import Source
from dotpt.source.part import PartSource

_TORCHS = frozenset(("sys_info", "storages", "tensors", "pickle"))
_BLOCK = 512
_LARGEST_HEADER = 16 << 20  # bytes of a long name, or of a pax header
_PADDING = 1 << 20  # zeros behind the end: writers fill up a record of 10 KiB, tapes a block


def scan_tar(session: Session, source: Source, sniffed: Sniffed) -> str:
    """Examine a tar file; gives what it is, in words."""
    found, end = _members(session, source)
    names = {member.name.removeprefix("./") for member in found}
    is_torchs = names >= _TORCHS
    if is_torchs:
        reading = read_as_load(session, source)
        if reading.error is not None:
            session.report(reading.error)
            search_names(session, source)
    members, seen = Members(session), set[str]()
    for member in found:
        short = member.name.removeprefix("./")
        if short in seen and not member.isdir():
            session.add("duplicate-record", f"Two members have the name {member.name!r:.80}.", record=member.name)
        seen.add(short)
        is_read = is_torchs and short in _TORCHS and member.isreg() and reading.error is None
        if not is_read and not _examine(session, source, member, members):
            break
    members.report()
    _examine_rest(session, source, end)
    return "a PyTorch file of torch 0.1 (tar)" if is_torchs else sniffed.label


def _members(session: Session, source: Source) -> tuple[list[tarfile.TarInfo], int]:
    """The members, and where the last of them ends."""
    found: list[tarfile.TarInfo] = []
    end = 0
    try:
        with tarfile.open(fileobj=_Stream(source), mode="r:") as archive:
            for member in archive:
                found.append(member)
                end = archive.offset
                if len(found) > session.limits.records:
                    session.add("limit-exceeded", f"It has more than {session.limits.records:,} members.")
                    break
    except DotptError as error:
        session.report(error)
    except (tarfile.TarError, ValueError, EOFError, OSError, OverflowError, RecursionError) as error:
        text = f"The tar archive does not parse: {error!s:.100}"
        session.add("malformed-container", text, severity="unreadable")
    return found, end


def _examine(session: Session, source: Source, member: tarfile.TarInfo, members: Members) -> bool:
    """Look into a member; False where there were too many."""
    if member.isdir():
        return True
    if not member.isreg() or member.issparse():
        kind = "a link" if member.issym() or member.islnk() else "a sparse file" if member.issparse() else "a device"
        session.add("unexpected-record", f"The member is {kind}, which unpacking creates.", record=member.name)
        if not member.isreg():
            return True
    path = member.name.replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/"):
        session.add("bad-record-name", "The member's name leads out of the folder it is unpacked to.", record=path)
    try:
        size = _stored(member)
        part = PartSource(source, member.offset_data, size, f"{source.name}!{member.name}")
    except DotptError as error:
        session.report(error)
        return True
    return members.look(member.name, part)


def _stored(member: tarfile.TarInfo) -> int:
    """Bytes of a member as they lie in the file: of a sparse one only those that are no holes."""
    sparse: list[tuple[int, int]] | None = getattr(member, "sparse", None)
    return sum(size for _, size in sparse) if sparse is not None else member.size


def _examine_rest(session: Session, source: Source, end: int) -> None:
    """Behind the last member there are blocks of zeros; other readers may go on behind them."""
    from dotpt.scan.examine import examine

    at = end
    while at < source.size:
        piece = source.read(at, min(_PADDING, source.size - at))
        bare = piece.lstrip(b"\0")
        if bare:
            start = at + len(piece) - len(bare)
            start -= start % _BLOCK if start % _BLOCK and source.size - start > _BLOCK else 0
            text = f"{source.size - start:,} bytes follow the end of the archive."
            session.add("trailing-data", text, offset=start)
            with session.inside(f"from byte {start:,} on") as allowed:
                if allowed:
                    examine(session, PartSource(source, start, source.size - start, source.name), whole=False)
            return
        at += len(piece)


class _Stream(RawIOBase):
    """A source as the file object that `tarfile` reads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._at, 2: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._source.size - self._at)
        length = left if size < 0 else min(size, left)
        if length > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header has {length:,} bytes")
        content = self._source.read(self._at, length) if length else b""
        self._at += length
        return content
