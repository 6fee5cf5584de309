"""What was probably meant: the nearest names, and the rename under which more names of a file are those of a model.

What crosses this boundary: names with shapes in, names and rules out. Invariant: a suggestion was tried: the number of
names that it would match is counted, not guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from dotpt.errors import RulesError
from dotpt.models.facts import Facts
from dotpt.models.nearest import Nearest
from dotpt.models.rules import Rules

_PAIRED = 2_000  # names that are looked at for one suggestion
_TRIED = 24  # renames, those that most names ask for first


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A rename that would match more names.

    Attributes:
        rules: old and new names, as `Rules.of` takes them.
        matches: how many names of the file would then be names of the model, with the same shape.
        words: ``{"backbone.": ""} would match 320 of 322 names``.
    """

    rules: dict[str, str]
    matches: int
    words: str


def closest(name: str, candidates: Mapping[str, Facts], facts: Facts | None = None, limit: int = 1) -> list[str]:
    """The names nearest to one. For many names, make one `Nearest` and ask it.

    Args:
        name: the name that is missing.
        candidates: the names to choose from.
        facts: the tensor of ``name``, if it is known: the one of the same shape is preferred.
        limit: how many at most.

    Example:
        >>> closest("layer1.0.conv1.wieght", {"layer1.0.conv1.weight": Facts((64, 64, 3, 3), "float32")})
        ['layer1.0.conv1.weight']
    """
    return Nearest(candidates).to(name, facts, limit)


def suggest(have: Mapping[str, Facts], want: Mapping[str, Facts]) -> list[Suggestion]:
    """Renames that would match more names, best first; none if there is no such rename.

    Args:
        have: the tensors of the file.
        want: those of the model.

    Example:
        >>> shape = Facts((3, 3), "float32")
        >>> suggest({"enc.a.weight": shape, "enc.b.weight": shape}, {"a.weight": shape, "b.weight": shape})[0].words
        '{"enc.": ""} would match all 2 names'
    """
    before = _matches({}, have, want)
    if before == len(have) or before == len(want):
        return []
    votes = _votes(have, want)
    tried = [({old: new}, _matches({old: new}, have, want)) for old, new in votes[:_TRIED]]
    found = {tuple(rules.items()): count for rules, count in [*tried, _together(votes, have, want)] if count > before}
    most = max(found.values(), default=0)
    best = sorted((rules for rules, count in found.items() if count == most), key=len)
    return [_suggestion(dict(rules), most, len(have)) for rules in best[:3]]


def _suggestion(rules: dict[str, str], count: int, total: int) -> Suggestion:
    shown = ", ".join(f'"{old}": "{new}"' for old, new in rules.items())
    many = f"all {total:,}" if count == total else f"{count:,} of {total:,}"
    return Suggestion(rules, count, f"{{{shown}}} would match {many} names")


def _matches(rules: dict[str, str], have: Mapping[str, Facts], want: Mapping[str, Facts]) -> int:
    """How many names are the model's after a rename, with the shapes of the model's; -1 if it cannot be done."""
    try:
        recipes = Rules.of(rules).apply(have).recipes
    except RulesError:
        return -1
    return sum(name in want and recipe.facts.shape == want[name].shape for name, recipe in recipes.items())


def _together(
    votes: list[tuple[str, str]], have: Mapping[str, Facts], want: Mapping[str, Facts]
) -> tuple[dict[str, str], int]:
    """Several renames, each to the outcome of those before: names that differ in two places need two."""
    rules: dict[str, str] = {}
    count = _matches(rules, have, want)
    for old, new in votes[:_TRIED]:
        more = _matches(rules | {old: new}, have, want)
        if old not in rules and more >= count:
            rules, count = rules | {old: new}, more
    for old in reversed(list(rules)):
        fewer = {kept: new for kept, new in rules.items() if kept != old}
        if _matches(fewer, have, want) >= count:
            rules = fewer
    return rules, count


def _votes(have: Mapping[str, Facts], want: Mapping[str, Facts]) -> list[tuple[str, str]]:
    """Renames, those first that most pairs of a name and the one nearest to it ask for."""
    index = Nearest({name: facts for name, facts in want.items() if name not in have})
    votes: Counter[tuple[str, str]] = Counter()
    for name in [name for name in have if name not in want][:_PAIRED]:
        for weight, near in zip((3, 1), index.to(name, have[name], 2), strict=False):
            votes.update(dict.fromkeys(_differences(name, near), weight))
    return sorted(votes, key=lambda rule: (-votes[rule], len("".join(rule))))


def _differences(old: str, new: str) -> Iterator[tuple[str, str]]:
    """Renames of the parts in which two names differ.

    Example:
        >>> list(_differences("backbone.layer.0.gamma", "layer.0.weight"))
        [('backbone.', ''), ('*.gamma', '*.weight')]
    """
    one, other = old.split("."), new.split(".")
    for tag, *span in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if tag == "equal" or all(part.isdigit() for part in one[span[0] : span[1]] + other[span[2] : span[3]]):
            continue  # numbers alone: another layer of the same kind
        first, end, start, stop = span if tag == "replace" or not span[0] else _with_neighbour(span, len(one))
        mine, theirs = ".".join(one[first:end]), ".".join(other[start:stop])
        if end == len(one):
            yield (f"*.{mine}", f"*.{theirs}") if first else (mine, theirs)
        elif first:
            yield f"*.{mine}.*", f"*.{theirs}.*"
        else:
            yield mine and f"{mine}.", theirs and f"{theirs}."


def _with_neighbour(span: list[int], count: int) -> list[int]:
    """Where something is put in or left out, with the part behind it, or, at the end, the one before it."""
    first, end, start, stop = span
    return [first, end + 1, start, stop + 1] if end < count else [first - 1, end, start - 1, stop]
