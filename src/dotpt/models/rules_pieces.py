"""Rules that cut one tensor into several and join several to one: split and concat, each the reverse of the other.

What crosses this boundary: the tensors by name in, parts and wholes out. Invariant: sizes add up, or nothing is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dotpt.errors import RulesError
from dotpt.models import operations
from dotpt.models.globs import Glob
from dotpt.models.operations import How
from dotpt.models.rules_base import Rule, State, Step, check_sizes, dimension, literal, same_stars


@dataclass(frozen=True)
class Split(Rule):
    """``split = "*.qkv.weight", into = ["*.q.weight", ...], dim = 0``: cut a tensor; equal parts without ``sizes``."""

    split: str
    into: tuple[str, ...]
    dim: int = 0
    sizes: tuple[int, ...] | None = None
    verb: ClassVar[str] = "split"
    keys: ClassVar[frozenset[str]] = frozenset(("into", "dim", "sizes"))

    def __post_init__(self) -> None:
        same_stars(self.split, self.into)
        check_sizes(self, self.sizes, len(self.into))

    def steps(self, state: State) -> list[Step]:
        """One step for each tensor that is cut."""
        glob, into = Glob(self.split), [Glob(text) for text in self.into]
        found = []
        for name, how in state.items():
            stars = glob.match(name)
            if stars is not None:
                parts = self._cut(name, how)
                names = [target.fill(stars) for target in into]
                if len(set(names)) < len(names):
                    raise self.refuse("Two parts would have the same name.", name)
                found.append(Step((name,), dict(zip(names, parts, strict=True))))
        return found

    def _cut(self, name: str, how: How) -> list[How]:
        dim = dimension(self, name, how, self.dim)
        whole = how.facts.shape[dim]
        sizes = self.sizes or (whole // len(self.into),) * len(self.into)
        if sum(sizes) != whole:
            what = f"sizes of {sum(sizes)} in all" if self.sizes else f"{len(self.into)} equal parts"
            raise self.refuse("A tensor cannot be cut so.", name, found=list(how.facts.shape), expected=what)
        starts = [sum(sizes[:at]) for at in range(len(sizes))]
        return [operations.part(how, dim, start, size) for start, size in zip(starts, sizes, strict=True)]

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        sizes = {} if self.sizes is None else {"sizes": list(self.sizes)}
        return {"split": self.split, "into": list(self.into), "dim": self.dim, **sizes}

    def reversed(self) -> Rule:
        """The parts, joined."""
        return Concat(self.into, self.split, self.dim, self.sizes or "equal")

    def undo(self, step: Step, state: State) -> list[Rule]:
        """The parts of one tensor, joined."""
        names = tuple(literal(name, self) for name in step.new)
        sizes = tuple(how.facts.shape[self.dim] for how in step.new.values())
        return [Concat(names, literal(step.old[0], self), self.dim, sizes)]


@dataclass(frozen=True)
class Concat(Rule):
    """``concat = ["*.q.weight", ...], to = "*.qkv.weight", dim = 0``: join tensors; ``sizes`` says which they have.

    ``sizes = "equal"`` says that they all have the same. Without it they may have any, and `reversed` needs to be told.
    """

    concat: tuple[str, ...]
    to: str
    dim: int = 0
    sizes: tuple[int, ...] | Literal["equal"] | None = None
    verb: ClassVar[str] = "concat"
    keys: ClassVar[frozenset[str]] = frozenset(("to", "dim", "sizes"))

    def __post_init__(self) -> None:
        if not self.concat:
            raise RulesError("A rule joins no tensors.", hint='concat = ["*.q.weight", "*.k.weight"]')
        same_stars(self.to, self.concat)
        check_sizes(self, None if self.sizes == "equal" else self.sizes, len(self.concat))

    def steps(self, state: State) -> list[Step]:
        """One step for each group of tensors that is joined."""
        globs, to = [Glob(text) for text in self.concat], Glob(self.to)
        groups: dict[tuple[str, ...], None] = {}
        for name in state:
            groups.update((stars, None) for glob in globs if (stars := glob.match(name)) is not None)
        found = []
        for stars in groups:
            names = tuple(glob.fill(stars) for glob in globs)
            missing = [name for name in names if name not in state]
            if missing:
                raise self.refuse("A tensor to join is missing.", missing[0], found=[n for n in names if n in state])
            if len(set(names)) < len(names):
                raise self.refuse("A tensor would be joined with itself.", names[0])
            found.append(Step(names, {to.fill(stars): self._join(names, [state[name] for name in names])}))
        return found

    def _join(self, names: Sequence[str], hows: Sequence[How]) -> How:
        dim = dimension(self, names[0], hows[0], self.dim)
        first = hows[0].facts
        for name, how in zip(names, hows, strict=True):
            shape = how.facts.shape
            same = len(shape) == len(first.shape) and (*shape[:dim], *shape[dim + 1 :]) == (
                *first.shape[:dim], *first.shape[dim + 1 :]
            )  # fmt: skip
            if not same or how.facts.dtype != first.dtype:
                raise self.refuse("Tensors do not fit together.", name, found=how.facts, expected=first)
        sizes = tuple(how.facts.shape[dim] for how in hows)
        wanted = (sizes[0],) * len(sizes) if self.sizes == "equal" else self.sizes
        if wanted is not None and sizes != wanted:
            raise self.refuse("Tensors have other sizes.", names[0], found=list(sizes), expected=list(wanted))
        return operations.joined(tuple(hows), dim)

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        sizes = {} if self.sizes is None else {"sizes": self.sizes if self.sizes == "equal" else list(self.sizes)}
        return {"concat": list(self.concat), "to": self.to, "dim": self.dim, **sizes}

    def reversed(self) -> Rule:
        """The whole, cut again, if the rule says where."""
        if self.sizes is None:
            raise self.refuse("The rule does not say which sizes the parts had.", hint='sizes = [...] or "equal"')
        return Split(self.to, self.concat, self.dim, None if self.sizes == "equal" else self.sizes)

    def undo(self, step: Step, state: State) -> list[Rule]:
        """One whole, cut again."""
        (new,) = step.new
        sizes = tuple(state[name].facts.shape[self.dim] for name in step.old)
        return [Split(literal(new, self), tuple(literal(name, self) for name in step.old), self.dim, sizes)]
