"""What crosses this boundary: a tensor in a file in; its values as numpy arrays, a bounded piece at a time, out.

A piece is a run of elements in row-major order, so the same numbers of two files are the same elements of a tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    import numpy as np

PIECE = 1 << 20  # bytes: what is computed with it in float64 stays in the processor's cache


class Flat:
    """A strided tensor as one row of elements.

    Args:
        ref: the tensor; of a quantized one the stored integers are given.
    """

    def __init__(self, ref: TensorRef) -> None:
        self._whole: np.ndarray[Any, Any] | None = None
        contiguous = ref.is_contiguous and not ref.dtype.bits
        shape, strides = ((ref.numel,), (1,)) if contiguous else (ref.shape, ref.strides)
        self._bare = TensorRef(ref.storage, ref.dtype, ref.offset, shape, strides)
        self._bare.name, self._bare.archive = ref.name, ref.archive
        bits = {bit: True for bit in ("conj", "neg") if (ref.extra or {}).get(bit)}
        self._bare.extra = bits or None
        self._in_pieces = contiguous

    def __getitem__(self, place: slice) -> np.ndarray[Any, Any]:
        """The elements of a range; only a tensor that has gaps is read as a whole, once."""
        if self._in_pieces:
            return self._bare[place]
        if self._whole is None:
            self._whole = self._bare.numpy(verify=False).reshape(-1)
        return self._whole[place]


def pieces_of(numel: int, itemsize: int) -> Iterator[slice]:
    """The ranges that cut so many elements into pieces."""
    step = max(1, PIECE // max(itemsize, 1))
    for begin in range(0, numel, step):
        yield slice(begin, min(begin + step, numel))
