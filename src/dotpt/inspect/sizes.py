"""Sizes and counts for people."""

from __future__ import annotations

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size_text(size: int) -> str:
    """A size in decimal units, as file managers and download pages give it.

    Example:
        >>> size_text(12), size_text(1_234), size_text(4_000_000_000)
        ('12 bytes', '1.2 kB', '4.0 GB')
    """
    if size < 1000:
        return f"{size} byte{'' if size == 1 else 's'}"
    amount, unit = float(size), 0
    while amount >= 999.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}"


def of_sizes(part: int, whole: int) -> str:
    """Two sizes in the unit of the larger one.

    Example:
        >>> of_sizes(1_200_000_000, 4_000_000_000)
        '1.2 of 4.0 GB'
    """
    amount, unit = size_text(max(part, whole)).split()
    divisor = 1000 ** (_UNITS.index("bytes" if unit == "byte" else unit))
    shown = f"{part / divisor:.1f}" if divisor > 1 else str(part)
    if shown == amount and part != whole:  # nearly all of it: say so exactly
        return f"{part:,} of {whole:,} bytes"
    return f"{shown} of {amount} {unit}"


def count_text(count: int) -> str:
    """A large number of elements, short.

    Example:
        >>> count_text(999), count_text(1_234_567), count_text(70_000_000_000)
        ('999', '1.23 M', '70.0 B')
    """
    for divisor, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**4, "k")):
        if count >= divisor:
            amount = count / (divisor if divisor != 10**4 else 1000)
            return f"{amount:.2f} {unit}" if amount < 10 else f"{amount:.1f} {unit}"
    return f"{count:,}"
