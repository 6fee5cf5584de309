"""The tensors of a file as torch tensors, each made when it is asked for, and a state dict of such tensors.

What crosses this boundary: names and recipes in, tensors out. Invariant: `LazyState` is to a module's own loading code
what the state dict that torch passes is: whatever way a value is looked at, a tensor is seen; and no tensor is read
before it is looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any

import numpy as np
import torch

from dotpt.archive.archive import Archive, build
from dotpt.archive.memories import Memories, storages_of
from dotpt.archive.torch_backend import TorchBackend
from dotpt.errors import TensorError
from dotpt.models.facts import Facts
from dotpt.models.matching import NO_TENSOR
from dotpt.models.rules import Recipe
from dotpt.pickling.tree import ATOMS
from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.tensors.refs import TensorRef

_DEPTH = 64  # levels of a module's extra state


def facts_of(value: Any) -> Facts:
    """What is known of a value of a state dict, before it is read."""
    if type(value) is TensorRef:
        return Facts(tuple(value.shape), value.dtype.name)
    if isinstance(value, torch.Tensor) and not torch.nn.parameter.is_lazy(value):
        return Facts(tuple(value.shape), str(value.dtype).removeprefix("torch."))
    if isinstance(value, np.ndarray):
        return Facts(value.shape, value.dtype.name)
    return Facts((), NO_TENSOR)


class Values:
    """The values behind the names of a file, or of a state dict in memory.

    Args:
        state: by name: references into ``archive``, tensors, arrays, other values.
        archive: where the references lead; None for a state dict in memory.
        mapped: map the file instead of reading it.
        verify: compare checksums.
    """

    def __init__(self, state: Mapping[str, Any], archive: Archive | None, *, mapped: bool, verify: bool) -> None:
        self.state = state
        self.archive: Any = archive
        self.mapped = mapped
        self.verify = verify

    def memories(self) -> Memories:
        """Room for storages of the file that are read from now on."""
        return Memories(self.archive.contents)

    def tensor(self, name: str) -> Any:
        """The tensor of a name in the file."""
        return self.tensor_of(self.state[name])

    def tensor_of(self, value: Any) -> Any:
        """A value of the state dict as a tensor. What is in memory is given as it is, not copied."""
        if type(value) is TensorRef:
            if self.archive is None:  # of an archive that the caller holds open
                return value.torch(mmap=self.mapped, verify=self.verify)
            return self.archive.read_tensor(value, "torch", mmap=self.mapped, verify=self.verify)
        if isinstance(value, np.ndarray):
            return _from_array(value)
        return value

    def made(self, recipe: Recipe) -> Any:
        """The tensor that a recipe makes, or the value that is none."""
        if recipe.facts.dtype == NO_TENSOR:
            return self.other(recipe.inputs[0])
        return recipe.make(self.tensor)

    def other(self, name: str) -> Any:
        """A value that is no tensor (a module's extra state), with torch's tensors in it.

        Raises:
            TensorError: it holds objects of classes that are not known to be harmless.
        """
        value = self.state[name]
        if self.archive is None:
            return value
        archive = self.archive
        refs: list[TensorRef] = []
        _rebuilt(value, lambda leaf: _plain_leaf(leaf, name, archive.name, refs))
        memories = self.memories()
        backend = TorchBackend(memories)

        def make() -> Any:
            memories.fetch(storages_of(refs), verify=self.verify)
            return _rebuilt(value, backend.leaf)

        return build(make, archive.contents)


def _plain_leaf(leaf: Any, name: str, path: str, refs: list[TensorRef]) -> None:
    """Note a tensor; refuse what only the code of a class could make something of."""
    if type(leaf) is TensorRef:
        refs.append(leaf)
    if isinstance(leaf, (InertObject, InertGlobal)):
        raise TensorError(
            "A module's extra state holds an object of a class that is not known to be harmless.",
            path=path,
            key=name,
            found=leaf,
            hint="exclude= leaves it out; dotpt.load(path, trust=[...]) builds it, if you trust the file",
        )


def _rebuilt(value: Any, leaf: Callable[[Any], Any], depth: int = 0) -> Any:
    """A copy of nested dictionaries, lists and tuples with every other value replaced by ``leaf(value)``."""
    if depth > _DEPTH:
        raise TensorError("A module's extra state is nested too deeply.")
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _rebuilt(inner, leaf, depth + 1)) for key, inner in value.items())
    if type(value) in (list, tuple, set):
        return type(value)(_rebuilt(inner, leaf, depth + 1) for inner in value)
    return value if type(value) in ATOMS else leaf(value)


def _from_array(array: np.ndarray[Any, Any]) -> Any:
    """An array as a tensor that shares its memory where torch can."""
    dtype = getattr(torch, array.dtype.name, None)
    if array.dtype.isbuiltin == 1 or dtype is None:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    raw = np.ascontiguousarray(array)
    return torch.from_numpy(raw.view(f"int{raw.dtype.itemsize * 8}").copy()).view(dtype).reshape(array.shape)


class Pending:
    """A tensor that has not been looked at yet.

    Attributes:
        recipe: how it is made.
    """

    __slots__ = ("_values", "recipe")

    def __init__(self, recipe: Recipe, values: Values) -> None:
        self.recipe = recipe
        self._values = values

    @property
    def facts(self) -> Facts:
        """Its shape and type."""
        return self.recipe.facts

    @property
    def plain(self) -> Any:
        """The one value of the file that it is, untouched; None if rules make it."""
        return self._values.state[self.recipe.inputs[0]] if self.recipe.plain else None

    def read(self) -> Any:
        """The tensor."""
        return self._values.made(self.recipe)


class LazyState(OrderedDict[str, Any]):
    """A state dict whose tensors are read when they are looked at."""

    _metadata: Any = None

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if type(value) is Pending:
            value = value.read()
            self[key] = value
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """As a dictionary's."""
        return self[key] if key in self else default  # noqa: SIM401 - this is what get is

    def pop(self, key: str, *default: Any) -> Any:
        """As a dictionary's."""
        value = super().pop(key, *default)
        return value.read() if type(value) is Pending else value

    def popitem(self, last: bool = True) -> tuple[str, Any]:
        """As an ordered dictionary's."""
        key, value = super().popitem(last)
        return key, value.read() if type(value) is Pending else value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As a dictionary's."""
        if key not in self:
            self[key] = default
        return self[key]

    def values(self) -> Any:
        """As a dictionary's."""
        return ValuesView(self)

    def items(self) -> Any:
        """As a dictionary's."""
        return ItemsView(self)

    def copy(self) -> LazyState:
        """A copy in which what was not looked at still waits."""
        copied = LazyState()
        for key in self:
            copied[key] = self.waiting(key)
        return copied

    def waiting(self, key: str) -> Any:
        """The value of a key, or the `Pending` that stands for it."""
        return super().__getitem__(key)

    def below(self, prefix: str) -> LazyState:
        """The part whose names begin with a prefix, as torch passes it to a module inside."""
        part = LazyState()
        for key in self:
            if key.startswith(prefix):
                part[key] = self.waiting(key)
        return part

    def seen(self) -> Iterator[tuple[str, Any]]:
        """What is there, with `Pending` where nothing was looked at."""
        for key in self:
            yield key, self.waiting(key)
