"""What crosses this boundary: a file's bytes on their way to a sink, compared afterwards with what the disk holds."""

from __future__ import annotations

from typing import Any

from dotpt.container.crc import crc32
from dotpt.errors import ChecksumMismatch
from dotpt.source.base import Source
from dotpt.source.sink import Sink

_PIECE = 1 << 20


class ReadBack:
    """Hands everything on to ``sink``, and remembers its checksum."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._crc = 0
        self.reserve = sink.reserve

    def write(self, data: Any) -> None:
        """Write all of ``data``."""
        self._crc = crc32(data, self._crc)
        self._sink.write(data)

    def skip(self, size: int) -> None:
        """Leave a hole of ``size`` bytes, which is read as zeros."""
        zeros = bytes(min(size, _PIECE))
        for at in range(0, size, _PIECE):
            self._crc = crc32(zeros[: size - at], self._crc)
        self._sink.skip(size)

    def copy_from(self, source: Source, start: int, length: int) -> None:
        """Have the sink copy bytes of a source, which is read for their checksum."""
        buffer = memoryview(bytearray(min(length, _PIECE)))
        for at in range(0, length, _PIECE):
            piece = buffer[: length - at]
            source.read_into(start + at, piece)
            self._crc = crc32(piece, self._crc)
        self._sink.copy_from(source, start, length)

    def compare(self) -> None:
        """Read what the disk holds.

        Raises:
            ChecksumMismatch: it is not what was written.
        """
        crc, buffer = 0, memoryview(bytearray(_PIECE))
        with self._sink.reopen() as source:
            size = source.size
            for at in range(0, min(size, self._sink.position), _PIECE):
                piece = buffer[: min(_PIECE, self._sink.position - at)]
                source.read_into(at, piece)
                crc = crc32(piece, crc)
        if size != self._sink.position or crc != self._crc:
            raise ChecksumMismatch(
                "The disk does not hold what was written to it; the file that was there is untouched.",
                path=self._sink.name,
                found=f"{size:,} bytes, CRC {crc:08x}",
                expected=f"{self._sink.position:,} bytes, CRC {self._crc:08x}",
                hint="save to another disk, and check this one",
            )
