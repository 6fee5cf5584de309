"""The plain values of a file: epochs, arguments, names and hyper-parameters, out of whatever objects hold them.

An object of a class that is not there becomes a dictionary of its attributes (``"__class__"`` says which it was), a
namespace a dictionary, an enumeration's member its value. Tensors and modules are left out and counted; they are
elsewhere. Nothing recurses deeper than `_DEEPEST`, and a value met again is converted once.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import PurePath
from typing import Any

from dotpt.pickling.tree import ATOMS, DICTS, spelled
from dotpt.pickling.values import Device, GeneratorState, InertGlobal, InertObject, ReturnType, Size, Symbol
from dotpt.rescue.modules import INTERNAL, ModuleView, is_module
from dotpt.rescue.script import is_script_module
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import StorageRef, TensorRef

_DEEPEST, _MOST = 40, 500_000
_TENSORS = (TensorRef, StorageRef, GeneratorState)
CLASS = "__class__"


class _Nothing:
    """What is left of a value that is not plain."""


NOTHING = _Nothing()


class PlainValues:
    """Converts the values of one file.

    Args:
        skipped: objects that are elsewhere, by their ids: the weights that were taken.

    Attributes:
        tensors: how many tensors were left out.
        modules: how many modules were.
        cut: whether something lay too deep, or was too much.
    """

    def __init__(self, skipped: frozenset[int] = frozenset()) -> None:
        self._skipped = skipped
        self._above: set[int] = set()
        self._left = _MOST
        self.tensors = 0
        self.modules = 0
        self.cut = False

    def of(self, value: Any, depth: int = 0) -> Any:
        """``value`` without what is not plain; `NOTHING` if nothing of it is."""
        kind = type(value)
        if kind in ATOMS:
            return value
        if id(value) in self._skipped:
            return NOTHING
        if kind in _TENSORS:
            self.tensors += 1
            return NOTHING
        self._left -= 1
        if depth > _DEEPEST or self._left < 0 or id(value) in self._above:
            self.cut = True
            return NOTHING
        self._above.add(id(value))
        try:
            return self._made(value, depth + 1)
        finally:
            self._above.discard(id(value))

    def of_module(self, view: ModuleView) -> dict[str, Any]:
        """The plain attributes of a module: the hyper-parameters of its class."""
        named = {key: value for key, value in view.attributes.items() if not is_internal(key)}
        made = self._entries(list(named.items()), 1)
        return made if made is not NOTHING else {}

    def _made(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in DICTS:
            return self._entries(list(value.items()), depth)
        if kind in (list, tuple, set, frozenset):
            return self._items(value, depth)
        if kind is Namespace:
            return self._entries(list(vars(value).items()), depth)
        if kind is Size:
            return list(value)
        if kind in (DType, Symbol):
            return repr(value)
        if kind is Device or isinstance(value, PurePath):
            return str(value)
        if kind is ReturnType:
            return self._items(value.values, depth)
        if kind is InertGlobal:
            return value.qualified
        if kind is InertObject:
            return self._object(value, depth)
        return _scalar(value)

    def _entries(self, entries: list[tuple[Any, Any]], depth: int) -> Any:
        made: dict[Any, Any] = {}
        for key, item in entries:
            plain = self.of(item, depth)
            if plain is not NOTHING:
                made[key if type(key) in ATOMS else spelled(key)[:200]] = plain
        return made if made or not entries else NOTHING

    def _items(self, items: Any, depth: int) -> Any:
        made = [plain for item in items if (plain := self.of(item, depth)) is not NOTHING]
        if not made and len(items):
            return NOTHING
        return tuple(made) if type(items) is tuple else made

    def _object(self, value: InertObject, depth: int) -> Any:
        if is_module(value) or is_script_module(value):
            self.modules += 1
            return NOTHING
        if value.pairs and not value.attributes:
            return self._entries([pair for pair in value.pairs if type(pair) is tuple and len(pair) == 2], depth)
        if value.items and not value.attributes:
            return self._items(value.items, depth)
        alone = alone_in(value)
        return self._attributes(value, depth) if alone is NOTHING else alone

    def _attributes(self, value: InertObject, depth: int) -> Any:
        made = self._entries(parts_of(value), depth)
        return {CLASS: value.type_name} | (made if made is not NOTHING else {})


def alone_in(value: InertObject) -> Any:
    """The one plain value that an object was made of: the member of an enumeration, or a number or text of a class of
    its own. `NOTHING` for other objects.
    """
    single = value.args[0] if type(value.args) is tuple and len(value.args) == 1 else NOTHING
    made_of_it = value.how in ("call", "new", "reconstruct") and not value.states
    return single if made_of_it and type(single) in ATOMS else NOTHING


def parts_of(value: InertObject) -> list[tuple[Any, Any]]:
    """An object as the entries of a dictionary: its attributes, entries, arguments and items."""
    parts: list[tuple[Any, Any]] = list(value.attributes.items())
    parts += [pair for pair in value.pairs if type(pair) is tuple and len(pair) == 2]
    parts += [("args", value.args)] if type(value.args) is tuple and value.args else []
    parts += [("items", value.items)] if value.items else []
    if value.states and not value.attributes:
        parts.append(("state", value.states[-1]))
    return parts


def _scalar(value: Any) -> Any:
    """Numbers and small arrays of numpy, dates and fractions: as Python has them, or as text."""
    objects = getattr(getattr(value, "dtype", None), "hasobject", False)
    small = hasattr(value, "tolist") and getattr(value, "size", 0) <= 1_000
    if type(value).__module__ == "numpy" and small and not objects:
        plain = value.tolist()
        return plain if type(plain) in ATOMS or type(plain) is list else str(plain)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"array {list(value.shape)} of {value.dtype}"
    return str(value)[:10_000]


def is_internal(name: Any) -> bool:
    """Whether an attribute of a module is torch's own, and says nothing of the model."""
    return type(name) is not str or name in INTERNAL or name.startswith("_")
