"""The checks that torch's loader should make before a tensor looks at a storage.

All sizes come from a stranger, so everything is an unlimited Python integer, and nothing is multiplied in a
fixed width. Fact source: the "validity checks" table of torch 2.13 (mmap and quantized loads skip some).
"""

from __future__ import annotations

from dotpt.errors import LimitExceeded, TensorError
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import StorageRef, TensorRef

MAX_INT64 = (1 << 63) - 1
Shape = tuple[int, ...]


class Bounds:
    """Checks tensors against their storages; remembers shapes it has seen, since models repeat them."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._known: dict[tuple[Shape, Shape], tuple[int, int]] = {}

    def tensor(
        self,
        storage: StorageRef,
        dtype: DType,
        offset: object,
        shape: object,
        strides: object,
        requires_grad: object = False,
    ) -> TensorRef:
        """The tensor, if it lies within its storage.

        Raises:
            TensorError: an argument has the wrong type, is negative, or points outside the storage.
            LimitExceeded: it claims much more than its storage holds (`Limits.expanded_bytes`).
        """
        if type(offset) is not int or type(requires_grad) is not bool:
            raise TensorError("A tensor's offset or requires_grad flag is of the wrong type.", key=storage.key)
        # The tuples are made flat before anything hashes them: hash() of a deeply nested tuple recurses in C.
        shape, strides = self.sizes(shape, "shape"), self.sizes(strides, "strides")
        return self.place(storage, dtype, offset, shape, strides, requires_grad)

    def place(
        self, storage: StorageRef, dtype: DType, offset: int, shape: Shape, strides: Shape, requires_grad: bool
    ) -> TensorRef:
        """`tensor`, for sizes whose types have been checked."""
        try:
            numel, extent = self._known[shape, strides]
        except KeyError:
            numel, extent = self.measure(shape, strides)
        itemsize = dtype.itemsize
        last = (offset + extent) * itemsize
        # An empty tensor touches nothing, wherever it is said to start.
        if offset < 0 or (last > storage.nbytes and (extent or offset > MAX_INT64)):
            raise TensorError(
                "The tensor reaches outside its storage.",
                key=storage.key,
                found=f"shape {shape}, strides {strides}, offset {offset} of {dtype} end at byte {last:,}",
                expected=f"at most {storage.nbytes:,} bytes",
                hint="the file is damaged or hostile: get it again from its author",
            )
        if numel * itemsize - storage.nbytes > self._limits.expanded_bytes:
            raise LimitExceeded(
                "expanded_bytes", numel * itemsize - storage.nbytes, self._limits.expanded_bytes, key=storage.key
            )
        return TensorRef(storage, dtype, offset, shape, strides, requires_grad)

    def measure(self, shape: Shape, strides: Shape) -> tuple[int, int]:
        """Number of elements, and elements from the first to the last one touched."""
        if len(shape) > self._limits.tensor_dims:
            raise LimitExceeded("tensor_dims", len(shape), self._limits.tensor_dims)
        if len(shape) != len(strides):
            raise TensorError(
                f"The tensor has {len(shape)} dimensions and {len(strides)} strides.", found=strides, expected=shape
            )
        numel, extent = 1, 1
        for size, stride in zip(shape, strides, strict=True):
            numel *= size
            extent += (size - 1) * stride
        if numel == 0:
            extent = 0
        if numel > MAX_INT64 or extent > MAX_INT64:
            raise TensorError("The tensor has more elements than 64 bits can count.", found=shape)
        if len(self._known) < 1 << 16:
            self._known[shape, strides] = numel, extent
        return numel, extent

    def sizes(self, values: object, what: str) -> Shape:
        """A tuple of non-negative integers, or an error that says what is wrong with it."""
        if not isinstance(values, (tuple, list)):
            raise TensorError(f"A tensor's {what} is a {type(values).__name__}, not a tuple of integers.")
        if len(values) > self._limits.tensor_dims:
            raise LimitExceeded("tensor_dims", len(values), self._limits.tensor_dims)
        for value in values:
            if type(value) is not int or not 0 <= value <= MAX_INT64:
                raise TensorError(f"A tensor's {what} holds {value!r:.40}, which is no size.", found=values)
        return tuple(values)
