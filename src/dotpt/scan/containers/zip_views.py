"""Everything that any reader could take for a member of a zip file, whatever its directory and headers say.

What crosses this boundary: a zip file that strict rules refuse, in; the places where members lie, and what is wrong,
out. There is the view of each directory that an end record leads to (as it says, and as readers correct it), and the
view of the local headers, wherever they stand. Invariant: nothing is believed: a place is only where to look.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dotpt.container.salvage import Salvaged, scan_local_headers
from dotpt.container.zip import CENTRAL, END, END64, LOCAL, LOCATOR, MAX32
from dotpt.errors import LimitExceeded
from dotpt.limits import Limits
from dotpt.source.base import Source
from dotpt.source.part import PartSource
from dotpt.source.windows import Windows

_TAIL = (1 << 16) + 98  # the longest comment, and the end records
_MOST_ENDS, _MOST_WALKS, _MOST_WALKED = 16, 1_000, 128 << 20
_LOOKED = 50  # of so many records that an archive may have, one place is looked into
_WINDOW = 4 << 20
_entry = struct.Struct("<4s6H3L5H2L").unpack
_header = struct.Struct("<4s5H3L2H").unpack


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader may find a member.

    Attributes:
        name: its name there.
        offset: first byte of what is stored.
        stored: bytes of it.
        method: how it is packed.
        flags: of the header, or entry.
        crc: its checksum, or 0.
    """

    name: str
    offset: int
    stored: int
    method: int
    flags: int = 0
    crc: int = 0


@dataclass(slots=True)
class Views:
    """What was found.

    Attributes:
        places: each once.
        wrong: rule, sentence, name and offset of what is wrong.
        too_many: whether there are more places than these.
    """

    places: list[Place] = field(default_factory=list)
    wrong: list[tuple[str, str, str, int]] = field(default_factory=list)
    too_many: bool = False


def views(source: Source, limits: Limits) -> Views:
    """Look a zip file over."""
    return _Look(source, limits).run()


class _Look:
    def __init__(self, source: Source, limits: Limits) -> None:
        self.source, self.limits, self._most = source, limits, limits.records // _LOOKED
        self.found = Views()
        self._seen: set[tuple[int, int, int]] = set()
        self._read = Windows(source).read

    def run(self) -> Views:
        self._directories()
        self._headers()
        return self.found

    def _add(self, place: Place) -> None:
        key = place.offset, place.stored, place.method
        if key in self._seen or not 0 <= place.offset <= self.source.size:
            return
        if len(self._seen) >= self._most:
            self.found.too_many = True
            return
        self._seen.add(key)
        self.found.places.append(place)

    def _wrong(self, rule: str, text: str, name: str, offset: int) -> None:
        if len(self.found.wrong) < 1_000:
            self.found.wrong.append((rule, text, name, offset))

    # -- directories --------------------------------------------------------------------------------------------------

    def _directories(self) -> None:
        size = self.source.size
        start = max(0, size - _TAIL)
        tail = self.source.read(start, size - start)
        ends: list[int] = []
        at = tail.rfind(END)
        while at >= 0 and len(ends) < _MOST_ENDS:
            if at + 22 <= len(tail):
                ends.append(at)
            at = tail.rfind(END, 0, at)
        if len(ends) > 1:
            text = f"It has {len(ends):,} end records, of which readers take different ones."
            self._wrong("end-record-mismatch", text, "", start + ends[0])
        walked: set[int] = set()
        for at in ends:
            for begin, shift in _starts(tail, at, start):
                if 0 <= begin < size and begin not in walked:
                    walked.add(begin)
                    self._directory(begin, shift)

    def _directory(self, at: int, shift: int) -> None:
        size, names = self.source.size, set()
        while at + 46 <= size and not self.found.too_many:
            row = _entry(bytes(self._read(at, 46)))
            if row[0] != CENTRAL:
                return
            flags, method, crc, stored, unpacked, length = row[3], row[4], row[7], row[8], row[9], row[10]
            name = bytes(self._read(at + 46, min(length, size - at - 46))).decode("utf-8", "backslashreplace")
            extra = bytes(self._read(at + 46 + length, min(row[11], max(0, size - at - 46 - length))))
            header = row[16]
            if MAX32 in (stored, unpacked, header):
                unpacked, stored, header = _widened(extra, unpacked, stored, header)
            if name.casefold() in names:
                self._wrong("duplicate-record", f"Two records have the name {name!r:.80}.", name, at)
            names.add(name.casefold())
            self._entry_places(name, header + shift, flags, method, crc, stored, at)
            at += 46 + length + row[11] + row[12]

    def _entry_places(self, name: str, header: int, flags: int, method: int, crc: int, stored: int, at: int) -> None:
        """Where an entry of a directory leads to, by its own word and by that of the header it points at."""
        if not 0 <= header <= self.source.size - 30:
            self._wrong("directory-damaged", "The directory leads outside the file.", name, at)
            return
        local = _header(bytes(self._read(header, 30)))
        if local[0] != LOCAL:
            self._wrong("local-header-mismatch", "The directory leads to where no record begins.", name, at)
            return
        written = bytes(self._read(header + 30, min(local[9], self.source.size - header - 30)))
        known = written.decode("utf-8", "backslashreplace")
        offset = header + 30 + local[9] + local[10]
        differs = [
            what
            for what, here, there in (
                ("name", known, name), ("flags", local[2], flags), ("method", local[3], method),
                ("checksum", local[6] or crc, crc),
                ("size", local[7] if local[7] not in (0, MAX32) else stored, stored),
            )
            if here != there
        ]  # fmt: skip
        if differs:
            text = f"The record's local header and the directory disagree on the {' and the '.join(differs)}."
            self._wrong("local-header-mismatch", text, name, header)
        self._add(Place(name, offset, stored, method, flags, crc))
        if "method" in differs or "size" in differs:
            size = local[7] if local[7] not in (0, MAX32) else stored
            self._add(Place(known, offset, size, local[3], local[2], local[6]))

    # -- local headers ------------------------------------------------------------------------------------------------

    def _headers(self) -> None:
        """Walk from each local header that no walk before has met, to the end of the file."""
        at, walks, walked = self._next_header(0), 0, 0
        while at >= 0 and not self.found.too_many:
            walks += 1
            if walks > _MOST_WALKS or walked > _MOST_WALKED + 4 * self.source.size:
                raise LimitExceeded("records", walks, _MOST_WALKS, path=self.source.name, offset=at)
            part = PartSource(self.source, at, self.source.size - at, self.source.name)
            walk = scan_local_headers(part, replace(self.limits, records=10 * self._most))
            for item in walk.records:
                self._add(Place(item.record.name, at + item.record.offset, item.present, item.record.method))
            after = at + max(walk.end, 4)
            walked += walk.end
            if walk.cut is not None:
                after = self._cut(walk.cut, at)
                walked += self.source.size - at
            at = self._next_header(after)

    def _cut(self, item: Salvaged, at: int) -> int:
        """A record whose end is not in the file, or is not known: then others may stand in what it claims."""
        record, stop = item.record, at + item.record.offset + item.present
        if not item.size_known:
            nexts = [self._next(sign, at + record.offset) for sign in (LOCAL, CENTRAL)]
            stop = min([place for place in nexts if place >= 0], default=stop)
        self._add(Place(record.name, at + record.offset, stop - at - record.offset, record.method))
        return stop

    def _next_header(self, at: int) -> int:
        return self._next(LOCAL, at)

    def _next(self, sign: bytes, at: int) -> int:
        """Where a signature stands next, or -1."""
        size = self.source.size
        while at + 30 <= size:
            window = self.source.read(at, min(_WINDOW, size - at))
            found = window.find(sign)
            if found >= 0:
                return at + found
            at += max(1, len(window) - 3)
        return -1


def _starts(tail: bytes, at: int, start: int) -> Iterator[tuple[int, int]]:
    """Where the directory of an end record may begin, and how far the offsets in it are to be moved."""
    length, offset = struct.unpack_from("<2L", tail, at + 12)
    yield offset, 0
    real = start + at - length  # where Python's reader looks
    yield real, real - offset
    wide = at - 20
    if wide >= 0 and tail[wide : wide + 4] == LOCATOR:
        (pointer,) = struct.unpack_from("<Q", tail, wide + 8)
        for record in {pointer - start, wide - 56}:
            if 0 <= record <= len(tail) - 56 and tail[record : record + 4] == END64:
                length, offset = struct.unpack_from("<2Q", tail, record + 40)
                yield offset, 0
                real = start + record - length
                yield real, real - offset


def _widened(extra: bytes, unpacked: int, stored: int, header: int) -> tuple[int, int, int]:
    """The 64-bit numbers of an entry."""
    at, values = 0, [unpacked, stored, header]
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            room = extra[at + 4 : at + 4 + length]
            wide = iter([int.from_bytes(room[place : place + 8], "little") for place in range(0, len(room) - 7, 8)])
            values = [next(wide, value) if value == MAX32 else value for value in values]
        at += 4 + length
    return values[0], values[1], values[2]
