"""Part of a tensor: only the bytes between its first and last element are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dotpt.container.record import STORED
from dotpt.errors import UsageError
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
    window = window_on(ref, index)
    if window is None:
        whole = ref.numpy()
        if not isinstance(whole, np.ndarray):
            what = (
                "a meta tensor"
                if ref.is_meta
                else f"a tensor of layout {ref.layout}"
                if ref.parts
                else "a quantized tensor"
            )
            raise UsageError(f"Part of {what} cannot be taken.", key=ref.name, hint="take .numpy() or .torch() of it")
        return whole[index]
    storage = window.storage
    if storage is None:
        return ref.numpy()[index]
    itemsize = ref.dtype.itemsize
    first, length = window.offset * itemsize, window.extent * itemsize
    base, start = storage.view_of or (storage, 0)
    record = base.record
    if record is None or record.method != STORED:
        return ref.numpy()[index]
    memory = allocate(length)
    if length:
        base.container.source.read_into(record.offset + start + first, memory.view)
    if storage.swap:
        swap_bytes(memory, ref.dtype.swap)
    window.look(offset=0)
    array = strided_array(window, Memory(memory.buffer, memory.start, memory.length))
    return array[()] if not array.shape else array


def window_on(ref: TensorRef, index: Any) -> TensorRef | None:
    """The tensor that a basic index selects, or None for an index of another kind."""
    if ref.storage is None or ref.layout != "strided" or ref.dtype.bits or "scheme" in (ref.extra or {}):
        return None
    items = index if isinstance(index, tuple) else (index,)
    if not all(item is None or item is Ellipsis or type(item) in (int, slice) for item in items):
        return None
    # numpy does the arithmetic, on an array that has the tensor's shape and no memory
    # (with an ellipsis it gives a view of even one element, and never reads that memory)
    shadow = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), ref.shape, ref.strides)
    chosen = shadow[items if Ellipsis in items else (*items, Ellipsis)]
    if any(step < 0 for step in chosen.strides):
        return None
    offset = chosen.__array_interface__["data"][0] - shadow.__array_interface__["data"][0]
    window = TensorRef(ref.storage, ref.dtype, ref.offset + offset, chosen.shape, chosen.strides)
    window.extra = ref.extra
    return window
