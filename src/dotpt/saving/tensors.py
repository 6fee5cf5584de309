"""What crosses this boundary: tensors, as facts, in; the opcodes that name them, and the storages they need, out.

For a tensor the pickle holds, exactly as torch writes it::

    _rebuild_tensor_v2 ( ( 'storage' FloatStorage 'key' 'cpu' numel )Q
                         offset shape strides requires_grad OrderedDict() )R

Which storage a tensor looks at is known at once; how large that storage will be in the file only when all its views
are: the numbers that depend on it are left open (`Encoder.hole`), and filled in by `TensorWriter.settle`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from dotpt.errors import UnsupportedError
from dotpt.pickling.encoder import Encoder, get_bytes, integer_bytes, put_bytes
from dotpt.tensors.compact import View, compact
from dotpt.tensors.dtypes import DType
from dotpt.tensors.outgoing import Fetch, Outgoing
from dotpt.tensors.refs import contiguous_strides

_UNMOVED: Mapping[View, View] = {}


class Storage(Outgoing):
    """A storage that tensors look at.

    Attributes:
        whole: whether something needs all of it.
        index: where the pickle's memo has its key.
        views: the tensors that need a part, and where their numbers stand in the stream.
        moved: how those tensors look at what is left of it in the file, if it was cut.
    """

    __slots__ = ("index", "moved", "views", "whole")

    def __init__(
        self, key: str, dtype: DType, location: str, nbytes: int, keep: Any, address: int, fetch: Fetch | None
    ) -> None:
        super().__init__(key, dtype, location, nbytes, keep, address, fetch)
        self.whole = False
        self.index = -1
        self.views: dict[View, list[_Holes]] | None = None
        self.moved: Mapping[View, View] = _UNMOVED


class _Holes(NamedTuple):
    """Where the numbers of one tensor stand in the stream."""

    numel: int
    offset: int
    strides: int


class Tensor(NamedTuple):
    """What is known of a plain strided tensor."""

    dtype: DType
    view: View
    requires_grad: bool = False


class Mark:
    """Stands for one of three arguments of a rebuild function: ``storage``, ``offset`` or ``strides`` of a tensor.

    The functions that rebuild subclasses, quantized tensors and the like are given to the encoder with marks in the
    place of these arguments, so that their storages are cut down like those of any tensor.
    """

    __slots__ = ("of", "what")

    def __init__(self, what: str, of: _Marked) -> None:
        self.what = what
        self.of = of


@dataclass(slots=True)
class _Marked:
    storage: Storage
    tensor: Tensor
    untyped: bool
    holes: dict[str, int] = field(default_factory=dict)


class Plan:
    """The opcodes of a tensor that is all of its storage, everything that they refer to being in the memo.

    ::

        head  key  PUT  middle[0] PUT  middle[1] PUT  ...

    Tensors that have one plan differ in their key and in the numbers of the PUTs. From number 256 on those have one
    length, so that the opcodes of thousands of tensors are the rows of a table, which is made in the end (`fill`).

    Args:
        head: up to the storage's key.
        middle: what stands between the PUTs.
        nbytes: bytes of the storage that it fits.
    """

    def __init__(self, head: bytes, middle: tuple[bytes, ...], nbytes: int) -> None:
        self.nbytes = nbytes
        self.count = len(middle) + 1
        self._head = head + b"X%c\0\0\0"
        self._middle = middle
        self._later: dict[int, list[tuple[int, bytes, int]]] = {}

    def write(self, encoder: Encoder, key: bytes) -> int:
        """Write a tensor whose storage has this key. Returns the number of its PUT, the last one."""
        at = encoder.next_index
        encoder.next_index = at + self.count
        if at < 256:
            encoder.parts.append(self._row(key, [put_bytes(at + step) for step in range(self.count)]))
        else:
            self._later.setdefault(len(key), []).append((encoder.hole(), key, at))
        return at + self.count - 1

    def _row(self, key: bytes, puts: list[bytes]) -> bytes:
        rest = [piece for pair in zip(self._middle, puts[1:], strict=True) for piece in pair]
        return b"".join([self._head % len(key), key, puts[0], *rest])

    def fill(self, parts: list[bytes]) -> None:
        """Write what was left for the end."""
        import numpy as np

        for length, later in self._later.items():
            holes, keys, numbers = zip(*later, strict=True)
            row = self._row(bytes(length), [b"r\0\0\0\0"] * self.count)
            table = np.tile(np.frombuffer(row, np.uint8), (len(later), 1))
            at = len(self._head % length)
            table[:, at : at + length] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, length)
            at += length + 1
            for step, piece in enumerate((*self._middle, b"")):
                table[:, at : at + 4] = (np.array(numbers, "<u4") + step).view(np.uint8).reshape(-1, 4)
                at += 4 + len(piece) + 1
            rows, width = table.tobytes(), len(row)
            for index, hole in enumerate(holes):
                parts[hole] = rows[index * width : (index + 1) * width]


class TensorWriter:
    """Names tensors in a pickle and gathers their storages.

    Args:
        compacting: whether storages are cut down to what their views use.
        legacy: whether ids have the sixth field, for views of storages, that torch's old format keeps empty.
        whole: addresses in memory of storages that are never cut down, for their bytes are in another file already.

    Attributes:
        storages: by what identifies them in memory, in the order in which they are met.
        placed: the storage of each tensor that was written, and how it looks at it, by the tensor's ``id``.
        alone: the same of tensors that are all of their storage.
        stands_for: the tensor within a parameter, by the ``id`` of the parameter.
        plain: whether every tensor so far was a strided one without anything about it.
    """

    def __init__(self, *, compacting: bool, legacy: bool = False, whole: Collection[int] = ()) -> None:
        self._compacting = compacting
        self._whole = whole
        self._end_of_id = b"Nt" if legacy else b"t"
        self.storages: dict[Any, Storage] = {}
        self.placed: dict[int, tuple[Storage, Tensor]] = {}
        self.alone: dict[int, Storage] = {}
        self.stands_for: dict[int, Any] = {}
        self.plain = True
        self._plans: list[Plan] = []

    # -- storages -----------------------------------------------------------------------------------------------------

    def add(
        self,
        identity: Any,
        dtype: DType,
        location: str,
        nbytes: int,
        keep: Any,
        address: int,
        fetch: Fetch | None = None,
    ) -> Storage:
        """A storage, met now for the first time."""
        storage = Storage(str(len(self.storages)), dtype, location, nbytes, keep, address, fetch)
        self.storages[identity] = storage
        return storage

    def write_storage(self, encoder: Encoder, storage: Storage, dtype: DType, untyped: bool) -> int:
        """A storage's persistent id. Returns where its number of elements stands in the stream."""
        encoder.parts.append(b"(")
        encoder.text("storage")
        encoder.name(*_storage_name(dtype, untyped))
        self._write_key(encoder, storage)
        encoder.text(storage.location)
        hole = _number(encoder, storage.nbytes // (1 if untyped else dtype.itemsize))
        encoder.parts.append(self._end_of_id)
        encoder.put()
        encoder.parts.append(b"Q")
        return hole

    def _write_key(self, encoder: Encoder, storage: Storage) -> None:
        """A storage's key. It is no text of the user's: "0" is written again though a dictionary has such a key."""
        if storage.index >= 0:
            encoder.parts.append(get_bytes(storage.index))
            return
        short = b"\x8c%c" if encoder.protocol >= 4 else b"X%c\0\0\0"
        encoder.parts.append(short % len(storage.key) + storage.key.encode())
        storage.index = encoder.put()

    # -- tensors ------------------------------------------------------------------------------------------------------

    def write(self, encoder: Encoder, storage: Storage, tensor: Tensor, value: Any) -> Plan | None:
        """A plain strided tensor, as a call of ``_rebuild_tensor_v2`` (the newer types: ``_v3``).

        Args:
            value: the tensor itself: met again, it is referred to.

        Returns:
            How others like it can be written by `write_like`, if it is all of its storage.
        """
        dtype, view, requires_grad = tensor
        whole = self._look(storage, dtype, view)
        self.placed[id(value)] = storage, tensor
        untyped = dtype.storage is None
        encoder.name(*_rebuild_name(untyped))
        encoder.parts.append(b"(")
        numel = self.write_storage(encoder, storage, dtype, untyped)
        offset = _number(encoder, view.offset)
        encoder.save(view.shape)
        strides = self._write_strides(encoder, view.strides)
        encoder.parts.append(b"\x88" if requires_grad else b"\x89")
        encoder.save(OrderedDict())
        if untyped:
            encoder.name("torch", dtype.name)
        encoder.parts.append(b"t")
        encoder.put()
        encoder.parts.append(b"R")
        encoder.memoize(value)
        if not whole:
            _seen_through(storage, view, _Holes(numel, offset, strides))
        fits = whole and _is_all(view, dtype, storage.nbytes) and encoder.protocol < 4
        return self._plan(encoder, storage, tensor) if fits else None

    def write_like(self, encoder: Encoder, plan: Plan, storage: Storage, value: Any) -> None:
        """A tensor like one that was written before, in one step: state dicts of small tensors live from it.

        It is all of ``storage``, which is new.
        """
        storage.whole = True
        self.alone[id(value)] = storage
        storage.index = encoder.next_index
        encoder.alias(value, plan.write(encoder, storage.key.encode()))

    def _look(self, storage: Storage, dtype: DType, view: View) -> bool:
        """Note that a tensor looks at a storage. Returns whether all of the storage will be written."""
        if not self._compacting or dtype.bits or dtype.itemsize != storage.dtype.itemsize:
            storage.whole = True
        elif not storage.whole:
            storage.whole = _is_all(view, dtype, storage.nbytes)
        return storage.whole

    def _plan(self, encoder: Encoder, storage: Storage, tensor: Tensor) -> Plan:
        dtype, view, requires_grad = tensor
        untyped = dtype.storage is None

        def head() -> None:
            encoder.name(*_rebuild_name(untyped))
            encoder.parts.append(b"((")
            encoder.text("storage")
            encoder.name(*_storage_name(dtype, untyped))

        location = _opcodes(encoder, lambda: encoder.text(storage.location))
        numel = integer_bytes(storage.nbytes // (1 if untyped else dtype.itemsize))
        hooks = _opcodes(encoder, lambda: encoder.name("collections", "OrderedDict")) + b")R"
        last = _opcodes(encoder, lambda: encoder.name("torch", dtype.name)) if untyped else b""
        grad = b"\x88" if requires_grad else b"\x89"
        shape, strides = b"Q" + integer_bytes(view.offset) + _tuple(view.shape), _tuple(view.strides)
        sizes = (shape, strides, grad + hooks) if view.shape else (shape + strides + grad + hooks,)
        middle = (location + numel + self._end_of_id, *sizes, last + b"t", b"R")
        plan = Plan(_opcodes(encoder, head), middle, storage.nbytes)
        self._plans.append(plan)
        return plan

    def _write_strides(self, encoder: Encoder, strides: tuple[int, ...]) -> int:
        """Strides that may still change, as one part of the stream. Returns where it stands."""
        hole = encoder.hole()
        encoder.parts[hole] = _tuple(strides)
        if strides:
            encoder.put()
        return hole

    # -- tensors among the arguments of other functions ---------------------------------------------------------------

    def marks(self, storage: Storage, tensor: Tensor, untyped: bool, value: Any) -> tuple[Any, Any, Any]:
        """A tensor's storage, offset and strides, to be given to the encoder among other arguments."""
        self.plain = False
        self.placed[id(value)] = storage, tensor
        link = _Marked(storage, tensor, untyped)
        if self._look(storage, tensor.dtype, tensor.view):
            return Mark("storage", link), tensor.view.offset, tensor.view.strides
        return Mark("storage", link), Mark("offset", link), Mark("strides", link)

    def write_mark(self, encoder: Encoder, mark: Mark) -> None:
        """What a mark stands for."""
        link = mark.of
        view = link.tensor.view
        if mark.what == "storage":
            link.holes[mark.what] = self.write_storage(encoder, link.storage, link.tensor.dtype, link.untyped)
        elif mark.what == "offset":
            link.holes[mark.what] = _number(encoder, view.offset)
        else:
            link.holes[mark.what] = self._write_strides(encoder, view.strides)
        if len(link.holes) == 3:
            holes = _Holes(link.holes["storage"], link.holes["offset"], link.holes["strides"])
            _seen_through(link.storage, view, holes)

    # -- the end ------------------------------------------------------------------------------------------------------

    def settle(self, encoder: Encoder) -> list[Outgoing]:
        """The storages to write, in order, now that all their views are known; the holes in the stream are filled."""
        for plan in self._plans:
            plan.fill(encoder.parts)
        storages = list(self.storages.values())
        for storage in storages:
            if not storage.whole and storage.views and storage.address not in self._whole:
                _cut(storage, storage.views, encoder)
            if storage.nbytes % storage.dtype.itemsize:
                _even(storage)
        return storages  # type: ignore[return-value]  # a list of storages is one of outgoing storages


def _seen_through(storage: Storage, view: View, holes: _Holes) -> None:
    """Note a view that does not need all of a storage."""
    if storage.views is None:
        storage.views = {}
    storage.views.setdefault(view, []).append(holes)


def _cut(storage: Storage, views: dict[View, list[_Holes]], encoder: Encoder) -> None:
    """Leave of a storage what its views use."""
    itemsize = storage.dtype.itemsize
    cut = compact(storage.nbytes // itemsize, itemsize, list(views))
    if cut is None:
        return
    storage.cut([(begin * itemsize, end * itemsize) for begin, end in cut.ranges])
    storage.moved = dict(zip(views, cut.views, strict=True))
    numel = integer_bytes(cut.numel * (1 if storage.dtype.storage else itemsize))
    for view, places in zip(cut.views, views.values(), strict=True):
        for holes in places:
            encoder.parts[holes.numel] = numel
            encoder.parts[holes.offset] = integer_bytes(view.offset)
            encoder.parts[holes.strides] = _tuple(view.strides)


def _even(storage: Storage) -> None:
    """Leave out bytes behind the last element: torch reads no file that has them, though it writes them."""
    itemsize = storage.dtype.itemsize if storage.dtype.storage else 1
    if storage.ranges is None and storage.nbytes % itemsize:
        storage.cut([(0, storage.nbytes // itemsize * itemsize)])


def _is_all(view: View, dtype: DType, nbytes: int) -> bool:
    """Whether a view is a whole storage of so many bytes, in its order."""
    if view.offset or prod(view.shape) * dtype.itemsize != nbytes:
        return False
    return view.strides == contiguous_strides(view.shape)


def _storage_name(dtype: DType, untyped: bool) -> tuple[str, str]:
    """Module and name of the class that stands for a storage."""
    if untyped:
        return "torch.storage", "UntypedStorage"
    if dtype.storage is None:
        raise UnsupportedError(f"torch has no storage class for {dtype}.", hint="save it as one of torch's other types")
    return "torch", dtype.storage


def _rebuild_name(untyped: bool) -> tuple[str, str]:
    return "torch._utils", "_rebuild_tensor_v3" if untyped else "_rebuild_tensor_v2"


def _tuple(numbers: tuple[int, ...]) -> bytes:
    """A tuple of integers, as opcodes, without the PUT behind it."""
    inner = b"".join(map(integer_bytes, numbers))
    ends = (b")", b"\x85", b"\x86", b"\x87")
    return inner + ends[len(numbers)] if len(numbers) < len(ends) else b"(" + inner + b"t"


def _number(encoder: Encoder, value: int) -> int:
    """An integer that may still change. Returns where it stands."""
    hole = encoder.hole()
    encoder.parts[hole] = integer_bytes(value)
    return hole


def _opcodes(encoder: Encoder, write: Callable[[], None]) -> bytes:
    """What ``write`` writes, taken out of the stream again."""
    begin = len(encoder.parts)
    write()
    taken = b"".join(encoder.parts[begin:])
    del encoder.parts[begin:]
    return taken
