"""What numpy's arrays become in a pickle when they are saved as tensors: no torch is needed for that.

Arrays that look at the memory of one base array share a storage, as views of one tensor do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dotpt.errors import UsageError
from dotpt.pickling.encoder import Encoder, Save
from dotpt.saving.tensors import Storage, Tensor, TensorWriter
from dotpt.tensors.compact import View
from dotpt.tensors.dtypes import DTYPES, DType
from dotpt.tensors.outgoing import Fetch
from dotpt.tensors.refs import contiguous_strides

_KINDS = frozenset(("float", "int", "uint", "bool", "complex"))
_PLAIN = (str, int, float, bool, type(None), bytes, complex)


class NumpyValues:
    """Writes numpy's arrays and scalars as tensors through an encoder."""

    def __init__(self, writer: TensorWriter) -> None:
        self._writer = writer

    @property
    def types(self) -> dict[type, Save]:
        """How each exact type is written."""
        scalars = {kind: self._scalar for kind in set(np.sctypeDict.values()) if dtype_of(np.dtype(kind)) is not None}
        return {**scalars, np.ndarray: self._array, np.memmap: self._array}

    def _scalar(self, encoder: Encoder, value: Any) -> None:
        self._array(encoder, np.asarray(value))

    def _array(self, encoder: Encoder, array: Any) -> None:
        if encoder.get(array):
            return
        dtype = dtype_of(array.dtype)
        if dtype is None:
            raise UsageError(
                f"torch has no tensors of numpy's type {array.dtype}.",
                hint='convert the array, or keep it as numpy\'s own with arrays="numpy"',
            )
        storage, view = self._storage(array, dtype)
        self._writer.write(encoder, storage, Tensor(dtype, view), array)

    def _storage(self, array: Any, dtype: DType) -> tuple[Storage, View]:
        """The storage that an array looks at, shared with the other arrays on the same memory."""
        base = _base(array)
        view = _view(array, base)
        if view is None:  # strides that torch has not (backwards, between elements), or the other byte order
            base, view = np.ascontiguousarray(array), View(0, array.shape, contiguous_strides(array.shape))
        address = base.__array_interface__["data"][0]
        identity = (address, base.nbytes, dtype) if base.nbytes else id(base)
        storage = self._writer.storages.get(identity)
        if storage is None:
            storage = self._writer.add(identity, dtype, "cpu", base.nbytes, base, *_where(base))
        return storage, view


def holds_arrays_alone(value: Any) -> bool:
    """Whether an object is made of plain containers, plain values and at least one numpy array or scalar.

    Such an object is a numpy user's, whose arrays become tensors; one that holds anything of torch, or a class of
    one's own, keeps its arrays as they are.
    """
    found = False
    seen: set[int] = set()
    level = [value]
    while level:
        value = level.pop()
        kind = type(value)
        if kind in _PLAIN:
            continue
        if isinstance(value, (np.ndarray, np.generic)):
            found = found or dtype_of(value.dtype) is not None
        elif id(value) not in seen:
            seen.add(id(value))
            children = _children(value)
            if children is None:
                return False
            level.extend(children)
    return found


def _children(value: Any) -> Iterator[Any] | None:
    if isinstance(value, dict):
        return iter([*value.values(), *(key for key in value if type(key) is not str)])
    return iter(value) if type(value) in (list, tuple, set, frozenset) else None


def dtype_of(numpy: Any) -> DType | None:
    """The element type of torch for one of numpy, None where torch has none."""
    found = DTYPES.get(numpy.name)
    return found if found is not None and found.kind in _KINDS and not found.bits else None


def _base(array: Any) -> Any:
    """The array whose memory this one looks at, if that is one run of bytes; else the array itself."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    same = base.dtype == array.dtype and base.flags.forc
    return base if same else array


def _view(array: Any, base: Any) -> View | None:
    """How an array looks at the memory of ``base``, in elements; None where torch cannot look at it so."""
    item = array.itemsize
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    steps = array.strides
    if not array.size:
        return View(0, array.shape, contiguous_strides(array.shape))
    if not base.flags.forc or start % item or any(step < 0 or step % item for step in steps):
        return None
    if not array.dtype.isnative:
        return (
            None
            if array is not base or not array.flags.c_contiguous
            else View(0, array.shape, contiguous_strides(array.shape))
        )
    return View(start // item, array.shape, tuple(step // item for step in steps))


def _where(base: Any) -> tuple[int, Fetch | None]:
    """How the bytes of an array are reached: in place, or turned round if it is of the other byte order."""
    if base.dtype.isnative:
        return base.__array_interface__["data"][0], None
    flat, item, native = base.reshape(-1), base.itemsize, base.dtype.newbyteorder("=")
    return 0, lambda begin, end: memoryview(flat[begin // item : end // item].astype(native).view(np.uint8))
