"""Zip archives from their fields: what torch writes, then any field of any header made to lie, and records moved about.

Everything is kept as fields until the bytes are written, so offsets and sizes are right unless they are what is
wrong. Two records never hold the same numbers: a reader that takes the wrong one is seen.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from tests.corpus import pickles as p

from .choices import Choices
from .values import NUMBERS

_LOCAL = ("<4sHHHHHIIIHH", ("sig", "need", "flags", "method", "time", "date", "crc", "packed", "size"))
_CENTRAL = ("<4sHHHHHHIIIHHHHHII", ("sig", "made", "need", "flags", "method", "time", "date", "crc", "packed", "size"))
_BOTH = ("flags", "method", "crc", "packed", "size", "name")
_WIDTHS = {"crc": 4, "packed": 4, "size": 4, "offset": 4, "external": 4}
_NAMES = (
    b"archive/data.pkl", b"archive/DATA.PKL", b"archive/data/0", b"archive/data/00", b"archive/version", b"data.pkl",
    b"other/data.pkl", b"archive/../archive/data/0", b"/archive/data/0", b"archive\\data\\0", b"archive//data/0",
    b"archive/data/0\0", b"archive/data/\xff", b"", b"archive/", b"archive/.dotpt/manifest", b"archive/constants.pkl",
    b"archive/code/x.py", b"archive/data/0/", b"archive/byteorder", b"archive/extra/a", b"a" * 70_000,
)  # fmt: skip


@dataclass
class Record:
    """One record: what its two headers say, and its bytes."""

    payload: bytes
    local: dict[str, Any]
    central: dict[str, Any]
    descriptor: bytes = b""
    gap: bytes = b""
    listed: bool = True
    stored: bool = True


@dataclass
class Archive:
    """All fields of an archive; None in an end record is worked out when it is written."""

    records: list[Record]
    prefix: bytes = b""
    before_directory: bytes = b""
    order: list[int] | None = None
    end64: dict[str, Any] = field(default_factory=dict)
    locator: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    zip64: bool = True
    suffix: bytes = b""


def archive(choices: Choices, stream: bytes | None = None, storages: dict[str, bytes] | None = None) -> bytes:
    """A torch zip, more often damaged than not."""
    made = _whole(choices, stream or _STREAM, STORAGES if storages is None else storages)
    for _ in range(choices.below(4)):
        choices.pick(_MUTATIONS)(choices, made)
    data = write(made)
    if choices.once_in(12):
        data = data[: choices.below(len(data) + 1)]
    return data


STORAGES = {"0": struct.pack("<4f", 1, 2, 3, 4), "1": struct.pack("<4f", 5, 6, 7, 8), "2": struct.pack("<2f", 9, 10)}
_STREAM = p.pickled(
    p.empty_dict(), p.mark(),
    p.text("a"), p.tensor(source=p.storage("0")),
    p.text("b"), p.tensor(source=p.storage("1"), size=(2, 2), stride=(2, 1)),
    p.text("c"), p.tensor(source=p.storage("2", 2), size=(2,)),
    p.setitems(),
)  # fmt: skip


def _whole(choices: Choices, stream: bytes, storages: dict[str, bytes]) -> Archive:
    """As torch writes it, with its options."""
    contents = {"data.pkl": stream, "byteorder": b"little", **{f"data/{k}": v for k, v in storages.items()}}
    contents |= {"version": b"3\n", ".data/serialization_id": b"0" * 40}
    alignment = choices.pick((64, 1, 8))
    described, wide = not choices.once_in(4), choices.once_in(6)
    records, at = [], 0
    for name, data in contents.items():
        record = _record(b"archive/" + name.encode(), data, described=described and bool(data), wide=wide, offset=at)
        pad = -(at + 30 + len(record.local["name"]) + len(record.local["extra"]) + 4) % alignment
        record.local["extra"] += struct.pack("<2sH", b"FB", pad) + b"Z" * pad
        at += len(_local(record))
        records.append(record)
    return Archive(records, zip64=not choices.once_in(5))


def _record(name: bytes, data: bytes, *, described: bool = True, wide: bool = False, offset: int = 0) -> Record:
    crc, size = zlib.crc32(data), len(data)
    flags = 0x800 | (8 if described else 0)
    shared = {"need": 0, "flags": flags, "method": 0, "time": 0, "date": 0, "name": name, "extra": b""}
    deferred = {"crc": 0, "packed": 0, "size": 0} if described else {"crc": crc, "packed": size, "size": size}
    local = {"sig": b"PK\3\4", **shared, **deferred}
    central = {"sig": b"PK\1\2", "made": 0, **shared, "crc": crc, "packed": size, "size": size, "comment": b""}
    central |= {"disk": 0, "internal": 0, "external": 0, "offset": None}
    descriptor = struct.pack("<4sIII", b"PK\7\x08", crc, size, size) if described else b""
    if wide:
        local["extra"] = struct.pack("<HHQQQ", 1, 24, size, 0 if described else size, offset)
        central["extra"] = struct.pack("<HHQQQ", 1, 24, size, size, offset)
        central |= {"packed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}
        descriptor = struct.pack("<4sIQQ", b"PK\7\x08", crc, size, size) if described else b""
    return Record(data, local, central, descriptor)


def _local(record: Record) -> bytes:
    fields = record.local
    form, names = _LOCAL
    values = [fields[name] for name in names]
    lengths = (fields.get("name_length", len(fields["name"])), fields.get("extra_length", len(fields["extra"])))
    head = struct.pack(form, *values, *(length & 0xFFFF for length in lengths))
    return head + fields["name"] + fields["extra"] + record.payload + record.descriptor


def _central(record: Record, offset: int) -> bytes:
    fields = record.central
    form, names = _CENTRAL
    parts = (fields["name"], fields["extra"], fields["comment"])
    lengths = [
        fields.get(f"{n}_length", len(b)) & 0xFFFF for n, b in zip(("name", "extra", "comment"), parts, strict=True)
    ]
    place = offset if fields["offset"] is None else fields["offset"]
    rest = (fields["disk"], fields["internal"], fields["external"], place)
    return struct.pack(form, *(fields[name] for name in names), *lengths, *rest) + b"".join(parts)


def write(made: Archive) -> bytes:
    """The bytes."""
    out, offsets = bytearray(made.prefix), []
    for record in made.records:
        out += record.gap
        offsets.append(len(out) - len(made.prefix))
        if record.stored:
            out += _local(record)
    out += made.before_directory
    start = len(out)
    order = made.order if made.order is not None else list(range(len(made.records)))
    listed = [index for index in order if made.records[index].listed]
    for index in listed:
        out += _central(made.records[index], offsets[index] & 0xFFFFFFFF)
    size, count, start = len(out) - start, len(listed), start - len(made.prefix)
    place = len(out) - len(made.prefix)
    if made.zip64:
        e = {"sig": b"PK\6\6", "length": 44, "made": 798, "need": 45, "disk": 0, "start_disk": 0, "count": count}
        e |= {"total": count, "size": size, "offset": start, "tail": b"", **made.end64}
        tail = e.pop("tail")
        out += struct.pack("<4sQHHIIQQQQ", *e.values()) + tail
        where = {"sig": b"PK\6\7", "disk": 0, "offset": place, "disks": 1, **made.locator}
        out += struct.pack("<4sIQI", *where.values())
    end = {"sig": b"PK\5\6", "disk": 0, "start_disk": 0, "count": count & 0xFFFF, "total": count & 0xFFFF, "size": size}
    end |= {"offset": start, "comment_length": None, "comment": b"", **made.end}
    comment = end.pop("comment")
    if end["comment_length"] is None:
        end["comment_length"] = len(comment) & 0xFFFF
    return bytes(out + struct.pack("<4sHHHHIIH", *end.values()) + comment + made.suffix)


# -- mutations ---------------------------------------------------------------------------------------------------


def _any(choices: Choices, made: Archive) -> Record:
    return choices.pick(made.records)


def _fit(value: int, width: int) -> int:
    return value % (1 << 8 * width)


def _other(choices: Choices, now: int | None, width: int) -> int:
    """Another number for a field."""
    near = choices.pick((1, -1, 4, -4, 16, 64))
    return _fit((now or 0) + near if choices.below(2) else choices.pick(NUMBERS), width)


def _number_field(choices: Choices, made: Archive) -> None:
    """A number in one of the headers, or the same in both."""
    record = _any(choices, made)
    name = choices.pick(("flags", "method", "crc", "packed", "size", "need", "time", "date", "offset", "disk", "made",
                         "internal", "external"))  # fmt: skip
    sides = [side for side in (record.central, record.local) if name in side]
    if len(sides) == 2 and choices.below(3):
        sides = [choices.pick(sides)]
    value = _other(choices, sides[0][name], _WIDTHS.get(name, 2))
    if name == "flags":
        value = sides[0][name] ^ (1 << choices.below(16))
    for side in sides:
        side[name] = value


def _length_field(choices: Choices, made: Archive) -> None:
    record = _any(choices, made)
    side = choices.pick((record.local, record.central))
    name = choices.pick(("extra", "name", "comment") if "comment" in side else ("extra", "name"))
    side[f"{name}_length"] = _other(choices, len(side[name]), 2)


def _signature(choices: Choices, made: Archive) -> None:
    record = _any(choices, made)
    side = choices.pick((record.local, record.central, made.end64, made.locator, made.end))
    side["sig"] = choices.pick((b"PK\0\0", b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\7\x08", b"\0\0\0\0"))


def _name(choices: Choices, made: Archive) -> None:
    record, name = _any(choices, made), choices.pick(_NAMES)
    for side in choices.pick(((record.local, record.central), (record.local,), (record.central,))):
        side["name"] = name


def _end_field(choices: Choices, made: Archive) -> None:
    record = choices.pick((made.end, made.end64, made.locator))
    fields = {
        id(made.end): ("count", "total", "size", "offset", "disk", "start_disk"),
        id(made.locator): ("offset", "disks", "disk"),
    }
    name = choices.pick(fields.get(id(record), ("count", "total", "size", "offset", "length", "disk", "start_disk")))
    wide = {"count": 2, "total": 2, "size": 4, "offset": 4, "disk": 2, "start_disk": 2}
    width = wide.get(name, 4) if record is made.end else 4
    record[name] = _other(choices, choices.pick((len(made.records), 0, 1_000)), width)


def _duplicate(choices: Choices, made: Archive) -> None:
    """A record of a name that is there, with other content."""
    old = _any(choices, made)
    data = bytes(b ^ 0x55 for b in old.payload)
    name = choices.pick((old.central["name"], old.central["name"].upper(), old.central["name"] + b" "))
    new = _record(name, data, described=choices.below(2) == 0)
    made.records.insert(choices.below(len(made.records) + 1), new)


def _alias(choices: Choices, made: Archive) -> None:
    """A directory entry that points at another's data, or into it."""
    record = _any(choices, made)
    name = choices.pick((record.central["name"], b"archive/data/77", b"archive/data/0"))
    made.records.append(
        Record(b"", record.local, {**record.central, "name": name, "offset": choices.pick((0, 16, 64))}, stored=False)
    )


def _hide(choices: Choices, made: Archive) -> None:
    record = _any(choices, made)
    record.listed, record.stored = choices.pick(((False, True), (True, False), (False, False)))


def _reorder(choices: Choices, made: Archive) -> None:
    count = len(made.records)
    if choices.below(2):
        made.order = list(range(count))[::-1]
    else:
        made.records.insert(choices.below(count), made.records.pop(choices.below(count)))


def _gap(choices: Choices, made: Archive) -> None:
    filler = choices.pick((b"\0", b"\0" * 64, b"PK\3\4" + b"\0" * 26, b"PK\5\6" + b"\0" * 18, b"junk"))
    how = choices.below(4)
    if how == 0:
        _any(choices, made).gap = filler
    elif how == 1:
        made.before_directory = filler
    elif how == 2:
        made.suffix = filler
    else:
        made.prefix = filler


def _comment(choices: Choices, made: Archive) -> None:
    how = choices.below(4)
    if how == 0:
        made.end["comment"] = b"hello"
    elif how == 1:
        made.end["comment"] = b"PK\5\6" + b"\0" * 18
    elif how == 2:
        _any(choices, made).central["comment"] = b"a comment"
    else:
        made.end["comment_length"] = choices.pick((1, 22, 65_535))


def _extra(choices: Choices, made: Archive) -> None:
    record = _any(choices, made)
    size = choices.pick((len(record.payload), 0, 1, 2**32, 2**63))
    fields = (
        struct.pack("<HHQQ", 1, 16, size, size), struct.pack("<HHQ", 1, 8, size), struct.pack("<HH", 1, 0),
        struct.pack("<HHB", 0x7075, 9, 1) + b"\0\0\0\0evil", b"\1", struct.pack("<HH", 0xCAFE, 65_535),
        struct.pack("<HHI", 0x9901, 4, 0), struct.pack("<HHQQQ", 1, 24, size, size, 16),
    )  # fmt: skip
    side = choices.pick((record.local, record.central))
    added = choices.pick(fields)
    side["extra"] = side["extra"] + added if choices.below(2) else added
    if choices.once_in(3):
        side[choices.pick(("packed", "size"))] = 0xFFFFFFFF


def _packed(choices: Choices, made: Archive) -> None:
    """Really compressed, and said so."""
    record = _any(choices, made)
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    body, method = choices.pick((
        (raw.compress(record.payload) + raw.flush(), 8), (bz2.compress(record.payload), 12),
        (lzma.compress(record.payload), 14),
    ))  # fmt: skip
    crc = zlib.crc32(record.payload)
    record.descriptor = (
        struct.pack("<4sIII", b"PK\7\x08", crc, len(body), len(record.payload)) if record.descriptor else b""
    )
    record.payload = body
    for side in (record.local, record.central):
        side["method"] = method
    record.central["packed"] = len(body)
    if not record.descriptor:
        record.local["packed"] = len(body)


def _content(choices: Choices, made: Archive) -> None:
    """Other content, with or without the checksum of it."""
    record = _any(choices, made)
    if record.payload:
        changed = bytearray(record.payload)
        changed[choices.below(len(changed))] ^= 1 << choices.below(8)
        record.payload = bytes(changed)
    if choices.below(2):
        record.central["crc"] = zlib.crc32(record.payload) if choices.below(2) else 0


def _descriptor(choices: Choices, made: Archive) -> None:
    record = _any(choices, made)
    crc, size = record.central["crc"], len(record.payload)
    record.descriptor = choices.pick((
        b"", struct.pack("<III", crc, size, size), struct.pack("<4sIQQ", b"PK\7\x08", crc, size, size),
        struct.pack("<4sIII", b"PK\7\x08", 0, 0, 0), struct.pack("<4sIII", b"PK\7\x08", crc, size + 1, size),
    ))  # fmt: skip


def _nested(choices: Choices, made: Archive) -> None:
    """A record that lies in another's bytes, or a whole archive before or behind this one."""
    inner = _record(b"archive/data/0", b"\x99" * 16, described=False)
    if choices.below(2):
        host = _any(choices, made)
        host.payload += _local(inner)
        host.central |= {"crc": zlib.crc32(host.payload), "packed": len(host.payload), "size": len(host.payload)}
    else:
        other = write(Archive([_record(b"archive/data.pkl", p.pickled(p.none())), _record(b"archive/version", b"3\n")]))
        if choices.below(2):
            made.prefix = other
        else:
            made.suffix = other


def _records(choices: Choices, made: Archive) -> None:
    """One record more."""
    name = choices.pick(_NAMES)
    made.records.append(_record(name, choices.blob(20), described=choices.below(2) == 0))


def _without_zip64(choices: Choices, made: Archive) -> None:
    made.zip64 = not made.zip64
    if choices.below(2):
        made.end |= {"count": 0xFFFF, "total": 0xFFFF, "size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}


_MUTATIONS = (
    _number_field, _length_field, _signature, _name, _end_field, _duplicate, _alias, _hide, _reorder, _gap, _comment,
    _extra, _packed, _content, _descriptor, _nested, _records, _without_zip64, _number_field, _end_field,
)  # fmt: skip
