"""The average of the weights of several checkpoints, streamed: a piece of each is in memory at a time, never a tensor.

Uniform or exponential, an average is a sum of the files' values, each times its share; the shares add up to 1. It is
summed in float32 for types of 16 bits and less and in float64 for the others, and stored in the type that the weights
have. What is no number to be averaged (integers: counters; values that are no tensors) is that of the last file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotpt.archive.archive import Archive
from dotpt.archive.archive import open as open_archive
from dotpt.container.record import Record
from dotpt.errors import NoCheckpoint, UnsupportedError, UsageError
from dotpt.inspect.roles import place_of, roles_of, weights_part
from dotpt.pickling.tree import DICTS, keep, named_tensors, transform
from dotpt.saving.save import save
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import StorageRef, TensorRef, contiguous_strides
from dotpt.training.finding import why_damaged
from dotpt.training.listing import Progress
from dotpt.training.streaming import Flat, pieces_of

_SUMMED = ("float", "complex")
_LAST = ("int", "uint", "bool")


@dataclass(frozen=True, slots=True)
class Averaged:
    """What `average` wrote.

    Attributes:
        weights: the address of the state dict in the files.
        tensors: how many tensors it has, and of these
        last: how many are those of the last file.
        shares: what each file counts.
    """

    weights: str
    tensors: int
    last: int
    shares: tuple[float, ...]


def shares_of(count: int, ema: float | None) -> tuple[float, ...]:
    """What each of so many files counts: the same, or, exponentially, the later the more.

    ``ema`` is the decay of ``average = ema * average + (1 - ema) * weights``, which begins with the first file.

    Example:
        >>> shares_of(4, None), shares_of(3, 0.5)
        ((0.25, 0.25, 0.25, 0.25), (0.25, 0.25, 0.5))
    """
    if ema is None:
        return (1 / count,) * count
    if not 0 <= ema < 1:
        raise UsageError("The decay of an exponential average lies from 0 to below 1.", found=ema, hint="--ema 0.99")
    return tuple(ema ** (count - 1 - at) * (1.0 if at == 0 else 1 - ema) for at in range(count))


def average(
    paths: Sequence[Path],
    out: str | os.PathLike[str],
    *,
    weights: str | None = None,
    ema: float | None = None,
    progress: Progress | None = None,
) -> Averaged:
    """Write the average of the weights in several files as a state dict of its own.

    Args:
        paths: files with the same weights; in their order for an exponential average.
        out: the file to write. A file that is there is replaced when the new one is complete.
        weights: the address of the state dict in them; default: what `dotpt.inspect` takes for the weights of the last.
        ema: the decay of an exponential average; None for the plain mean.
        progress: called with (bytes written, bytes in all).

    Raises:
        UsageError: their weights are not the same ones, or there are none.
        UnsupportedError: some cannot be averaged, because they are quantized, sparse or packed.
        NoCheckpoint: one is damaged.
        WriteError: the result cannot be written.
    """
    if len(paths) < 2:
        raise UsageError("An average needs two checkpoints or more.", found=len(paths))
    if any(_same_file(path, out) for path in paths):
        raise UsageError("The result would replace a checkpoint that is averaged.", path=str(out), hint="another -o")
    shares = shares_of(len(paths), ema)
    for path in paths:  # what is averaged is read in pieces, of which none has a checksum of its own
        problem = why_damaged(path)
        if problem:
            raise NoCheckpoint(f"A checkpoint to average is damaged: {problem}", path=str(path), hint="leave it out")
    with ExitStack() as stack:
        archives = [stack.enter_context(open_archive(path)) for path in paths]
        address, last = _weights_in(archives[-1], weights)
        others = [_weights_in(archive, address)[1] for archive in archives[:-1]]
        maker = _Maker(archives, [*map(_tensors_in, archives, [*others, last])], shares)
        tree = transform(last, maker.leaf, archives[-1].options.limits.nesting, keep)
        note = {"of": [path.name for path in paths], "weights": address, "shares": list(shares)}
        save(tree, os.fspath(out), metadata={"average": note}, progress=progress)
    return Averaged(address, maker.summed + maker.last, maker.last, shares)


def _weights_in(archive: Archive, address: str | None) -> tuple[str, Any]:
    """The state dict in a file, and its address."""
    tree: Any = archive.tree
    part = weights_part(roles_of(archive)) if address is None else None
    if address is None and part is None:
        raise UsageError("No weights were found in the file.", path=archive.name, hint="say where: --weights-of KEY")
    keys: Sequence[Any] = part.keys if part is not None else _keys(tree, address or "")
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    if type(tree) not in DICTS:
        names = ", ".join(str(key) for key in archive.tree) if type(archive.tree) in DICTS else "none"
        raise UsageError(
            f"The file has no state dict under {address!r}." if address else "What the file holds is no state dict.",
            path=archive.name,
            hint=f"--weights-of, with one of its keys: {names[:300]}",
        )
    return (part.address if part is not None else address or ""), tree


def _keys(tree: Any, address: str) -> list[str]:
    """The keys of an address. A key may have dots itself."""
    if not address or (isinstance(tree, Mapping) and address in tree):
        return [address] if address else []
    return address.split(".")


def _tensors_in(archive: Archive, tree: Any) -> dict[str, TensorRef]:
    archive.tensors  # noqa: B018 - lets each know its archive
    return dict(named_tensors(tree, archive.options.limits.nesting))


class _Maker:
    """Makes the tensors of the result, which are read when they are written.

    Args:
        archives: the files; the result has the shape of the last.
        tensors: the weights of each, by address.
        shares: what each counts.
    """

    def __init__(
        self, archives: Sequence[Archive], tensors: Sequence[dict[str, TensorRef]], shares: Sequence[float]
    ) -> None:
        self.summed = self.last = 0
        self._shares = shares
        self._refs: dict[int, list[TensorRef]] = {}
        self._made: dict[Any, TensorRef] = {}
        for archive, one in zip(archives[:-1], tensors[:-1], strict=True):
            _agree(archive, one, archives[-1], tensors[-1])
        for address, ref in tensors[-1].items():
            self._refs.setdefault(id(ref), [one[address] for one in tensors])

    def leaf(self, value: Any) -> Any:
        """What takes a leaf's place; of a tensor that is tied in all files the same each time."""
        if type(value) is not TensorRef:
            return value
        refs = self._refs[id(value)]
        place = tuple(place_of(ref) for ref in refs)
        if place not in self._made:
            self._made[place] = self._tensor(refs)
        return self._made[place]

    def _tensor(self, refs: list[TensorRef]) -> TensorRef:
        last = refs[-1]
        if any(ref.parts or ref.storage is None or "scheme" in (ref.extra or {}) for ref in refs):
            raise _unsupported(last, "it is no plain tensor")
        if last.dtype.kind in _LAST and not last.dtype.bits:
            self.last += 1
            return last
        if last.dtype.kind not in _SUMMED or last.dtype.name == "complex32":
            raise _unsupported(last, f"its type is {last.dtype}")
        self.summed += 1
        storage = StorageRef(last.name, last.dtype, "cpu", last.numel * last.dtype.itemsize)
        storage.container = _Sum(refs, self._shares, last.dtype)
        storage.place = Record(last.name, 0, storage.nbytes, storage.nbytes)
        return TensorRef(storage, last.dtype, 0, last.shape, contiguous_strides(last.shape))


class _Sum:
    """The bytes of an average, as a source that computes what it is asked for."""

    def __init__(self, refs: Sequence[TensorRef], shares: Sequence[float], dtype: DType) -> None:
        self.source = self  # it is the container of its one record, too
        self.name = "the average"
        self._rows = [Flat(ref) for ref in refs]
        self._shares, self._dtype = shares, dtype
        self._done: tuple[int, int] | None = None
        self._bytes = memoryview(b"")

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` with the bytes from ``offset`` on. The same piece may be asked for twice in a row."""
        if self._done != (offset, len(view)):
            self._fill(offset, memoryview(bytearray(len(view))))
        view[:] = self._bytes

    def _fill(self, offset: int, view: memoryview) -> None:
        item = self._dtype.itemsize
        first = offset // item
        for place in pieces_of(len(view) // item, item):
            computed = self._compute(slice(first + place.start, first + place.stop))
            view[place.start * item : place.stop * item] = computed
        self._bytes, self._done = view, (offset, len(view))

    def _compute(self, place: slice) -> memoryview:
        import numpy as np

        native = self._dtype.to_numpy()
        wide = np.complex128 if self._dtype.kind == "complex" else np.float32 if native.itemsize < 4 else np.float64
        total: Any = np.zeros(place.stop - place.start, wide)
        with np.errstate(all="ignore"):
            for row, share in zip(self._rows, self._shares, strict=True):
                total += row[place].astype(wide) * wide(share)
            return memoryview(total.astype(native).view(np.uint8))


def _agree(archive: Archive, one: dict[str, TensorRef], last: Archive, others: dict[str, TensorRef]) -> None:
    """Refuse weights of another model."""
    for name in [*others, *one]:
        mine, theirs = one.get(name), others.get(name)
        if mine is None or theirs is None:
            has, lacks = (last, archive) if mine is None else (archive, last)
            problem = f"{Path(has.name).name} has {name}, and {Path(lacks.name).name} has not"
        elif mine.shape != theirs.shape:
            problem = f"{name} is {list(mine.shape)} there and {list(theirs.shape)} in {Path(last.name).name}"
        else:
            continue
        raise UsageError(
            f"The weights are not those of one model: {problem}.",
            path=archive.name,
            hint="checkpoints of one run; `dotpt checkpoints diff` shows all that differs",
        )


def weights_file(path: Path) -> Path:
    """The file of a checkpoint that has the weights.

    Raises:
        NoCheckpoint: it is a folder that has none.
    """
    if not path.is_dir():
        return path
    names = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")
    for name in (*names, "adapter_model.safetensors", "adapter_model.bin"):
        if (path / name).is_file():
            return path / name
    raise NoCheckpoint("No file of weights lies in this checkpoint.", path=str(path), hint=f"one of {', '.join(names)}")


def _same_file(path: Path, out: str | os.PathLike[str]) -> bool:
    return os.path.realpath(path) == os.path.realpath(out)


def _unsupported(ref: TensorRef, why: str) -> UnsupportedError:
    return UnsupportedError(f"A tensor cannot be averaged: {why}.", key=ref.name or None)
