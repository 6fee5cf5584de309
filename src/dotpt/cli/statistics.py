"""What a tensor's values amount to, counted piece by piece: nothing here holds more than one piece."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dotpt.cli.values import number

_ROWS = 16
_EXACT = 50  # bits: bin numbers stay exact in a float64


class Histogram:
    """Counts of values in bins whose width is a power of two, found while the values pass by once.

    When a value falls outside the rows that there are room for, the width doubles and neighbours are joined, which
    is exact. So there are between half and all of the rows at the end, with round bounds.
    """

    def __init__(self, rows: int = _ROWS) -> None:
        self._rows = rows
        self._power: int | None = None
        self._counts: dict[int, int] = {}

    def add(self, values: np.ndarray[Any, Any], *, whole: bool = False) -> None:
        """Count finite numbers (``whole``: they are integers, which need no bins narrower than 1)."""
        low, high = float(values.min()), float(values.max())
        # 2^power may not be so small that a bin's number would lose digits
        power = math.frexp(max(abs(low), abs(high)))[1] - _EXACT if low or high else -1000
        power = max(power, 0 if whole else -1000, -1000 if self._power is None else self._power)
        while True:
            shift = 0 if self._power is None else power - self._power
            first, last = math.floor(math.ldexp(low, -power)), math.floor(math.ldexp(high, -power))
            known = [place >> shift for place in self._counts]
            spread = max([last, *known]) - min([first, *known])
            if spread < self._rows:
                break
            power += max(1, spread.bit_length() - self._rows.bit_length())
        joined: dict[int, int] = {}
        for place, count in self._counts.items():
            joined[place >> shift] = joined.get(place >> shift, 0) + count
        places = np.floor(np.ldexp(values, -power)).astype(np.int64) - first
        for place, count in enumerate(np.bincount(places, minlength=1).tolist()):
            if count:
                joined[first + place] = joined.get(first + place, 0) + count
        self._counts, self._power = joined, power

    @property
    def bins(self) -> list[tuple[float, float, int]]:
        """(from, up to but not including, count), without gaps."""
        if self._power is None:
            return []
        width = math.ldexp(1.0, self._power)
        places = range(min(self._counts), max(self._counts) + 1)
        return [(place * width, (place + 1) * width, self._counts.get(place, 0)) for place in places]


@dataclass(slots=True)
class Statistics:
    """Counts and moments of values. Of complex numbers: of their magnitudes.

    Attributes:
        count: values seen.
        least, largest, mean, std: of the finite ones; None if there are none.
        zeros, nan, posinf, neginf: how many there are.
        histogram: of the finite ones.
    """

    count: int = 0
    least: float | None = None
    largest: float | None = None
    zeros: int = 0
    nan: int = 0
    posinf: int = 0
    neginf: int = 0
    histogram: Histogram = field(default_factory=Histogram)
    _finite: int = 0
    _mean: float = 0.0
    _squares: float = 0.0

    def add(self, piece: Any) -> None:
        """Count the values of one piece, an array of numbers."""
        array = np.asarray(piece).reshape(-1)
        if not array.size:
            return
        self.count += array.size
        with np.errstate(all="ignore"):
            exact = array.dtype.kind in "iub"
            values = _as_floats(array)
            if not exact:
                values = self._take_finite(values)
            if values.size:
                self._take_extremes(array if exact else values, exact)
                self._take_moments(values)
                self.histogram.add(values, whole=exact)

    def _take_finite(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        finite = np.isfinite(values)
        if not finite.all():
            self.nan += int(np.isnan(values).sum())
            self.posinf += int(np.isposinf(values).sum())
            self.neginf += int(np.isneginf(values).sum())
            values = values[finite]
        return values

    def _take_extremes(self, values: np.ndarray[Any, Any], exact: bool) -> None:
        low, high = (int(values.min()), int(values.max())) if exact else (float(values.min()), float(values.max()))
        self.least = low if self.least is None else min(self.least, low)
        self.largest = high if self.largest is None else max(self.largest, high)
        self.zeros += int(values.size - np.count_nonzero(values))

    def _take_moments(self, values: np.ndarray[Any, Any]) -> None:
        """Chan's way of joining the moments of two runs, which does not cancel as sums of squares do."""
        count, mean = values.size, float(values.mean())
        squares = float(((values - mean) ** 2).sum())
        total, delta = self._finite + count, mean - self._mean
        self._squares += squares + delta * delta * self._finite * count / total
        self._mean += delta * count / total
        self._finite = total

    @property
    def mean(self) -> float | None:
        """The mean of the finite values."""
        return self._mean if self._finite else None

    @property
    def std(self) -> float | None:
        """Their standard deviation (of the whole population, as numpy's)."""
        return math.sqrt(max(self._squares / self._finite, 0.0)) if self._finite else None

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, with names that torch and numpy use."""
        moments = {"min": self.least, "max": self.largest, "mean": self.mean, "std": self.std}
        figures: dict[str, Any] = {
            name: value if value is None or isinstance(value, int) else number(value) for name, value in moments.items()
        }
        counts = {
            "count": self.count,
            "zeros": self.zeros,
            "nan": self.nan,
            "posinf": self.posinf,
            "neginf": self.neginf,
        }
        return counts | figures


def _as_floats(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "c":
        magnitudes: np.ndarray[Any, Any] = np.abs(array.astype(np.complex128))
        return magnitudes
    return array.astype(np.float64)
