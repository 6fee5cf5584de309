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
        self._start = 0
        self._window = memoryview(b"")
        self._previous = 0
        self._buffer = memoryview(bytearray(0))

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """The bytes at ``offset``, as `Source.read` gives them."""
        at = offset - self._start
        if 0 <= at and at + length <= len(self._window):
            return self._window[at : at + length]
        # In a file of large tensors these reads lie far apart (read little), in one of small tensors close.
        near = 0 <= offset - self._previous < self.NEAR
        size = max(length, min(self.WIDE if near else self.NARROW, self._source.size - offset))
        self._start = self._previous = offset
        if size <= self.NARROW:
            self._window = memoryview(self._source.read(offset, size))
        else:
            self._source.check_range(offset, length)
            if len(self._buffer) < size:
                self._buffer = memoryview(bytearray(size))
            self._window = self._buffer[:size]
            self._source.read_into(offset, self._window)
        return self._window[:length]
