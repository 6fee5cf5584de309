"""Leaves of a tree as numpy and plain Python values."""

from __future__ import annotations

from typing import Any

import numpy as np

from dotpt.archive.memories import Memories
from dotpt.errors import LimitExceeded, MissingDependency, TensorError
from dotpt.pickling.tree import settle
from dotpt.pickling.values import Size
from dotpt.tensors.arrays import Array, MetaArray, NestedArray, QuantizedArray, SparseArray, strided_array
from dotpt.tensors.composite import check_jagged, check_nested, check_sparse
from dotpt.tensors.refs import StorageRef, TensorRef


class NumpyBackend:
    """Makes arrays on the memories of storages."""

    name = "numpy"
    unread = False

    def __init__(self, memories: Memories) -> None:
        self._memories = memories
        self._made: dict[TensorRef, Any] = {}
        self._copied: set[StorageRef] = set()
        self._room = memories.limits.expanded_bytes

    def leaf(self, value: Any) -> Any:
        """What a leaf becomes. One reference gives one array, wherever it appears."""
        kind = type(value)
        if kind is TensorRef:
            made = self._made.get(value)
            if made is None:
                made = self._made[value] = self.tensor(value)
            return made
        if kind is StorageRef:
            return self.storage(value)
        if kind is Size:
            return tuple(value)
        return settle(value)

    def finish(self, value: Any) -> Any:
        """Named tuples and generators of torch stay the records they are."""
        return settle(value)

    def set_attributes(self, tensor: Any, attributes: dict[str, Any]) -> None:
        """An array has no attributes: those of a tensor are left out."""

    def subclass(self, *_: Any) -> Any:
        """Subclasses of torch's tensors, which only torch can make."""
        raise MissingDependency("The file holds a tensor subclass.", hint='pip install torch, and use backend="torch"')

    wrapper = parameter = set_state = subclass

    def storage(self, storage: StorageRef) -> Array:
        """A storage that was saved by itself: one dimension of its type."""
        ref = TensorRef(storage, storage.dtype, 0, (storage.nbytes // storage.dtype.itemsize,), (1,))
        return strided_array(ref, self._memories.of(storage, storage.dtype))

    def tensor(self, ref: TensorRef) -> Any:
        """The array or record of a tensor of any layout."""
        if ref.layout == "strided":
            return self._strided(ref)
        parts = {role: self.tensor(part) for role, part in (ref.parts or {}).items()}
        if ref.layout.startswith("sparse"):
            check_sparse(ref, parts)
            return SparseArray(ref.layout, parts, ref.shape)
        components = check_nested(parts) if ref.layout == "nested" else check_jagged(ref, parts)
        return NestedArray(ref.layout, parts, components)

    def _strided(self, ref: TensorRef) -> Any:
        extra = ref.extra or {}
        if ref.storage is None:
            array = extra.get("array")
            if array is not None:
                return array
            return MetaArray(ref.shape, ref.dtype)
        if ref.dtype.name == "complex32" or extra.get("conj") or extra.get("neg"):
            self._count_copy(ref, ref.storage)
        array = strided_array(ref, self._memories.of(ref.storage, ref.dtype))
        if "scheme" not in extra:
            return array
        if "scale" in extra:
            return QuantizedArray(array, extra["scale"], extra["zero_point"])
        scales, zeros = (self._channel(extra[name]) for name in ("scales", "zero_points"))
        return QuantizedArray(array, scales, zeros, extra["axis"])

    def _count_copy(self, ref: TensorRef, storage: StorageRef) -> None:
        """These types are copied: a thousand expanded views of one small storage would take a thousand copies."""
        copy = ref.numel * ref.dtype.to_numpy().itemsize
        self._room -= copy if storage in self._copied else max(copy - 2 * storage.nbytes, 0)
        self._copied.add(storage)
        if self._room < 0:
            allowed = self._memories.limits.expanded_bytes
            raise LimitExceeded("expanded_bytes", allowed - self._room, allowed, key=storage.key)

    def _channel(self, values: Any) -> Any:
        if type(values) is not TensorRef:
            return np.asarray(values)
        array = self.tensor(values)
        if not isinstance(array, np.ndarray):
            raise TensorError("A quantizer's scales are no plain tensor.", key=values.storage_key)
        return array
