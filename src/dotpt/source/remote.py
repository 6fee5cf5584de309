"""What crosses this boundary: many small reads in, few larger requests out.

A reader of a container asks for its end, its beginning and some headers. Every request costs a round trip, so
small reads are served from blocks of 64 KiB of which the last few are kept, and ranges that lie near each other
are fetched together. Invariant: large reads go straight into the memory of the caller and are not kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from dotpt.limits import KIB, MIB
from dotpt.source.base import Source
from dotpt.source.failures import closed

BLOCK = 64 * KIB
BLOCKS_KEPT = 64
CACHED_READ = 256 * KIB  # a longer read bypasses the blocks
NEAR = 256 * KIB  # fetching so many bytes for nothing costs less than another round trip
JOINED_AT_MOST = 64 * MIB  # so that joining does not double the memory of large reads


class RemoteSource(Source):
    """Base of the sources whose reads are round trips. Subclasses implement `_fetch_into`.

    Args:
        name: what messages call the source.
        size: its length in bytes.
        known: an offset and the bytes there, where opening the source brought some already.
    """

    remote = True

    def __init__(self, name: str, size: int, known: tuple[int, bytes] = (0, b"")) -> None:
        self.name = name
        self.size = size
        self._known_offset, self._known = known
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    def _fetch_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target``, which is not empty and lies within the source, by a request."""
        raise NotImplementedError

    def _fetch_many(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes of every range, in order. For subclasses that can ask for several at once."""
        return (self.read(offset, length) for offset, length in ranges)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with the bytes from ``offset`` on."""
        self._check_open()
        length = len(target)
        self.check_range(offset, length)
        at = offset - self._known_offset
        if at >= 0 and at + length <= len(self._known):
            target[:] = memoryview(self._known)[at : at + length]
        elif length > CACHED_READ:
            self._fetch_into(offset, target)
        elif length:
            self._read_blocks(offset, target)

    def _read_blocks(self, offset: int, target: memoryview) -> None:
        wanted = range(offset // BLOCK, (offset + len(target) - 1) // BLOCK + 1)
        with self._lock:
            found = {index: self._blocks[index] for index in wanted if index in self._blocks}
        missing = [index for index in wanted if index not in found]
        if missing:
            start, end = missing[0] * BLOCK, min((missing[-1] + 1) * BLOCK, self.size)
            fetched = bytearray(end - start)
            self._fetch_into(start, memoryview(fetched))
            for index in range(missing[0], missing[-1] + 1):
                found[index] = bytes(fetched[index * BLOCK - start : (index + 1) * BLOCK - start])
        with self._lock:
            for index in wanted:
                self._blocks[index] = found[index]
                self._blocks.move_to_end(index)
            while len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        at = offset - wanted[0] * BLOCK
        target[:] = memoryview(b"".join(found[index] for index in wanted))[at : at + len(target)]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several ``(offset, length)`` ranges, those less than 256 KiB apart in one request."""
        self._check_open()
        for offset, length in ranges:
            self.check_range(offset, length)
        results = [b""] * len(ranges)
        groups = joined(ranges)
        for (start, _, members), data in zip(groups, self._fetch_many([group[:2] for group in groups]), strict=True):
            for member in members:
                offset, length = ranges[member]
                results[member] = data[offset - start : offset - start + length]
        return results

    def close(self) -> None:
        """Forget what was fetched."""
        self._closed = True
        self._known = b""
        with self._lock:
            self._blocks.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise closed(self.name)


def joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int, list[int]]]:
    """Group ranges that lie near each other: ``(offset, length, positions in ranges)`` of each group.

    Example:
        >>> joined([(1_000_000, 10), (0, 10), (20, 10)])
        [(0, 30, [1, 2]), (1000000, 10, [0])]
    """
    groups: list[tuple[int, int, list[int]]] = []
    for member in sorted(range(len(ranges)), key=lambda index: ranges[index]):
        offset, length = ranges[member]
        if not length:
            continue
        if groups:
            start, extent, members = groups[-1]
            end = max(start + extent, offset + length)
            if offset - (start + extent) < NEAR and end - start <= JOINED_AT_MOST:
                members.append(member)
                groups[-1] = (start, end - start, members)
                continue
        groups.append((offset, length, [member]))
    return groups
