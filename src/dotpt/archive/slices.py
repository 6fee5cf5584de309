"""Part of a tensor: only the bytes between its first and last element are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dotpt.container.record import STORED
from dotpt.tensors.arrays import strided_array, swap_bytes
from dotpt.tensors.memory import Memory, allocate
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive


def read_slice(archive: Archive, ref: TensorRef, index: Any) -> Any:
    """What ``ref.numpy()[index]`` gives, for a basic index without reading the rest.

    Integers, slices, ``...`` and None are basic; any other index, and any tensor that is not plain and
    strided, is read whole first.
    """
    window = _window(ref, index)
    if window is None:
        return ref.numpy()[index]
    assert ref.storage is not None
    itemsize = ref.dtype.itemsize
    first, length = window.offset * itemsize, window.extent * itemsize
    base, start = ref.storage.view_of or (ref.storage, 0)
    record = base.record
    if record is None or record.method != STORED:
        return ref.numpy()[index]
    memory = allocate(length)
    if length:
        base.container.source.read_into(record.offset + start + first, memory.view)
    if ref.storage.swap:
        swap_bytes(memory, ref.dtype.swap)
    window.offset = 0
    array = strided_array(window, Memory(memory.buffer, memory.start, memory.length))
    return array[()] if not array.shape else array


def _window(ref: TensorRef, index: Any) -> TensorRef | None:
    """The tensor that a basic index selects, or None for an index of another kind."""
    if ref.storage is None or ref.layout != "strided" or ref.dtype.bits or "scheme" in (ref.extra or {}):
        return None
    items = index if isinstance(index, tuple) else (index,)
    if not all(item is None or item is Ellipsis or type(item) in (int, slice) for item in items):
        return None
    # numpy does the arithmetic, on an array that has the tensor's shape and no memory
    shadow = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), ref.shape, ref.strides)
    chosen = shadow[index]
    offset = 0
    if np.ndim(chosen) == 0 and not isinstance(chosen, np.ndarray):
        chosen = shadow[(*items, Ellipsis)]
    if any(step < 0 for step in chosen.strides):
        return None
    offset = chosen.__array_interface__["data"][0] - shadow.__array_interface__["data"][0]
    window = TensorRef(ref.storage, ref.dtype, ref.offset + offset, chosen.shape, chosen.strides)
    window.extra = ref.extra
    return window
