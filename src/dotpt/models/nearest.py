"""The names that come nearest to one that is missing, found through an index of their parts.

What crosses this boundary: names, with shapes where they are known, in; those that resemble each other out. Invariant:
the time for one name does not grow with how many there are: only names that share a rare part or a shape are compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from difflib import SequenceMatcher, get_close_matches
from itertools import islice
from os.path import commonprefix

from dotpt.models.facts import Facts

_LOOKED_UP = 64  # names that are gathered for one, ...
_STARTS = 3  # ... from each of so many of its rarest parts
_RARE = 1_000  # a part that more names have is no place to start from
_COMPARED = 4  # of these, letter by letter
_LONGEST = 200  # letters that are compared
_ENOUGH = 0.55  # what resembles less is no suggestion
_SAME_SHAPE = 0.15
_PART = 0.05  # what a part counts that two names share, beside its letters
_MOST_PARTS = 20_000  # different parts among which a misspelt one is looked for


class Nearest:
    """An index of names, to be asked for the nearest of them often.

    Args:
        candidates: the names, with what is known of their tensors.

    Example:
        >>> shape = Facts((10, 64), "float32")
        >>> Nearest({"fc.weight": shape, "fc.bias": Facts((10,), "float32")}).to("head.weight", shape)
        ['fc.weight']
    """

    def __init__(self, candidates: Mapping[str, Facts | None]) -> None:
        self._facts = candidates
        self._names = list(candidates)
        self._parts: list[frozenset[str]] = []
        self._by_part: dict[str, set[int]] = defaultdict(set)
        self._by_shape: dict[tuple[tuple[int, ...], str], set[int]] = defaultdict(set)
        self._meant: dict[str, str | None] = {}
        for at, name in enumerate(self._names):
            parts = name.split(".")
            self._parts.append(frozenset(_numbered(parts)))
            for part in self._parts[at]:
                self._by_part[part].add(at)
            facts = candidates[name]
            if facts is not None:
                self._by_shape[facts.shape, parts[-1]].add(at)
        self._words = [part for part in self._by_part if not part.isdigit()][:_MOST_PARTS]

    def to(self, name: str, facts: Facts | None = None, limit: int = 1) -> list[str]:
        """The names nearest to one, best first; none if nothing resembles it.

        Args:
            name: the name; if it is a candidate itself, it is not among the answers.
            facts: its tensor, if it is known: of names that are as near, the one of the same shape comes first.
            limit: how many names at most.
        """
        shared = self._shared(name, facts)
        best = sorted(shared, key=lambda at: (-shared[at], at))[: max(_COMPARED, limit)]
        alike = {at: self._likeness(name, facts, at) for at in best if self._names[at] != name}
        near = [at for at, likeness in alike.items() if likeness >= _ENOUGH]
        near.sort(key=lambda at: (-alike[at] - _PART * shared[at], at))
        return [self._names[at] for at in near[:limit]]

    def _shared(self, name: str, facts: Facts | None) -> dict[int, float]:
        """Candidates by how much of the name they have: a rare part counts more than one that many have."""
        known = {part for mine in _numbered(name.split(".")) if (part := self._known(mine)) is not None}
        places = [self._by_part[part] for part in known]
        if facts is not None:
            places.append(self._same_place(name, facts))
        places = sorted(filter(None, places), key=len)
        starts = [first for first, place in enumerate(places) if first == 0 or len(place) <= _RARE][:_STARTS]
        found = {at for first in starts for at in _in_most(places[first:])}
        weight = {part: 1 + 1 / len(self._by_part[part]) for part in known}
        return {at: self._overlap(self._parts[at], weight) for at in found}

    def _overlap(self, parts: frozenset[str], weight: Mapping[str, float]) -> float:
        shared = [weight[part] for part in parts if part in weight]
        return sum(shared) - 0.5 * (len(parts) - len(shared))

    def _known(self, part: str) -> str | None:
        """The part as the candidates have it, or the one that is probably meant."""
        if part in self._by_part:
            return part
        if part not in self._meant:
            near = [] if part.isdigit() else get_close_matches(part[:_LONGEST], self._words, 1, 0.6)
            self._meant[part] = near[0] if near else None
        return self._meant[part]

    def _likeness(self, name: str, facts: Facts | None, at: int) -> float:
        other = self._names[at]
        letters = _ratio(name[-_LONGEST:], other[-_LONGEST:])
        theirs = self._facts[other]
        if facts is None or theirs is None or facts.shape != theirs.shape:
            return letters
        alone = len(self._same_place(name, facts)) == 1  # then it is probably the one
        return letters + _SAME_SHAPE * (1 + alone)

    def _same_place(self, name: str, facts: Facts) -> set[int]:
        """The candidates of the same shape and the same last part."""
        return self._by_shape.get((facts.shape, name.rpartition(".")[2]), set())


def _numbered(parts: list[str]) -> list[str]:
    """The parts, of which the second of two that are the same is another one.

    Example:
        >>> _numbered(["layers", "4", "experts", "4"])
        ['layers', '4', 'experts', '4 2']
    """
    if len(set(parts)) == len(parts):
        return parts
    seen: Counter[str] = Counter()
    numbered = []
    for part in parts:
        seen[part] += 1
        numbered.append(part if seen[part] == 1 else f"{part} {seen[part]}")
    return numbered


def _in_most(places: list[set[int]]) -> list[int]:
    """What is in the first set, and in each of the others that leaves something of it."""
    found = places[0]
    for place in places[1:]:
        found = found & place or found
    return list(islice(found, _LOOKED_UP))


def _ratio(one: str, other: str) -> float:
    """How alike two texts are, from 0 to 1: the letters that they share in order, of all."""
    shortest = min(len(one), len(other))
    start = len(commonprefix([one, other]))  # noqa: RUF071 - letter by letter is what is meant
    end = len(commonprefix([one[start:][::-1], other[start:][::-1]]))  # noqa: RUF071
    if start + end < shortest:
        middle = SequenceMatcher(None, one[start : len(one) - end], other[start : len(other) - end], autojunk=False)
        shared = start + end + sum(block.size for block in middle.get_matching_blocks())
    else:
        shared = start + end
    return 2 * shared / (len(one) + len(other) or 1)
