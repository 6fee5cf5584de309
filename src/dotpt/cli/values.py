"""What is in a file beside tensors, as text for people and as plain values for JSON.

A stranger wrote these values: nothing here calls ``repr`` on a container, follows a cycle, or shows more than it
was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from dotpt.cli import words
from dotpt.pickling.tree import named_children, spelled
from dotpt.pickling.values import GeneratorState, InertObject, ReturnType
from dotpt.tensors.refs import StorageRef, TensorRef

_LONG = 200
_ATOMS = (int, float, complex, bool, type(None))
_LISTS = (list, tuple, set, frozenset)
_DEPTH = 32
_SHOWN = 1000  # items of one container, and bytes, in JSON
_LARGEST = 100_000
_MANY = 10_000


def kind_of(value: Any) -> str:
    """The type of a value as a user of Python would name it."""
    if isinstance(value, InertObject):
        return words.one_line(value.type_name)
    if isinstance(value, ReturnType):
        return f"torch.return_types.{words.one_line(value.name)}"
    if isinstance(value, GeneratorState):
        return "torch.Generator"
    if isinstance(value, TensorRef):
        return "tensor"
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def is_numpy(value: Any) -> bool:
    """Whether it is an array or a scalar of numpy (which is not imported to find out)."""
    return type(value).__module__.partition(".")[0] in ("numpy", "ml_dtypes") and hasattr(value, "tolist")


def short(value: Any, room: int = 60) -> str:
    """A value on one line of about ``room`` characters.

    Example:
        >>> short({"lr": 0.1, "betas": (0.9, 0.999)}), short([1, 2, 3]), short("a" * 500, 20)
        ('dict of 2: lr, betas', '[1, 2, 3]', "'aaaaaaaaa…' (500 characters)")
    """
    if isinstance(value, str):
        text = words.one_line(repr(value[:_LONG]))
        whole = len(value) <= _LONG and len(text) <= room
        return text if whole else f"{text[: room // 2]}…' ({len(value):,} characters)"
    if isinstance(value, (bytes, bytearray)):
        return repr(bytes(value)) if len(value) <= 16 else f"{words.plural(len(value), 'byte')}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"an integer of {value.bit_length():,} bits"
    if isinstance(value, _ATOMS):
        return repr(value)
    if isinstance(value, TensorRef):
        return f"{value.dtype} {words.shape(value.shape)}"
    if isinstance(value, StorageRef):
        return f"storage of {words.size(value.nbytes)}"
    return _short_container(value, room)


def _short_container(value: Any, room: int) -> str:
    if type(value) in _LISTS:
        items = list(islice(value, 20))
        if len(items) == len(value) and all(isinstance(item, (*_ATOMS, str)) for item in items):
            text = ", ".join(short(item, room) for item in items)
            if len(text) + 2 <= room:
                left, right = "()" if isinstance(value, tuple) else "[]" if isinstance(value, list) else "{}"
                return f"{left}{text}{right}"
        return f"{kind_of(value)} of {len(value):,}"
    if isinstance(value, dict):
        return f"{kind_of(value)} of {len(value):,}{_some(value, len(value))}"
    if is_numpy(value):
        if value.shape:
            return f"array {value.dtype} {words.shape(value.shape)}"
        return words.one_line(repr(value.item()) if value.dtype != object else kind_of(value))[:room]
    keys = [key for key, _ in islice(named_children(value), _MANY)]
    if keys or isinstance(value, InertObject):
        return f"{kind_of(value)}{_some(keys, len(keys))}"
    return words.one_line(repr(value))[: 4 * room]  # dtypes, devices, paths, dates: small and harmless


def _some(keys: Iterable[Any], count: int) -> str:
    shown = ", ".join(words.one_line(spelled(key)[:_LONG]) for key in islice(keys, 3))
    return f": {shown}{f' and {count - 3:,} more' if count > 3 else ''}" if count else ""


def outline(value: Any, *, most: int | None = 40, depth: int = 4) -> Iterator[tuple[int, str, str]]:
    """(depth, key, text) of what is in a value, breadth bounded by ``most`` lines; the last line says what is left."""
    lines = 0
    open_: list[tuple[int, Iterator[tuple[Any, Any]]]] = [(0, named_children(value))]
    path: list[Any] = [value]
    while open_:
        level, children = open_[-1]
        pair = next(children, None)
        if pair is None:
            open_.pop()
            path.pop()
            continue
        key, child = pair
        if most is not None and lines >= most:
            yield level, "", f"and {1 + sum(1 for _ in children):,} more here"
            return
        lines += 1
        yield level, words.one_line(spelled(key)[:_LONG]), short(child)
        if level + 1 < depth and _opens(child) and not any(child is outer for outer in path):
            open_.append((level + 1, named_children(child)))
            path.append(child)


def _opens(value: Any) -> bool:
    """Whether the one line of a value does not say everything."""
    if isinstance(value, (str, bytes, TensorRef, StorageRef, *_ATOMS)) or is_numpy(value):
        return False
    if type(value) in _LISTS and short(value)[:1] in "([{":
        return False
    return next(iter(named_children(value)), None) is not None


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it; what JSON lacks becomes a dictionary with one telling key, or text."""
    return _Plain().of(value)


class _Plain:
    """Makes plain values of at most `_LARGEST` parts: a hundred nested lists can have 2^100 paths."""

    def __init__(self) -> None:
        self._left = _LARGEST
        self._path: set[int] = set()

    def of(self, value: Any) -> Any:
        """One value and what lies in it."""
        self._left -= 1
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return number(value)
        if isinstance(value, complex):
            return [number(value.real), number(value.imag)]
        if isinstance(value, (bytes, bytearray)):
            return {"bytes": len(value), "hex": bytes(value[:_SHOWN]).hex()}
        if isinstance(value, TensorRef):
            return {"tensor": value.describe()}
        if self._left <= 0 or id(value) in self._path or len(self._path) >= _DEPTH:
            return {"cut": short(value)}
        self._path.add(id(value))
        made = self._container(value)
        self._path.discard(id(value))
        return made

    def _container(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._items(value.items())
        if type(value) in _LISTS:
            return [self.of(item) for item in islice(value, _SHOWN)]
        if is_numpy(value):
            return self.of(value.reshape(-1)[:_SHOWN].tolist() if value.shape else value.item())
        children = self._items(named_children(value))
        if children or isinstance(value, InertObject):
            return {"type": kind_of(value), "content": children}
        return short(value)

    def _items(self, pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        return {spelled(key): self.of(item) for key, item in islice(pairs, _SHOWN)}


def number(value: float) -> float | str:
    """A number as strict JSON has it: NaN and the infinities become text."""
    value = float(value)
    return value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
