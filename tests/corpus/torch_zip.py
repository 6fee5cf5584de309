"""A small writer of archives laid out as torch lays them out, each habit of torch's an option. Needs no torch.

One record::

    PK\\3\\4 ver flags method 0 0 crc csize usize nlen xlen | name | [zip64 extra] FB extra | data | [descriptor]

torch leaves the local crc and sizes zero and writes a descriptor after the data; an empty record has neither. The FB
extra fills up to the next multiple of the alignment. A zip64 end record and its locator are always there.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO

Records = list[tuple[str, bytes]]

_HUGE = 0xFFFFFFFF
_UTF8, _DESCRIPTOR = 0x0800, 0x0008


@dataclass(frozen=True)
class Style:
    """How to write an archive; the defaults are torch's.

    Attributes:
        root: the folder that every record is in.
        alignment: every record's data starts at a multiple of this.
        crc: write the checksums; torch can be told to write zeros.
        descriptors: sizes after the data, zero before it; else sizes in the local header.
        deflated: names of records to compress, without root; ``None`` for all.
        zip64: write 64-bit sizes and offsets for every record, however small, as torch does from 4 GiB on.
    """

    root: str = "archive"
    alignment: int = 64
    crc: bool = True
    descriptors: bool = True
    deflated: frozenset[str] | None = field(default_factory=frozenset)
    zip64: bool = False


def read(data: bytes) -> tuple[str, Records]:
    """Return the root and the records of an archive, in the order of its data, root left out of the names."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        root = infos[0].filename.split("/")[0]
        return root, [(info.filename.removeprefix(root + "/"), archive.read(info)) for info in infos]


def write(records: Iterable[tuple[str, bytes]], style: Style = Style()) -> bytes:
    """Return the bytes of an archive that holds `records` in that order."""
    out, directory = bytearray(), bytearray()
    count = 0
    for name, data in records:
        directory += _append(out, f"{style.root}/{name}".encode(), data, name, style)
        count += 1
    start = len(out)
    out += directory
    size, end64 = len(directory), len(out)
    out += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 798, 45, 0, 0, count, count, size, start)
    out += struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1)
    out += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), size, start, 0)
    return bytes(out)


def _append(out: bytearray, full_name: bytes, data: bytes, name: str, style: Style) -> bytes:
    """Append one record to `out` and return its directory entry."""
    deflate = style.deflated is None or name in style.deflated
    payload = _deflate(data) if deflate else data
    crc = zlib.crc32(data) if style.crc else 0
    described = style.descriptors and bool(data)
    flags = _UTF8 | (_DESCRIPTOR if described else 0)
    method, offset = 8 if deflate else 0, len(out)

    local = (0, 0, 0) if described else (crc, len(payload), len(data))
    # In a local header torch writes the size, then a zero where the stored size belongs, then the header's offset.
    extra = struct.pack("<HHQQQ", 1, 24, len(data), 0 if described else len(payload), offset) if style.zip64 else b""
    pad = -(offset + 30 + len(full_name) + len(extra) + 4) % style.alignment
    extra += struct.pack("<2sH", b"FB", pad) + b"Z" * pad
    out += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 0, flags, method, 0, 0, *local, len(full_name), len(extra))
    out += full_name + extra + payload
    if described:
        out += struct.pack("<4sIQQ" if style.zip64 else "<4sIII", b"PK\7\x08", crc, len(payload), len(data))

    sizes, place, extra = (len(payload), len(data)), offset, b""
    if style.zip64:
        extra = struct.pack("<HHQQQ", 1, 24, len(data), len(payload), offset)
        sizes, place = (_HUGE, _HUGE), _HUGE
    head = struct.pack("<4sHHHHHHIII", b"PK\1\2", 0, 0, flags, method, 0, 0, crc, *sizes)
    return head + struct.pack("<HHHHHII", len(full_name), len(extra), 0, 0, 0, 0, place) + full_name + extra


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def pt(pickle: bytes, storages: dict[str, bytes] | None = None, style: Style = Style()) -> bytes:
    """Return a complete ``.pt`` as torch 2.13 lays it out around any `pickle`, hostile or not."""
    records = [("data.pkl", pickle), (".format_version", b"1"), (".storage_alignment", b"%d" % style.alignment)]
    records += [("byteorder", b"little"), *((f"data/{key}", data) for key, data in (storages or {}).items())]
    return write([*records, ("version", b"3\n"), (".data/serialization_id", b"0" * 40)], style)
