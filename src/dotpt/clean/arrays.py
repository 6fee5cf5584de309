"""numpy's values as what opens without numpy: arrays become tensors, scalars numbers, the rest lists and texts."""

from __future__ import annotations

from typing import Any

from dotpt.pickling.tree import ATOMS
from dotpt.pickling.values import InertObject
from dotpt.rescue.made import tensor_of_bytes
from dotpt.tensors.dtypes import DTYPES
from dotpt.tensors.refs import TensorRef

_KINDS = frozenset(("float", "int", "uint", "bool", "complex"))


def is_array(value: Any) -> bool:
    """Whether a value is an array of numpy's."""
    return type(value).__module__ == "numpy" and type(value).__name__ == "ndarray"


def is_scalar(value: Any) -> bool:
    """Whether it is another value of numpy's."""
    return type(value).__module__.partition(".")[0] in ("numpy", "ml_dtypes")


def tensor_of(array: Any) -> TensorRef | None:
    """An array of numbers as a tensor; None where torch has no such type."""
    dtype = DTYPES.get(array.dtype.name)
    if dtype is None or dtype.kind not in _KINDS or dtype.bits:
        return None
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return tensor_of_bytes(dtype, tuple(array.shape), native.tobytes())


def plain_scalar(value: Any) -> Any:
    """A number or text of numpy's as Python's; a date or a type as text."""
    made = value.item() if hasattr(value, "item") else str(value)
    return made if type(made) in ATOMS else str(value)


def plain_lists(array: Any) -> Any:
    """An array of texts, dates or records as lists; of dates and the like the texts, of records tuples."""
    made = array.tolist()
    if array.dtype.kind in "mM":
        made = array.astype(str).tolist()
    return _plain(made)


def _plain(value: Any) -> Any:
    """numpy allows 64 dimensions and the reader 16 records within each other, so this does not go deep."""
    if type(value) in ATOMS:
        return value
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    if is_array(value):
        return _plain(value.tolist())
    return str(value)


def array_within(value: InertObject) -> Any:
    """The array that a subclass of numpy's array was made of (a matrix, a masked array); None if there is none."""
    import numpy as np

    if value.how != "array":
        return None
    for state in reversed(value.states):
        if type(state) is not tuple or len(state) < 5:
            continue
        _, shape, dtype, fortran, content = state[:5]
        if not isinstance(dtype, np.dtype) or dtype.hasobject or type(content) is not bytes or not dtype.itemsize:
            continue
        if type(shape) is not tuple or any(type(size) is not int or size < 0 for size in shape) or len(shape) > 64:
            continue
        count = 1
        for size in shape:
            count *= size
        if count * dtype.itemsize == len(content):
            flat = np.frombuffer(content, dtype)
            return flat.reshape(shape, order="F" if fortran else "C")
    return None
