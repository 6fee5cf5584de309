"""What crosses this boundary: a storage on its way from memory into a file.

Its bytes are fetched only when they are written, a piece at a time, so that a save needs no memory of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from dotpt.tensors.dtypes import DType

PIECE = 8 << 20  # bytes fetched at once from memory that must be copied first: a device's, or the other byte order
_ALONE = 1 << 20  # a range of so many bytes is written by itself; smaller ones are gathered

# The bytes from `begin` to `end` of a storage, valid until the next call.
Fetch = Callable[[int, int], memoryview]


class Outgoing:
    """A storage to be written.

    Attributes:
        key: its name in the file: ``0``, ``1``, ... in the order in which the pickle names them.
        dtype: the type of the first tensor that looks at it.
        location: where it lives: ``cpu``, ``cuda:0``, ...
        nbytes: bytes in memory.
        address: where in memory, if the CPU can read it there as it is to be written.
        fetch: gives its bytes, if it cannot.
        keep: what must stay alive until it is written.
        ranges: the (first, behind the last) bytes that are written, if not all.
        written: how many that are.
    """

    __slots__ = ("address", "dtype", "fetch", "keep", "key", "location", "nbytes", "ranges", "written")

    def __init__(
        self,
        key: str,
        dtype: DType,
        location: str,
        nbytes: int,
        keep: Any,
        address: int = 0,
        fetch: Fetch | None = None,
    ) -> None:
        self.key = key
        self.dtype = dtype
        self.location = location
        self.nbytes = self.written = nbytes
        self.keep = keep
        self.address = address
        self.fetch = fetch
        self.ranges: list[tuple[int, int]] | None = None

    def cut(self, ranges: list[tuple[int, int]]) -> None:
        """Write these byte ranges alone."""
        self.ranges = ranges
        self.written = sum(end - begin for begin, end in ranges)

    def content(self) -> bytes:
        """A copy of all that is written, which nobody changes any more: for small storages."""
        if self.ranges is None and self.fetch is None:
            return ctypes.string_at(self.address, self.nbytes)
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[memoryview]:
        """What is written, in order; each piece is valid until the next is asked for."""
        if self.ranges is None:
            yield from self._stepwise(0, self.nbytes)
            return
        gathered: list[tuple[int, int]] = []
        for begin, end in self.ranges:
            if gathered and (end - gathered[0][0] > PIECE or end - begin >= _ALONE):
                yield self._together(gathered)
                gathered = []
            if end - begin >= _ALONE:
                yield from self._stepwise(begin, end)
            else:
                gathered.append((begin, end))
        if gathered:
            yield self._together(gathered)

    def _bytes(self, begin: int, end: int) -> memoryview:
        if self.fetch is not None:
            return self.fetch(begin, end)
        return memoryview((ctypes.c_ubyte * (end - begin)).from_address(self.address + begin)).cast("B")

    def _stepwise(self, begin: int, end: int) -> Iterator[memoryview]:
        step = PIECE if self.fetch is not None else max(end - begin, 1)
        for at in range(begin, end, step):
            yield self._bytes(at, min(at + step, end))

    def _together(self, ranges: list[tuple[int, int]]) -> memoryview:
        """Small ranges that lie close to each other, as one piece."""
        first = ranges[0][0]
        window = self._bytes(first, ranges[-1][1])
        return memoryview(b"".join([window[begin - first : end - first] for begin, end in ranges]))
