"""What crosses this boundary: named records in, the bytes of a zip archive laid out as torch lays it out.

The layout is drawn in `zip` and computed in `ziplayout`. Like torch's writer this one stores, aligns the content of
every record, leaves sizes and checksum of the local header zero, and always writes the zip64 end. Content passes
through once: each piece is copied, checksummed, hashed and handed on while it lies in the processor's cache. Small
records are gathered and leave together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from dotpt.container.crc import crc32
from dotpt.container.record import Record
from dotpt.container.zip import CENTRAL, DESCRIPTOR, END, END64, FLAG_DESCRIPTOR, FLAG_UTF8, LOCAL, LOCATOR
from dotpt.container.ziplayout import BIG, HEADER, content_start, next_header
from dotpt.errors import UsageError
from dotpt.source.base import Source

ROOT = "archive"  # always: torch uses the file's name, so that a renamed copy differs in every record
ALIGNMENT = 64
SMALL = 1 << 16
_GATHERED = 1 << 20
_PIECE = 1 << 18  # measured: smaller costs calls, larger leaves the cache before it is written
_MAX_PAD = 0xFFFF - 64
_local = struct.Struct("<4s5H3L2H").pack
_descriptor, _descriptor64 = struct.Struct("<4s3L").pack, struct.Struct("<4sL2Q").pack
_DESCRIPTOR_LENGTH = 16
_USUAL = 128  # no archive that is aligned to more has thousands of small records
_central = struct.Struct("<4s6H3L5H2L").pack


# Local header and entry of a record that is neither empty nor far or large: what all of them have in common, and how
# the rest is put to it.
_USUAL_FLAGS = FLAG_UTF8 | FLAG_DESCRIPTOR
_USUAL_HEADER = _local(LOCAL, 0, _USUAL_FLAGS, 0, 0, 0, 0, 0, 0, 0, 0)[:26]
_USUAL_ENTRY = _central(CENTRAL, 0, 0, _USUAL_FLAGS, *[0] * 13)[:16]
_usual_header, _usual_entry = struct.Struct("<26s2H").pack, struct.Struct("<16s3LH12xL").pack


class Out(Protocol):
    """Where the bytes go: a `dotpt.source.sink.Sink`, or anything with its two verbs."""

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take all of ``data``."""

    def skip(self, size: int, /) -> None:
        """Leave ``size`` bytes of zeros."""

    def copy_from(self, source: Source, start: int, length: int, /) -> None:
        """Take ``length`` bytes of a source."""


class Hash(Protocol):
    """A running digest."""

    def update(self, data: memoryview, /) -> None:
        """Take a piece."""


class Written(NamedTuple):
    """A record that has been written.

    Attributes:
        name: in UTF-8, with the root.
        header: where its local header begins, in bytes from the start of the archive.
        start: where its content begins.
        size: bytes of content.
        crc: its CRC-32, 0 where checksums are off.
    """

    name: bytes
    header: int
    start: int
    size: int
    crc: int

    def entry(self) -> bytes:
        """Its entry in the directory."""
        large, far = self.size >= BIG, self.header >= BIG
        extra = b""
        if large or far:
            extra = struct.pack("<2H", 1, 16 * large + 8 * far)
            extra += struct.pack("<2Q", self.size, self.size) * large + struct.pack("<Q", self.header) * far
        size = BIG if large else self.size
        flags = FLAG_UTF8 | (FLAG_DESCRIPTOR if self.size else 0)
        place = BIG if far else self.header
        facts = 0, 0, flags, 0, 0, 0, self.crc, size, size, len(self.name), len(extra), 0, 0, 0, 0, place
        return _central(CENTRAL, *facts) + self.name + extra


class ZipWriter:
    """An archive being written, record after record.

    Args:
        out: where the bytes go.
        root: the folder that all records are in.
        alignment: the content of every record starts at a multiple of this many bytes.
        checksums: whether CRCs are computed; without, they are written as 0, as torch does when told so.
        before: the directory's entries of records that are already there, as they stand in it, and ``position``, the
            first byte behind these records.
    """

    def __init__(
        self,
        out: Out,
        *,
        root: str = ROOT,
        alignment: int = ALIGNMENT,
        checksums: bool = True,
        before: Iterable[bytes] = (),
        position: int = 0,
    ) -> None:
        if not 1 <= alignment <= _MAX_PAD:
            problem = f"Records cannot be aligned to {alignment:,} bytes."
            raise UsageError(problem, hint="use 64, or 4096 for direct reads")
        self.records: list[Written] = []
        self._before = list(before)
        self.position = position
        self._out = out
        self._root = root.encode() + b"/"
        self._alignment = alignment
        self._checksums = checksums
        self._waiting: list[bytes | memoryview] = []
        self._gathered = 0
        self._block = memoryview(bytearray(_PIECE))

    def add(
        self, name: str, data: bytes | memoryview, *, alignment: int | None = None, checksum: bool = False
    ) -> Written:
        """Write a record whose content lies in one buffer, which must not change before the archive is closed.

        Args:
            alignment: of this record, instead of the archive's.
            checksum: compute this record's CRC in any case.
        """
        size = len(data)
        full, header = self._root + name.encode(), self.position
        start = content_start(header, len(full), size, alignment or self._alignment)
        crc = crc32(data) if self._checksums or checksum else 0
        self._waiting.append(self._header(full, header, start, size))
        if size > SMALL:
            self.flush()
            self._out.write(data)
        else:
            self._waiting.append(data)
            self._gathered += size + 256
        written = self._finish(Written(full, header, start, size, crc))
        if self._gathered > _GATHERED:
            self.flush()
        return written

    def add_many(self, records: Iterable[tuple[str, bytes]]) -> None:
        """The same as `add` for each (name, content), in one loop: archives of thousands of tensors live from it."""
        root, alignment, checksums, waiting = self._root, self._alignment, self._checksums, self._waiting
        paddings = [b"FB" + pad.to_bytes(2, "little") + b"Z" * pad for pad in range(min(alignment, _USUAL))]
        for name, data in records:
            header, size = self.position, len(data)
            if header >= BIG or not 0 < size <= SMALL or alignment > _USUAL:
                self.add(name, data)
                continue
            full = root + name.encode()
            bare = header + HEADER + len(full) + 4
            pad = -bare % alignment
            crc = crc32(data) if checksums else 0
            waiting += (
                _usual_header(_USUAL_HEADER, len(full), 4 + pad), full, paddings[pad], data,
                _descriptor(DESCRIPTOR, crc, size, size),
            )  # fmt: skip
            self.records.append(Written(full, header, bare + pad, size, crc))
            self.position = bare + pad + size + _DESCRIPTOR_LENGTH
            self._gathered += size
            if self._gathered > _GATHERED:
                self.flush()

    def stream(
        self,
        name: str,
        size: int,
        pieces: Iterable[memoryview],
        *,
        digest: Hash | None = None,
        alignment: int | None = None,
    ) -> Written:
        """Write a record of ``size`` bytes piece by piece; each piece may be overwritten when the next is asked for.

        Args:
            digest: is shown every byte.
        """
        full, header = self._root + name.encode(), self.position
        start = content_start(header, len(full), size, alignment or self._alignment)
        self._waiting.append(self._header(full, header, start, size))
        self.flush()
        crc, seen = 0, 0
        for piece in pieces:
            seen += len(piece)
            for at in range(0, len(piece), _PIECE):
                # A copy: another thread may go on training, and what is checksummed must be what is written.
                block = self._block[: min(_PIECE, len(piece) - at)]
                block[:] = piece[at : at + _PIECE]
                if self._checksums:
                    crc = crc32(block, crc)
                if digest is not None:
                    digest.update(block)
                self._out.write(block)
        if seen != size:
            raise UsageError(f"A record of {size:,} bytes was given {seen:,}.", record=name)
        return self._finish(Written(full, header, start, size, crc))

    def copy(self, name: str, source: Source, record: Record) -> Written:
        """Write a record that another archive has, within the system where it can; it is not read for a checksum."""
        full, header = self._root + name.encode(), self.position
        start = content_start(header, len(full), record.size, self._alignment)
        self._waiting.append(self._header(full, header, start, record.size))
        self.flush()
        self._out.copy_from(source, record.offset, record.size)
        return self._finish(Written(full, header, start, record.size, record.crc or 0))

    def hole(self, name: str, size: int) -> Written:
        """Write a record whose ``size`` bytes are left as a hole, to be filled in by somebody else."""
        full, header = self._root + name.encode(), self.position
        start = content_start(header, len(full), size, self._alignment)
        self._waiting.append(self._header(full, header, start, size))
        self.flush()
        self._out.skip(size)
        return self._finish(Written(full, header, start, size, 0))

    def close(self) -> None:
        """Write the directory. The archive is complete then; ``out`` stays open."""
        begin = self.position
        directory = b"".join([*self._before, *self._entries()])
        count, end = len(self._before) + len(self.records), begin + len(directory)
        few, near = min(count, 0xFFFF), min(begin, BIG)
        self._waiting += (
            directory,
            struct.pack("<4sQ2H2L4Q", END64, 44, 798, 45, 0, 0, count, count, len(directory), begin),
            struct.pack("<4sLQL", LOCATOR, 0, end, 1),
            struct.pack("<4s4H2LH", END, 0, 0, few, few, min(len(directory), BIG), near, 0),
        )
        self.flush()
        self.position = end + 56 + 20 + 22

    def _entries(self) -> list[bytes]:
        entries: list[bytes] = []
        for record in self.records:
            full, header, _, size, crc = record
            if header >= BIG or not 0 < size < BIG:
                entries.append(record.entry())
            else:
                entries += (_usual_entry(_USUAL_ENTRY, crc, size, size, len(full), header), full)
        return entries

    def flush(self) -> None:
        """Hand on what has been gathered."""
        if self._waiting:
            self._out.write(b"".join(self._waiting))
            self._waiting.clear()
            self._gathered = 0

    def _header(self, full: bytes, header: int, start: int, size: int) -> bytes:
        """A local header, its padding such that the content begins at ``start``."""
        large, far = size >= BIG, header >= BIG
        extra = b""
        if large or far:
            # torch's miniz also writes the header's own offset here, which the standard knows in the directory only
            extra = struct.pack("<2H", 1, 16 * large + 8 * far)
            extra += struct.pack("<2Q", size, 0) * large + struct.pack("<Q", header) * far
        pad = start - header - HEADER - len(full) - len(extra) - 4
        extra += b"FB" + pad.to_bytes(2, "little") + b"Z" * pad
        flags = FLAG_UTF8 | (FLAG_DESCRIPTOR if size else 0)
        return _local(LOCAL, 0, flags, 0, 0, 0, 0, 0, 0, len(full), len(extra)) + full + extra

    def _finish(self, written: Written) -> Written:
        """The descriptor behind a record's content, and the record's place in the directory."""
        _, header, start, size, crc = written
        if size:
            wide = header >= BIG or size >= BIG
            pack = _descriptor64 if wide else _descriptor
            self._waiting.append(pack(DESCRIPTOR, crc, size, size))
        self.position = next_header(start, header, size)
        self.records.append(written)
        return written
