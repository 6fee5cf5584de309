"""CRC-32 (the zip polynomial) at memory speed: isal's where it is installed, else zlib's."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

_fast: Any
try:
    from isal import isal_zlib as _fast
except ImportError:  # no wheel for this platform: zlib's is right, and about ten times slower
    _fast = None

FAST: bool = _fast is not None
crc32: Callable[..., int] = (_fast or zlib).crc32
_combine: Any = getattr(_fast, "crc32_combine", None)


def crc32_combine(first: int, second: int, second_length: int) -> int:
    """The CRC-32 of two runs of bytes one after the other, from the CRC-32 of each.

    Example:
        >>> crc32_combine(crc32(b"ab"), crc32(b"cd"), 2) == crc32(b"abcd")
        True
    """
    if _combine is not None:
        return int(_combine(first, second, second_length))
    return _combine_with_matrices(first, second, second_length)


def _combine_with_matrices(first: int, second: int, length: int) -> int:
    """zlib's method: appending a zero bit is a linear map over GF(2); square it to append 2^k zero bytes."""
    if length <= 0:
        return first
    operator = [0xEDB88320] + [1 << bit for bit in range(31)]  # one zero bit
    for _ in range(3):  # 2, 4, 8 bits: one zero byte
        operator = [_apply(operator, row) for row in operator]
    while length:
        if length & 1:
            first = _apply(operator, first)
        length >>= 1
        if length:
            operator = [_apply(operator, row) for row in operator]
    return first ^ second


def _apply(operator: list[int], vector: int) -> int:
    total = 0
    for row in operator:
        if not vector:
            break
        if vector & 1:
            total ^= row
        vector >>= 1
    return total
