"""What a tensor becomes before it is read: small records that say how its values are made from those in a file.

What crosses this boundary: facts and other such records in; facts, words and, when the values are asked for, arrays of
numpy or tensors of torch out. Invariant: values are moved, never computed: every result has the exact bits that its
inputs have, but for `Cast`, which says so. Operations that undo each other cancel as they are put together.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dotpt.errors import RulesError
from dotpt.models.facts import Facts
from dotpt.tensors.dtypes import DTYPES

Values = Mapping[str, Any]
_LARGEST_E4M3 = 448  # what torch (since 2.13) makes of anything larger


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor as it is in the file."""

    name: str
    facts: Facts
    words = ""

    def inputs(self) -> tuple[str, ...]:
        """The names in the file that the values come from."""
        return (self.name,)

    def make(self, values: Values) -> Any:
        """The values, given those of the inputs."""
        value = values[self.name]
        shape = tuple(int(size) for size in getattr(value, "shape", ()))
        if shape != self.facts.shape:
            raise RulesError(
                "A tensor has another shape than the rules were told.",
                key=self.name, found=list(shape), expected=list(self.facts.shape),
            )  # fmt: skip
        return value


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the rows of a tensor (or columns, ...): ``size`` of them from ``start`` on."""

    of: How
    dim: int
    start: int
    size: int

    @property
    def facts(self) -> Facts:
        """Shape and type of the part."""
        shape = self.of.facts.shape
        return replace(self.of.facts, shape=(*shape[: self.dim], self.size, *shape[self.dim + 1 :]))

    @property
    def words(self) -> str:
        """``rows 0 to 768 of attn.qkv.weight``."""
        what = {0: "rows ", 1: "columns "}.get(self.dim, "")
        along = "" if what else f" along dimension {self.dim}"
        return f"{what}{self.start} to {self.start + self.size}{along} of {_named(self.of)}"

    def inputs(self) -> tuple[str, ...]:
        """The names in the file that the values come from."""
        return self.of.inputs()

    def make(self, values: Values) -> Any:
        """A view of the values."""
        value = plain_values(self.of, values)
        return value[(slice(None),) * self.dim + (slice(self.start, self.start + self.size),)]


@dataclass(frozen=True, slots=True)
class Joined:
    """Several tensors, one behind the other."""

    parts: tuple[How, ...]
    dim: int

    @property
    def facts(self) -> Facts:
        """Shape and type of the whole."""
        first = self.parts[0].facts
        size = sum(part.facts.shape[self.dim] for part in self.parts)
        return replace(first, shape=(*first.shape[: self.dim], size, *first.shape[self.dim + 1 :]))

    @property
    def words(self) -> str:
        """``joined along dimension 0 from q.weight, k.weight, v.weight``."""
        return f"joined along dimension {self.dim} from {', '.join(_named(part) for part in self.parts)}"

    def inputs(self) -> tuple[str, ...]:
        """The names in the file that the values come from."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.inputs()))

    def make(self, values: Values) -> Any:
        """A new array of all the values."""
        parts = [plain_values(part, values) for part in self.parts]
        if _torch_of(parts[0]) is not None:
            from dotpt.models.torch_operations import joined

            return joined(parts, self.dim)
        import numpy as np

        return np.concatenate(parts, axis=self.dim)


@dataclass(frozen=True, slots=True)
class Permuted:
    """A tensor with its dimensions in another order: the new first one is the old ``dims[0]``."""

    of: How
    dims: tuple[int, ...]

    @property
    def facts(self) -> Facts:
        """Shape and type of the outcome."""
        shape = self.of.facts.shape
        return replace(self.of.facts, shape=tuple(shape[dim] for dim in self.dims))

    @property
    def words(self) -> str:
        """``transposed (1, 0)``."""
        return _after(self.of, f"transposed {self.dims}")

    def inputs(self) -> tuple[str, ...]:
        """The names in the file that the values come from."""
        return self.of.inputs()

    def make(self, values: Values) -> Any:
        """A view of the values."""
        value = plain_values(self.of, values)
        return value.transpose(self.dims) if _torch_of(value) is None else value.permute(self.dims)


@dataclass(frozen=True, slots=True)
class Reshaped:
    """The same values, row after row, in another shape."""

    of: How
    shape: tuple[int, ...]

    @property
    def facts(self) -> Facts:
        """Shape and type of the outcome."""
        return replace(self.of.facts, shape=self.shape)

    @property
    def words(self) -> str:
        """``reshaped from [4, 1] to [4]``."""
        return _after(self.of, f"reshaped from {list(self.of.facts.shape)} to {list(self.shape)}")

    def inputs(self) -> tuple[str, ...]:
        """The names in the file that the values come from."""
        return self.of.inputs()

    def make(self, values: Values) -> Any:
        """A view of the values where there can be one."""
        return plain_values(self.of, values).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Cast:
    """A tensor of another type: the one record that changes values, if the type is a narrower one."""

    of: How
    dtype: str

    @property
    def facts(self) -> Facts:
        """Shape and type of the outcome."""
        return replace(self.of.facts, dtype=self.dtype)

    @property
    def words(self) -> str:
        """``cast float64 to float32``."""
        return _after(self.of, f"cast {self.of.facts.dtype} to {self.dtype}")

    def inputs(self) -> tuple[str, ...]:
        """The names in the file that the values come from."""
        return self.of.inputs()

    def make(self, values: Values) -> Any:
        """A new array of the type."""
        value = plain_values(self.of, values)
        if _torch_of(value) is not None:
            from dotpt.models.torch_operations import cast

            made, back = cast(value, self.dtype), cast(cast(value, self.dtype), self.of.facts.dtype)
        else:
            made = _cast_array(value, self.dtype)
            back = made.astype(value.dtype)
        if DTYPES[self.dtype].kind in ("int", "uint", "bool") and bool((back != value).any()):
            raise RulesError(f"Some values do not fit into {self.dtype}.", key=_named(self.of))
        return made


def _cast_array(value: Any, dtype: str) -> Any:
    """An array of another type, with the values that torch gives."""
    import numpy as np

    if dtype == "float8_e4m3fn":
        value = np.clip(value, -_LARGEST_E4M3, _LARGEST_E4M3)  # it has no infinity
    with np.errstate(over="ignore", invalid="ignore"):  # float64 to float32: infinity
        return value.astype(DTYPES[dtype].to_numpy())


How = Given | Part | Joined | Permuted | Reshaped | Cast


def part(of: How, dim: int, start: int, size: int) -> How:
    """Some rows; those of some rows, or of one of several joined tensors, are taken from the source itself."""
    if start == 0 and size == of.facts.shape[dim]:
        return of
    if type(of) is Part and of.dim == dim:
        return Part(of.of, dim, of.start + start, size)
    if type(of) is Joined and of.dim == dim:
        first = 0
        for piece in of.parts:
            length = piece.facts.shape[dim]
            if first <= start and start + size <= first + length and size:
                return part(piece, dim, start - first, size)
            first += length
    return Part(of, dim, start, size)


def joined(parts: tuple[How, ...], dim: int) -> How:
    """Tensors behind each other; neighbouring rows of one tensor become one part of it again."""
    merged: list[How] = []
    for piece in parts:
        last = merged[-1] if merged else None
        if type(piece) is Part and type(last) is Part and _are_neighbours(last, piece, dim):
            merged[-1] = part(last.of, dim, last.start, last.size + piece.size)
        else:
            merged.append(piece)
    return merged[0] if len(merged) == 1 else Joined(tuple(merged), dim)


def _are_neighbours(one: Part, other: Part, dim: int) -> bool:
    return one.dim == other.dim == dim and one.start + one.size == other.start and one.of == other.of


def permuted(of: How, dims: tuple[int, ...]) -> How:
    """Dimensions in another order; orders of orders become one, or none."""
    if type(of) is Permuted:
        dims = tuple(of.dims[dim] for dim in dims)
        of = of.of
    return of if dims == tuple(range(len(dims))) else Permuted(of, dims)


def reshaped(of: How, shape: tuple[int, ...]) -> How:
    """Another shape; only the last of several counts."""
    if type(of) is Reshaped:
        of = of.of
    return of if of.facts.shape == shape else Reshaped(of, shape)


def cast(of: How, dtype: str) -> How:
    """Another type; there and back through a wider one is nothing."""
    if type(of) is Cast and of.of.facts.dtype == dtype and is_wider(of.dtype, dtype):
        of = of.of
    return of if of.facts.dtype == dtype else Cast(of, dtype)


# For each floating type those that hold all of its values.
_WIDER: dict[str, frozenset[str]] = {
    narrow: frozenset(wide.split())
    for narrow, wide in {
        "float32": "float64",
        "float16": "float32 float64",
        "bfloat16": "float32 float64",
        "float8_e4m3fn": "float16 bfloat16 float32 float64",
        "float8_e5m2": "float16 bfloat16 float32 float64",
        "float8_e4m3fnuz": "float16 bfloat16 float32 float64",
        "float8_e5m2fnuz": "float16 bfloat16 float32 float64",
        "float8_e8m0fnu": "bfloat16 float32 float64",
        "complex64": "complex128",
    }.items()
}


def is_wider(wide: str, narrow: str) -> bool:
    """Whether the type ``wide`` holds every value of the type ``narrow``.

    Example:
        >>> is_wider("float32", "bfloat16"), is_wider("float16", "bfloat16"), is_wider("int16", "uint8")
        (True, False, True)
    """
    if wide == narrow or wide in _WIDER.get(narrow, ()):
        return True
    one, other = DTYPES.get(wide), DTYPES.get(narrow)
    if one is None or other is None or one.kind not in ("int", "uint"):
        return False
    if other.kind in ("bool", one.kind):
        return one.itemsize >= other.itemsize
    return one.kind == "int" and other.kind == "uint" and one.itemsize > other.itemsize


def plain_values(how: How, values: Values) -> Any:
    """The values of ``how``, which must be an ordinary array or tensor: those of other layouts have no rows to cut.

    Raises:
        RulesError: it is something else.
    """
    value = how.make(values)
    torch = _torch_of(value)
    if torch is not None:
        if value.layout is torch.strided and not value.is_quantized and not value.is_nested:
            return value.detach()
    elif type(value).__module__ == "numpy" and hasattr(value, "__array__"):
        return value
    raise RulesError(
        "Only an ordinary, dense tensor can be cut, joined, turned or cast.",
        key=_named(how), found=type(value).__name__, hint="rename it, or drop it",
    )  # fmt: skip


def _torch_of(value: Any) -> Any:
    """The module torch, if the value is one of its tensors (then it has been imported)."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(value, torch.Tensor) else None


def _named(how: How) -> str:
    return how.name if type(how) is Given else f"({how.words})" if type(how) is Joined else _of_words(how)


def _of_words(how: Any) -> str:
    return f"{', '.join(how.inputs())} ({how.words})"


def _after(of: How, words: str) -> str:
    return f"{of.words}, then {words}" if of.words else words
