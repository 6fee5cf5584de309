"""``same(a, b)``: are two loaded graphs the same, to the bit, in types, sharing and cycles? Says where they differ."""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Iterator
from types import MethodType
from typing import Any
from weakref import ref

import numpy as np
import torch
from torch.nested._internal.nested_tensor import NestedTensor

from .bits import logical_bytes, parts, plain, storage_bytes

_ATOMS = (int, str, bytes, bytearray, bool, type(None), range, slice, type, torch.dtype, torch.device, torch.layout)
_CONTAINERS = (list, tuple, dict, set, frozenset, deque)
_STORAGES = (torch.UntypedStorage, torch.TypedStorage)
_Pairs = Iterator[tuple[str, Any, Any]]


class _DifferenceError(Exception):
    """Carries the first difference out of the walk."""


def same(a: Any, b: Any, *, strides: bool = True, sharing: bool = True) -> str | None:
    """Compare two object graphs and return the first difference, or None.

    Args:
        a: one graph.
        b: the other; the message calls them by these names.
        strides: strides and storage offsets must be equal too, not only the elements.
        sharing: what is one object, or lies in one storage, on one side must do so on the other.
    """
    try:
        _Walk(strides, sharing).run(a, b)
    except _DifferenceError as found:
        return str(found)
    return None


class _Walk:
    """A walk of both graphs with a list of pairs yet to visit, so that neither depth nor cycles matter."""

    def __init__(self, strides: bool, sharing: bool) -> None:
        self.strides, self.sharing = strides, sharing
        self.visited: set[tuple[int, int]] = set()
        self.twins: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
        self.kept: list[Any] = []  # temporaries must live, or their ids come back

    def run(self, a: Any, b: Any) -> None:
        todo = [("", a, b)]
        while todo:
            path, left, right = todo.pop()
            if (id(left), id(right)) in self.visited:
                continue
            self.visited.add((id(left), id(right)))
            self.kept += [left, right]
            todo += reversed(list(self.visit(path, left, right)))

    def visit(self, path: str, a: Any, b: Any) -> _Pairs:
        """Compare one pair and yield the pairs below it."""
        if isinstance(a, _STORAGES) and isinstance(b, _STORAGES):
            self.storage(path, a, b)
            return
        self.equal(path, "type", _type_name(a), _type_name(b))
        if type(a) is not type(b):
            raise _DifferenceError(f"{path or 'root'}: two classes are named {_type_name(a)}")
        if isinstance(a, type) or (isinstance(a, _ATOMS) and not hasattr(a, "__dict__")):
            self.equal(path, "value", a, b)
        elif isinstance(a, (float, complex)):
            self.equal(path, "value", _float_bits(a), _float_bits(b), shown=(a, b))
        elif isinstance(a, torch.Tensor):
            yield from self.tensor(path, a, b)
        elif isinstance(a, np.ndarray):
            yield from self.array(path, a, b)
        elif isinstance(a, np.generic):
            self.equal(path, "value", (a.dtype, a.tobytes()), (b.dtype, b.tobytes()), shown=(a, b))
        elif isinstance(a, _CONTAINERS):
            yield from self.container(path, a, b)
        else:
            yield from self.object(path, a, b)

    def equal(self, path: str, what: str, a: Any, b: Any, shown: tuple[Any, Any] | None = None) -> None:
        if a != b:
            left, right = shown or (a, b)
            raise _DifferenceError(f"{path or 'root'}: {what} {left!r} in a, {right!r} in b")

    def bytes(self, path: str, a: bytes, b: bytes) -> None:
        self.equal(path, "size in bytes", len(a), len(b))
        if a != b:
            at = next(i for i in range(len(a)) if a[i] != b[i])
            raise _DifferenceError(f"{path or 'root'}: byte {at} of {len(a)} is {a[at]:#04x} in a, {b[at]:#04x} in b")

    def twin(self, path: str, what: str, a: Any, b: Any) -> None:
        """Hold that `a` and `b`, two identities, stand for each other wherever either is met."""
        forth, back = self.twins
        if self.sharing and (forth.setdefault((what, a), b) != b or back.setdefault((what, b), a) != a):
            raise _DifferenceError(f"{path or 'root'}: {what} shared in one graph only")

    def container(self, path: str, a: Any, b: Any) -> _Pairs:
        if not isinstance(a, (tuple, frozenset)):  # Python may share equal immutable ones as it likes
            self.twin(path, "object", id(a), id(b))
        self.equal(path, "length", len(a), len(b))
        if isinstance(a, (set, frozenset)):
            self.equal(path, "members", a, b)
        elif isinstance(a, dict):
            for i, (left, right) in enumerate(zip(a, b, strict=True)):
                yield f"{path}<key {i}>", left, right
                yield f"{path}[{left!r}]", a[left], b[right]
        else:
            for i, (left, right) in enumerate(zip(a, b, strict=True)):
                yield f"{path}[{i}]", left, right
        for name in ("default_factory", "maxlen", "__dict__"):
            if hasattr(a, name) or hasattr(b, name):
                yield f"{path}.{name}", getattr(a, name, None), getattr(b, name, None)

    def tensor(self, path: str, a: torch.Tensor, b: torch.Tensor) -> _Pairs:
        self.twin(path, "tensor", id(a), id(b))
        for name in ("dtype", "layout", "device", "requires_grad", "is_quantized", "is_nested"):
            self.equal(path, name, getattr(a, name), getattr(b, name))
        yield f"{path}.__dict__", _attributes(a), _attributes(b)
        if isinstance(a, torch.nn.parameter.UninitializedTensorMixin) or hasattr(a, "__tensor_flatten__"):
            return
        made = parts(a)
        if not a.is_nested:
            self.equal(path, "shape", tuple(a.shape), tuple(b.shape))
        for name, part in made.items():
            yield f"{path}.{name}", part, parts(b)[name]
        if (made and not a.is_quantized) or type(a).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
            return
        left, right = plain(a), plain(b)
        if self.strides:
            self.equal(path, "stride", left.stride(), right.stride())
        for name in ("is_conj", "is_neg") if self.strides else ():
            self.equal(path, name, getattr(left, name)(), getattr(right, name)())
        if a.is_meta:
            return
        if self.strides:
            self.equal(path, "storage_offset", left.storage_offset(), right.storage_offset())
        self.twin(path, "storage", left.untyped_storage()._cdata, right.untyped_storage()._cdata)
        self.bytes(path, logical_bytes(a), logical_bytes(b))

    def storage(self, path: str, a: Any, b: Any) -> None:
        """An untyped storage counts as one of uint8, because that is what torch makes of it on loading."""
        (dtype_a, a), (dtype_b, b) = _untyped(a), _untyped(b)
        self.equal(path, "dtype", dtype_a, dtype_b)
        self.twin(path, "storage", a._cdata, b._cdata)
        self.bytes(path, storage_bytes(a), storage_bytes(b))

    def array(self, path: str, a: Any, b: Any) -> _Pairs:
        self.twin(path, "object", id(a), id(b))
        a, b = _native(a), _native(b)
        self.equal(path, "dtype", (a.dtype, a.dtype.descr), (b.dtype, b.dtype.descr))
        self.equal(path, "shape", a.shape, b.shape)
        if self.strides:
            self.equal(path, "fortran order", np.isfortran(a), np.isfortran(b))
        if isinstance(a, np.ma.MaskedArray):
            yield f"{path}.data", a.data, b.data
            yield f"{path}.mask", a.mask, b.mask
        elif a.dtype.hasobject:
            yield f"{path}.tolist()", a.ravel().tolist(), b.ravel().tolist()
        else:
            self.bytes(path, a.tobytes(), b.tobytes())

    def object(self, path: str, a: Any, b: Any) -> _Pairs:
        """Objects of any class: by their state if they show it, else by ``==``."""
        if isinstance(a, ref):
            yield f"{path}()", a(), b()
            return
        if isinstance(a, MethodType):
            self.equal(path, "function", a.__func__, b.__func__)
            yield f"{path}.__self__", a.__self__, b.__self__
            return
        state = _hidden_state(a)
        if state is not None:
            yield f"{path}.state", state, _hidden_state(b)
            return
        slots = [name for cls in type(a).__mro__ for name in getattr(cls, "__slots__", ()) if name != "__weakref__"]
        held = getattr(a, "__dict__", None)
        named = callable(a) and hasattr(a, "__qualname__")
        if named or (type(a).__eq__ is not object.__eq__ and not held):
            self.equal(path, "value", a, b)
        elif held is None and not slots:
            if a is not b:
                self.equal(path, "value", repr(a), repr(b))
        else:
            self.twin(path, "object", id(a), id(b))
            yield f"{path}.__dict__", held, getattr(b, "__dict__", None)
            for name in slots:
                if hasattr(a, name) or hasattr(b, name):
                    yield f"{path}.{name}", getattr(a, name, None), getattr(b, name, None)


def _hidden_state(value: Any) -> Any:
    """Return the state of classes that keep it in C."""
    if isinstance(value, torch.Generator):
        return [str(value.device), value.initial_seed(), value.get_state()]
    if isinstance(value, np.random.RandomState):
        return value.get_state(legacy=False)
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, random.Random):
        return value.getstate()
    return None


def _attributes(tensor: torch.Tensor) -> dict[str, Any]:
    """Return what was set on a tensor; a jagged tensor's own fields are compared as parts."""
    if isinstance(tensor, NestedTensor):
        return {}
    return dict(tensor.__dict__)


def _untyped(storage: Any) -> tuple[torch.dtype, torch.UntypedStorage]:
    if isinstance(storage, torch.TypedStorage):
        return storage.dtype, storage._untyped_storage
    return torch.uint8, storage


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return `array` in the machine's byte order: NumPy turns some arrays to it as it unpickles them, others not."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _float_bits(value: Any) -> tuple[type, bytes]:
    number = complex(value)
    return type(value), struct.pack("<dd", number.real, number.imag)
