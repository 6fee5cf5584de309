"""Numbers, sizes, shapes and strangers' names as text for people. Nothing here knows of screens or colors."""

from __future__ import annotations

from collections.abc import Sequence

from dotpt.errors import readable

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def one_line(text: object) -> str:
    """A stranger's words on one line, with nothing in them that a terminal obeys.

    Example:
        >>> one_line("a" + chr(10) + "b")
        'a\\\\nb'
    """
    return readable(str(text)).replace("\n", "\\n")


def size(count: float) -> str:
    """Bytes for people, in decimal units and three digits.

    Example:
        >>> size(999), size(37632), size(46_827_520)
        ('999 B', '37.6 kB', '46.8 MB')
    """
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{int(value)} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f} {_SIZES[unit]}"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A count and its noun.

    Example:
        >>> plural(1, "tensor"), plural(1200, "tensor")
        ('1 tensor', '1,200 tensors')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def shape(sizes: Sequence[int]) -> str:
    """A shape as torch writes it; a star where the components of a nested tensor differ.

    Example:
        >>> shape((64, 3))
        '[64, 3]'
    """
    return f"[{', '.join('*' if size < 0 else str(size) for size in sizes)}]"


def listed(items: Sequence[str], most: int = 3) -> str:
    """Some names, and how many there are beyond them.

    Example:
        >>> listed(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown


def number(value: float) -> str:
    """A number in at most six digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
