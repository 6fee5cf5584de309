"""A curve as one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=*#"
_GAP = " "


def sparkline(values: Sequence[float], width: int, *, unicode: bool = True) -> str:
    """The course of some values in at most ``width`` columns; each is the mean of those that fall into it.

    What is no number leaves a gap, what is infinite is drawn at the edge.

    Example:
        >>> sparkline([1.0, 2.0, 3.0, 4.0], 10), sparkline([4.0, float("nan"), 0.0], 10)
        ('▁▃▆█', '█ ▁')
    """
    marks = _BLOCKS if unicode else _ASCII
    means = [_mean(part) for part in _parts(values, width)]
    finite = [value for value in means if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_mark(value, low, high, marks) for value in means)


def _mark(value: float, low: float, high: float, marks: str) -> str:
    if math.isnan(value):
        return _GAP
    if math.isinf(value):
        return marks[-1] if value > 0 else marks[0]
    # halves, so that the distance of the largest floats does not overflow
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
    return marks[min(int(share * (len(marks) - 1) + 0.5), len(marks) - 1)]


def _parts(values: Sequence[float], width: int) -> list[Sequence[float]]:
    if len(values) <= width:
        return [[value] for value in values]
    bounds = [at * len(values) // width for at in range(width + 1)]
    return [values[begin:end] for begin, end in pairwise(bounds)]


def _mean(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    return sum(value / len(numbers) for value in numbers) if numbers else math.nan
