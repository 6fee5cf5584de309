"""Many small reads of one source, served from a window that is read at once."""

from __future__ import annotations

from dotpt.source.base import Source


class Windows:
    """Reads of neighbouring small ranges. A result is valid until the next read."""

    WIDE = 1 << 20
    NARROW = 4096
    NEAR = 1 << 16

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start = self._end = self._previous = 0
        self._window: bytes | memoryview = b""
        self._buffer = memoryview(b"")

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """The bytes at ``offset``, as `Source.read` gives them."""
        start = self._start
        if start <= offset and offset + length <= self._end:
            return self._window[offset - start : offset - start + length]
        source = self._source
        # In a file of large tensors these reads lie far apart (read little), in one of small tensors close.
        near = 0 <= offset - self._previous < self.NEAR
        size = max(length, min(self.WIDE if near else self.NARROW, source.size - offset))
        if size <= self.NARROW:
            self._window = source.read(offset, size)
        else:
            source.check_range(offset, size)
            if len(self._buffer) < size:
                self._buffer = memoryview(bytearray(size))
            self._window = self._buffer[:size]
            source.read_into(offset, self._window)
        self._start = self._previous = offset
        self._end = offset + size
        return self._window[:length]
