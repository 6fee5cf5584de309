"""An id is given to a parameter only where every assignment that keeps the order agrees."""

from __future__ import annotations

from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from dotpt.models.optimizer_alignment import align

A, B, C = (1,), (2,), (3, 3)
shapes = st.sampled_from([A, B])
slots = st.lists(st.one_of(shapes, st.none()), max_size=3)


def assignments(groups: list[list[object]], candidates: list[object], allowed: object = None) -> list[tuple[int, ...]]:
    """Every way to give the slots candidates, in order within each group, none twice; by trying them all."""
    ways = []
    for at, group in enumerate(groups):
        reach = range(len(candidates)) if allowed is None else sorted(allowed[at])  # type: ignore[index]
        ways.append([
            numbers for numbers in combinations(reach, len(group))
            if all(want in (None, candidates[n]) for want, n in zip(group, numbers, strict=True))
        ])  # fmt: skip
    flat = [sum(choice, ()) for choice in product(*ways)]
    return [numbers for numbers in flat if len(set(numbers)) == len(numbers)]


@settings(deadline=None, max_examples=400)
@given(st.lists(slots, min_size=1, max_size=3), st.lists(shapes, max_size=6))
def test_what_is_settled_is_so_in_every_assignment(groups: list[list[object]], candidates: list[object]) -> None:
    found = align(groups, candidates)  # type: ignore[arg-type]
    possible = assignments(groups, candidates)
    if found is None:
        assert not possible
        return
    flat = [number for group in found for number in group]
    for numbers in possible:
        assert all(got in (None, n) for got, n in zip(flat, numbers, strict=True))


@settings(deadline=None)
@given(st.lists(shapes, max_size=8), st.data())
def test_one_group_that_has_only_one_assignment_is_settled(candidates: list[object], data: st.DataObject) -> None:
    picked = sorted(data.draw(st.sets(st.integers(0, max(len(candidates) - 1, 0))))) if candidates else []
    group = [candidates[n] for n in picked]
    possible = assignments([group], candidates)
    if len(possible) == 1:
        assert align([group], candidates) == [list(possible[0])]  # type: ignore[arg-type,list-item]


def test_decay_and_no_decay_interleave() -> None:
    weights = [C, A, C, A, C, A]
    assert align([[C, C, C], [A, A, A]], weights) == [[0, 2, 4], [1, 3, 5]]


def test_one_group_settled_leaves_the_rest_to_the_other() -> None:
    assert align([[A, C], [A]], [A, C, A]) == [[0, 1], [2]]


def test_what_could_be_either_stays_open() -> None:
    assert align([[A]], [A, A]) == [[None]]
    assert align([[C, A]], [C, A, A]) == [[0, None]]


def test_where_a_group_may_reach() -> None:
    assert align([[A], [A]], [A, A]) == [[None], [None]]
    assert align([[A], [A]], [A, A], [{1}, {0}]) == [[1], [0]]
    assert align([[A]], [A, A], [frozenset()]) is None


def test_two_groups_that_need_the_same_one_have_no_assignment() -> None:
    assert align([[A], [A]], [A]) is None


def test_ten_thousand_parameters_take_no_time() -> None:
    layer: list[tuple[int, ...]] = [(8, 8), (8,), (8, 8), (8,)]
    weights = layer * 2500
    groups = [[shape for shape in weights if len(shape) == 2], [shape for shape in weights if len(shape) == 1]]
    found = align(groups, weights)
    assert found is not None
    assert sorted(number or 0 for group in found for number in group) == list(range(10_000))
