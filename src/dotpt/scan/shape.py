"""The shape of a tree: how deep it goes, and how often a walk would visit it.

A pickle says once that an object lies in ten places. Ten levels of that are ten billion places, which any program
visits that walks the object, prints it or writes it as JSON. Invariant: the walk here takes each container once.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import Any

from dotpt.errors import LimitExceeded
from dotpt.pickling.values import InertObject
from dotpt.scan.session import Session

_MANY, _TIMES, _ENDLESS = 1_000_000, 1_000, 10**30
_CONTAINERS = (list, tuple, dict, set, frozenset, InertObject)


def judge_shape(session: Session, tree: Any) -> None:
    """Report a tree that is deeper than load allows, or that has very many more places than objects."""
    places: dict[int, tuple[int, int]] = {}  # of each container: values at all places below it, levels below it
    open_now: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(tree, False)] if isinstance(tree, _CONTAINERS) else []
    kept, stored = [], 0  # kept: an id may be used again for another object once the first is gone
    while waiting:
        value, done = waiting.pop()
        number = id(value)
        if number in places or (number in open_now and not done):
            continue
        parts = _parts(value)
        inner = [part for part in parts if isinstance(part, _CONTAINERS)]
        if inner and not done:
            open_now.add(number)
            waiting.append((value, True))
            waiting += [(part, False) for part in inner if id(part) not in places]
            continue
        kept.append(value)
        stored += 1 + len(parts)
        below = [places.get(id(part), (1, 0)) for part in inner]  # what is open still is the container itself
        count = min(len(parts) + sum(count for count, _ in below), _ENDLESS)
        places[number] = count, 1 + max((levels for _, levels in below), default=0)
    total, levels = places.get(id(tree), (1, 0))
    if total > _MANY and total > _TIMES * stored:
        shown = f"{total:,}" if total < 10**15 else "more than 10^15"
        session.add("expands", f"It has {stored:,} values, which lie in {shown} places.")
    if levels > session.limits.nesting:
        session.report(LimitExceeded("nesting", levels, session.limits.nesting))


def _parts(value: Any) -> Collection[Any]:
    """What a container holds, in whatever role."""
    if type(value) is InertObject:
        pairs = chain.from_iterable(value.pairs)
        return [value.callee, value.args, value.kwargs, *value.states, *value.items, *pairs]
    if isinstance(value, dict):
        return [*value.keys(), *value.values()] if any(type(key) is tuple for key in value) else value.values()
    return value  # type: ignore[no-any-return]
