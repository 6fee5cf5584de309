"""Damaged and two-faced archives: ``mutations(data)`` turns the bytes of a torch-written zip into many. Needs no torch.

Each is something that one zip reader accepts and another does not, or that both accept and read differently (the table
"Zip differentials" of our notes on security). The name says what was done: ``lfh_`` to a local header, ``cd_`` to the
directory, ``eocd_`` to its end, ``dup_`` a name twice, ``name_`` to names, ``data_`` to what the records hold.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

Mutation = Callable[[bytes], bytes]
MUTATIONS: dict[str, Mutation] = {}


@dataclass
class Entry:
    """One record with everything that its two headers say, so that each can be made to lie."""

    name: bytes
    payload: bytes
    flags: int
    method: int
    crc: int
    size: int
    local_extra: bytes
    local: tuple[int, int, int]
    descriptor: bytes
    local_name: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    cd_size: int | None = None
    gap: bytes = b""
    offset: int | None = None

    @property
    def short(self) -> bytes:
        """The name without the archive's root."""
        return self.name.split(b"/", 1)[1]


@dataclass
class Archive:
    """A parsed archive that can be written again, with offsets worked out anew."""

    entries: list[Entry]
    directory: list[Entry] | None = None
    prefix: bytes = b""
    extra_counts: tuple[int, int] = (0, 0)
    disks: tuple[int, int] = (0, 0)
    cd_size_change: int = 0
    cd_offset_change: int = 0
    end64_signature: bytes = b"PK\6\6"
    comment: bytes = b""
    zip64: bool = True
    trailing: bytes = field(default=b"")

    def find(self, suffix: bytes) -> Entry:
        """The record whose name without root is `suffix`."""
        return next(entry for entry in self.entries if entry.short == suffix)

    def weights(self) -> Entry:
        """The first record of tensor data that is not empty."""
        return next(entry for entry in self.entries if entry.short.startswith(b"data/") and entry.payload)

    def write(self) -> bytes:
        """Return the bytes."""
        out, offsets = bytearray(self.prefix), {}
        for entry in self.entries:
            out += entry.gap
            offsets[id(entry)] = len(out) - len(self.prefix)
            out += _local(entry)
        start = len(out) - len(self.prefix)
        shown = self.entries if self.directory is None else self.directory
        for entry in shown:
            offset = offsets[id(entry)] if entry.offset is None else entry.offset
            out += _central(entry, offset)
        size = len(out) - len(self.prefix) - start + self.cd_size_change
        counts = [len(shown) + change for change in self.extra_counts]
        end64 = len(out) - len(self.prefix)
        start += self.cd_offset_change
        if self.zip64:
            out += struct.pack("<4sQHHIIQQQQ", self.end64_signature, 44, 798, 45, *self.disks, *counts, size, start)
            out += struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1)
        out += struct.pack("<4sHHHHIIH", b"PK\5\6", *self.disks, *counts, size, start, len(self.comment))
        return bytes(out + self.comment + self.trailing)


def _local(e: Entry) -> bytes:
    name = e.name if e.local_name is None else e.local_name
    flags = e.flags if e.local_flags is None else e.local_flags
    method = e.method if e.local_method is None else e.local_method
    fields = (0, flags, method, 0, 0, *e.local, len(name), len(e.local_extra))
    return struct.pack("<4sHHHHHIIIHH", b"PK\3\4", *fields) + name + e.local_extra + e.payload + e.descriptor


def _central(e: Entry, offset: int) -> bytes:
    size = e.size if e.cd_size is None else e.cd_size
    head = struct.pack("<4sHHHHHHIII", b"PK\1\2", 0, 0, e.flags, e.method, 0, 0, e.crc, len(e.payload), size)
    return head + struct.pack("<HHHHHII", len(e.name), 0, 0, 0, 0, 0, offset) + e.name


def parse(data: bytes) -> Archive:
    """Parse an archive as torch writes it: stored records, no 64-bit fields, nothing before the first header."""
    count, _, at = struct.unpack("<HII", data[-12:-2])
    entries = []
    for _ in range(count):
        flags, method, _, _, crc, packed, size, nlen, xlen, clen = struct.unpack("<HHHHIIIHHH", data[at + 8 : at + 34])
        (offset,) = struct.unpack("<I", data[at + 42 : at + 46])
        name = data[at + 46 : at + 46 + nlen]
        at += 46 + nlen + xlen + clen
        body, extra = offset + 30 + nlen, struct.unpack("<H", data[offset + 28 : offset + 30])[0]
        payload_at = body + extra
        end = payload_at + packed
        descriptor = data[end : end + 16] if flags & 8 else b""
        local = struct.unpack("<III", data[offset + 14 : offset + 26])
        fields = (data[payload_at:end], flags, method, crc, size, data[body:payload_at], local, descriptor)
        entries.append(Entry(name, *fields))
    return Archive(entries)


def mutations(data: bytes) -> dict[str, bytes]:
    """Return every mutation of the archive `data` by name."""
    return {name: mutate(data) for name, mutate in MUTATIONS.items()}


def _add(name: str, change: Callable[[Archive], object]) -> None:
    def mutate(data: bytes) -> bytes:
        archive = parse(data)
        change(archive)
        return archive.write()

    MUTATIONS[name] = mutate


def _set(pick: Callable[[Archive], object], **values: object) -> Callable[[Archive], None]:
    def change(archive: Archive) -> None:
        for name, value in values.items():
            setattr(pick(archive), name, value)

    return change


def _all(archive: Archive) -> Archive:
    return archive


def _pickle(archive: Archive) -> Entry:
    return archive.find(b"data.pkl")


_weights = Archive.weights


def _with(entry: Entry, payload: bytes, **values: object) -> Entry:
    """A copy of `entry` that holds `payload` and is right about it."""
    crc, size = zlib.crc32(payload), len(payload)
    descriptor = struct.pack("<4sIII", b"PK\7\x08", crc, size, size)
    return replace(entry, payload=payload, crc=crc, size=size, descriptor=descriptor, **values)  # type: ignore[arg-type]


# --- the local header says another thing than the directory
_add("lfh_name_changed", lambda a: _set(_pickle, local_name=_pickle(a).name.replace(b"data.pkl", b"dbta.pkl"))(a))
_add("lfh_name_changed_weights", lambda a: _set(_weights, local_name=_weights(a).name[:-1] + b"9")(a))
for _bit, _what in {0x1: "encrypted", 0x20: "patched", 0x40: "strong", 0x2000: "masked"}.items():
    _add(f"lfh_flag_{_what}", lambda a, bit=_bit: _set(_pickle, local_flags=_pickle(a).flags | bit)(a))
_add("lfh_flag_no_utf8", lambda a: _set(_pickle, local_flags=_pickle(a).flags & ~0x800)(a))
_add("lfh_method", _set(_pickle, local_method=8))
_add("lfh_size", _set(_weights, local=(0, 1, 1)))


def _extra_len_zero(data: bytes) -> bytes:
    """Payload seems to begin in the padding: torch loads shifted floats."""
    at = data.index(_weights(parse(data)).name) - 30
    return data[: at + 28] + b"\0\0" + data[at + 30 :]


def _signature(data: bytes) -> bytes:
    """A record's header is no header."""
    at = data.index(_weights(parse(data)).name) - 30
    return data[:at] + b"PK\3\3" + data[at + 4 :]


MUTATIONS["lfh_extra_len_0"] = _extra_len_zero
MUTATIONS["lfh_signature"] = _signature


# --- checksums, sizes and flags in the directory
_add("cd_crc_wrong", lambda a: _set(_weights, crc=_weights(a).crc ^ 1)(a))
_add("cd_crc_zero", _set(_weights, crc=0))
_add("cd_crc_wrong_pickle", lambda a: _set(_pickle, crc=_pickle(a).crc ^ 1)(a))
for _bit, _what in {0x1: "encrypted", 0x20: "patched", 0x40: "strong", 0x2000: "masked"}.items():
    _add(f"cd_flag_{_what}", lambda a, bit=_bit: _flag(_pickle(a), bit))
    _add(f"cd_lfh_flag_{_what}", lambda a, bit=_bit: _flag(_pickle(a), bit, both=True))
for _method, _packer in {12: bz2.compress, 14: lzma.compress}.items():
    _add(f"cd_method_{_packer.__module__.strip('_')}", lambda a, m=_method, p=_packer: _repack(_pickle(a), m, p))
_add("cd_method_unknown", _set(_pickle, method=99))
_add("cd_method_deflate_of_stored", _set(_weights, method=8))
_add("cd_size_short", lambda a: _set(_weights, cd_size=_weights(a).size - 4)(a))
_add("cd_size_long", lambda a: _set(_weights, cd_size=_weights(a).size + 4)(a))
_add("cd_size_huge", _set(_weights, cd_size=0xFFFFFFF0))
_add("cd_overlap_same_data", lambda a: setattr(a, "directory", [*a.entries, _alias(a)]))
_add("cd_overlap_inside", lambda a: setattr(a, "directory", [*a.entries, replace(_alias(a), offset=16)]))
_add("cd_offset_beyond", lambda a: setattr(a, "directory", [*a.entries, replace(_alias(a), offset=1 << 30)]))
_add("cd_record_missing", lambda a: setattr(a, "directory", [e for e in a.entries if e is not _weights(a)]))
_add("cd_reversed", lambda a: setattr(a, "directory", a.entries[::-1]))


def _flag(entry: Entry, bit: int, both: bool = False) -> None:
    entry.local_flags = entry.flags | bit if both else entry.flags
    entry.flags |= bit


def _repack(entry: Entry, method: int, packer: Callable[[bytes], bytes]) -> None:
    packed = packer(entry.payload)
    entry.descriptor = struct.pack("<4sIII", b"PK\7\x08", entry.crc, len(packed), entry.size)
    entry.payload, entry.method = packed, method


def _alias(archive: Archive) -> Entry:
    """A second directory entry, of another name, for the data of the weights."""
    entry, offset = _weights(archive), 0
    for other in archive.entries:
        if other is entry:
            break
        offset += len(_local(other))
    return replace(entry, name=entry.name.rsplit(b"/", 1)[0] + b"/77", offset=offset)


# --- what the records hold
_add("data_bit_flip", lambda a: _set(_weights, payload=_flipped(_weights(a).payload))(a))
_add("data_zeroed", lambda a: _set(_weights, payload=bytes(len(_weights(a).payload)))(a))
_add("data_pickle_bit_flip", lambda a: _set(_pickle, payload=_pickle(a).payload[:-2] + b"0.")(a))
_add("data_descriptor_missing", _set(_weights, descriptor=b""))
_add("data_descriptor_wrong", lambda a: _set(_weights, descriptor=_weights(a).descriptor[:4] + bytes(12))(a))
_add("data_gap", _set(_weights, gap=b"hidden between records"))
_add("data_padding_not_z", lambda a: _set(_weights, local_extra=_weights(a).local_extra.replace(b"Z", b"Y"))(a))
_add("data_extra_unknown", _set(_weights, local_extra=b"XX\4\0abcd"))
_add("data_record_short", lambda a: _swap(a, _weights(a), _with(_weights(a), _weights(a).payload[:-4])))
_add("data_record_long", lambda a: _swap(a, _weights(a), _with(_weights(a), _weights(a).payload + bytes(4))))
_add("data_record_empty", lambda a: _swap(a, _weights(a), _with(_weights(a), b"")))
_add("data_weights_missing", lambda a: a.entries.remove(_weights(a)))
_add("data_pickle_missing", lambda a: a.entries.remove(_pickle(a)))
_add("data_version_missing", lambda a: a.entries.remove(a.find(b"version")))
for _text in (b"0\n", b"11\n", b"abc", b"", b"99999999999999999999\n"):
    _add(f"data_version_{_text.strip().decode()[:6] or 'empty'}", lambda a, t=_text: _body(a, b"version", t))
for _text in (b"big", b"middle", b"", b"little\n"):
    _label = f"data_byteorder_{_text.decode().strip() or 'empty'}_{len(_text)}"
    _add(_label, lambda a, t=_text: _body(a, b"byteorder", t))
_add("data_constants_added", lambda a: a.entries.append(_named(_pickle(a), b"constants.pkl")))


def _flipped(payload: bytes) -> bytes:
    return bytes([payload[0] ^ 1]) + payload[1:]


def _swap(archive: Archive, old: Entry, new: Entry) -> None:
    archive.entries[archive.entries.index(old)] = new


def _body(archive: Archive, name: bytes, text: bytes) -> None:
    _swap(archive, archive.find(name), _with(archive.find(name), text))


def _named(entry: Entry, short: bytes) -> Entry:
    return replace(entry, name=entry.name.split(b"/")[0] + b"/" + short)


# --- names
for _k in range(2, 8):
    _add(f"dup_pickle_{_k}", lambda a, k=_k: a.entries.extend(_decoys(a, k - 1)))
_add("dup_weights", lambda a: a.entries.append(_with(_weights(a), bytes(len(_weights(a).payload)))))
_add("dup_pickle_upper", lambda a: a.entries.append(_named(_decoys(a, 1)[0], b"DATA.PKL")))
_add("name_pickle_only_upper", lambda a: _set(_pickle, name=_named(_pickle(a), b"DATA.PKL").name)(a))
_add("name_second_root", lambda a: a.entries.append(replace(_pickle(a), name=b"other/data.pkl")))
_add("name_no_root", lambda a: a.entries.append(replace(_pickle(a), name=b"data.pkl")))
_add("name_backslash", lambda a: [setattr(e, "name", e.name.replace(b"/", b"\\")) for e in a.entries])
_add("name_backslash_one", lambda a: _set(_weights, name=_weights(a).name.replace(b"data/", b"data\\"))(a))
_add("name_dotdot", lambda a: a.entries.append(_named(_pickle(a), b"../../evil")))
_add("name_absolute", lambda a: a.entries.append(replace(_pickle(a), name=b"/etc/passwd")))
_add("name_nul", lambda a: a.entries.append(_named(_pickle(a), b"data.pkl\0.txt")))
_add("name_not_utf8", lambda a: a.entries.append(_named(_pickle(a), b"extra/\xff\xfe")))
_add("name_escape", lambda a: a.entries.append(_named(_pickle(a), b"extra/\x1b[31mred\n")))
_add("name_empty", lambda a: a.entries.append(replace(_pickle(a), name=b"")))
_add("name_long", lambda a: a.entries.append(_named(_pickle(a), b"x" * 60_000)))
_add("name_directory", lambda a: a.entries.append(_with(_named(_pickle(a), b"data/"), b"", flags=0x800)))


def _decoys(archive: Archive, count: int) -> list[Entry]:
    """Pickles of the texts 'v1', 'v2'...: which one is loaded tells which entry a reader took."""
    bodies = [b"\x80\x02X\x02\x00\x00\x00v%dq\x00." % i for i in range(1, count + 1)]
    return [_with(_pickle(archive), body) for body in bodies]


# --- around the archive and at its end
_add("prefix_64", _set(_all, prefix=b"#!/bin/sh\n" + b"x" * 54))
_add("trailing_junk", _set(_all, trailing=b"x" * 64))
_add("trailing_60k", _set(_all, trailing=b"x" * 60_000))
_add("trailing_70k", _set(_all, trailing=b"x" * 70_000))
_add("eocd_comment", _set(_all, comment=b"a comment"))
_add("eocd_fake_in_comment", _set(_all, comment=struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)))
_add("eocd_disk_1", _set(_all, disks=(1, 1)))
_add("eocd_counts_minus_1", _set(_all, extra_counts=(-1, -1)))
_add("eocd_counts_plus_1", _set(_all, extra_counts=(1, 1)))
_add("eocd_counts_unequal", _set(_all, extra_counts=(0, -1)))
_add("eocd_cd_size_plus_10", _set(_all, cd_size_change=10))
_add("eocd_cd_size_minus_10", _set(_all, cd_size_change=-10))
_add("eocd_cd_offset_minus_1", _set(_all, cd_offset_change=-1))
_add("eocd_cd_offset_plus_1", _set(_all, cd_offset_change=1))
_add("eocd_cd_offset_beyond", _set(_all, cd_offset_change=1 << 30))
_add("eocd_zip64_signature", _set(_all, end64_signature=b"PK\6\5"))
_add("eocd_no_zip64", _set(_all, zip64=False))
for _change in ("disk_1", "counts_minus_1", "counts_unequal", "cd_size_plus_10", "cd_offset_minus_1"):
    # The same lies where no zip64 record is there to be believed instead.
    MUTATIONS[f"eocd_no_zip64_{_change}"] = lambda data, name=f"eocd_{_change}": _without_zip64(MUTATIONS[name](data))
for _change, _at, _value in (("disk", 4, 1), ("count", 8, 1), ("size", 12, 9), ("offset", 16, 7)):
    # Only the classic record lies, and the zip64 one is right: readers differ in which they believe.
    MUTATIONS[f"eocd_classic_{_change}"] = lambda data, at=_at, v=_value: _poke(data, len(data) - 22 + at, v)
for _change, _at in (("disk", 16), ("count", 24), ("size", 40), ("offset", 48)):
    # And the other way round.
    MUTATIONS[f"eocd_zip64_{_change}"] = lambda data, at=_at: _poke(data, len(data) - 98 + at, 7)
MUTATIONS["eocd_locator_offset"] = lambda data: _poke(data, len(data) - 42 + 8, 7)
MUTATIONS["eocd_locator_signature"] = lambda data: _poke(data, len(data) - 42 + 3, 0)
MUTATIONS["truncated_eocd"] = lambda data: data[:-1]
MUTATIONS["truncated_half"] = lambda data: data[: len(data) // 2]
MUTATIONS["truncated_directory"] = lambda data: data[:-98]
MUTATIONS["twice"] = lambda data: data + data


def _without_zip64(data: bytes) -> bytes:
    return data[:-98] + data[-22:]


def _poke(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]
