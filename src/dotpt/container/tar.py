"""The tar container of torch 0.1: four members in a POSIX tar, uncompressed, read where they lie.

Byte layout (one block = 512 bytes; every member starts on a block)::

    header block   name, 0-100 | mode, owner | size, 124-136, octal | checksum, 148-156 | kind, 156 | "ustar", 257
    content        padded with zeros to whole blocks
    ...            sys_info, pickle, tensors, storages, each once; before one, perhaps a block of kind "x" (pax) whose
                   content is lines of "LENGTH KEY=VALUE", of which only "size" concerns us (storages over 8 GiB)
    two blocks of zeros, then zeros to a multiple of 10,240 bytes

Nothing is extracted. Only these four names, as regular files, are accepted: links, devices, sparse files, folders,
other names and names in pax headers are what tar attacks are made of, and torch wrote none of them.
"""

from __future__ import annotations

from typing import NoReturn

from dotpt.container.record import Record, RecordTable
from dotpt.errors import LimitExceeded, RecordMissing, TarError, TruncatedFile
from dotpt.limits import DEFAULT_LIMITS, MIB, Limits
from dotpt.source.base import Source
from dotpt.source.windows import Windows

BLOCK = 512
MEMBERS = ("sys_info", "pickle", "tensors", "storages")
_MAGICS = (b"ustar\x0000", b"ustar  \0")
_MAX_PAX = 64 * BLOCK
_ZEROS = bytes(BLOCK)
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder", b"6": "a pipe",
    b"7": "a contiguous file", b"g": "a global header", b"L": "a GNU long name", b"K": "a GNU long link name",
    b"S": "a sparse file",
}  # fmt: skip


class TarContainer(RecordTable):
    """The members of a tar of torch 0.1, and the storages that a reader finds in one of them.

    Attributes:
        end: the first byte after the tar's end blocks.
    """

    kind = "tar"
    absent = "The tar has no such record."

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(source, limits)
        self._windows = Windows(source)
        self._read_members()
        missing = [name for name in MEMBERS if name not in self._records]
        if missing:
            raise RecordMissing(
                f"The tar has no {missing[0]}.", path=source.name, record=missing[0], hint="get the file again"
            )

    def add(self, name: str, offset: int, size: int) -> Record:
        """Note a run of bytes within a member as a record of its own."""
        record = self._records[name] = Record(name, offset, size, size)
        return record

    # -- the headers ----------------------------------------------------------------------------------------------

    def _read_members(self) -> None:
        position, wide_size = 0, -1
        while (block := self._block(position)) != _ZEROS:
            kind, name, size = self._header(block, position)
            if kind == b"x":
                if wide_size >= 0:
                    self._refuse("Two pax headers precede one member.", position)
                wide_size = self._pax_size(position + BLOCK, size, size)
            elif kind not in (b"0", b"\0"):
                self._refuse(f"The member {name!r:.60} is {_KINDS.get(kind, 'of an unknown kind')}.", position)
            elif name not in MEMBERS:
                self._refuse(f"The tar has a member {name!r:.60}, which torch never wrote.", position)
            elif name in self._records:
                self._refuse(f"The tar has two members {name}.", position)
            else:
                size = wide_size if wide_size > 0 else size
                self._check_room(name, position + BLOCK, size)
                self._records[name] = Record(name, position + BLOCK, size, size)
                wide_size = -1
            position = self._after(position + BLOCK, size)
        if wide_size >= 0:
            self._refuse("A pax header precedes no member.", position)
        self._check_end(position)

    def _block(self, position: int) -> bytes:
        if position + BLOCK > self.source.size:
            raise self._cut(position + BLOCK)
        return bytes(self._windows.read(position, BLOCK))

    def _header(self, block: bytes, position: int) -> tuple[bytes, str, int]:
        """Kind, name and size of a member. A checksum over the block keeps accidents out."""
        total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
        if block[257:265] not in _MAGICS or self._octal(block[148:156], position) != total:
            self._refuse("A header of the tar is damaged: its magic or checksum is wrong.", position)
        if block[345:500].strip(b"\0"):
            self._refuse("A member's name has a folder before it, which torch never wrote.", position)
        name = block[:100].partition(b"\0")[0].decode("utf-8", "backslashreplace")
        return block[156:157], name, self._octal(block[124:136], position)

    def _octal(self, field: bytes, position: int) -> int:
        digits = field.strip(b" \0")
        if not digits or digits.strip(b"01234567"):
            self._refuse("A number in a header of the tar is not octal.", position)
        return int(digits, 8)

    def _pax_size(self, offset: int, length: int, known: int) -> int:
        """The size that a pax header gives the next member, or 0 if it gives none."""
        if length > _MAX_PAX:
            raise LimitExceeded("header_bytes", length, _MAX_PAX, path=self.source.name, offset=offset, hint=None)
        self._check_room("pax header", offset, length)
        text, at, size = bytes(self._windows.read(offset, length)), 0, 0
        while at < len(text):
            digits = text[at : at + 8].partition(b" ")[0]
            stop = at + int(digits) if digits.isdigit() else 0
            key, equals, value = text[at + len(digits) + 1 : max(stop - 1, 0)].partition(b"=")
            if not at < stop <= len(text) or text[stop - 1 : stop] != b"\n" or not equals:
                self._refuse("A pax header of the tar is malformed.", offset + at)
            if key == b"size":
                if not value.isdigit() or len(value) > 18:
                    self._refuse("A size in a pax header is not a number.", offset + at)
                size = int(value)
            elif key in (b"path", b"linkpath", b"hdrcharset") or key.startswith(b"GNU.sparse"):
                self._refuse(f"A pax header changes the member's {key.decode('ascii', 'replace')}.", offset + at)
            at = stop
        return size

    def _after(self, offset: int, size: int) -> int:
        """The block after a content, whose padding must be empty."""
        end = offset + size
        stop = end + -size % BLOCK
        if stop > self.source.size:
            raise self._cut(stop)
        if stop > end and bytes(self._windows.read(end, stop - end)).strip(b"\0"):
            self._refuse("The padding behind a member is not empty.", end)
        return stop

    def _check_room(self, name: str, offset: int, size: int) -> None:
        if offset + size > self.source.size:
            raise self._cut(offset + size, name)

    def _check_end(self, position: int) -> None:
        """Two blocks of zeros, and nothing but zeros behind them."""
        if self._block(position + BLOCK) != _ZEROS:
            self._refuse("The tar goes on behind its end.", position + BLOCK)
        self.end = position + 2 * BLOCK
        rest = self.source.size - self.end
        if rest > MIB or self.source.read(self.end, rest).strip(b"\0"):
            self._refuse(f"{rest:,} bytes follow the end of the tar.", self.end)

    # -- errors ---------------------------------------------------------------------------------------------------

    def _cut(self, needed: int, record: str | None = None) -> TruncatedFile:
        return TruncatedFile(
            f"The file was cut short: it ends after {self.source.size:,} bytes, before its last block.",
            path=self.source.name,
            record=record,
            offset=self.source.size,
            found=self.source.size,
            expected=needed,
            hint="copy or download it again",
        )

    def _refuse(self, problem: str, offset: int) -> NoReturn:
        raise TarError(
            problem,
            path=self.source.name,
            offset=offset,
            hint="the file is damaged or made to mislead: get it again from its author",
        )
