"""Which parameter each saved id is, told from shapes and order alone.

What crosses this boundary: groups of slots (the saved ids, each with the shape of its state, or None where nothing is
kept for it) and candidates (the shapes of the weights, in order) in; for each slot the one candidate that it can be,
or None, out. Invariant: an answer is given only where every order-preserving assignment agrees on it.

A slot takes a candidate of its own shape; within a group, later slots take later candidates; no candidate is taken
twice; candidates may be left over (frozen parameters). For each group by itself, the earliest and the latest
assignment bound where a slot can go. Where the two agree the slot is settled, its candidate is out of the others'
reach, and the bounds are drawn again, until nothing changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Slot = tuple[int, int]  # group, place in it

_ROUNDS = 200  # each settles at least one slot; real optimizers need a handful


@dataclass(slots=True)
class _Board:
    groups: Sequence[Sequence[Shape | None]]
    candidates: Sequence[Shape]
    allowed: Sequence[Set[int] | None]
    settled: dict[Slot, int] = field(default_factory=dict)


def align(
    groups: Sequence[Sequence[Shape | None]],
    candidates: Sequence[Shape],
    allowed: Sequence[Set[int] | None] | None = None,
) -> list[list[int | None]] | None:
    """For each slot the only candidate that it can be, None where there are several; None if there is no assignment.

    Args:
        groups: the shapes of the slots, group by group; None for a slot that may have any shape.
        candidates: the shapes to choose from, in order.
        allowed: for each group, the candidates that it may use; None for all of them.

    Example:
        >>> align([[(2, 2), (3, 2)], [(2,), (3,)]], [(2, 2), (2,), (3, 2), (3,)])
        [[0, 2], [1, 3]]
        >>> align([[(2,)]], [(2,), (2,)])
        [[None]]
        >>> align([[(5,)]], [(2,), (2,)]) is None
        True
    """
    board = _Board(groups, candidates, allowed or [None] * len(groups))
    for _ in range(_ROUNDS):
        before = len(board.settled)
        if not _draw_bounds(board):
            return None
        if len(board.settled) == before:
            break
    return [[board.settled.get((at, place)) for place in range(len(group))] for at, group in enumerate(groups)]


def _draw_bounds(board: _Board) -> bool:
    """Settle what the bounds leave no choice for; False if a slot is left without a candidate."""
    free = _free(board)
    for at in range(len(board.groups)):
        reach = free if board.allowed[at] is None else _within(free, board.allowed[at] or frozenset())
        earliest, latest = _earliest(board, at, reach), _latest(board, at, reach)
        if earliest is None or latest is None:
            return False
        for place, (low, high) in enumerate(zip(earliest, latest, strict=True)):
            if low == high and (at, place) not in board.settled:
                if low in board.settled.values():  # two groups need the same one
                    return False
                board.settled[at, place] = low
    return True


_Reach = dict[Shape | None, list[int]]


def _free(board: _Board) -> _Reach:
    """The candidates that nobody has, by shape; under None all of them."""
    taken = set(board.settled.values())
    reach: _Reach = {None: []}
    for number, shape in enumerate(board.candidates):
        if number not in taken:
            reach[None].append(number)
            reach.setdefault(shape, []).append(number)
    return reach


def _within(reach: _Reach, allowed: Set[int]) -> _Reach:
    return {shape: [number for number in numbers if number in allowed] for shape, numbers in reach.items()}


def _earliest(board: _Board, at: int, reach: _Reach) -> list[int] | None:
    found: list[int] = []
    last = -1
    for place, shape in enumerate(board.groups[at]):
        number = board.settled.get((at, place))
        if number is None:
            numbers = reach.get(shape, [])
            after = bisect_right(numbers, last)
            if after == len(numbers):
                return None
            number = numbers[after]
        elif number <= last:
            return None
        found.append(number)
        last = number
    return found


def _latest(board: _Board, at: int, reach: _Reach) -> list[int] | None:
    found: list[int] = []
    last = len(board.candidates)
    for place, shape in reversed(list(enumerate(board.groups[at]))):
        number = board.settled.get((at, place))
        if number is None:
            numbers = reach.get(shape, [])
            before = bisect_left(numbers, last)
            if before == 0:
                return None
            number = numbers[before - 1]
        elif number >= last:
            return None
        found.append(number)
        last = number
    return found[::-1]
