"""The proof of a cleaning: the file that was written is read, and compared with what was to be in it.

What was to be in it are the values of the cleaned tree, whose tensors look at the storages of the original: each is
read again, there and here, and compared bit for bit. Nothing is trusted that the writer said.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from struct import pack
from typing import Any

from dotpt.archive.archive import Archive
from dotpt.archive.memories import Memories
from dotpt.errors import DotptError, readable
from dotpt.formats.contents import Contents
from dotpt.pickling.tree import DICTS, spelled
from dotpt.pickling.values import GlobalName
from dotpt.tensors.dtypes import BY_STORAGE, DTYPES
from dotpt.tensors.refs import StorageRef, TensorRef, contiguous_strides

_PIECE, _BATCH = 1 << 22, 32 << 20
_View = tuple[str, TensorRef, TensorRef]
_Pair = tuple[StorageRef, tuple[StorageRef, list[_View]]]
# What torch.load(weights_only=True) builds by itself (torch/_weights_only_unpickler.py, 2.13), as far as we write it.
_OPENED = frozenset((
    "collections.OrderedDict", "collections.Counter", "torch.Size", "torch.device", "torch.Tensor",
    "torch.nn.parameter.Parameter", "torch.serialization._get_layout", "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state", "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_meta_tensor_no_storage", "_codecs.encode",
    "builtins.set", "builtins.bytearray", "builtins.complex", "torch.per_tensor_affine", "torch.per_channel_affine",
    "torch.per_tensor_symmetric", "torch.per_channel_symmetric", "torch.per_channel_affine_float_qparams",
    "torch.storage.UntypedStorage",
)) | {f"torch.{name}" for name in (*DTYPES, *BY_STORAGE)}  # fmt: skip


class NotTheSame(DotptError):
    """A cleaned file does not hold what it should: it was not put in its place."""


def compare(wanted: Any, written: Archive) -> int:
    """Compare the cleaned tree with the file that was written of it.

    Returns:
        Bytes of the tensors that were compared.

    Raises:
        NotTheSame: something differs; ``key`` says what.
        ChecksumMismatch: the original is damaged.
    """
    check_names(written.globals)
    comparison = _Comparison()
    comparison.walk(wanted, written.tree)
    comparison.compare_storages()
    return comparison.bytes


def check_names(names: Iterable[GlobalName]) -> None:
    """Raise `NotTheSame` if a file names anything that torch's weights-only reader does not build."""
    for name in names:
        plain = f"{name.module.replace('__builtin__', 'builtins')}.{name.name}"
        if not name.known or plain not in _OPENED:
            raise NotTheSame(f"The cleaned file names {readable(str(name))}.", hint="please report this file's kind")


class _Comparison:
    def __init__(self) -> None:
        self._waiting: list[tuple[str, Any, Any]] = []
        self._twins: dict[int, tuple[Any, Any]] = {}
        self._met: set[tuple[int, int]] = set()
        self._storages: dict[StorageRef, tuple[StorageRef, list[_View]]] = {}
        self._inner: set[int] = set()  # tensors that others are made of
        self.bytes = 0

    def walk(self, wanted: Any, found: Any) -> None:
        """Compare everything but the bytes of tensors."""
        self._waiting.append(("", wanted, found))
        while self._waiting:
            place, one, other = self._waiting.pop()
            if type(one) is not type(other):
                raise _differs(place, f"is of the type {type(other).__name__}", type(one).__name__)
            self._pair(place, one, other)

    def _pair(self, place: str, one: Any, other: Any) -> None:
        kind = type(one)
        if kind in DICTS or kind in (list, tuple, TensorRef, StorageRef):
            _, twin = self._twins.setdefault(id(one), (one, other))
            if twin is not other and kind is not tuple:  # nobody can tell equal tuples from one and the same
                raise _differs(place, "is an object of its own", "one that lies in several places")
            if (id(one), id(other)) in self._met:
                return
            self._met.add((id(one), id(other)))
        if kind in DICTS:
            self._dictionaries(place, one, other)
        elif kind in (list, tuple):
            self._sequences(place, one, other)
        elif kind is TensorRef:
            self._tensors(place, one, other)
        elif kind is StorageRef:
            self._whole_storages(place, one, other)
        elif not _same(one, other):
            raise _differs(place, f"is {other!r:.80}", f"{one!r:.80}")

    def _dictionaries(self, place: str, one: Any, other: Any) -> None:
        if len(one) != len(other):
            raise _differs(place, f"has {len(other):,} entries", f"{len(one):,}")
        if type(one) is Counter:  # written as a plain dictionary, whose order is kept
            one, other = dict(one), dict(other)
        for (key, item), (twin, found) in zip(one.items(), other.items(), strict=True):
            inner = f"{place}.{spelled(key)[:200]}" if place else spelled(key)[:200]
            self._waiting += [(f"{inner} (the key)", key, twin), (inner[:1000], item, found)]
        if type(one) is OrderedDict:
            self._waiting.append((f"{place} (attributes)", dict(vars(one)), dict(vars(other))))

    def _sequences(self, place: str, one: Any, other: Any) -> None:
        if len(one) != len(other):
            raise _differs(place, f"has {len(other):,} items", f"{len(one):,}")
        self._waiting += [(f"{place}.{at}"[:1000], *pair) for at, pair in enumerate(zip(one, other, strict=True))]

    def _tensors(self, place: str, one: TensorRef, other: TensorRef) -> None:
        for fact in ("dtype", "shape", "layout", "flavor", "requires_grad"):
            if getattr(one, fact) != getattr(other, fact):
                raise _differs(place, f"has the {fact} {getattr(other, fact)}", f"{getattr(one, fact)}")
        if id(one) not in self._inner:
            self.bytes += one.nbytes
        for mine, its in ((_extra(one), _extra(other)), (one.parts or {}, other.parts or {})):
            self._inner.update(map(id, mine.values()))
            for name in mine.keys() | its.keys():
                self._waiting.append((f"{place}.{name}", mine.get(name), its.get(name)))
        if (one.storage is None) != (other.storage is None):
            raise _differs(place, "has other bytes", "those of the original")
        if one.storage is not None and other.storage is not None:
            self._together(place, one.storage, other.storage).append((place, one, other))

    def _whole_storages(self, place: str, one: StorageRef, other: StorageRef) -> None:
        if one.nbytes != other.nbytes or one.dtype is not other.dtype:
            raise _differs(place, f"is a storage of {other.nbytes:,} bytes", f"one of {one.nbytes:,}")
        size = one.nbytes // one.dtype.itemsize
        views = (TensorRef(storage, storage.dtype, 0, (size,), (1,)) for storage in (one, other))
        self._together(place, one, other).append((place, *views))

    def _together(self, place: str, one: StorageRef, other: StorageRef) -> list[Any]:
        known, views = self._storages.setdefault(one, (other, []))
        if known is not other:
            raise _differs(place, "has memory of its own", "memory that it shares")
        return views

    def compare_storages(self) -> None:
        """Compare the tensors, those of one storage together, and no more at a time than memory has room for."""
        for pairs in _batches(self._storages.items()):
            memories = Memories(Contents("", None, pairs[0][0].container))
            memories.fetch(storage for one, (other, _) in pairs for storage in (one, other))
            for one, (other, views) in pairs:
                self._compare_views(memories, one, other, views)

    def _compare_views(self, memories: Memories, one: StorageRef, other: StorageRef, views: list[_View]) -> None:
        done = set()
        for place, mine, its in views:
            facts = (mine.dtype, mine.offset, mine.shape, mine.strides, its.offset, its.strides)
            if facts in done:
                continue
            done.add(facts)
            if not _same_bits(mine, memories.of(one, mine.dtype), its, memories.of(other, its.dtype)):
                raise _differs(place, "has other bytes", "those of the original")


def _batches(pairs: Iterable[_Pair]) -> Iterator[list[_Pair]]:
    """Pairs of storages, so many at a time that both halves take `_BATCH` bytes, or one pair."""
    batch: list[_Pair] = []
    size = 0
    for pair in pairs:
        if batch and size + pair[0].nbytes > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(pair)
        size += pair[0].nbytes
    if batch:
        yield batch


def _extra(ref: TensorRef) -> dict[str, Any]:
    """What else is said of a tensor. Older torch does not say whether a sparse one is coalesced: then it is not."""
    extra = ref.extra or {}
    return extra | {"coalesced": bool(extra.get("coalesced"))} if ref.layout == "sparse_coo" else extra


def _same_bits(mine: TensorRef, here: Any, its: TensorRef, there: Any) -> bool:
    import numpy as np

    if mine.dtype.bits:  # several elements share a byte: such storages are written whole
        return bool(here.view == there.view)
    if 0 in mine.shape:
        return True
    one, other = (np.frombuffer(memory.buffer, np.uint8)[memory.start :][: memory.length] for memory in (here, there))
    if _is_run(mine) and _is_run(its):
        length = mine.numel * mine.dtype.itemsize
        start, begin = (ref.offset * ref.dtype.itemsize for ref in (mine, its))
        one, other = one[start : start + length], other[begin : begin + length]
        pieces = range(0, length, _PIECE)
        return all(np.array_equal(one[at : at + _PIECE], other[at : at + _PIECE]) for at in pieces)
    axes = [
        at
        for at, size in enumerate(mine.shape)
        if size > 1 and not mine.strides[at] == its.strides[at] == 0  # numpy has no more than 64 dimensions
    ]
    return bool(np.array_equal(_elements(mine, one, axes), _elements(its, other, axes)))


def _is_run(ref: TensorRef) -> bool:
    return ref.strides == contiguous_strides(ref.shape)


def _elements(ref: TensorRef, data: Any, axes: list[int]) -> Any:
    """The bytes of each element along some of the dimensions."""
    import numpy as np

    item = ref.dtype.itemsize
    shape = (*(ref.shape[at] for at in axes), item)
    steps = (*(ref.strides[at] * item for at in axes), 1)
    return np.lib.stride_tricks.as_strided(data[ref.offset * item :], shape, steps, writeable=False)


def _same(one: Any, other: Any) -> bool:
    if type(one) is float:
        return pack("=d", one) == pack("=d", other)
    if type(one) is complex:
        return pack("=dd", one.real, one.imag) == pack("=dd", other.real, other.imag)
    if type(one) is set and len(one) == len(other):
        return one == other or sorted(map(repr, one)) == sorted(map(repr, other))  # one NaN is not another
    return bool(one == other)


def _differs(place: str, found: str, expected: str) -> NotTheSame:
    return NotTheSame(
        f"The cleaned file is not what it should be: a value {found} where it should be {expected}.",
        key=place or None,
        hint="nothing was replaced; try again, on another disk, and if it stays so, please report it",
    )
