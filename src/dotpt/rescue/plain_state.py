"""One value of a state dict, as torch gives it: a tensor detached from its model, or plain values.

What crosses this boundary: whatever a pickled module has under a name; out comes a `TensorRef` of its own, a plain
value, or `Unsaid` with the reason why there is none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from dotpt.pickling.tree import ATOMS, DICTS
from dotpt.pickling.values import Device, InertObject, Size, Symbol
from dotpt.rescue.modules import described, script_object
from dotpt.rescue.notes import Notes
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import TensorRef

_PLAIN = ATOMS | {DType, Symbol, Device, Size}
_DEEPEST, _MOST = 32, 100_000
_LAZY = "torch.nn.parameter.Uninitialized"


class Unsaid(Exception):
    """The file does not say what the value is; the text says what it has instead."""


def as_state(value: Any, notes: Notes, name: str) -> Any:
    """``value`` as ``state_dict()`` gives it under ``name``.

    Raises:
        Unsaid: it is neither a tensor nor plain.
    """
    if type(value) is TensorRef:
        return detached(value)
    if type(value) is InertObject:
        tensor = tensor_within(value)
        if tensor is not None:
            notes.add(f"{name}: it was a {value.type_name}; its values are kept as a plain tensor")
            return detached(tensor)
    if script_object(value) is not None:
        notes.add(f"{name}: an object of C++ (packed weights); its tensors are kept as they lie in the file, in tuples")
    return _copied(value, 0, [_MOST])


def detached(ref: TensorRef) -> TensorRef:
    """The tensor without what a state dict does not have: gradients, and attributes set in Python.

    It is another object, on the same storage.
    """
    alone = TensorRef.through(ref.window, ref.storage)  # type: ignore[arg-type]
    if ref.requires_grad:
        alone.look(requires_grad=False)
    alone.layout, alone.parts = ref.layout, ref.parts
    alone.extra = {key: value for key, value in (ref.extra or {}).items() if key != "attributes"} or None
    alone.archive = ref.archive
    return alone


def tensor_within(value: InertObject) -> TensorRef | None:
    """The plain tensor that a tensor subclass was made of, if the file has it so."""
    for _ in range(8):
        if value.how == "parameter" and type(value.callee) is InertObject:
            value = value.callee
        elif value.how == "subclass" and type(value.args) is tuple and value.args:
            inner = value.args[0]
            if type(inner) is not InertObject:
                return inner if type(inner) is TensorRef else None
            value = inner
        else:
            return None
    return None


def _copied(value: Any, depth: int, left: list[int]) -> Any:
    """A plain value, containers being new ones: what is made of it must not change the file's tree."""
    left[0] -= 1
    if depth > _DEEPEST or left[0] < 0:
        raise Unsaid("it is too large or too deep for a value of a state dict")
    kind = type(value)
    if kind is TensorRef:
        return detached(value)
    if kind in _PLAIN:
        return value
    inner = script_object(value)
    if inner is not None:
        return _copied(inner, depth + 1, left)
    if kind in (list, tuple):
        return kind(_copied(item, depth + 1, left) for item in value)
    if kind in DICTS:
        made: dict[Any, Any] = OrderedDict() if kind is OrderedDict else {}
        for key, item in value.items():
            if type(key) not in ATOMS:
                raise Unsaid(f"it has {described(key)} as a key")
            made[key] = _copied(item, depth + 1, left)
        return made
    raise Unsaid(_said_of(value))


def _said_of(value: Any) -> str:
    if type(value) is InertObject and value.type_name.startswith(_LAZY):
        return "it has no shape yet, for the lazy module was never called"
    return f"{described(value)} stands where a tensor should"
