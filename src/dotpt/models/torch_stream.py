"""Tensors of a file into the memory of a model: straight into it where nothing changes on the way, else batch by batch.

What crosses this boundary: copies that were planned in; bytes in the model's own memory (or new tensors in its places)
out. Invariants: what lands is what torch's ``copy_`` would have put there; besides the model there is never more memory
in use than one batch (32 MiB, or one storage that is larger).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from dotpt.archive.memories import storages_of
from dotpt.archive.torch_backend import TorchBackend, dtype_of
from dotpt.container.record import STORED
from dotpt.errors import ChecksumMismatch, DotptError
from dotpt.models.torch_lazy import Pending, Values
from dotpt.tensors.refs import StorageRef, TensorRef, contiguous_strides

BATCH = 32 << 20
STAGE = 16 << 20
_ALIGNED = 64
_SMALL = 1 << 16  # smaller storages are read together with their neighbours, and copied from there

Progress = Callable[[int, int], None]
Place = tuple[torch.nn.Module, str]


@dataclass(slots=True)
class Copy:
    """One tensor on its way into the model.

    Attributes:
        name: in the model.
        target: the model's tensor.
        source: the `Pending` tensor of the file, or a tensor that is there already.
        how: as `matching.Verdict` says it.
        replace: whether the file's tensor takes the place of the model's (``assign=True``).
    """

    name: str
    target: torch.Tensor
    source: Any
    how: str = "same"
    replace: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes that are written."""
        return self.target.numel() * self.target.element_size()

    @property
    def ref(self) -> TensorRef | None:
        """The tensor in the file, if it is one of them as it is."""
        found = self.source.plain if type(self.source) is Pending else None
        return found if type(found) is TensorRef else None


class Stream:
    """Carries out copies.

    Args:
        values: the tensors of the file.
        places: by the id of a tensor of the model, everywhere that it stands in it.
        progress: called with (bytes done, bytes in all).
        total: bytes in all.

    Attributes:
        errors: what torch said of a tensor that it would not take, by name.
        assigned: names in whose place a new tensor was put.
    """

    def __init__(self, values: Values, places: dict[int, list[Place]], progress: Progress | None, total: int) -> None:
        self._values = values
        self._places = places
        self._progress = progress
        self._total = total
        self._done = 0
        self._stage: torch.Tensor | None = None
        self.errors: dict[str, str] = {}
        self.assigned: list[str] = []

    def run(self, copies: Iterable[Copy]) -> None:
        """Carry out these copies. Where two of them have one target, the later one counts, as with torch."""
        wanted = list({id(copy.target): copy for copy in copies}.values())
        replaced = [copy for copy in wanted if copy.replace]
        made = [self._with_memory(copy) for copy in wanted if not copy.replace]
        in_place = [copy for copy, _ in made]
        whole, small, staged, batched, ordered = self._sorted(in_place)
        try:
            self._straight(whole)
            self._from_slabs(small)
            for batch in _batches(staged, STAGE):
                self._through_stage(batch)
            for batch in _batches(batched):
                self._copy_batch(batch)
            self._one_by_one(ordered)
            self._replace(replaced)
        except ChecksumMismatch as error:
            error.hint = 'copy the file again; the model is half loaded (verify="first" checks before it is touched)'
            raise
        for copy, old in made:
            if old is not None and copy.name not in self.errors:
                self._install(copy.name, old, copy.target)

    # -- which way ------------------------------------------------------------------------------------------------

    def _with_memory(self, copy: Copy) -> tuple[Copy, torch.Tensor | None]:
        """The copy, with memory for its target if that is on the meta device, and the tensor that was there."""
        if not copy.target.is_meta:
            return copy, None
        if copy.target.is_contiguous():  # empty_like of a meta tensor makes torch import 30 MB of code
            memory = torch.empty(copy.target.shape, dtype=copy.target.dtype, device="cpu")
        else:
            memory = torch.empty_like(copy.target, device="cpu", requires_grad=False)
        return Copy(copy.name, memory, copy.source, copy.how), copy.target

    def _sorted(self, copies: list[Copy]) -> tuple[list[Copy], ...]:
        """Copies by the way they go: straight, from slabs, by the stage, in batches, one by one in their order."""
        shared = Counter(_memory_of(copy.target) for copy in copies)
        storages = Counter(ref.storage for copy in copies if (ref := copy.ref) is not None)
        whole: list[Copy] = []
        small: list[Copy] = []
        staged: list[Copy] = []
        batched: list[Copy] = []
        ordered: list[Copy] = []
        for copy in copies:
            ref = copy.ref
            if ref is None or self._values.archive is None or shared[_memory_of(copy.target)] > 1:
                ordered.append(copy)
            elif self._values.mapped or storages[ref.storage] > 1 or not _is_whole(ref):
                batched.append(copy)
            elif _takes_bytes(copy, ref):
                (small if _is_small(ref) else whole).append(copy)
            else:
                (batched if _is_small(ref) else staged).append(copy)
        return whole, small, staged, batched, ordered

    # -- in place -------------------------------------------------------------------------------------------------

    def _straight(self, copies: list[Copy]) -> None:
        """Bytes of the file into the memory of the parameters."""
        if not copies:
            return
        targets = {copy.ref.storage: _bytes_of(copy.target) for copy in copies}  # type: ignore[union-attr]
        self._values.memories().read_into(targets, verify=self._values.verify, progress=self._part())  # type: ignore[arg-type]
        self._written(copies)

    def _from_slabs(self, copies: list[Copy]) -> None:
        for batch in _batches(copies):
            memories = self._values.memories()
            storages = [copy.ref.storage for copy in batch]  # type: ignore[union-attr]
            memories.fetch(storages, verify=self._values.verify, progress=self._part())  # type: ignore[arg-type]
            for copy, storage in zip(batch, storages, strict=True):
                _bytes_of(copy.target)[:] = memories.of(storage, copy.ref.dtype).view  # type: ignore[union-attr, arg-type]
            self._written(batch)

    def _written(self, copies: list[Copy]) -> None:
        """Tell autograd what it has not seen: a graph that needs the old values must not be walked any more."""
        torch.autograd.graph.increment_version([copy.target for copy in copies])
        self._add(copies)

    def _through_stage(self, copies: list[Copy]) -> None:
        """Whole storages that are cast or cut on the way: read into one piece of memory, again and again."""
        refs: list[TensorRef] = [copy.ref for copy in copies]  # type: ignore[misc]
        starts = [0, *itertools.accumulate(-(-ref.nbytes // _ALIGNED) * _ALIGNED for ref in refs)]
        if self._stage is None or self._stage.numel() < starts[-1]:
            self._stage = torch.empty(max(starts[-1], STAGE), dtype=torch.uint8, device="cpu")
        pieces = [self._stage[start : start + ref.nbytes] for start, ref in zip(starts, refs, strict=False)]
        targets = {ref.storage: _bytes_of(piece) for ref, piece in zip(refs, pieces, strict=True)}
        self._values.memories().read_into(targets, verify=self._values.verify, progress=self._part())  # type: ignore[arg-type]
        for copy, ref, piece in zip(copies, refs, pieces, strict=True):
            self._copy(copy, piece.view(dtype_of(ref.dtype)).view(ref.shape))
        self._add(copies)

    def _copy_batch(self, copies: list[Copy]) -> None:
        """Tensors that change on the way: read together, copied by torch, let go."""
        refs = [copy.ref for copy in copies]
        storages = storages_of(refs)
        memories = self._values.memories()
        mapped = self._values.mapped or _better_mapped(storages)
        memories.fetch(storages, mapped=mapped, verify=self._values.verify, progress=self._part())
        backend = TorchBackend(memories)
        for copy, ref in zip(copies, refs, strict=True):
            self._copy(copy, backend.leaf(ref))
        self._add(copies)

    def _one_by_one(self, copies: list[Copy]) -> None:
        for copy, value in self._made(copies):
            self._copy(copy, value)
            self._add([copy])

    def _made(self, copies: list[Copy]) -> Iterator[tuple[Copy, Any]]:
        """Each copy with its values; a tensor of the file is read once, and let go when no recipe needs it any more."""
        recipes = [copy.source.recipe for copy in copies if type(copy.source) is Pending]
        uses = Counter(name for recipe in recipes for name in recipe.inputs)
        held: dict[str, Any] = {}
        for copy in copies:
            if type(copy.source) is not Pending:
                yield copy, copy.source
                continue
            recipe = copy.source.recipe
            for name in recipe.inputs:
                if name not in held:
                    held[name] = self._values.tensor(name)
            yield copy, recipe.make(held.__getitem__)
            uses.subtract(recipe.inputs)
            for name in recipe.inputs:
                if not uses[name]:
                    held.pop(name, None)

    def _copy(self, copy: Copy, value: Any) -> None:
        """What torch does to a parameter, its words for what it cannot do included."""
        target = copy.target
        try:
            with torch.no_grad():
                if copy.how == "padded":
                    target[_corner(value.shape)].copy_(value)
                else:
                    target.copy_(_taken(value, copy))
        except DotptError:
            raise
        except Exception as error:
            self.errors[copy.name] = (
                f"{copy.name}: torch cannot copy {list(value.shape)} of {value.dtype} into {list(target.shape)} of "
                f"{target.dtype}: {type(error).__name__}: {error!s:.200}"
            )

    # -- in its place ---------------------------------------------------------------------------------------------

    def _replace(self, copies: list[Copy]) -> None:
        """The file's tensors in the place of the model's: those that share memory in the file still do."""
        known = self._values.archive is not None
        from_file = [copy for copy in copies if known and copy.ref is not None]
        for copy, value in self._made([copy for copy in copies if not known or copy.ref is None]):
            self._put(copy, value)
            self._add([copy])
        if not from_file:
            return
        memories = self._values.memories()
        backend = TorchBackend(memories)
        for batch in _batches(from_file):
            storages = storages_of(copy.ref for copy in batch)
            memories.fetch(storages, mapped=self._values.mapped, verify=self._values.verify, progress=self._part())
            for copy in batch:
                self._put(copy, backend.leaf(copy.ref))
            self._add(batch)

    def _put(self, copy: Copy, value: Any) -> None:
        if copy.how == "padded":
            whole = copy.target.detach().to(value.dtype, copy=True)
            whole[_corner(value.shape)] = value
            value = whole
        elif copy.how in ("sliced", "single"):
            value = _taken(value, copy).clone()
        self._install(copy.name, copy.target, value)

    def _install(self, name: str, old: torch.Tensor, new: torch.Tensor) -> None:
        """A new tensor everywhere that the old one stood, as ``load_state_dict(assign=True)`` puts it there."""
        try:
            if isinstance(old, torch.nn.Parameter):
                if isinstance(new, torch.nn.Parameter):
                    new.requires_grad_(old.requires_grad)
                else:
                    new = torch.nn.Parameter(new, requires_grad=old.requires_grad)
            for module, attribute in self._places[id(old)]:
                setattr(module, attribute, new)
        except Exception as error:
            self.errors[name] = f"{name}: torch does not take it in this place: {type(error).__name__}: {error!s:.200}"
            return
        self._places[id(new)] = self._places[id(old)]
        self.assigned.append(name)

    # -- progress -------------------------------------------------------------------------------------------------

    def _part(self) -> Progress | None:
        """The progress of a part, told as progress of all."""
        if self._progress is None:
            return None
        progress, before, total = self._progress, self._done, self._total
        return lambda done, of: progress(min(before + done, total), total)

    def _add(self, copies: list[Copy]) -> None:
        self._done += sum(copy.nbytes for copy in copies)
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


def _memory_of(tensor: torch.Tensor) -> tuple[Any, int]:
    """Where a tensor lies; tensors that lie in one place may overlap. Without memory, each is a place of its own."""
    try:
        return tensor.device, tensor.untyped_storage().data_ptr() or -id(tensor)
    except (RuntimeError, NotImplementedError):  # a layout without storage
        return tensor.device, -id(tensor)


def _is_whole(ref: TensorRef) -> bool:
    """Whether the bytes of a storage in the file are those of this contiguous tensor, and of nothing else."""
    storage, dtype = ref.storage, ref.dtype
    return (
        storage is not None
        and storage.container is not None
        and storage.view_of is None
        and not storage.swap
        and ref.layout == "strided"
        and not ref.parts
        and not (ref.extra and ref.extra.keys() - {"attributes"})
        and not dtype.bits
        and dtype.kind != "quantized"
        and ref.offset == 0
        and ref.numel * dtype.itemsize == storage.nbytes > 0
        and ref.strides == contiguous_strides(ref.shape)
    )


def _is_small(ref: TensorRef) -> bool:
    return ref.storage is not None and ref.storage.nbytes < _SMALL


def _takes_bytes(copy: Copy, ref: TensorRef) -> bool:
    """Whether the model's tensor takes the bytes of the file as they are."""
    target = copy.target
    return (
        copy.how == "same"
        and target.device.type == "cpu"
        and target.dtype is getattr(torch, ref.dtype.name, None)
        and target.is_contiguous()
        and not target.is_inference()
        and not target.is_neg()
        and not target.is_conj()
    )


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """The memory of a contiguous tensor, writable."""
    return memoryview(tensor.detach().view(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]


def _batches(copies: list[Copy], most: int = BATCH) -> Iterator[list[Copy]]:
    """Copies, at most so many bytes of the file at a time; those of one storage are together."""
    groups: dict[int, list[Copy]] = {}
    for copy in copies:
        groups.setdefault(id(_first_storage(copy)), []).append(copy)
    batch: list[Copy] = []
    size = 0
    for group in groups.values():
        storage = _first_storage(group[0])
        length = storage.nbytes if storage is not None else 0
        if batch and size + length > most:
            yield batch
            batch, size = [], 0
        batch += group
        size += length
    if batch:
        yield batch


def _first_storage(copy: Copy) -> StorageRef | None:
    return next(iter(storages_of([copy.ref])), None)


def _better_mapped(storages: list[StorageRef]) -> bool:
    """Whether a storage is so large, and a local file so plain, that its parts are copied from a mapping of it."""
    return any(storage.nbytes > 2 * BATCH for storage in storages) and all(
        storage.container is not None
        and getattr(storage.container.source, "is_file", False)
        and not getattr(storage.container.source, "network_fs", False)
        and storage.record is not None
        and storage.record.method == STORED
        and not storage.swap
        for storage in storages
    )


def _corner(shape: Iterable[int]) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in shape)


def _taken(value: Any, copy: Copy) -> Any:
    """The part of a tensor that the model takes."""
    if copy.how == "sliced":
        return value[_corner(copy.target.shape)]
    return value[0] if copy.how == "single" else value
