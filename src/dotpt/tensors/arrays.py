"""Tensors without torch: numpy arrays, and small records for the layouts that numpy does not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dotpt.errors import TensorError
from dotpt.tensors.dtypes import DType
from dotpt.tensors.memory import Memory
from dotpt.tensors.refs import TensorRef

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class QuantizedArray:
    """A quantized tensor: integers, and what they stand for.

    Attributes:
        values: the stored integers.
        scale, zero_point: one number each, or one per channel along ``axis``.
    """

    values: Array
    scale: Any
    zero_point: Any
    axis: int | None = None

    def dequantize(self) -> Array:
        """The numbers meant, as float32: ``(values - zero_point) * scale``."""
        scale, zero = np.asarray(self.scale), np.asarray(self.zero_point)
        if self.axis is not None:
            shape = [-1 if d == self.axis else 1 for d in range(self.values.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        meant: Array = (self.values.astype(np.float64) - zero) * scale
        return meant.astype(np.float32)


@dataclass(frozen=True, slots=True)
class SparseArray:
    """A sparse tensor: its layout (``sparse_coo``, ``sparse_csr``, ...), its parts by torch's names, its shape."""

    layout: str
    parts: dict[str, Array]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NestedArray:
    """Tensors of different lengths in one: the parts by torch's names, and one array for each component."""

    layout: str
    parts: dict[str, Array]
    components: list[Array]


@dataclass(frozen=True, slots=True)
class MetaArray:
    """A tensor saved on the meta device: a shape and a type without values."""

    shape: tuple[int, ...]
    dtype: DType


def strided_array(ref: TensorRef, memory: Memory) -> Array:
    """The numpy array of a strided tensor whose storage lies in ``memory``."""
    dtype = ref.dtype
    if dtype.name == "complex32":
        return _half_complex(ref, memory)
    if dtype.bits and dtype.kind == "quantized":
        packed: Array = np.ndarray((memory.length - ref.offset,), np.uint8, memory.buffer, memory.start + ref.offset)
        return packed
    itemsize = dtype.itemsize
    start = memory.start + ref.offset * itemsize
    strides = tuple(stride * itemsize for stride in ref.strides)
    array = np.ndarray(ref.shape, dtype.to_numpy(), _room(memory, start, ref), start, strides)
    return _marked(array, ref)


def _room(memory: Memory, start: int, ref: TensorRef) -> Any:
    if 0 in ref.shape and start > memory.start + memory.length:
        raise TensorError("An empty tensor starts behind its storage.", key=ref.storage_key)
    return memory.buffer


def _half_complex(ref: TensorRef, memory: Memory) -> Array:
    start = memory.start + 4 * ref.offset
    strides = (*(4 * stride for stride in ref.strides), 2)
    pairs = np.ndarray((*ref.shape, 2), np.float16, memory.buffer, start, strides)
    array = np.empty(ref.shape, np.complex64)
    array.real, array.imag = pairs[..., 0], pairs[..., 1]
    return _marked(array, ref)


def _marked(array: Array, ref: TensorRef) -> Array:
    """torch defers conjugation and negation to a bit; numpy has no such bit."""
    if ref.extra:
        if ref.extra.get("conj"):
            array = np.asarray(np.conj(array))  # numpy makes a scalar of what has no dimensions
        if ref.extra.get("neg"):
            array = np.asarray(np.negative(array))
    return array


def swap_bytes(memory: Memory, unit: int) -> None:
    """Reverse the bytes of every ``unit`` in place: a file of the other byte order."""
    if unit > 1:
        count = memory.length // unit
        np.ndarray((count,), f"u{unit}", memory.buffer, memory.start).byteswap(inplace=True)
