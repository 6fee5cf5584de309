"""What crosses this boundary: a source in, named records out.

A *record* is a named run of bytes in a container (a zip member, a storage of a legacy file, a tensor of a
safetensors file). Containers know where each lies, how it is stored and what checksum it was given; they do
not know what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dotpt.errors import ChecksumMismatch, RecordMissing
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source.base import Source

STORED, DEFLATED = 0, 8

# Bytes at (offset, length): a source's `read`, or a reader's that already holds them in memory.
ReadAt = Callable[[int, int], "bytes | memoryview"]


@dataclass(slots=True)
class Record:
    """One named run of bytes.

    Attributes:
        name: the name inside the container, without its root folder.
        offset: byte position of the payload in the source.
        size: bytes of the content.
        stored: bytes it occupies in the source (less than ``size`` when compressed).
        method: `STORED` or `DEFLATED`.
        crc: CRC-32 of the content, or None where the writer left none.
    """

    name: str
    offset: int
    size: int
    stored: int
    method: int = STORED
    crc: int | None = None


@dataclass(slots=True)
class Extents:
    """Where many records lie, by column: ten thousand tensors are not ten thousand objects more.

    Attributes:
        offsets, sizes: of each payload, in bytes.
        crcs: of each, or None.
        packed: the numbers of those that are compressed.
        record: the record of a number, for whoever needs its name.
    """

    offsets: list[int]
    sizes: list[int]
    crcs: list[int | None]
    packed: list[int]
    record: Callable[[int], Record]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Extents:
        """The columns of these records."""
        return cls(
            [record.offset for record in records],
            [record.size for record in records],
            [record.crc for record in records],
            [number for number, record in enumerate(records) if record.method != STORED],
            records.__getitem__,
        )

    def __len__(self) -> int:
        return len(self.offsets)


class Container:
    """One open file of records. `source` is where they lie, `kind` the container's name."""

    kind: str = ""
    root: str = ""

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        self.source = source
        self.limits = limits

    @property
    def names(self) -> list[str]:
        """Names of all records, in the order of the directory."""
        raise NotImplementedError

    def __contains__(self, name: str) -> bool:
        raise NotImplementedError

    def record(self, name: str) -> Record:
        """The record called ``name``; `RecordMissing` if there is none."""
        raise NotImplementedError

    def read(self, name: str, *, verify: bool = True) -> bytes:
        """The whole content of a record, its checksum verified."""
        record = self.record(name)
        content = self.content(record)
        if verify:
            self.check_crc(record, content)
        return content

    def content(self, record: Record) -> bytes:
        """The bytes of ``record``, uncompressed, unverified."""
        if record.method == STORED:
            return self.source.read(record.offset, record.size)
        from dotpt.container.inflate import inflate

        return inflate(self.source, record, self.limits)

    def check_crc(self, record: Record, content: bytes | memoryview) -> None:
        """Raise `ChecksumMismatch` unless ``content`` has the record's CRC (where it has one)."""
        from dotpt.container.crc import crc32

        if record.crc is not None and (found := crc32(content)) != record.crc:
            raise checksum_mismatch(self.source, record, found)

    def close(self) -> None:
        """Close the source."""
        self.source.close()


class RecordTable(Container):
    """A container whose records are a dictionary: subclasses fill `_records`.

    Attributes:
        absent: what is said of a name that is not in it.
    """

    absent = "The file has no such record."

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(source, limits)
        self._records: dict[str, Record] = {}

    @property
    def names(self) -> list[str]:
        """Names of the records, in the order of the file."""
        return list(self._records)

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def record(self, name: str) -> Record:
        """The record called ``name``; `RecordMissing` if there is none."""
        if name not in self._records:
            raise RecordMissing(self.absent, path=self.source.name, record=name)
        return self._records[name]


def checksum_mismatch(source: Source, record: Record, found: int) -> ChecksumMismatch:
    """The error for a record whose bytes give the CRC-32 ``found``."""
    return ChecksumMismatch(
        f"The record is damaged: its bytes have the checksum {found:08x}, {record.crc or 0:08x} was written.",
        path=source.name,
        record=record.name,
        offset=record.offset,
        found=found,
        expected=record.crc,
        hint="get the file again; `dotpt verify` lists every damaged tensor, verify=False loads it all the same",
    )
