"""The arithmetic of smaller storages: whatever views there are, each sees the same elements afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dotpt.tensors import compact as module
from dotpt.tensors.compact import View, compact


@st.composite
def views(draw: st.DrawFn, numel: int) -> View:
    shape = tuple(draw(st.lists(st.integers(0, 6), max_size=3)))
    strides = tuple(draw(st.sampled_from([0, 1, 1, 2, 3, 5, 8, 21])) for _ in shape)
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if 0 not in shape else 0
    if reach >= numel:
        return View(0, (numel,), (1,))
    return View(draw(st.integers(0, numel - 1 - reach)), shape, strides)


def seen(array: np.ndarray, view: View) -> np.ndarray:
    if 0 in view.shape:
        return np.empty(view.shape, array.dtype)
    steps = [stride * array.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(array[view.offset :], view.shape, steps)


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from([0, 4096]))
def test_views_see_the_same(data: st.DataObject, worth: int) -> None:
    numel = data.draw(st.integers(1, 300))
    given_views = data.draw(st.lists(views(numel), min_size=1, max_size=4, unique=True))
    base = np.arange(numel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WORTH", worth)
        cut = compact(numel, 8, given_views)
    if cut is None:
        return
    smaller = np.concatenate([base[begin:end] for begin, end in cut.ranges] or [base[:0]])
    assert len(smaller) == cut.numel < numel
    for before, after in zip(given_views, cut.views, strict=True):
        assert (seen(base, before) == seen(smaller, after)).all()
        assert before.shape == after.shape
        if worth:  # nothing here is large enough for strides to change
            assert before.strides == after.strides


def test_a_slice() -> None:
    assert compact(1_000_000, 4, [View(3, (7,), (1,))]).ranges == [(3, 10)]


def test_all_of_it_is_in_use() -> None:
    assert compact(12, 4, [View(0, (3, 4), (1, 3))]) is None
    assert compact(12, 4, [View(0, (6,), (1,)), View(6, (6,), (1,))]) is None
    assert compact(12, 4, [View(0, (6,), (2,)), View(1, (6,), (2,))]) is None


def test_a_column_of_a_wide_matrix() -> None:
    cut = compact(1_000_000, 4, [View(2, (1000,), (1000,))])
    assert cut.numel == 1000
    assert cut.views == [View(0, (1000,), (1,))]


def test_columns_that_overlap_keep_doing_so() -> None:
    cut = compact(1_000_000, 4, [View(0, (1000,), (1000,)), View(0, (1000, 5), (1000, 1))])
    assert cut.numel == 5000
    assert cut.views == [View(0, (1000,), (5,)), View(0, (1000, 5), (5, 1))]


def test_small_gaps_stay() -> None:
    assert compact(100, 4, [View(0, (50,), (2,))]).views == [View(0, (50,), (2,))]


def test_views_that_cannot_be_moved_together_keep_their_gaps() -> None:
    irregular = [View(0, (300,), (1000,)), View(0, (299,), (1001,)), View(500, (100, 2), (3000, 1))]
    cut = compact(1_000_000, 4, irregular)
    assert [view.strides for view in cut.views] == [view.strides for view in irregular]


def test_nothing_but_empty_views() -> None:
    assert compact(1000, 4, [View(5, (0, 3), (3, 1))]).ranges == []
