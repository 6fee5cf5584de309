"""What crosses this boundary: bytes that come by once, in order, in; the hash of the ranges that matter out.

The hash is xxh3-128. It runs at the speed of memory, so beside a write or a read it costs nothing; it has 128 bits,
so two tensors with one hash are one tensor; and it is not made against an adversary: it finds damage, not forgery.
Every tool for xxHash gives the same one (``xxhsum -H2`` prints its bytes in this order).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import xxhash

# First byte in a record, and first byte behind the range.
Range = tuple[int, int]


# The hash of one run of bytes, as 32 hexadecimal digits.
hash_of: Callable[[Any], str] = xxhash.xxh3_128_hexdigest


class RangeHashes:
    """The hashes of some ranges of one record, which comes by from its first byte on. Ranges may overlap.

    Attributes:
        found: the hash of each range whose bytes have all been seen.

    Example:
        >>> hashes = RangeHashes([(0, 3), (2, 5)])
        >>> hashes.update(memoryview(b"abcd"))
        >>> hashes.update(memoryview(b"ef"))
        >>> hashes.found == {(0, 3): hash_of(b"abc"), (2, 5): hash_of(b"cde")}
        True
    """

    def __init__(self, ranges: Iterable[Range]) -> None:
        wanted = sorted(set(ranges), reverse=True)
        self.found: dict[Range, str] = {place: hash_of(b"") for place in wanted if place[0] == place[1]}
        self._coming = [place for place in wanted if place[0] < place[1]]  # the next one stands last
        self._begun: list[tuple[Range, Any]] = []
        self._position = 0

    def update(self, piece: memoryview, /) -> None:
        """Take the bytes that follow those before. Other threads run meanwhile, if it is a large piece."""
        start = self._position
        end = self._position = start + len(piece)
        if self._begun:
            self._go_on(piece, start, end)
        coming = self._coming
        while coming and coming[-1][0] < end:
            place = coming.pop()
            if place[1] <= end:
                self.found[place] = hash_of(piece[place[0] - start : place[1] - start])
            else:
                self._begun.append((place, xxhash.xxh3_128(piece[place[0] - start :])))

    def _go_on(self, piece: memoryview, start: int, end: int) -> None:
        unfinished = []
        for place, digest in self._begun:
            digest.update(piece[: place[1] - start] if place[1] < end else piece)
            if place[1] <= end:
                self.found[place] = digest.hexdigest()
            else:
                unfinished.append((place, digest))
        self._begun = unfinished
