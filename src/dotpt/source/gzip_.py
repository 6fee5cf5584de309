"""What crosses this boundary: a source that is a gzip stream in, a source of its content out.

    1f 8b 08  flags  time(4)  xfl os | [extra] [name\0] [comment\0] [crc16] | deflate ... | crc32(4) length(4)

RFC 1952. Several such members may follow each other, then zero bytes. Invariants: the content is checked against
the checksum and length of every member before a byte of it is handed out, and it is bounded by
``limits.inflated_bytes`` and ``limits.inflate_ratio``. The header is read here and only raw deflate is left to the
library, because zlib and isal report a wrong checksum, a wrong length and a cut stream each in its own words.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dotpt.errors import ChecksumMismatch, ContainerError, LimitExceeded, TruncatedFile
from dotpt.limits import MIB, Limits
from dotpt.source.base import Source
from dotpt.source.local import FileSource
from dotpt.source.memory import BytesSource
from dotpt.source.spool import Spool

MAGIC = b"\x1f\x8b\x08"

_PIECE = 1 * MIB
_REMOTE_PIECE = 16 * MIB  # a round trip each
_NAME_BYTES = 64 * 1024
_HEADER_CRC, _EXTRA, _NAME, _COMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0


def is_gzip(source: Source) -> bool:
    """Whether the source begins as a gzip stream does."""
    return source.size >= len(MAGIC) and source.read(0, len(MAGIC)) == MAGIC


def unwrap_gzip(source: Source, limits: Limits) -> BytesSource | FileSource:
    """The content of a gzip stream, decompressed into memory or, beyond 64 MiB, an unnamed temporary file.

    Raises:
        TruncatedFile: the stream ends early.
        ChecksumMismatch: the content is not what was compressed.
        ContainerError: the stream is damaged, or something else follows it.
        LimitExceeded: the content is larger than the limits allow.
    """
    compressed = _Compressed(source)
    library = _library()
    with Spool(source.name) as spool:
        while True:
            _skip_header(compressed)
            _inflate_member(compressed, spool, library, limits)
            if not compressed.skip_zeros():
                break
            if compressed.exactly(2) != MAGIC[:2]:
                raise compressed.damaged("something that is not gzip follows the stream")
            compressed.put_back(MAGIC[:2])
        content = spool.finish()
    content.wrapped = "gzip"
    return content


def _library() -> Any:
    """isal inflates several times as fast as zlib. Not every platform has it."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return import_module("zlib")


class _Compressed:
    """The compressed bytes, in order, with what was read ahead of need."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._next = 0
        self._ahead = b""
        self._piece = _REMOTE_PIECE if source.remote else _PIECE

    @property
    def position(self) -> int:
        return self._next - len(self._ahead)

    def piece(self) -> bytes:
        """The next bytes, as many as come at once; none at the end."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        length = min(self._piece, self._source.size - self._next)
        self._next += length
        return self._source.read(self._next - length, length)

    def put_back(self, data: bytes) -> None:
        self._ahead = data + self._ahead

    def exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.piece()
            if not more:
                raise self.truncated()
            data += more
        self.put_back(data[length:])
        return data[:length]

    def skip_text(self) -> bytes:
        """Skip a text that ends with a zero byte, and return it with that."""
        text = b""
        while len(text) <= _NAME_BYTES:
            before, zero, after = self.piece().partition(b"\0")
            text += before + zero
            if zero:
                self.put_back(after)
                return text
            if not before:
                raise self.truncated()
        raise self.damaged("a name in its header does not end")

    def skip_zeros(self) -> bool:
        """Skip the padding, and say whether something follows it."""
        while data := self.piece():
            if rest := data.lstrip(b"\0"):
                self.put_back(rest)
                return True
        return False

    def truncated(self) -> TruncatedFile:
        hint = "the file was cut short: copy or download it again"
        return TruncatedFile("The gzip stream ends early.", path=self._source.name, offset=self.position, hint=hint)

    def damaged(self, what: str) -> ContainerError:
        return ContainerError(f"The gzip stream is damaged: {what}.", path=self._source.name, offset=self.position)

    def mismatch(self, what: str, found: int, expected: int) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"The content of the gzip stream has another {what} than was written.",
            path=self._source.name,
            offset=self.position,
            found=found,
            expected=expected,
            hint="the file is damaged: copy or download it again",
        )

    def check_limits(self, size: int, limits: Limits) -> None:
        if size > limits.inflated_bytes:
            raise LimitExceeded("inflated_bytes", size, limits.inflated_bytes, path=self._source.name)
        if size > max(MIB, limits.inflate_ratio * self._source.size):
            ratio = -(-size // self._source.size)
            raise LimitExceeded("inflate_ratio", ratio, limits.inflate_ratio, path=self._source.name)


def _skip_header(compressed: _Compressed) -> None:
    header = compressed.exactly(10)
    flags = header[3]
    if not header.startswith(MAGIC) or flags & _RESERVED:
        raise compressed.damaged("its header is of an unknown kind")
    if flags & _EXTRA:
        compressed.exactly(int.from_bytes(compressed.exactly(2), "little"))
    if flags & _NAME:
        compressed.skip_text()
    if flags & _COMMENT:
        compressed.skip_text()
    if flags & _HEADER_CRC:
        compressed.exactly(2)


def _inflate_member(compressed: _Compressed, spool: Spool, library: Any, limits: Limits) -> None:
    engine = library.decompressobj(wbits=-15)  # raw deflate
    before, checksum = spool.size, 0
    while not engine.eof:
        waiting = engine.unconsumed_tail or compressed.piece()
        try:
            data = engine.decompress(waiting, _PIECE)
        except library.error as error:
            raise compressed.damaged("it does not follow the rules of deflate") from error
        if not data and not waiting:
            raise compressed.truncated()
        checksum = library.crc32(data, checksum)
        compressed.check_limits(spool.size + len(data), limits)
        spool.write(data)
    compressed.put_back(engine.unused_data)
    trailer = compressed.exactly(8)
    expected, length = int.from_bytes(trailer[:4], "little"), int.from_bytes(trailer[4:], "little")
    if checksum != expected:
        raise compressed.mismatch("checksum", checksum, expected)
    if (spool.size - before) & 0xFFFFFFFF != length:
        raise compressed.mismatch("length", (spool.size - before) & 0xFFFFFFFF, length)
