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
    places: dict[int, int] = {}  # of each container: the values below it, counted at each of their places
    above: set[int] = set()  # the containers that the walk is in
    waiting: list[tuple[Any, bool]] = [(tree, False)] if isinstance(tree, _CONTAINERS) else []
    kept, stored, nesting = [], 0, session.limits.nesting  # kept: or an id might be used again
    while waiting:
        value, done = waiting.pop()
        number = id(value)
        if not done and (number in places or number in above):
            continue
        parts = _parts(value)
        inner = [part for part in parts if isinstance(part, _CONTAINERS)]
        if inner and not done:
            above.add(number)
            if len(above) > nesting:
                session.report(LimitExceeded("nesting", len(above), nesting))
                return
            waiting.append((value, True))
            waiting += [(part, False) for part in inner if id(part) not in places]
            continue
        above.discard(number)
        kept.append(value)
        stored += 1 + len(parts)
        places[number] = min(len(parts) + sum(places.get(id(part), 1) for part in inner), _ENDLESS)
    total = places.get(id(tree), 1)
    if total > _MANY and total > _TIMES * stored:
        shown = f"{total:,}" if total < 10**15 else "more than 10^15"
        session.add("expands", f"It has {stored:,} values, which lie in {shown} places.")


def _parts(value: Any) -> Collection[Any]:
    """What a container holds, in whatever role."""
    if type(value) is InertObject:
        pairs = chain.from_iterable(value.pairs)
        return [value.callee, value.args, value.kwargs, *value.states, *value.items, *pairs]
    if isinstance(value, dict):
        return [*value.keys(), *value.values()] if any(type(key) is tuple for key in value) else value.values()
    return value  # type: ignore[no-any-return]
