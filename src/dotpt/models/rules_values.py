"""Rules that rework single tensors and keep their names: permute, transpose, reshape, cast.

What crosses this boundary: the tensors by name in, the same names with other `operations` out. Invariant: a shape or a
type that a rule does not fit is an error before anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from dotpt.errors import RulesError
from dotpt.models import operations
from dotpt.models.globs import Glob
from dotpt.models.operations import How, is_wider
from dotpt.models.rules_base import Rule, State, Step, dimension, literal
from dotpt.tensors.dtypes import DTYPES

_CAST_KINDS = ("float", "complex", "int", "uint", "bool")
_NO_CAST = ("complex32", "float8_e8m0fnu")  # numpy has no such type; it holds nothing but powers of two


@dataclass(frozen=True)
class Reworking(Rule):
    """A rule that takes single tensors and keeps their names."""

    def glob(self) -> Glob:
        """Which tensors it takes."""
        return Glob(str(getattr(self, self.verb)))

    def rework(self, name: str, how: How) -> How:
        """What a tensor becomes."""
        raise NotImplementedError

    def takes(self, how: How) -> bool:
        """Whether a tensor of that name is one that the rule is about."""
        return True

    def steps(self, state: State) -> list[Step]:
        """One step for each tensor that it matches."""
        glob = self.glob()
        found = [name for name, how in state.items() if glob.match(name) is not None and self.takes(how)]
        return [Step((name,), {name: self.rework(name, state[name])}) for name in found]


@dataclass(frozen=True)
class Permute(Reworking):
    """``permute = "*.conv.weight", dims = [3, 2, 0, 1]``: the new first dimension is the old ``dims[0]``."""

    permute: str
    dims: tuple[int, ...]
    verb: ClassVar[str] = "permute"
    keys: ClassVar[frozenset[str]] = frozenset(("dims",))

    def __post_init__(self) -> None:
        count = len(self.dims)
        if sorted(dim % count for dim in self.dims if -count <= dim < count) != list(range(count)) or not count:
            raise self.refuse("`dims` has to name every dimension once.")

    def rework(self, name: str, how: How) -> How:
        """The tensor with its dimensions in the other order."""
        if len(how.facts.shape) != len(self.dims):
            raise self.refuse(
                "A tensor has another number of dimensions.", name, found=how.facts, expected=f"{len(self.dims)}-d"
            )
        return operations.permuted(how, self._positive())

    def _positive(self) -> tuple[int, ...]:
        return tuple(dim % len(self.dims) for dim in self.dims)

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        return {"permute": self.permute, "dims": list(self.dims)}

    def reversed(self) -> Rule:
        """The order that leads back."""
        dims = self._positive()
        return Permute(self.permute, tuple(dims.index(at) for at in range(len(dims))))

    def undo(self, step: Step, state: State) -> list[Rule]:
        """The order that leads back, for one tensor."""
        dims = self._positive()
        return [Permute(literal(step.old[0], self), tuple(dims.index(at) for at in range(len(dims))))]


@dataclass(frozen=True)
class Transpose(Reworking):
    """``transpose = "*.kernel", dims = [0, 1]``: exchange two dimensions."""

    transpose: str
    dims: tuple[int, ...] = (0, 1)
    verb: ClassVar[str] = "transpose"
    keys: ClassVar[frozenset[str]] = frozenset(("dims",))

    def __post_init__(self) -> None:
        if len(self.dims) != 2:
            raise self.refuse("`dims` has to name two dimensions.", hint="permute = ... takes any order")

    def rework(self, name: str, how: How) -> How:
        """The tensor with two dimensions exchanged."""
        count = len(how.facts.shape)
        one, other = (dimension(self, name, how, dim) for dim in self.dims)
        order = list(range(count))
        order[one], order[other] = order[other], order[one]
        return operations.permuted(how, tuple(order))

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        return {"transpose": self.transpose, "dims": list(self.dims)}

    def reversed(self) -> Rule:
        """The rule itself."""
        return self

    def undo(self, step: Step, state: State) -> list[Rule]:
        """The same, for one tensor."""
        return [Transpose(literal(step.old[0], self), self.dims)]


@dataclass(frozen=True)
class Reshape(Reworking):
    """``reshape = "*.bias", shape = [-1]``: another shape for the same values; ``from`` says which it has to be."""

    reshape: str
    shape: tuple[int, ...]
    from_: tuple[int, ...] | None = None
    verb: ClassVar[str] = "reshape"
    keys: ClassVar[frozenset[str]] = frozenset(("shape", "from"))

    def __post_init__(self) -> None:
        for shape in (self.shape, self.from_ or ()):
            if shape.count(-1) > 1 or any(size < -1 for size in shape):
                raise self.refuse("A shape has sizes, of which one may be -1 (what is left).")

    def rework(self, name: str, how: How) -> How:
        """The tensor in the other shape."""
        old = how.facts.shape
        if self.from_ is not None and not _fits(old, self.from_):
            raise self.refuse("A tensor has another shape.", name, found=list(old), expected=list(self.from_))
        known = prod(size for size in self.shape if size != -1)
        left = prod(old) // known if known and -1 in self.shape else 1
        new = tuple(left if size == -1 else size for size in self.shape)
        if prod(new) != prod(old):
            raise self.refuse("A tensor does not have as many values.", name, found=list(old), expected=list(new))
        return operations.reshaped(how, new)

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        origin = {} if self.from_ is None else {"from": list(self.from_)}
        return {"reshape": self.reshape, "shape": list(self.shape), **origin}

    def reversed(self) -> Rule:
        """The shape of before, if the rule says it."""
        if self.from_ is None:
            raise self.refuse("The rule does not say which shape was there before.", hint="from = [...]")
        return Reshape(self.reshape, self.from_, self.shape)

    def undo(self, step: Step, state: State) -> list[Rule]:
        """The shape of before, for one tensor."""
        name = step.old[0]
        return [Reshape(literal(name, self), state[name].facts.shape, step.new[name].facts.shape)]


@dataclass(frozen=True)
class Cast(Reworking):
    """``cast = "*", dtype = "float32"``: another type, for tensors of the same kind; ``from`` says which it has to be.

    As with ``model.to(dtype)``, a floating type is for floating tensors: a counter of integers stays one.
    """

    cast: str
    dtype: str
    from_: str | None = None
    verb: ClassVar[str] = "cast"
    keys: ClassVar[frozenset[str]] = frozenset(("dtype", "from"))

    def __post_init__(self) -> None:
        for name in (self.dtype, self.from_ or self.dtype):
            known = DTYPES.get(name)
            if known is None or known.kind not in _CAST_KINDS or known.bits or name in _NO_CAST:
                raise RulesError("There is no such type to cast to.", found=name, hint='dtype = "float32"')

    def takes(self, how: How) -> bool:
        """Whether a tensor is of the kind of the type."""
        known = DTYPES.get(how.facts.dtype)
        return known is not None and not known.bits and _kind(known.kind) == _kind(DTYPES[self.dtype].kind)

    def rework(self, name: str, how: How) -> How:
        """The tensor in the other type."""
        if self.from_ is not None and how.facts.dtype != self.from_:
            raise self.refuse("A tensor has another type.", name, found=how.facts.dtype, expected=self.from_)
        return operations.cast(how, self.dtype)

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        origin = {} if self.from_ is None else {"from": self.from_}
        return {"cast": self.cast, "dtype": self.dtype, **origin}

    def reversed(self) -> Rule:
        """The type of before, if the rule says it and nothing was lost."""
        if self.from_ is None:
            raise self.refuse("The rule does not say which type was there before.", hint='from = "float32"')
        return self._back(self.cast, self.from_, self.dtype)

    def undo(self, step: Step, state: State) -> list[Rule]:
        """The type of before, for one tensor."""
        name = step.old[0]
        return [self._back(literal(name, self), state[name].facts.dtype, step.new[name].facts.dtype)]

    def _back(self, glob: str, old: str, new: str) -> Rule:
        if not is_wider(new, old):
            raise self.refuse(f"A cast from {old} to {new} cannot be turned round: it loses bits.")
        return Cast(glob, old, new)


def _fits(shape: tuple[int, ...], pattern: tuple[int, ...]) -> bool:
    return len(shape) == len(pattern) and all(p in (-1, n) for n, p in zip(shape, pattern, strict=True))


def _kind(kind: str) -> str:
    return "int" if kind in ("uint", "bool") else kind
