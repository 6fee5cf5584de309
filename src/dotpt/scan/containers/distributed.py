"""Files of several archives one after another, as distributed checkpoints have them (``__0_0.distcp``).

Each part is a whole archive of torch.save; which part is what, the ``.metadata`` beside them says. The parts describe
themselves: an end record that agrees with its directory ends one, and the next begins right there.
"""

from __future__ import annotations

import struct

from dotpt.container.zip import CENTRAL, END, END64, LOCAL, LOCATOR
from dotpt.scan.session import Session
from dotpt.source.base import Source
from dotpt.source.part import PartSource

_FIRST, _WINDOW = 1 << 14, 4 << 20
_SMALLEST, _ANY = 1024, 1_000  # torch.save writes no archive of fewer bytes; a file may have so many in any case
_MOST_FALSE = 100_000  # end records that end nothing: they lie in tensors


def scan_in_a_row(session: Session, source: Source) -> str | None:
    """Examine a file of several archives; None, and no finding, if it is not exactly that."""
    parts = _parts(source)
    if len(parts) < 2:
        return None
    from dotpt.scan.containers.saved_zip import scan_zip

    if source.name.endswith(".distcp"):
        kind = "a part of a distributed checkpoint"
    else:
        kind = f"{len(parts):,} archives one after another"
        session.add("several-archives", f"It is {kind}: some readers open the first, others the last.")
    most = max(_ANY, source.size // _SMALLEST)
    if len(parts) > most:
        session.add("limit-exceeded", f"It has more than {most:,} parts; the others were not looked into.")
    for start, stop in parts[:most]:
        with session.inside(f"from byte {start:,} on") as allowed:
            if allowed:
                scan_zip(session, PartSource(source, start, stop - start, source.name))
    return kind


def _parts(source: Source) -> list[tuple[int, int]]:
    """First byte of each archive, and first byte behind it; nothing where the file is anything else besides."""
    parts, start = [], 0
    while start < source.size:
        stop = _end(source, start)
        if stop is None:
            return []
        parts.append((start, stop))
        start = stop
    return parts


def _end(source: Source, start: int) -> int | None:
    """Where the archive ends that begins at ``start``."""
    if source.size - start < 22 or source.read(start, 4) != LOCAL:
        return None
    at, false, length = start, 0, _FIRST
    while at < source.size:
        window = source.read(at, min(length, source.size - at))
        length = min(_WINDOW, 4 * length)
        found = window.find(END)
        while found >= 0:
            if _agrees(source, start, at + found):
                return at + found + 22
            false += 1
            if false > _MOST_FALSE:
                return None
            found = window.find(END, found + 1)
        if at + len(window) >= source.size:
            return None
        at += len(window) - 3
    return None


def _agrees(source: Source, start: int, at: int) -> bool:
    """Whether an end record is that of an archive which begins at ``start``, and has no comment."""
    if at + 22 > source.size:
        return False
    disks, _count, size, offset, comment = struct.unpack("<4xL2xHLLH", source.read(at, 22))
    end = at
    if at - start >= 76 and source.read(at - 20, 4) == LOCATOR:
        end = at - 76
        if source.read(end, 4) != END64:
            return False
        size, offset = struct.unpack("<QQ", source.read(end + 40, 16))
    if disks or comment or start + offset + size != end:
        return False
    return size == 0 or source.read(start + offset, 4) == CENTRAL
