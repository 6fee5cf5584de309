"""Names that differ only by what wrappers put into them: ``module.``, ``_orig_mod.``, in any nesting, on either side.

What crosses this boundary: the names of a file and those of a model in; for every name of the file the one that it has
in the model out, or None. Invariants: all names or none; two names never become one; a name that is the model's already
keeps its tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product, takewhile

from dotpt.inspect.prefixes import COUNTER, NET, PARALLEL
from dotpt.inspect.prefixes import RESERVED as IN_REPORTS

#: Parts of names that only wrappers write. The model says what is right here, so one more is known than in a report.
RESERVED = IN_REPORTS | {"_fpw_module": "FSDP of fairscale"}
#: Parts that wrappers write, and people, too: they count where all names begin with them, and the rest is the model's.
#: A report takes nothing off, so it tells of more (`backbone`); its words for `model` do not fit into parentheses.
COMMON = {
    "module": PARALLEL,
    "model": "a wrapper that calls the model its `model`, as Lightning's modules do",
    "net": NET,
}
_INSIDE = "module"  # of the common ones, that which is looked for in the middle of names: a part that was parallel


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The names of a file as a model has them.

    Attributes:
        names: every name of the file but the dropped ones, and its name in the model.
        words: what was done, a sentence.
        dropped: names that are no weights, and why they were left out.
    """

    names: dict[str, str]
    words: str
    dropped: dict[str, str] = field(default_factory=dict)


def unwrap(have: Iterable[str], want: Iterable[str]) -> Unwrapped | None:
    """The names of a file as a model has them, if they differ by wrappers alone.

    A rename is certain if more names match than without it, none that matched is lost, and no other way to take
    wrappers off gives as many matches in another manner. Where a wrapper's name is a word like any other (``model.``),
    all names have to begin with it, and half of those of the file, or of the model, have to match then.

    Args:
        have: the names in the file.
        want: the names in the model.

    Returns:
        None if there is nothing to do, or nothing that is certain.

    Example:
        >>> unwrap(["module.fc.weight", "module.fc.bias"], ["fc.weight", "fc.bias"]).names
        {'module.fc.weight': 'fc.weight', 'module.fc.bias': 'fc.bias'}
    """
    have, want = list(dict.fromkeys(have)), list(dict.fromkeys(want))
    counters = _counters(have, want)
    same = frozenset(have) & frozenset(want)
    if len(same) == len(have):
        return None
    file, model = _Side([name for name in have if name not in counters]), _Side(want)
    found = [way for way in _ways(file, model) if way.certain(same)]
    most = max((len(way.hits) for way in found), default=0)
    best = [way for way in found if len(way.hits) == most]
    if best and all(way.hits == best[0].hits for way in best):
        names = best[0].names()
    elif counters and same == frozenset(file.names):
        names = {name: name for name in file.names}
    else:
        return None
    if len(set(names.values())) < len(names):
        return None
    return Unwrapped(names, _words(names, counters), counters)


class _Side:
    """The names of a file, or of a model, without the parts that only wrappers write."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.bare = {name: _bare(name) for name in names}
        weights = [parts for parts in self.bare.values() if parts[-1] != COUNTER]
        self.chain = _chain(weights)

    def keys(self, off: int, inside: bool) -> dict[str, str]:
        """What each name is compared by: so many wrappers off its beginning, and none inside if they are looked for."""
        found = {}
        for name, parts in self.bare.items():
            *before, last = parts if parts[-1] == COUNTER else parts[off:]
            found[name] = ".".join((*(part for part in before if not (inside and part == _INSIDE)), last))
        return found

    def beginning(self, off: int) -> str:
        """What all names begin with, up to and with so many wrappers, and the reserved parts among them."""
        beginning = []
        for part in _shared([name.split(".")[:-1] for name in self.names]):
            if part not in RESERVED:
                off -= 1
                if off < 0:
                    break
            beginning.append(part)
        return "".join(f"{part}." for part in beginning)


class _Way:
    """One way to compare names: so many common wrappers off each side, and those in the middle or not."""

    def __init__(self, file: _Side, model: _Side, off: tuple[int, int], inside: bool) -> None:
        self._file, self._model, self._off = file, model, off
        self._common = inside or off != (0, 0)
        self.keys = file.keys(off[0], inside)
        theirs = {key: name for name, key in model.keys(off[1], inside).items()}
        self._injective = len(theirs) == len(model.names) and len(set(self.keys.values())) == len(file.names)
        self.hits = {name: theirs[key] for name, key in self.keys.items() if key in theirs}

    def certain(self, same: frozenset[str]) -> bool:
        """Whether more names match than before, each still the one that it was."""
        if not self._injective or len(self.hits) <= len(same) or any(self.hits.get(name) != name for name in same):
            return False
        return not self._common or 2 * len(self.hits) >= min(len(self._file.names), len(self._model.names))

    def names(self) -> dict[str, str]:
        """Every name of the file as the model has it, or would have it."""
        beginning = self._model.beginning(self._off[1])
        return {name: self.hits.get(name, beginning + key) for name, key in self.keys.items()}


def _ways(file: _Side, model: _Side) -> Iterator[_Way]:
    """Every way, those that change least first."""
    offs = product(range(len(file.chain) + 1), range(len(model.chain) + 1))
    for off in sorted(offs, key=sum):
        yield _Way(file, model, off, inside=False)
    if any(_INSIDE in parts for side in (file, model) for parts in side.bare.values()):
        for off in sorted(product(range(len(file.chain) + 1), range(len(model.chain) + 1)), key=sum):
            yield _Way(file, model, off, inside=True)


def _shared(names: Collection[Sequence[str]]) -> list[str]:
    """The parts with which all names begin."""
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))]


def _bare(name: str) -> tuple[str, ...]:
    """The parts of a name but for the reserved ones, of which the last part is none.

    Example:
        >>> _bare("_orig_mod.encoder._fsdp_wrapped_module.weight")
        ('encoder', 'weight')
    """
    *parts, last = name.split(".")
    return (*(part for part in parts if part not in RESERVED), last)


def _chain(names: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The common wrappers with which all names begin."""
    beginning = _shared([parts[:-1] for parts in names])
    return tuple(takewhile(COMMON.__contains__, beginning))


def _counters(have: list[str], want: list[str]) -> dict[str, str]:
    """The counter of an AveragedModel, unless the model has one, too: a name, and why it is left out."""
    ends = [name for name in have if name.rpartition(".")[2] == COUNTER]
    if len(ends) != 1 or len(have) == 1 or any(name.rpartition(".")[2] == COUNTER for name in want):
        return {}
    beginning = ends[0].removesuffix(COUNTER) + "module."
    if not all(name.startswith(beginning) for name in have if name != ends[0]):
        return {}
    return {ends[0]: "the counter of torch's AveragedModel is no weight"}


# -- words ------------------------------------------------------------------------------------------------------------


def _words(names: dict[str, str], counters: dict[str, str]) -> str:
    """What was done, as a sentence without its full stop."""
    said = [
        *_changes(names, averaged=bool(counters)),
        *(f"`{name}` was left out: {why}" for name, why in counters.items()),
    ]
    return "; ".join(said)


def _changes(names: dict[str, str], averaged: bool) -> Iterator[str]:
    many = f"all {len(names):,} names" if len(names) > 1 else "the only name"
    pairs = {_beginnings(old, new) for old, new in names.items()}
    old, new = pairs.pop()
    if not pairs and _are_wrappers(old + new):
        if old and new:
            yield f"the prefix {old} ({_who(old, averaged)}) became {new} ({_who(new)}) in {many}"
        elif old:
            yield f"the prefix {old} ({_who(old, averaged)}) was taken off {many}"
        elif new:
            yield f"the prefix {new} ({_who(new)}) was put before {many}, as the model has it"
        return
    off, on, moved = Counter[str](), Counter[str](), 0
    for old, new in names.items():
        mine, theirs = Counter(old.split(".")), Counter(new.split("."))
        moved += mine == theirs and old != new
        off.update((mine - theirs).keys())
        on.update((theirs - mine).keys())
    for part, count in off.items():
        yield f"{part} ({_who(part)}) was taken out of {count:,} of {len(names):,} names"
    for part, count in on.items():
        yield f"{part} ({_who(part)}) was put into {count:,} of {len(names):,} names, as the model has it"
    if moved:
        yield f"what wrappers wrote was moved within {moved:,} of {len(names):,} names, as the model has it"


def _are_wrappers(beginning: str) -> bool:
    return all(part in RESERVED or part in COMMON for part in beginning.split(".")[:-1])


def _beginnings(old: str, new: str) -> tuple[str, str]:
    """What two names begin with before they are the same.

    Example:
        >>> _beginnings("module.fc.weight", "model.fc.weight")
        ('module.', 'model.')
    """
    one, other = old.split(".")[::-1], new.split(".")[::-1]
    same = len(_shared([one, other]))
    mine, theirs = one[same:][::-1], other[same:][::-1]
    return "".join(f"{part}." for part in mine), "".join(f"{part}." for part in theirs)


def _who(parts: str, averaged: bool = False) -> str:
    """Who writes such parts of names.

    Example:
        >>> _who("module._orig_mod.")
        'DataParallel or DistributedDataParallel, torch.compile'
    """
    found = [(RESERVED | COMMON)[part] for part in parts.strip(".").split(".")]
    if averaged and COMMON[_INSIDE] in found:
        found[found.index(COMMON[_INSIDE])] = "torch's AveragedModel"
    return ", ".join(dict.fromkeys(found))
