"""What a tensor is before its bytes are read: small records that point into storages.

A *storage* is a flat run of bytes in the file; a *tensor* is a typed, strided window on one. Several tensors
may look at one storage (tied weights, views), and they keep doing so after loading. The other layouts of
torch (sparse, quantized per channel, nested, subclasses) are made of strided tensors: `parts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dotpt.tensors.dtypes import DType

if TYPE_CHECKING:
    import numpy as np


class StorageRef:
    """A flat run of bytes that tensors look at.

    Attributes:
        key: the name that the pickle gives it (``data/<key>`` in a zip).
        dtype: the type under which it was first pickled (``uint8`` for an untyped one).
        location: where it lived when it was saved: ``cpu``, ``cuda:0``, ...
        nbytes: its length in bytes.
        untyped: whether the pickle names the untyped class.
        container: where its bytes are; None until the container's storages are known.
        index: its position in the container's directory, if that has one.
        swap: set when the bytes are in the other byte order than this machine's.
    """

    container: Any = None
    place: Any = None
    index = -1
    swap = False
    # torch 0.3 and before: this storage is a window (bytes from, within) of another
    view_of: tuple[StorageRef, int] | None = None

    def __init__(self, key: str, dtype: DType, location: str, nbytes: int, untyped: bool = False) -> None:
        self.key = key
        self.dtype = dtype
        self.location = location
        self.nbytes = nbytes
        self.untyped = untyped

    @property
    def record(self) -> Any:
        """The record that holds its bytes, checked against the container's rules; None if it has none."""
        if self.place is None and self.container is not None and self.index >= 0:
            self.place = self.container.checked_record(self.index)
        return self.place

    def __repr__(self) -> str:
        return f"<storage {self.key}: {self.nbytes:,} bytes, {self.location}>"


class Window:
    """How a tensor looks at its storage. The tensors of one size in a model share one.

    Attributes:
        dtype, offset, shape, strides, requires_grad: as `TensorRef` gives them.
    """

    __slots__ = ("dtype", "offset", "requires_grad", "shape", "strides")

    def __init__(
        self, dtype: DType, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], requires_grad: bool = False
    ) -> None:
        self.dtype = dtype
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.requires_grad = requires_grad


class TensorRef:
    """A tensor in a file, its bytes not yet read.

    Attributes:
        name: its address in the file (``model.layer1.weight``).
        storage: the storage it looks at; None for a meta tensor and for the composite layouts.
        window: how it looks at it: type, offset, shape, strides, requires_grad, which it also has itself.
        layout: ``strided``, ``sparse_coo``, ``sparse_csr``, ..., ``nested``, ``jagged``.
        flavor: ``tensor``, ``parameter``, ``buffer``.
        extra: what else the file says: ``conj``, ``neg``, quantizer, attributes.
        parts: the strided tensors that a composite one is made of, by role.
    """

    # Most tensors of most files differ from these in nothing: kept on the class, they cost no time and no memory.
    name = ""
    layout = "strided"
    flavor = "tensor"
    extra: dict[str, Any] | None = None
    parts: dict[str, Any] | None = None
    archive: Any = None

    def __init__(
        self,
        storage: StorageRef | None,
        dtype: DType,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        requires_grad: bool = False,
    ) -> None:
        self.storage = storage
        self.window = Window(dtype, offset, shape, strides, requires_grad)

    @classmethod
    def through(cls, window: Window, storage: StorageRef) -> TensorRef:
        """A tensor that looks at ``storage`` through a window that others use too."""
        ref = cls.__new__(cls)
        ref.storage = storage
        ref.window = window
        return ref

    def look(self, **changes: Any) -> None:
        """Change how the tensor looks at its storage; other tensors with the same window keep theirs."""
        old = self.window
        kept = {slot: getattr(old, slot) for slot in Window.__slots__}
        self.window = Window(**(kept | changes))

    # -- facts ------------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.window.dtype

    @property
    def offset(self) -> int:
        """Elements of the storage before the first one."""
        return self.window.offset

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each dimension."""
        return self.window.shape

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements of the storage to skip per dimension."""
        return self.window.strides

    @property
    def requires_grad(self) -> bool:
        """Whether it was saved as one that gradients are computed for."""
        return self.window.requires_grad

    @property
    def numel(self) -> int:
        """Number of elements."""
        total = 1
        for size in self.window.shape:
            total *= size
        return total

    @property
    def nbytes(self) -> int:
        """Bytes of its values: logical elements times their size, or the parts' for a composite layout."""
        if self.parts:
            return sum(part.nbytes for part in self.parts.values() if isinstance(part, TensorRef))
        return 0 if self.is_meta else self.numel * self.dtype.itemsize

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has a shape and no values (torch's meta device)."""
        return self.storage is None and not self.parts

    @property
    def device(self) -> str:
        """The device tag it was saved with (it says nothing about this machine)."""
        if self.storage is not None:
            return self.storage.location
        for part in (self.parts or {}).values():
            if isinstance(part, TensorRef):
                return part.device
        return str((self.extra or {}).get("device", "meta"))

    @property
    def storage_key(self) -> str | None:
        """The key of its storage; tensors with one key share memory."""
        return self.storage.key if self.storage is not None else None

    @property
    def byte_range(self) -> tuple[int, int] | None:
        """First byte and first byte after its storage window in the file, or None if it has no plain one."""
        if self.storage is None or self.dtype.bits or self.storage.view_of:
            return None
        record = self.storage.record
        if record is None or record.method:
            return None
        first = record.offset + self.offset * self.dtype.itemsize
        return first, first + self.extent * self.dtype.itemsize

    @property
    def extent(self) -> int:
        """Elements of the storage from the first to the last one that the tensor touches."""
        if 0 in self.shape or self.layout != "strided":
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements lie in row-major order without holes."""
        if self.layout != "strided":
            return False
        return self.strides == contiguous_strides(self.shape) or self.extent == self.numel <= 1

    def strided_parts(self) -> Iterator[TensorRef]:
        """Itself, or the strided tensors it is made of."""
        if not self.parts:
            yield self
        for part in (self.parts or {}).values():
            if isinstance(part, TensorRef):
                yield from part.strided_parts()

    def describe(self) -> dict[str, Any]:
        """The facts as plain values, for ``--json``."""
        facts: dict[str, Any] = {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "layout": self.layout,
            "strides": list(self.strides),
            "offset": self.offset,
            "device": self.device,
            "requires_grad": self.requires_grad,
            "flavor": self.flavor,
            "bytes": self.nbytes,
            "storage": self.storage_key,
            "byte_range": list(self.byte_range) if self.byte_range else None,
        }
        if self.parts:
            facts["parts"] = {role: p.describe() for role, p in self.parts.items() if isinstance(p, TensorRef)}
        return facts

    def __repr__(self) -> str:
        what = "" if self.layout == "strided" else f", {self.layout}"
        return f"<tensor {self.name or '?'}: {self.dtype} {list(self.shape)}{what}, {self.device}>"

    # -- values -----------------------------------------------------------------------------------------------

    def numpy(self, *, mmap: bool | None = None, verify: bool | None = None) -> Any:
        """Its values as a numpy array of their own memory (`dotpt.load` says what each layout becomes).

        Args:
            mmap: map the file instead of reading it (default: as the archive was opened).
            verify: check the record's checksum (default: as the archive was opened).
        """
        return self._open_archive().read_tensor(self, "numpy", mmap=mmap, verify=verify)

    def torch(self, *, mmap: bool | None = None, verify: bool | None = None) -> Any:
        """Its values as a torch tensor on the CPU."""
        return self._open_archive().read_tensor(self, "torch", mmap=mmap, verify=verify)

    def __getitem__(self, index: Any) -> np.ndarray[Any, Any]:
        """Part of its values as numpy gives it for the same index; only the bytes it spans are read.

        The checksum covers a whole record, so a part is not verified.
        """
        return self._open_archive().read_slice(self, index)  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)  # type: ignore[no-any-return]

    def _open_archive(self) -> Any:
        if self.archive is None:
            from dotpt.errors import UsageError

            raise UsageError("This tensor reference belongs to no open archive.", hint="keep `dotpt.open(...)` open")
        return self.archive


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides, as torch gives them to an empty dimension too.

    Example:
        >>> contiguous_strides((2, 3, 4))
        (12, 4, 1)
    """
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


TensorMap = Mapping[str, TensorRef]
