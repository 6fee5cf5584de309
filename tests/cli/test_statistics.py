"""Figures counted piece by piece are those of numpy on the whole."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from dotpt.cli.pieces import blocks
from dotpt.cli.statistics import Histogram, Statistics
from dotpt.tensors.refs import contiguous_strides

RANDOM = np.random.default_rng(7)


def counted(*pieces):
    statistics = Statistics()
    for piece in pieces:
        statistics.add(piece)
    return statistics


@pytest.mark.parametrize(
    "array",
    [
        RANDOM.normal(3, 2, 10_000),
        RANDOM.normal(1e6, 1e-3, 10_000),
        RANDOM.normal(0, 1e-30, 1000).astype(np.float32),
        RANDOM.integers(-100, 100, 5000, np.int8),
        RANDOM.integers(0, 2**63, 1000, np.uint64) * 2 + 1,
        RANDOM.integers(0, 2, 1000).astype(bool),
        RANDOM.normal(0, 1, 999).astype(np.float16),
        np.zeros(10),
        np.array(3.5),
    ],
    ids=lambda array: f"{array.dtype}-{array.size}",
)
def test_moments_and_extremes(array):
    flat = array.reshape(-1)
    statistics = counted(*np.array_split(flat, 7))
    exact = flat.astype(np.float64)
    assert statistics.count == flat.size
    assert statistics.least == flat.min()
    assert statistics.largest == flat.max()
    assert statistics.zeros == int((flat == 0).sum())
    assert statistics.mean == pytest.approx(exact.mean(), rel=1e-12, abs=1e-300)
    assert statistics.std == pytest.approx(exact.std(), rel=1e-9, abs=1e-300)
    assert sum(count for _, _, count in statistics.histogram.bins) == flat.size


def test_whole_numbers_keep_every_digit():
    assert counted(np.array([2**63 - 1, -(2**63)], np.int64)).to_dict()["max"] == 2**63 - 1
    assert counted(np.array([2**64 - 1], np.uint64)).largest == 2**64 - 1


def test_what_is_not_finite_is_counted_apart():
    statistics = counted(np.array([np.nan, 1.0, np.inf]), np.array([-np.inf, 3.0, -np.inf]), np.array([np.nan]))
    figures = statistics.to_dict()
    assert (figures["nan"], figures["posinf"], figures["neginf"], figures["count"]) == (2, 1, 2, 7)
    assert (figures["min"], figures["max"], figures["mean"], figures["std"]) == (1.0, 3.0, 2.0, 1.0)


def test_nothing_finite_and_nothing_at_all():
    for statistics in (counted(np.array([np.nan])), counted(), counted(np.zeros((0, 3)))):
        assert (statistics.least, statistics.mean, statistics.std) == (None, None, None)
        assert statistics.histogram.bins == []


def test_magnitudes_of_complex_numbers():
    statistics = counted(np.array([3 + 4j, 0, complex("inf"), complex("nan")], np.complex64))
    assert (statistics.least, statistics.largest, statistics.zeros) == (0.0, 5.0, 1)
    assert (statistics.posinf, statistics.nan) == (1, 1)


def test_extreme_magnitudes_do_not_warn():
    statistics = counted(np.array([1.7e308, -1.7e308, 5e-324]), np.array([1.7e308]))
    assert statistics.largest == 1.7e308
    assert statistics.to_dict()["std"] == "Infinity"


@pytest.mark.parametrize("scale", [1e-300, 1e-5, 1.0, 1e20, 1e300])
@pytest.mark.parametrize("shift", [0, 1000])
def test_bins_hold_what_they_say(scale, shift):
    values = (RANDOM.normal(shift, 1, 5000)) * scale
    histogram = Histogram()
    for piece in np.array_split(values, 9):
        histogram.add(piece)
    bins = histogram.bins
    assert 2 <= len(bins) <= 16
    for low, high, count in bins:
        assert count == int(((values >= low) & (values < high)).sum())
        assert math.frexp(high - low)[0] == 0.5  # a power of two
    assert all(a[1] == b[0] for a, b in pairwise(bins))


def test_an_outlier_widens_the_bins():
    histogram = Histogram()
    histogram.add(np.linspace(0, 1, 100))
    histogram.add(np.array([1e9, -1e9]))
    assert sum(count for _, _, count in histogram.bins) == 102
    assert len(histogram.bins) <= 16


def test_one_value_is_one_bin():
    for value in (0.0, 1.0, -3.25, 1e300, 5e-324):
        histogram = Histogram()
        histogram.add(np.full(10, value))
        histogram.add(np.full(10, value))
        (only,) = histogram.bins
        assert only[0] <= value < only[1]
        assert only[2] == 20


def test_bins_of_whole_numbers_are_whole():
    histogram = Histogram()
    histogram.add(np.array([0.0, 1.0, 2.0, 5.0]), whole=True)
    assert histogram.bins == [(0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 4, 0), (4, 5, 0), (5, 6, 1)]


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((1000,), None),
        ((7, 11, 13), None),
        ((3, 1, 500), None),
        ((50, 40), (1, 50)),
        ((4, 5, 6), (1, 24, 4)),
        ((300, 300), (0, 0)),
        ((20, 30), (0, 1)),
        ((10, 10), (1000, 1)),
        ((5,), (10_000,)),
        ((), ()),
        ((3, 0, 4), None),
    ],
)
@pytest.mark.parametrize("most", [1, 7, 100, 10_000])
def test_blocks_cover_everything_once(shape, strides, most):
    strides = contiguous_strides(shape) if strides is None else strides
    seen = np.zeros(shape, np.int64)
    for block in blocks(shape, strides, most):
        seen[block] += 1
        sizes = seen[block].shape
        count = math.prod(sizes)
        span = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        assert max(count, span) <= most or count == 1
    assert (seen == 1).all()
