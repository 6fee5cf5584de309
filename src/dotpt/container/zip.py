"""The zip container of torch 1.4 to today: directory, records, and the strict rules.

Byte layout as torch writes it (numbers little-endian; zip64 twins always present since 1.6)::

    0   local header   PK34 need flags method time date crc=0 csize=0 usize=0 n e | name n | extra e ('FB' + len + Z...)
        payload        starts at a multiple of the alignment (64)
        descriptor     PK78 crc csize usize            (16 bytes; 24 when the sizes need 64 bits; none when empty)
        ... next local header ...
    cd  directory      PK12 made need flags method time date crc csize usize n e c disk int ext offset | name | extra
        zip64 end      PK66 (56 bytes)   locator PK67 (20 bytes)   end PK56 (22 bytes)      end of file

Every byte belongs to exactly one of these; `ziprules` names each way in which a file can disagree. The
directory is checked on opening, and so are all local headers and descriptors (`check_layout`), except that those
of a remote file are checked one by one, when a record is read.
"""

from __future__ import annotations

import struct
from typing import Any

from dotpt.container import ziprules as rules
from dotpt.container.record import DEFLATED, STORED, Container, Extents, ReadAt, Record
from dotpt.errors import LimitExceeded, RecordMissing, TruncatedFile
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source.base import Source
from dotpt.source.windows import Windows

LOCAL, CENTRAL, DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
END, END64, LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
TAIL = 1 << 16
FLAG_ENCRYPTED, FLAG_DESCRIPTOR, FLAG_UTF8 = 0x0001, 0x0008, 0x0800
FLAGS_DEFLATE_LEVEL = 0x0006  # how hard the writer tried: no reader acts on it
KNOWN_FLAGS = FLAG_DESCRIPTOR | FLAG_UTF8 | FLAGS_DEFLATE_LEVEL
FOLDER = 0x10  # of the external attributes: torch reads nothing of such a record, whatever its name
MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF

_central = struct.Struct("<4s6H3L5H2L").unpack_from
_central_lengths = struct.Struct("<3H").unpack_from
_central_size = 46
_DEFERRED = b"\0" * 12
_PADDINGS = [b"FB" + length.to_bytes(2, "little") for length in range(128)]
_USUAL_EXTRA = 128  # torch pads to a multiple of 64 bytes
_SMALL = 1 << 16  # records of this mean size or less lie close enough to be read through
_MANY = 64  # from so many records on, columns are cheaper than rows
_end = struct.Struct("<4s4H2LH").unpack
_end64 = struct.Struct("<4sQ2H2L4Q").unpack
_locator = struct.Struct("<4sLQL").unpack
_extra = struct.Struct("<2H").unpack_from


class ZipContainer(Container):
    """An open zip archive whose directory obeys the strict rules.

    Args:
        rooted: whether all records must lie in one top folder, as torch puts them.
    """

    kind = "zip"

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS, *, rooted: bool = True) -> None:
        super().__init__(source, limits)
        self._rooted = rooted
        self._directory_offset, directory, count = _find_directory(source, limits)
        self._parse_directory(directory, count)
        self._check_names()
        self._order = list(range(count))
        self._payloads: list[int] = [-1] * count
        self._all_checked = False
        self._check_starts()

    # -- what readers ask ------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of all records, in the order of the directory."""
        return list(self._index)

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def index(self, name: str) -> int:
        """The position of record ``name`` in the directory; `RecordMissing` if there is none."""
        try:
            return self._index[name]
        except KeyError:
            raise RecordMissing(
                "A record that the file needs is not in it.",
                path=self.source.name,
                record=name,
                hint="get the file again",
            ) from None

    def record(self, name: str) -> Record:
        """The record called ``name``, its local header checked."""
        return self.checked_record(self.index(name))

    def checked_record(self, index: int) -> Record:
        """The record at a position of the directory; its local header is checked now if it was not before."""
        if self._payloads[index] < 0:
            self.check_record(index)
        return self.record_at(index)

    def record_at(self, index: int) -> Record:
        """The record at a position of the directory, its local header having been checked."""
        size, crc = self._sizes[index], self._crcs[index]
        # torch can be told to write no checksums: it puts 0. A real CRC of 0 is one in four billion.
        known = None if crc == 0 and size else crc
        name, method = self._names[index], self._methods[index]
        record = Record(name, self._payloads[index], size, self._stored[index], method, known)
        if method == DEFLATED and not (self.limits.deflated or _is_code(name)):
            raise self._broken(rules.CompressedRecord, "The record is compressed, which torch never does.", index)
        return record

    def extents(self, indices: list[int]) -> Extents:
        """Where the records at these positions of the directory lie, their local headers having been checked."""
        methods, payloads, sizes, crcs = self._methods, self._payloads, self._sizes, self._crcs
        for index in indices:
            if payloads[index] < 0 or methods[index]:
                self.checked_record(index)
        return Extents(
            [payloads[index] for index in indices],
            [sizes[index] for index in indices],
            [crcs[index] or (None if sizes[index] else 0) for index in indices],
            [number for number, index in enumerate(indices) if methods[index]],
            lambda number: self.record_at(indices[number]),
        )

    @property
    def sizes(self) -> list[int]:
        """Bytes of the content of each record, by its position in the directory."""
        sizes: list[int] = self._sizes
        return sizes

    @property
    def positions(self) -> dict[str, int]:
        """The position in the directory of each name."""
        return self._index

    def crc_of(self, index: int) -> int | None:
        """The checksum that the directory gives a record, or None where the writer left none."""
        return self._crcs[index] or (None if self._sizes[index] else 0)

    def entry(self, index: int) -> bytes:
        """The fixed part (46 bytes) of a record's entry in the directory, as it was written."""
        return self._directory[self._entries[index] : self._entries[index] + _central_size]

    def entries_without(self, index: int | None) -> list[bytes]:
        """All entries of the directory as they were written, but that of one record."""
        stops = [*self._entries[1:], len(self._directory)]
        places = enumerate(zip(self._entries, stops, strict=True))
        return [self._directory[start:stop] for number, (start, stop) in places if number != index]

    @property
    def directory_offset(self) -> int:
        """Where the directory begins, and the last record ends."""
        return self._directory_offset

    @property
    def spans(self) -> tuple[list[int], list[int]]:
        """First byte of each record's local header, and first byte after its descriptor, by position."""
        return self._headers, self._ends

    def check_methods(self) -> None:
        """Refuse compressed records, `Limits.deflated` apart: for the formats whose writers never compress."""
        for index, method in enumerate(self._methods):
            if method == DEFLATED:
                self.record_at(index)

    # -- checks against the local headers -----------------------------------------------------------------------

    def check_layout(self) -> None:
        """Compare every local header and descriptor with the directory."""
        if self._all_checked:
            return
        if self._columns is not None and self._directory_offset < _SMALL * len(self._order):
            from dotpt.container.zipcolumns import accept

            accept(self, self._columns, self._order, self._payloads)
        elif not self.source.remote:
            self._accept_usual()
        read_at = Windows(self.source).read
        for index in self._order:
            if self._payloads[index] < 0:
                self.check_record(index, read_at)
        self._all_checked = True

    def _accept_usual(self) -> None:
        """Locate the payload of every record whose header and descriptor are exactly what torch writes.

        A record's descriptor and the next one's header lie side by side: one small read for both. This only ever
        accepts; any other record is left to `check_record`, which knows what to say about it.
        """
        read, directory, stored, flags = self.source.read, self._directory, self._stored, self._flags
        waiting, payload, promised = -1, 0, b""  # the record whose descriptor ends where the next header begins
        for index in self._order:
            header, at, name = self._headers[index], self._entries[index], self._raw_names[index]
            fixed = 46 + len(name)
            room = min(16, header)
            block = read(header - room, room + fixed - 12) if header + fixed - 12 <= self._directory_offset else b""
            if waiting >= 0 and payload + stored[waiting] + 16 == header and block[:16] == DESCRIPTOR + promised:
                self._payloads[waiting] = payload
            local = block[room:]
            extra = local[28] | local[29] << 8 if len(local) == fixed - 12 else 0
            usual = (
                extra >= 4
                and local[:4] == LOCAL
                and local[6:10] == directory[at + 8 : at + 12]
                and local[14:26] == _DEFERRED
                and local[26:28] == directory[at + 28 : at + 30]
                and local[30:] == name + _padding(extra)
                and flags[index] & FLAG_DESCRIPTOR
            )
            waiting = index if usual else -1
            payload, promised = header + 30 + len(name) + extra, directory[at + 16 : at + 28]
        end = self._directory_offset
        if waiting >= 0 and payload + stored[waiting] + 16 == end and read(end - 16, 16) == DESCRIPTOR + promised:
            self._payloads[waiting] = payload

    def check_record(self, index: int, read_at: ReadAt | None = None) -> None:
        """Compare one record's local header and descriptor with the directory, and locate its payload."""
        read_at = read_at or self.source.read
        header, end, at = self._headers[index], self._ends[index], self._entries[index]
        entry, name, flags = self._directory, self._raw_names[index], self._flags[index]
        fixed = 30 + len(name)
        if header + fixed > end:
            raise self._broken(rules.OverlappingRecords, "The record reaches into the next one.", index, header)
        head = bytes(read_at(header, min(end - header, fixed + _USUAL_EXTRA)))
        # Sizes and checksum are 0 in the local header when a descriptor follows; else they are the directory's.
        sizes, promised = head[14:26], entry[at + 16 : at + 28]
        if (
            head[:4] != LOCAL
            or head[6:10] != entry[at + 8 : at + 12]  # flags and method
            or head[26:28] != entry[at + 28 : at + 30]
            or head[30:fixed] != name
            or (
                sizes != promised
                and not (sizes == _DEFERRED and flags & FLAG_DESCRIPTOR)
                and sizes != self._narrow(index)
                and not self._is_wide(index, sizes, head[fixed : fixed + 20])
            )
        ):
            raise self._local_mismatch(index, head[:fixed])
        extra_length = head[28] | head[29] << 8
        payload = header + fixed + extra_length
        descriptor = payload + self._stored[index]
        if descriptor > end:
            raise self._broken(rules.OverlappingRecords, "The record reaches into the next one.", index, header)
        # torch's padding is one field; anything else is parsed.
        if extra_length and head[fixed : fixed + 4] != _padding(extra_length):
            self._check_extra(index, bytes(read_at(header + fixed, extra_length)), header + fixed)
        found = read_at(descriptor, min(end - descriptor, 32)) if descriptor < end else b""
        if not (flags & FLAG_DESCRIPTOR and end - descriptor == 16 and found == DESCRIPTOR + promised):
            self._check_descriptor(index, found, descriptor, end)
        self._payloads[index] = payload

    def _narrow(self, index: int) -> bytes:
        """Checksum and sizes as a local header may hold them where the directory has the sizes in a zip64 field."""
        return struct.pack("<3L", self._crcs[index], min(self._stored[index], MAX32), min(self._sizes[index], MAX32))

    def _is_wide(self, index: int, sizes: bytes, extra: bytes) -> bool:
        """Whether a local header has its sizes in a zip64 field although they are small, as numpy writes .npz files."""
        crc, stored, size = self._crcs[index], self._stored[index], self._sizes[index]
        deferred = self._flags[index] & FLAG_DESCRIPTOR and sizes == b"\0\0\0\0" + b"\xff" * 8
        there = struct.pack("<2H2Q", 1, 16, *((0, 0) if deferred else (size, stored)))
        return extra == there and (bool(deferred) or sizes == struct.pack("<3L", crc, MAX32, MAX32))

    def _check_descriptor(self, index: int, found: bytes | memoryview, offset: int, end: int) -> None:
        length = end - offset
        if not self._flags[index] & FLAG_DESCRIPTOR:
            if length:
                raise self._broken(rules.GapBetweenRecords, f"{length:,} bytes belong to no record.", index, offset)
            return
        crc, stored, size = self._crcs[index], self._stored[index], self._sizes[index]
        wide = struct.pack("<LQQ", crc, stored, size)
        if (
            bytes(found) in (DESCRIPTOR + wide, wide, struct.pack("<3L", crc, stored & MAX32, size & MAX32))
            and length <= 24
        ):
            return
        if length > 24:
            raise self._broken(rules.GapBetweenRecords, f"{length - 16:,} bytes belong to no record.", index, offset)
        raise self._broken(
            rules.DescriptorMismatch, "The record's data descriptor disagrees with the directory.", index, offset
        )

    def _check_extra(self, index: int, extra: bytes, offset: int) -> None:
        """Extra fields must be whole; a local zip64 field, where it holds sizes, the directory's."""
        for kind, start, length in self._fields(extra, index, offset):
            values = [int.from_bytes(extra[p : p + 8], "little") for p in range(start, start + length - 7, 8)]
            allowed = ({0, self._sizes[index]}, {0, self._stored[index]}, {0, self._headers[index]})
            if kind != 1:
                continue
            if len(values) == 1:  # torch: the offset alone, when only that is large
                allowed = ({0, self._sizes[index], self._headers[index]}, *allowed[1:])
            if any(value not in good for value, good in zip(values, allowed, strict=False)):
                raise self._broken(
                    rules.LocalHeaderMismatch,
                    "The local header's zip64 sizes disagree with the directory.",
                    index,
                    offset,
                )

    def _fields(self, extra: bytes, index: int, offset: int) -> list[tuple[int, int, int]]:
        fields, at = [], 0
        while at < len(extra):
            if at + 4 > len(extra):
                raise self._broken(rules.BadExtraField, "An extra field is cut short.", index, offset + at)
            kind, length = _extra(extra, at)
            if at + 4 + length > len(extra):
                raise self._broken(rules.BadExtraField, "An extra field is longer than its room.", index, offset + at)
            fields.append((kind, at + 4, length))
            at += 4 + length
        return fields

    def _local_mismatch(self, index: int, local: bytes) -> rules.ZipError:
        at, entry = self._entries[index], self._directory
        what, found, expected = "signature", local[:4], LOCAL
        for label, start, stop, twin in (("flags", 6, 8, 8), ("method", 8, 10, 10), ("name length", 26, 28, 28)):
            if (
                what == "signature"
                and local[:4] == LOCAL
                and local[start:stop] != entry[at + twin : at + twin + stop - start]
            ):
                what, found, expected = label, local[start:stop], entry[at + twin : at + twin + stop - start]
        if what == "signature" and local[:4] == LOCAL:
            what, found, expected = "name", local[30:], self._raw_names[index]
            if found == expected:
                what, found, expected = "sizes or checksum", local[14:26], entry[at + 16 : at + 28]
        return self._broken(
            rules.LocalHeaderMismatch,
            f"The record's local header and the directory disagree on the {what}.",
            index,
            self._headers[index],
            found=found,
            expected=expected,
        )

    # -- the directory ------------------------------------------------------------------------------------------

    def _parse_directory(self, directory: bytes, count: int) -> None:
        self._directory = directory
        self._columns: Any = None
        offsets = None
        if count >= _MANY:
            from dotpt.container import zipcolumns

            offsets = zipcolumns.entry_offsets(directory, count)
        if offsets is not None:
            self._columns = zipcolumns.Directory(directory, offsets)
            self._entries: list[int] = offsets.tolist()
        else:
            self._entries = self._walk(directory, count)
        self._read_columns(count)

    def _walk(self, directory: bytes, count: int) -> list[int]:
        """Where each entry begins, one after the other."""
        entries, at, total = [], 0, len(directory)
        for number in range(count):
            if at + _central_size > total or directory[at : at + 4] != CENTRAL:
                raise self._damaged(f"Entry {number + 1:,} of {count:,} of the directory does not parse.", at)
            entries.append(at)
            at += _central_size + sum(_central_lengths(directory, at + 28))
            if at > total:
                raise self._damaged(f"Entry {number + 1:,} of the directory is longer than the directory.", entries[-1])
        if at != total:
            raise self._damaged(f"The directory has {total - at:,} bytes more than its {count:,} entries.", at)
        return entries

    def _read_columns(self, count: int) -> None:
        columns = self._columns
        if columns is not None:
            lengths = columns.name_lengths.tolist()
            self._flags, self._methods, self._crcs = (
                columns.flags.tolist(),
                columns.methods.tolist(),
                columns.crcs.tolist(),
            )
            self._stored, self._sizes = columns.stored.tolist(), columns.sizes.tolist()
            self._headers = columns.headers.tolist()
            unusual = columns.unusual(KNOWN_FLAGS, FOLDER)
        else:
            rows = [_central(self._directory, at) for at in self._entries]
            lengths = [row[10] for row in rows]
            self._flags, self._methods, self._crcs = ([row[column] for row in rows] for column in (3, 4, 7))
            self._stored, self._sizes, self._headers = ([row[column] for row in rows] for column in (8, 9, 16))
            unusual = [
                number
                for number, row in enumerate(rows)
                if row[3] & ~KNOWN_FLAGS
                or row[4] != STORED
                or row[8] != row[9]
                or row[11]
                or row[13]
                or row[15] & FOLDER
                or MAX32 in row[8:]
            ]
        self._raw_names: list[bytes] = [
            self._directory[at + _central_size : at + _central_size + length]
            for at, length in zip(self._entries, lengths, strict=True)
        ]
        self._all_plain = columns is not None and not unusual
        for number in unusual:
            self._check_entry(number)

    def _check_entry(self, number: int) -> None:
        at = self._entries[number]
        fields = _central(self._directory, at)
        if fields[13]:
            raise self._broken(rules.EndRecordMismatch, "The archive claims to span several disks.", number)
        if fields[3] & ~KNOWN_FLAGS or fields[4] not in (STORED, DEFLATED):
            self._check_flags(number)
        if fields[15] & FOLDER and not self._raw_names[number].endswith(b"/"):
            raise self._broken(rules.UnsupportedFlags, "The record is marked as a folder.", number, found=fields[15])
        if MAX32 in (fields[8], fields[9], fields[16]) or fields[11]:
            self._widen(number, at + _central_size + fields[10], fields[11])
        if fields[4] == STORED and self._stored[number] != self._sizes[number]:
            raise self._broken(
                rules.DirectoryDamaged, "The directory gives a stored record two different sizes.", number
            )

    def _check_flags(self, number: int) -> None:
        flags, method = self._flags[number], self._methods[number]
        if flags & FLAG_ENCRYPTED or flags & 0x2040:
            raise self._broken(rules.EncryptedRecord, "The record is encrypted.", number)
        if flags & ~KNOWN_FLAGS:
            raise self._broken(rules.UnsupportedFlags, f"The record has the flags {flags:#06x}.", number, found=flags)
        raise self._broken(
            rules.UnsupportedMethod,
            f"The record is packed with method {method}.",
            number,
            found=method,
            expected=STORED,
        )

    def _widen(self, number: int, at: int, length: int) -> None:
        """Take the 64-bit values from the zip64 extra field, where the entry points there."""
        extra = self._directory[at : at + length]
        wanted = [column for column in (self._sizes, self._stored, self._headers) if column[number] == MAX32]
        for kind, start, size in self._fields(extra, number, self._directory_offset + at):
            if kind != 1:
                continue
            if size < 8 * len(wanted) or size > 28:
                raise self._broken(rules.BadExtraField, "The zip64 field does not hold the sizes.", number)
            for place, column in enumerate(wanted):
                column[number] = int.from_bytes(extra[start + 8 * place : start + 8 * place + 8], "little")
            wanted = []
        if wanted:
            raise self._broken(rules.BadExtraField, "The entry needs a zip64 field and has none.", number)

    def _check_names(self) -> None:
        joined = b"\n".join(self._raw_names)
        try:
            text = joined.decode()
        except UnicodeDecodeError:
            raise self._damaged("A record's name is not UTF-8.", 0, rules.BadRecordName) from None
        names = text.split("\n")
        self.root, slash, _ = names[0].partition("/") if self._rooted else ("", "", "")
        prefix = self.root + slash
        if self._raw_names and self._rooted and not slash:
            raise self._broken(rules.SecondRoot, "The records are not in a top folder, as torch puts them.", 0)
        absolute = not self.root if self._rooted else "\n/" in f"\n{text}"
        if self._raw_names and absolute:
            raise self._broken(rules.BadRecordName, "The record's name is an absolute path.", 0)
        if (
            len(names) != max(len(self._raw_names), 1)
            or any(mark in text for mark in ("\\", "\0", "//"))
            or _dotted(text)
        ):
            self._report_bad_name()
        # All names at once: each begins with the prefix exactly when taking it off shortens all of them.
        short = ("\n" + text).replace("\n" + prefix, "\n")[1:] if prefix else text
        if len(text) - len(short) != len(prefix) * len(names):
            number = next(n for n, name in enumerate(names) if not name.startswith(prefix))
            raise self._broken(rules.SecondRoot, "The records do not share one top folder.", number, expected=self.root)
        self._names: list[str] = short.split("\n") if self._raw_names else []
        self._index = dict(zip(self._names, range(len(self._names)), strict=True))
        folded = short.casefold()
        distinct = len(self._index) if folded == short else len(set(folded.split("\n")))
        if distinct != len(self._names):
            self._report_duplicate()
        if "/\n" in short + "\n" or "\n\n" in f"\n{short}\n":  # entries of folders
            self._index = {name: at for name, at in self._index.items() if name and name[-1] != "/"}

    def _report_bad_name(self) -> None:
        for number, raw in enumerate(self._raw_names):
            name = raw.decode()
            if any(mark in name for mark in ("\n", "\\", "\0", "//")) or _dotted(name):
                raise self._broken(
                    rules.BadRecordName, "The record's name is read differently by different tools.", number
                )

    def _report_duplicate(self) -> None:
        seen: dict[str, str] = {}
        for number, name in enumerate(self._names):
            if (twin := seen.setdefault(name.casefold(), name)) != name or self._index[name] != number:
                raise self._broken(rules.DuplicateRecord, f"Two records have the name {twin!r}.", number, found=twin)

    def _check_starts(self) -> None:
        """The records lie one after the other from byte 0 to the directory."""
        if self._all_plain and self._columns.follow_each_other(self._directory_offset):
            self._ends = [*self._headers[1:], self._directory_offset]
            return
        self._order.sort(key=self._headers.__getitem__)
        starts = [self._headers[index] for index in self._order] + [self._directory_offset]
        self._ends = [0] * len(self._order)
        if starts[0] != 0:
            first = self._order[0] if self._order else None
            raise self._broken(rules.LeadingData, f"{starts[0]:,} bytes precede the first record.", first, 0)
        for position, index in enumerate(self._order):
            self._ends[index] = starts[position + 1]
            if starts[position] + 30 + self._stored[index] > starts[position + 1]:
                raise self._broken(
                    rules.OverlappingRecords, "The record reaches into the next one.", index, starts[position]
                )

    # -- errors ---------------------------------------------------------------------------------------------------

    def _broken(
        self, rule: type[rules.ZipError], problem: str, index: int | None, offset: int | None = None, **facts: Any
    ) -> rules.ZipError:
        if offset is None and index is not None:
            offset = self._directory_offset + self._entries[index]
        name = None if index is None else self._raw_names[index].decode("utf-8", "replace")
        return rule(problem, path=self.source.name, record=name, offset=offset, **facts)

    def _damaged(self, problem: str, at: int, rule: type[rules.ZipError] = rules.DirectoryDamaged) -> rules.ZipError:
        return rule(problem, path=self.source.name, offset=self._directory_offset + at)


def _padding(extra_length: int) -> bytes:
    """The beginning of the one extra field that torch pads with."""
    if extra_length < 4:
        return b""  # too short for a field
    return _PADDINGS[extra_length - 4] if extra_length < 132 else b"FB" + (extra_length - 4).to_bytes(2, "little")


def _is_code(name: str) -> bool:
    """TorchScript's sources and their line tables are the only records that torch compresses."""
    return name.startswith("code/") and name.endswith((".py", ".debug_pkl"))


_DOTTED = [before + dots + after for before in "/\n" for dots in (".", "..") for after in "/\n"]


def _dotted(names: str) -> bool:
    """Whether a name, of several in lines of their own, has a part that is one or two dots."""
    lines = f"\n{names}\n"
    return any(part in lines for part in _DOTTED)


def _find_directory(source: Source, limits: Limits) -> tuple[int, bytes, int]:
    """Offset, bytes and number of entries of the central directory."""
    facts: dict[str, Any] = {"path": source.name}
    length = min(source.size, TAIL)
    start = source.size - length
    tail = source.read(start, length)
    at = length - 22
    if length < 22 or tail[at : at + 4] != END or tail[-2:] != b"\0\0":
        raise _no_end_record(source, tail, start)
    _, disk, cd_disk, here, count, size, offset, _ = _end(tail[at:])
    if disk or cd_disk or here != count:
        raise rules.EndRecordMismatch("The end record claims several disks or two counts.", offset=start + at, **facts)
    directory_end = start + at
    if tail[max(at - 20, 0) : max(at - 20, 0) + 4] == LOCATOR and at >= 76:
        directory_end = start + at - 76
        _, disk, pointer, disks = _locator(tail[at - 20 : at])
        sign, record_size, _, _, disk64, cd_disk64, here64, count64, size64, offset64 = _end64(tail[at - 76 : at - 20])
        if sign != END64 or record_size != 44 or pointer != directory_end or disk or disks > 1:
            raise rules.EndRecordMismatch(
                "The zip64 end record is not where its locator says.", offset=start + at - 20, **facts
            )
        pairs = ((count, count64, MAX16), (size, size64, MAX32), (offset, offset64, MAX32))
        if disk64 or cd_disk64 or here64 != count64 or any(a not in (b, top) for a, b, top in pairs):
            raise rules.EndRecordMismatch("The two end records disagree.", offset=directory_end, **facts)
        count, size, offset = count64, size64, offset64
    if offset + size != directory_end:
        raise rules.EndRecordMismatch(
            "The directory does not end where the end record begins.",
            offset=start + at,
            found=offset + size,
            expected=directory_end,
            **facts,
        )
    if count > limits.records:
        raise LimitExceeded("records", count, limits.records, **facts)
    if size > limits.header_bytes:
        raise LimitExceeded("header_bytes", size, limits.header_bytes, **facts)
    if offset >= start:
        return offset, tail[offset - start : directory_end - start], count
    return offset, source.read(offset, size), count


def _no_end_record(source: Source, tail: bytes, start: int) -> TruncatedFile | rules.ZipError:
    found = tail.rfind(END)
    if 0 <= found <= len(tail) - 22:
        comment = int.from_bytes(tail[found + 20 : found + 22], "little")
        extra = len(tail) - found - 22
        what = "a comment" if comment == extra else "something else"
        return rules.TrailingData(
            f"{extra:,} bytes follow the end record ({what}).", path=source.name, offset=start + found + 22
        )
    return rules.MissingEndRecord(
        f"The file was cut short: it ends after {source.size:,} bytes, before its directory.",
        path=source.name,
        offset=source.size,
    )
