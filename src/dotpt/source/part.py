"""What crosses this boundary: a range of a source in, a source of its own out: a file within a file.

Invariant: nothing is copied, and nothing outside the range can be read.
"""

from __future__ import annotations

from dotpt.source.base import Source


class PartSource(Source):
    """The ``size`` bytes of ``whole`` from ``offset`` on. Closing it does not close the whole.

    Example:
        >>> from dotpt.source.memory import BytesSource
        >>> PartSource(BytesSource(b"abcdef"), 2, 3, "part").read(0, 3)
        b'cde'
    """

    def __init__(self, whole: Source, offset: int, size: int, name: str) -> None:
        whole.check_range(offset, size)
        self.name = name
        self.size = size
        self.remote = whole.remote
        self._whole, self._offset = whole, offset

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with the bytes from ``offset`` on."""
        self.check_range(offset, len(target))
        self._whole.read_into(self._offset + offset, target)

    def read(self, offset: int, length: int) -> bytes:
        """The ``length`` bytes from ``offset`` on."""
        self.check_range(offset, length)
        return self._whole.read(self._offset + offset, length)
