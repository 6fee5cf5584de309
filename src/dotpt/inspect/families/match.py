"""Names and shapes held against the table: which family explains them, and what they measure.

Names are compared as templates, so a network of 10,000 tensors is a few hundred comparisons. An index from template
to families tells which families are worth a closer look; only these are asked for the names that they need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from dotpt.inspect.families.fingerprint import UNKNOWN, Candidate, Fingerprint
from dotpt.inspect.families.names import roots_of, unwrapped
from dotpt.inspect.families.patterns import Shaped, template, templates, wild
from dotpt.inspect.families.table import Family, known_families

Shape = Sequence[int]

_ENOUGH = 0.75  # of the names beneath the root: a changed head is still the family, a network around it is not
_BESIDE = 0.1  # of all names: what may lie beside the root and belong to nothing: losses, counters
_WORTH_A_LOOK = 0.5
_WORTH_NAMING = 0.5  # as a candidate, where nothing fits
_AS_GOOD = 0.95  # of what the best explains: another name for the same
_MOST_CANDIDATES = 3


@cache
def _homes() -> dict[str, tuple[int, ...]]:
    """Which families have a template, by their places in the table."""
    homes: dict[str, list[int]] = {}
    for number, family in enumerate(known_families()):
        for name in family.names:
            homes.setdefault(name, []).append(number)
    return {name: tuple(numbers) for name, numbers in homes.items()}


@dataclass(slots=True)
class _Names:
    """The names of a state dict, without wrappers: what is asked of them again and again."""

    shapes: dict[str, Shape]
    roots: list[str]
    templates: Counter[str]

    @classmethod
    def of(cls, shapes: Mapping[str, Shape]) -> _Names:
        plain = {unwrapped(name): shape for name, shape in shapes.items()}
        return cls(plain, roots_of(plain), Counter(templates(plain)))

    def beneath(self, root: str) -> Counter[str]:
        """Templates of the names beneath a root, and how many have each."""
        start = template(root)
        if start != root:  # a number in the root: another branch has the same template
            return Counter(templates(name[len(root) :] for name in self.shapes if name.startswith(root)))
        return Counter({name[len(root) :]: n for name, n in self.templates.items() if name.startswith(root)})

    def outside(self, root: str) -> Counter[str]:
        """Templates of the names that are not beneath a root, from the nearest outer one on."""
        outer = self.roots[: self.roots.index(root)][::-1]
        start, found = template(root), Counter[str]()
        for name, count in self.templates.items():
            if not name.startswith(start):
                nearest = next(prefix for prefix in outer if name.startswith(template(prefix)))
                found[name[len(template(nearest)) :]] += count
        return found

    def find(self, name: str, root: str) -> Shape | None:
        """The shape of a tensor beneath a root, or beside it: heads lie beneath an outer one. None if there is none."""
        for outer in self.roots[self.roots.index(root) :: -1]:
            if "*" not in name:
                found = self.shapes.get(outer + name)
            else:
                pattern = wild(outer + name)
                found = next((shape for each, shape in self.shapes.items() if pattern.fullmatch(each)), None)
            if found is not None:
                return found
        return None


@dataclass(slots=True)
class _Fit:
    """How well a family explains the names beneath a root."""

    family: Family
    root: str
    inner: int  # names beneath the root that it explains
    beneath: int  # names beneath the root
    outer: int = 0  # names outside that it explains
    needs: int = 0
    measured: dict[str, int] | None = None  # by the names that it needs; None if one of them contradicts

    @property
    def fits(self) -> bool:
        return self.measured is not None and self.inner >= _ENOUGH * self.beneath

    @property
    def total(self) -> int:
        """All names that it explains."""
        return self.inner + self.outer

    def is_whole(self, names: int) -> bool:
        """Whether it can be claimed for all that there is: no more than a little lies beside it."""
        beside = names - self.beneath - self.outer
        return self.fits and beside <= _BESIDE * names

    def is_as_good_as(self, best: _Fit) -> bool:
        """Whether it is another name for what the best is."""
        return self.fits and self.root == best.root and self.total >= _AS_GOOD * best.total

    @property
    def rank(self) -> tuple[bool, int, int, int]:
        """The best has the greatest: what explains most, then what is known most exactly."""
        return self.fits, self.total, len(self.family.needs), -len(self.family.names)

    def candidate(self) -> Candidate:
        family = self.family
        return Candidate(family.name, family.library, self.root, self.total, self.needs, len(family.needs), self.fits)


def fingerprint_of(shapes: Mapping[str, Shape]) -> Fingerprint:
    """Which known architecture has tensors of these names and shapes.

    Args:
        shapes: elements along each dimension, by name, as a state dict has them.

    Example:
        >>> fingerprint_of({"0.weight": (10, 4), "0.bias": (10,)}).family
        'unknown'
    """
    names = _Names.of(shapes)
    fits = sorted(
        (fit for root in names.roots for fit in _fits_at(root, names)), key=lambda fit: fit.rank, reverse=True
    )
    best = fits[0] if fits else None
    if best is None or not best.is_whole(len(shapes)):
        parts = [fit for fit in fits if fit.fits and fit.root]
        near = [fit for fit in fits if not fit.fits and fit.needs and fit.inner >= _WORTH_NAMING * len(shapes)]
        near.sort(key=lambda fit: fit.needs / len(fit.family.needs), reverse=True)
        return Fingerprint(UNKNOWN, total=len(shapes), candidates=_candidates(near), parts=_candidates(parts))
    family = best.family
    measured = _measure(best, names)
    return Fingerprint(
        family=family.name,
        title=family.title,
        library=family.library,
        variant=_variant(family, measured),
        measured={word: value for word, value in measured.items() if not word.startswith("_")},
        root=best.root,
        names=best.total,
        total=len(shapes),
        needs=best.needs,
        candidates=_candidates([fit for fit in fits[1:] if fit.is_as_good_as(best)]),
        parts=_candidates([fit for fit in fits if fit.fits and _is_within(fit.root, best.root)]),
    )


def _is_within(root: str, outer: str) -> bool:
    return root != outer and root.startswith(outer)


def _candidates(fits: list[_Fit]) -> tuple[Candidate, ...]:
    """The nearest, each family once."""
    found: dict[tuple[str, str], Candidate] = {}
    for fit in fits:
        found.setdefault((fit.family.name, fit.family.library), fit.candidate())
    return tuple(found.values())[:_MOST_CANDIDATES]


def _fits_at(root: str, names: _Names) -> list[_Fit]:
    """The families that explain enough of the names beneath a root to be worth a look."""
    beneath = names.beneath(root)
    total = beneath.total()
    found = []
    for number, explained in _explained(beneath).items():
        if explained >= _WORTH_A_LOOK * total:
            family = known_families()[number]
            fit = _Fit(family, root, explained, total)
            if not any(name in beneath for name in family.never):
                fit.needs, fit.measured = _needed(family, root, names)
            if fit.measured is not None and root:
                fit.outer = sum(n for name, n in names.outside(root).items() if name in family.names)
            found.append(fit)
    return found


def _explained(beneath: Counter[str]) -> Counter[int]:
    """How many names each family explains, by its place in the table."""
    found: Counter[int] = Counter()
    homes = _homes()
    for name, count in beneath.items():
        for number in homes.get(name, ()):
            found[number] += count
    for number, family in enumerate(known_families()):
        if family.wild is not None:  # few are: their names are asked one by one
            match = family.wild.fullmatch
            found[number] += sum(count for name, count in beneath.items() if name not in family.names and match(name))
    return found


def _needed(family: Family, root: str, names: _Names) -> tuple[int, dict[str, int] | None]:
    """How many of the names that a family needs are there, and what they measure; None if one is missing or unfit."""
    there, measured, whole = 0, dict[str, int](), True
    for need in family.needs:
        more = _fitted(need, root, names, measured)
        there += more is not None
        whole = whole and more is not None
        measured = measured if more is None else more
    return there, measured if whole else None


def _fitted(item: Shaped, root: str, names: _Names, measured: dict[str, int]) -> dict[str, int] | None:
    shape = names.find(item.name, root)
    return None if shape is None else item.fits(shape, measured)


def _measure(fit: _Fit, names: _Names) -> dict[str, int | str | bool]:
    """Everything that names and shapes tell: what is counted, what needed and optional names measure, what is there."""
    family, root = fit.family, fit.root
    beneath = [name[len(root) :] for name in names.shapes if name.startswith(root)]
    counted = {word: value for word, count in family.counts.items() if (value := count.of(beneath)) is not None}
    sized = dict(fit.measured or {})
    for item in family.measures:
        more = _fitted(item, root, names, sized)
        sized = sized if more is None else more
    flags = {word: names.find(name, root) is not None for word, name in family.has.items()}
    return {**counted, **sized, **flags}


def _variant(family: Family, measured: Mapping[str, int | str | bool]) -> str | None:
    for variant, wanted in family.variants.items():
        if all(measured.get(word) == value for word, value in wanted.items()):
            return variant
    return None
