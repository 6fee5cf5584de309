"""What crosses this boundary: a zip file without a sound directory in, the records that are still whole out.

A download that was cut loses its end, and a zip file keeps its directory there. But each record also has a
header in front of it, so the file can be walked forward, the way torch's writer laid it out:

    PK0304 flags=0808 sizes=0 | name | FB padding to 64 | content | PK0708 crc size size | PK0304 ...

How long a content is stands only behind it. Two ways to find its end: the caller knows the size (the pickle,
which comes first, names the size of every storage), or the content is searched for a descriptor that states
exactly the distance from the content's start and is followed by another header. Invariants: memory is one
window of 1 MiB; a hostile file with a million false descriptors ends in `LimitExceeded`; nothing is repaired
or believed here: a record is called whole if its extent lies in the file, and its checksum is reported apart.

Source: reference of the format (section 1.3), PyTorch's caffe2/serialize/inline_container.cc and miniz.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dotpt.container.crc import crc32
from dotpt.container.record import STORED, Record
from dotpt.container.ziplayout import descriptor_length, expected_size
from dotpt.errors import LimitExceeded, UsageError
from dotpt.limits import MIB, Limits
from dotpt.source.base import Source

WINDOW = MIB
_HEADER = struct.Struct("<4s5H3L2H")
_PROBE = 512  # enough for a header, its name and torch's padding: one read where a read is a round trip
_LOCAL, _DESCRIPTOR = b"PK\x03\x04", b"PK\x07\x08"
_DIRECTORY = (b"PK\x01\x02", b"PK\x06\x06", b"PK\x05\x06")
_AFTER = (_LOCAL, *_DIRECTORY)
_LONGEST = 24 + 4  # a descriptor with 8-byte sizes, and the signature after it
_HAS_DESCRIPTOR = 0x0008
_SENTINEL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Salvaged:
    """One record as the walk found it.

    Attributes:
        record: name (without root), place, size and CRC. Of a cut record whose size nobody knows, the size is
            what is there.
        header: byte position of its header.
        present: bytes of its content that the file holds.
        whole: whether that is all of them.
        intact: whether the content has its CRC; None where that was not, or could not be, checked.
        size_known: whether ``record.size`` is the size that was written.
    """

    record: Record
    header: int
    present: int
    whole: bool
    intact: bool | None = None
    size_known: bool = True


@dataclass(frozen=True, slots=True)
class Salvage:
    """What a walk over local headers found.

    Attributes:
        root: the folder in the archive that the first record lies in ("" for none).
        records: the whole ones, in file order.
        cut: the one in which the file ends, if it ends in one.
        end: the byte position at which the walk ended.
        reason: why: "directory" (all records seen), "cut" (the file ends), "damaged" (no header where one must
            be) or "duplicate" (a second record of the same name).
        expected_size: an *estimate* of the whole file's length: exact for what torch >= 1.6 writes once the file
            reaches its first storage; None where sizes are missing.
    """

    root: str
    records: tuple[Salvaged, ...]
    cut: Salvaged | None
    end: int
    reason: str
    expected_size: int | None

    @property
    def whole(self) -> dict[str, Record]:
        """The whole records by name."""
        return {item.record.name: item.record for item in self.records}


def scan_local_headers(source: Source, limits: Limits, *, sizes: Mapping[str, int] | None = None) -> Salvage:
    """Walk a zip file from its start, without its directory.

    Args:
        source: a file that begins with a local header.
        limits: bounds the records, the bytes of their names, and the false leads of the search.
        sizes: byte sizes by record name (without root, "data/0"), as far as known. With it, contents are not
            read, and `Salvage.expected_size` is estimated, taking ``sizes`` for the list of all records.

    Raises:
        LimitExceeded: too many records or false descriptors.
        UsageError: a negative size.
    """
    if sizes and min(sizes.values()) < 0:
        raise UsageError("A record cannot have a negative size.", expected="sizes >= 0")
    return _Walk(source, limits, sizes or {}).run(estimate=sizes is not None)


class _Walk:
    def __init__(self, source: Source, limits: Limits, sizes: Mapping[str, int]) -> None:
        self.source, self.limits, self.sizes = source, limits, sizes
        self.root: str | None = None
        self.leads = 0  # descriptors that turned out to be content
        self.name_bytes = 0

    def run(self, *, estimate: bool) -> Salvage:
        found: list[Salvaged] = []
        names: set[str] = set()
        at, cut, reason = 0, None, ""
        while not reason:
            signature = self._read(at, 4)
            if signature != _LOCAL:
                reason = _why_no_header(signature)
                break
            item, after = self._record(at)
            if item is None:
                reason = "cut"
            elif item.record.name.casefold() in names:
                reason = "duplicate"  # which of the two is meant, readers disagree on
            elif not item.whole:
                cut, reason = item, "cut"
            else:
                names.add(item.record.name.casefold())
                found.append(item)
                at = after
                if len(found) > self.limits.records:
                    raise LimitExceeded("records", len(found), self.limits.records, path=self.source.name, offset=at)
        seen = [*found, cut] if cut is not None else found
        size = None
        if reason == "directory":
            size = expected_size(seen, {}, self.root or "", self._alignment(found))
        elif reason == "cut" and estimate and ("data.pkl" in names or "data.pkl" in self.sizes):
            size = expected_size(seen, self.sizes, self.root or "", self._alignment(found))
        return Salvage(self.root or "", tuple(found), cut, at, reason, size)

    def _record(self, at: int) -> tuple[Salvaged | None, int]:
        """The record whose header is at ``at``, and where the next header should be."""
        probe = self._read(at, _PROBE)
        if len(probe) < _HEADER.size:
            return None, at
        _, _, flags, method, _, _, crc, stored, size, name_length, extra_length = _HEADER.unpack_from(probe)
        length = _HEADER.size + name_length + extra_length
        if length > len(probe):
            probe = self._read(at, length)
        if len(probe) < length:
            return None, at
        name = self._name(probe[_HEADER.size : _HEADER.size + name_length])
        start = at + length
        if flags & _HAS_DESCRIPTOR:
            return self._described(name, at, start, method)
        if _SENTINEL in (stored, size):
            size, stored = _wide_sizes(probe[_HEADER.size + name_length : length], size, stored)
        return self._finish(Record(name, start, size, stored, method, crc or None), at), start + stored

    def _described(self, name: str, header: int, start: int, method: int) -> tuple[Salvaged | None, int]:
        """A record whose size stands behind it."""
        size = self.sizes.get(name) if method == STORED else None
        if size is None:
            return self._search(name, header, start, method)
        if size > self.source.size - start:
            return self._finish(Record(name, start, size, size), header), self.source.size
        behind = self._read(start + size, _LONGEST)
        length = _descriptor(behind, size, method)
        if length:
            crc = int.from_bytes(behind[4:8], "little")
            return self._finish(Record(name, start, size, size, crc=crc or None), header), start + size + length
        if len(behind) < descriptor_length(header, size) and _DESCRIPTOR.startswith(behind[:4]):
            # the content is whole, only what follows it is cut
            return self._finish(Record(name, start, size, size), header), self.source.size
        return self._search(name, header, start, method)  # the size is not what was written: find out

    def _search(self, name: str, header: int, start: int, method: int) -> tuple[Salvaged | None, int]:
        """Look for the descriptor, window by window, computing the checksum on the way."""
        crc, at, size = 0, start, self.source.size
        while at < size:
            window = self._read(at, WINDOW)
            last = at + len(window) == size
            # a lead is judged only with all its bytes in the window; the next one begins where judging ended
            usable = len(window) if last else len(window) - _LONGEST + 1
            lead = window.find(_DESCRIPTOR, 0, usable + 3)
            while lead >= 0:
                length = _descriptor(window[lead : lead + _LONGEST], at + lead - start, method)
                if length:
                    crc = crc32(memoryview(window)[:lead], crc)
                    place = Record(name, start, 0, 0, method)
                    return _ended(place, header, window[lead : lead + length], crc), at + lead + length
                self._count_lead(at + lead)
                lead = window.find(_DESCRIPTOR, lead + 4, usable + 3)
            crc = crc32(memoryview(window)[:usable], crc)
            at += usable
        room = size - start
        return Salvaged(Record(name, start, room, room, method), header, room, whole=False, size_known=False), size

    def _count_lead(self, offset: int) -> None:
        self.leads += 1
        if self.leads > self.limits.records:
            raise LimitExceeded("records", self.leads, self.limits.records, path=self.source.name, offset=offset)

    def _finish(self, record: Record, header: int) -> Salvaged:
        present = max(0, min(record.stored, self.source.size - record.offset))
        return Salvaged(record, header, present, whole=present == record.stored)

    def _name(self, raw: bytes) -> str:
        self.name_bytes += len(raw)
        if self.name_bytes > self.limits.header_bytes:
            raise LimitExceeded("header_bytes", self.name_bytes, self.limits.header_bytes, path=self.source.name)
        name = raw.decode("utf-8", "backslashreplace")
        if self.root is None:
            self.root = name.partition("/")[0] if "/" in name else ""
        return name.removeprefix(f"{self.root}/") if self.root else name

    def _alignment(self, found: list[Salvaged]) -> int:
        """What the file says its records are aligned to; torch's default where it does not say."""
        for item in found:
            if item.record.name == ".storage_alignment" and 0 < item.record.size <= 8:
                digits = self.source.read(item.record.offset, item.record.size)
                if digits.isdigit() and int(digits):
                    return int(digits)
        return 64

    def _read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes: as many as there are."""
        return self.source.read(offset, max(0, min(length, self.source.size - offset))) if length else b""


def _why_no_header(signature: bytes) -> str:
    if signature in _DIRECTORY:
        return "directory"
    ends_here = len(signature) < 4 and any(known.startswith(signature) for known in _AFTER)
    return "cut" if ends_here else "damaged"


def _ended(place: Record, header: int, descriptor: bytes, crc: int) -> Salvaged:
    """The record at ``place``, with the facts of its descriptor; ``crc`` is what its stored bytes give."""
    written = int.from_bytes(descriptor[4:8], "little")
    width = (len(descriptor) - 8) // 2
    stored = int.from_bytes(descriptor[8 : 8 + width], "little")
    size = int.from_bytes(descriptor[8 + width :], "little")
    # torch can leave the checksum out, and writes 0 then; of a compressed record it is that of the content
    intact = crc == written if place.method == STORED and written else None
    record = replace(place, size=size, stored=stored, crc=written or None)
    return Salvaged(record, header, stored, whole=True, intact=intact)


def _descriptor(data: bytes, distance: int, method: int) -> int:
    """The length of the descriptor that ``data`` begins with, if it says ``distance``; else 0."""
    if not data.startswith(_DESCRIPTOR):
        return 0
    for length, layout in ((16, "<LL"), (24, "<QQ")):
        if len(data) < length:
            continue
        stored, size = struct.unpack_from(layout, data, 8)
        after = data[length : length + 4]
        followed = after in _AFTER or (len(data) < _LONGEST and any(known.startswith(after) for known in _AFTER))
        if stored == distance and (method != STORED or size == distance) and followed:
            return length
    return 0


def _wide_sizes(extra: bytes, size: int, stored: int) -> tuple[int, int]:
    """The real sizes, from the zip64 field of a header."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 16 and at + 20 <= len(extra):
            wide = struct.unpack_from("<QQ", extra, at + 4)
            return int(wide[0]), int(wide[1])
        at += 4 + length
    return size, stored
