"""What crosses this boundary: how tensors look at one storage in, the smallest storage that serves them all out.

A view of a large storage (a slice, a chunk of a flat buffer) keeps all of it alive, and torch.save writes all of it.
Here only what the views use together is kept, in its order, so that views that overlapped still do. Two steps:

* what lies before, between and behind the *spans* of the views (first to last element) is cut out; strides stay;
* the gaps *inside* a view (a column of a wide matrix) are closed too, if that saves much: then its strides shrink.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

_WORTH = 4096  # bytes: gaps inside a view are closed when at least this, and half of what is left, is saved
_MOST_RUNS = 1 << 18  # a view in more pieces than this is kept with its gaps: finding them would take long


class View(NamedTuple):
    """How a tensor looks at its storage, in elements."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Compacted(NamedTuple):
    """A smaller storage.

    Attributes:
        ranges: (first, behind the last) of the elements of the old storage that make up the new one, in order.
        views: the views in the new storage, in the order in which they were given.
    """

    ranges: list[tuple[int, int]]
    views: list[View]

    @property
    def numel(self) -> int:
        """Elements of the new storage."""
        return sum(end - begin for begin, end in self.ranges)


def compact(numel: int, itemsize: int, views: Sequence[View]) -> Compacted | None:
    """The smallest storage for these views of one that has ``numel`` elements; None if all of it is in use.

    Example:
        >>> compact(1000, 4, [View(100, (10,), (1,)), View(105, (10,), (1,))])
        Compacted(ranges=[(100, 115)], views=[View(offset=0, shape=(10,), strides=(1,)), \
View(offset=5, shape=(10,), strides=(1,))])
    """
    spans = [_span(view) for view in views]
    ranges = _merged([span for span in spans if span[0] < span[1]])
    kept = sum(end - begin for begin, end in ranges)
    used = sum(_distinct(view) for view in views)
    if used * 2 <= kept and (kept - used) * itemsize >= _WORTH:
        closed = _without_gaps(views)
        if closed is not None and closed.numel * 2 <= kept and (kept - closed.numel) * itemsize >= _WORTH:
            return closed
    if kept == numel:
        return None
    return Compacted(ranges, [_moved(view, span, ranges) for view, span in zip(views, spans, strict=True)])


def _span(view: View) -> tuple[int, int]:
    if 0 in view.shape:
        return view.offset, view.offset
    reach = sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    return view.offset, view.offset + reach + 1


def _distinct(view: View) -> int:
    """Elements of the storage that a view looks at (an expanded dimension looks at the same ones again)."""
    total = 1
    for size, stride in zip(view.shape, view.strides, strict=True):
        total *= size if stride or not size else 1
    return total


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = merged[-1][0], end
        else:
            merged.append((begin, end))
    return merged


def _moved(view: View, span: tuple[int, int], ranges: list[tuple[int, int]]) -> View:
    if span[0] == span[1]:
        return view._replace(offset=0)
    before = 0
    for begin, end in ranges:
        if begin <= span[0] < end:
            return view._replace(offset=before + span[0] - begin)
        before += end - begin
    raise AssertionError("a view lies in none of the ranges that were made of it")


# -- gaps inside views ------------------------------------------------------------------------------------------------


class _Runs(NamedTuple):
    """A view as runs of neighbouring elements: their length, where each begins, and the dimensions that step on."""

    length: int
    begins: np.ndarray[Any, Any]  # one axis for each of `outer`
    outer: list[int]


def _without_gaps(views: Sequence[View]) -> Compacted | None:
    import numpy as np

    cut = []
    for view in views:
        runs = _runs(view)
        if runs is None:
            return None
        cut.append(runs)
    begins = np.concatenate([runs.begins.ravel() for runs in cut])
    ends = np.concatenate([(runs.begins + runs.length).ravel() for runs in cut])
    order = np.argsort(begins, kind="stable")
    begins, ends = begins[order], np.maximum.accumulate(ends[order])
    fresh = np.concatenate(([True], begins[1:] > ends[:-1]))  # a run that does not touch those before it
    firsts = begins[fresh]
    lasts = ends[np.concatenate((np.flatnonzero(fresh)[1:] - 1, [len(ends) - 1]))]
    moved = np.concatenate(([0], np.cumsum(lasts - firsts)[:-1]))
    placed = []
    for view, runs in zip(views, cut, strict=True):
        which = np.searchsorted(firsts, runs.begins, side="right") - 1
        new = _restrided(view, runs, moved[which] + runs.begins - firsts[which])
        if new is None:
            return None
        placed.append(new)
    return Compacted(list(zip(firsts.tolist(), lasts.tolist(), strict=True)), placed)


def _runs(view: View) -> _Runs | None:
    """The runs of a view, None if there are too many or it has no elements."""
    import numpy as np

    if 0 in view.shape:
        return None
    length = 1
    outer: list[int] = []
    dimensions = [at for at, size in enumerate(view.shape) if size > 1 and view.strides[at]]
    for at in sorted(dimensions, key=lambda at: view.strides[at]):
        if view.strides[at] == length and not outer:
            length *= view.shape[at]
        else:
            outer.append(at)
    count = 1
    for at in outer:
        count *= view.shape[at]
    if count > _MOST_RUNS:
        return None
    begins = np.full((1,) * len(outer), view.offset, dtype=np.int64)
    for axis, at in enumerate(outer):
        steps = np.arange(view.shape[at], dtype=np.int64) * view.strides[at]
        begins = begins + steps.reshape([-1 if other == axis else 1 for other in range(len(outer))])
    return _Runs(length, begins, outer)


def _restrided(view: View, runs: _Runs, places: np.ndarray[Any, Any]) -> View | None:
    """The view with its runs at new places; None if those are not evenly spaced."""
    strides = list(view.strides)
    for axis, at in enumerate(runs.outer):
        first, second = places.take(0, axis), places.take(1, axis)
        step = int((second - first).flat[0])
        lengthened = places.take(range(1, places.shape[axis]), axis) - places.take(range(places.shape[axis] - 1), axis)
        if not (lengthened == step).all():
            return None
        strides[at] = step
    return View(int(places.flat[0]), view.shape, tuple(strides))
