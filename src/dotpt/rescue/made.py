"""Tensors that are in no file: numbers that torch turns into tensors while it makes a state dict, numpy's arrays.

Invariant: such a tensor is a `TensorRef` like any other, with a storage, a record and a container whose bytes are in
memory, so whatever reads or copies tensors takes it as it takes the others.
"""

from __future__ import annotations

from itertools import count
from struct import pack

from dotpt.container.record import Record, RecordTable
from dotpt.source.memory import BytesSource
from dotpt.tensors.dtypes import DTYPES, DType
from dotpt.tensors.refs import StorageRef, TensorRef, contiguous_strides

_numbers = count()


def tensor_of_number(value: float | int | bool) -> TensorRef:
    """What ``torch.tensor(value)`` gives: a tensor without dimensions.

    Example:
        >>> tensor_of_number(0.5)
        <tensor ?: float32 [], cpu>
    """
    if type(value) is bool:
        return tensor_of_bytes(DTYPES["bool"], (), pack("=?", value))
    if type(value) is float:
        return tensor_of_bytes(DTYPES["float32"], (), _single(value))
    return tensor_of_bytes(DTYPES["int64"], (), pack("=q", max(min(value, 2**63 - 1), -(2**63))))


def _single(value: float) -> bytes:
    try:
        return pack("=f", value)
    except OverflowError:  # torch gives infinity
        return pack("=f", float("inf") if value > 0 else float("-inf"))


def tensor_of_bytes(dtype: DType, shape: tuple[int, ...], data: bytes) -> TensorRef:
    """A tensor of these elements, row by row, in this machine's byte order.

    Example:
        >>> tensor_of_bytes(DTYPES["uint8"], (2,), b"ab")
        <tensor ?: uint8 [2], cpu>
    """
    container = RecordTable(BytesSource(data, "<made by dotpt>"))
    storage = StorageRef(f"made/{next(_numbers)}", dtype, "cpu", len(data))
    storage.container = container
    storage.place = Record(storage.key, 0, len(data), len(data))
    return TensorRef(storage, dtype, 0, shape, contiguous_strides(shape))
