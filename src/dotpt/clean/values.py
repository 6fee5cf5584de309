"""Python's and numpy's values as `torch.load(weights_only=True)` opens them: what each kind becomes."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any

from dotpt.clean import arrays
from dotpt.clean.report import ChangeLog
from dotpt.clean.walk import DROPPED, Steps, Walk, a_or_an
from dotpt.pickling.build_numpy import EmptyArray
from dotpt.pickling.tree import ATOMS, settle, spelled
from dotpt.pickling.values import Device, GeneratorState, NumpyDType, ReturnType, Size, StorageClass, Symbol
from dotpt.pickling.vocabulary import Known
from dotpt.rescue.plain_values import CLASS
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import StorageRef, TensorRef

_KEPT = frozenset((TensorRef, StorageRef, DType, Device, Size, bytearray))
_LARGEST_INTEGER = 8 * 255 - 1  # bits: the weights-only reader knows integers of 255 bytes at most
_LONGEST_RANGE = 10_000
_KEY_PARTS = ATOMS | {DType, Symbol, Device, Size}
_DEEPEST_KEY = 40


class PlainValues(Walk):
    """Cleans what is neither a tensor nor an object of a class.

    Args:
        log: where everything is noted that does not stay as it is.
        hides: whether a text or bytes are a pickle in disguise.

    Attributes:
        values: how many plain values were kept.
    """

    def __init__(self, log: ChangeLog, hides: Callable[[Any], bool]) -> None:
        super().__init__(log)
        self._hides = hides
        self.values = 0

    def _changed(self, value: Any, now: str, why: str = "") -> None:
        self._log.change(a_or_an(value), now, why)

    # -- what holds nothing -------------------------------------------------------------------------------------------

    def _atom(self, value: Any) -> Any:
        made = self._plain_atom(value)
        self.values += made is not DROPPED
        return made

    def _plain_atom(self, value: Any) -> Any:
        if type(value) is int and value.bit_length() > _LARGEST_INTEGER:
            self._log.change("an integer of more than 255 bytes", "its digits in hexadecimal, as text")
            return hex(value)
        if type(value) in (str, bytes) and self._hides(value):
            self._log.drop(f"a text that is a pickle ({len(value):,} characters)", "a program may unpickle it")
            return DROPPED
        return value

    def _leaf(self, value: Any) -> Any:
        kind = type(value)
        if kind in _KEPT or (kind is Symbol and value.name != "jagged"):
            return value
        if kind is range:
            return self._range(value)
        if kind is StorageClass:
            return self._text(value, f"torch.{value.dtype.storage or 'UntypedStorage'}")
        if isinstance(value, type):
            return self._text(value, f"{value.__module__}.{value.__qualname__}")
        if arrays.is_scalar(value):
            made = arrays.plain_scalar(value)
            self._changed(value, f"Python's {type(made).__name__}")
            return made
        if isinstance(value, PurePath):
            return self._text(value, str(value))
        isoformat = getattr(value, "isoformat", None)
        return self._text(value, isoformat() if isoformat is not None else str(value))

    def _text(self, value: Any, text: str) -> str:
        self._changed(value, "text")
        return text

    def _range(self, value: range) -> Any:
        if len(value) <= _LONGEST_RANGE:
            self._changed(value, "a list")
            return list(value)
        return self._text(value, str(value))

    # -- what holds something -----------------------------------------------------------------------------------------

    def _steps(self, value: Any) -> Steps | None:
        kind = type(value)
        if kind in (EmptyArray, NumpyDType, Known) and (settled := settle(value)) is not value:
            return self._instead(settled)
        if arrays.is_array(value):
            return self._array(value)
        steps = _STEPS.get(kind)
        return None if steps is None else steps(self, value)

    def _dict(self, value: Any) -> Steps:
        made: dict[Any, Any] = OrderedDict() if type(value) is OrderedDict else {}
        if type(value) is defaultdict:
            self._changed(value, "a dictionary")
        self._remember(value, made)
        yield from self._entries(made, value.items())
        attributes = getattr(value, "__dict__", None)
        if attributes and type(made) is OrderedDict:
            yield from self._attributes_of(made, attributes)
        return made

    def _attributes_of(self, made: Any, attributes: dict[str, Any]) -> Steps:
        """A state dict has ``_metadata``: the version of each module."""
        for name, item in attributes.items():
            if name != "_metadata":
                self._log.path.append(name)
                self._log.drop("an attribute of a dictionary")
                self._log.path.pop()
            elif (plain := (yield name, item)) is not DROPPED:
                made._metadata = plain

    def _counter(self, value: Any) -> Steps:
        made: Any = Counter()
        yield from self._entries(made, value.items())
        return made

    def _entries(self, made: Any, entries: Iterable[tuple[Any, Any]]) -> Steps:
        for written, item in entries:
            plain = yield written, item
            if plain is DROPPED:
                continue
            key = self._plain_atom(written) if type(written) in ATOMS else (yield from self._key(written))
            if key is DROPPED:
                continue
            key = self._other_name(made, key) if key in made else key
            made[key] = plain

    def _key(self, key: Any) -> Steps:
        plain = yield "key", key
        if type(plain) is TensorRef or _is_plain_key(plain):
            return plain
        self._log.change(f"{a_or_an(key)} that is a key", "text")
        return spelled(key)[:200]

    def _other_name(self, made: Any, key: Any) -> str:
        number = 2
        while f"{key}#{number}" in made:
            number += 1
        self._log.change(f"the key {key!r:.60}, which another one became too", f"{key!s:.60}#{number}")
        return f"{key}#{number}"

    def _list(self, value: list[Any]) -> Steps:
        made: list[Any] = []
        self._remember(value, made)
        yield from self._items(made, value)
        return made

    def _tuple(self, value: Any) -> Steps:
        made: list[Any] = []
        yield from self._items(made, value)
        return tuple(made)

    def _items(self, made: list[Any], items: Iterable[Any]) -> Steps:
        for at, item in enumerate(items):
            plain = yield at, item
            made.append(None if plain is DROPPED else plain)

    def _set(self, value: Any) -> Steps:
        made: list[Any] = []
        for at, item in enumerate(value):
            plain = yield at, item
            if plain is not DROPPED:
                made.append(plain)
        if not all(_is_plain_key(item) for item in made):
            self._changed(value, "a list")
            return made
        if type(value) is frozenset:
            self._changed(value, "a set")
        return set(made)

    def _slice(self, value: slice) -> Steps:
        self._changed(value, "a tuple of start, stop and step")
        return (yield from self._tuple((value.start, value.stop, value.step)))

    def _namespace(self, value: Namespace) -> Steps:
        self._changed(value, "a dictionary")
        made: dict[Any, Any] = {}
        yield from self._entries(made, vars(value).items())
        return made

    def _return_type(self, value: ReturnType) -> Steps:
        self._log.change(f"a torch.return_types.{value.name}", "a tuple")
        return (yield from self._tuple(value.values))

    def _generator(self, value: GeneratorState) -> Steps:
        self._log.change("a torch.Generator", "a dictionary of its seed, offset and state")
        parts = {CLASS: "torch.Generator", "device": str(value.device), "seed": value.seed, "offset": value.offset}
        made: dict[Any, Any] = {}
        yield from self._entries(made, (parts | {"state": value.state}).items())
        return made

    def _array(self, array: Any) -> Steps:
        tensor = arrays.tensor_of(array)
        if tensor is not None:
            self._log.change("an array of numpy", "a tensor")
            return tensor
        self._log.change(f"an array of numpy, of {array.dtype}"[:100], "nested lists")
        if not array.dtype.hasobject:
            return arrays.plain_lists(array)
        return (yield from self._objects(array))

    def _objects(self, array: Any) -> Steps:
        """An array of objects, row by row, as lists within lists."""
        rows: list[Any] = []
        yield from self._items(rows, array.flat)
        for size in reversed(array.shape[1:]):
            rows = [rows[at : at + size] for at in range(0, len(rows), size)] if size else []
        return rows if array.shape else rows[0]


def _is_plain_key(key: Any, depth: int = 0) -> bool:
    if type(key) is tuple:
        return depth < _DEEPEST_KEY and all(_is_plain_key(part, depth + 1) for part in key)
    return type(key) in _KEY_PARTS


_STEPS: dict[type, Callable[[PlainValues, Any], Steps]] = {
    dict: PlainValues._dict,
    OrderedDict: PlainValues._dict,
    defaultdict: PlainValues._dict,
    Counter: PlainValues._counter,
    list: PlainValues._list,
    tuple: PlainValues._tuple,
    set: PlainValues._set,
    frozenset: PlainValues._set,
    slice: PlainValues._slice,
    Namespace: PlainValues._namespace,
    ReturnType: PlainValues._return_type,
    GeneratorState: PlainValues._generator,
}
