"""The bytes of the storages of one load: read or mapped once, handed to whoever makes arrays of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from mmap import mmap
from typing import Any

from dotpt.container.record import Container, Extents
from dotpt.errors import TensorError, UsageError
from dotpt.formats.contents import Contents
from dotpt.limits import Limits
from dotpt.tensors.dtypes import DType
from dotpt.tensors.memory import Memory, allocate
from dotpt.tensors.reading import Progress, read_records, verify_in_place
from dotpt.tensors.refs import StorageRef, TensorRef


class Memories:
    """Where each storage's bytes lie. `fetch` brings them; `of` gives them.

    Args:
        shared: what is written to a mapped file's tensors reaches the file (torch can be told so).
    """

    def __init__(self, contents: Contents, *, shared: bool = False) -> None:
        self._contents = contents
        self._shared = shared
        self._held: dict[StorageRef, Memory] = {}
        self._swapped: dict[StorageRef, int] = {}
        self._maps: dict[Container, mmap] = {}
        self._mapped, self._verify = False, True

    @property
    def limits(self) -> Limits:
        """What the file may ask for."""
        return self._contents.container.limits

    def fetch(
        self,
        storages: Iterable[StorageRef],
        *,
        mapped: bool = False,
        verify: bool = True,
        progress: Progress | None = None,
    ) -> None:
        """Read (or map) these storages, if they are not held yet."""
        self._mapped, self._verify = mapped, verify
        wanted: dict[Container, list[StorageRef]] = {}
        for storage in dict.fromkeys(storage.view_of[0] if storage.view_of else storage for storage in storages):
            container = storage.container
            if container is not None and storage not in self._held:
                if container not in wanted:
                    wanted[container] = []
                wanted[container].append(storage)
        total = sum(storage.nbytes for group in wanted.values() for storage in group)
        done = 0
        for container, unique in wanted.items():
            extents = _extents(container, unique)
            share = sum(storage.nbytes for storage in unique)
            report = progress if len(wanted) == 1 else _part_of(progress, done, share, total)
            if mapped and not _read_instead(container):
                self._map(container, unique, extents, verify, report)
            else:
                memories = read_records(container, extents, verify=verify, progress=report)
                self._held.update(zip(unique, memories, strict=True))
            done += share

    def read_into(
        self, targets: Mapping[StorageRef, memoryview], *, verify: bool = True, progress: Progress | None = None
    ) -> None:
        """Read whole storages into memory that is there already, each as long as its storage."""
        wanted: dict[Container, list[StorageRef]] = {}
        for storage in targets:
            wanted.setdefault(storage.container, []).append(storage)
        total = sum(storage.nbytes for storage in targets)
        done = 0
        for container, storages in wanted.items():
            share = sum(storage.nbytes for storage in storages)
            report = progress if len(wanted) == 1 else _part_of(progress, done, share, total)
            memories = {number: targets[storage] for number, storage in enumerate(storages)}
            read_records(container, _extents(container, storages), verify=verify, progress=report, targets=memories)
            done += share

    def _map(
        self,
        container: Container,
        storages: list[StorageRef],
        extents: Extents,
        verify: bool,
        progress: Progress | None,
    ) -> None:
        """A private mapping: pages are read when touched, and copied when written."""
        if not container.source.is_file:
            raise UsageError("Only a local file can be mapped.", path=container.source.name, hint="leave mmap=True out")
        if extents.packed:
            raise UsageError(
                "The file is compressed, so it cannot be mapped.",
                path=container.source.name,
                hint="leave mmap=True out",
            )
        buffer = self._maps.get(container)
        if buffer is None:
            buffer = self._maps[container] = container.source.map(shared=self._shared)
        if verify:
            verify_in_place(container.source, memoryview(buffer), extents, progress=progress)
        for storage, offset in zip(storages, extents.offsets, strict=True):
            self._held[storage] = Memory(buffer, offset, storage.nbytes)

    def of(self, storage: StorageRef, dtype: DType) -> Memory:
        """The bytes of a storage, in this machine's byte order for elements of ``dtype``."""
        memory = self._held.get(storage)
        if memory is None:
            if storage.view_of is not None:
                base, start = storage.view_of
                return self.of(base, dtype).part(start, storage.nbytes)
            if storage.container is not None:  # one that only an attribute of a tensor, or an embedded file, looks at
                self.fetch([storage], mapped=self._mapped, verify=self._verify)
                memory = self._held[storage]
            else:
                memory = self._held[storage] = allocate(storage.nbytes)
        if (storage.swap and dtype.swap > 1) or storage in self._swapped:
            self._swap(storage, dtype, memory)
        return memory

    def _swap(self, storage: StorageRef, dtype: DType, memory: Memory) -> None:
        """Turn the bytes round by the type of the tensor, not of the storage class: torch's mistake for uint16."""
        from dotpt.tensors.arrays import swap_bytes

        unit = self._swapped.setdefault(storage, 0)
        if unit == 0:
            swap_bytes(memory, dtype.swap)
            self._swapped[storage] = dtype.swap
        elif unit != dtype.swap:
            raise TensorError(
                "Tensors of different element sizes share a storage of the other byte order.", key=storage.key
            )


def _part_of(progress: Progress | None, before: int, share: int, total: int) -> Progress | None:
    """The progress of one file of several, told as progress of all."""
    if progress is None:
        return None
    return lambda done, of: progress(before + (share * done // of if of else share), total)


def _read_instead(container: Container) -> bool:
    """Whether a file that was to be mapped lies on a network: each page would be a round trip, and a fault fatal."""
    if not getattr(container.source, "network_fs", False):
        return False
    warnings.warn(
        f"{container.source.name} lies on a network file system: it is read into memory instead of mapped.",
        UserWarning,
        stacklevel=4,
    )
    return True


def _extents(container: Container, storages: list[StorageRef]) -> Extents:
    by_index = getattr(container, "extents", None)
    if by_index is not None:
        return by_index([storage.index for storage in storages])  # type: ignore[no-any-return]
    return Extents.of([storage.record for storage in storages])


def storages_of(refs: Iterable[Any]) -> list[StorageRef]:
    """The storages that tensors (or storages) look at, each once, in order."""
    found: dict[int, StorageRef] = {}
    for ref in refs:
        if type(ref) is StorageRef:
            found[id(ref)] = ref
            continue
        if type(ref) is not TensorRef:
            continue
        for part in ref.strided_parts():
            if part.storage is not None:
                found[id(part.storage)] = part.storage
            for extra in (part.extra or {}).values():
                if type(extra) is TensorRef and extra.storage is not None:
                    found[id(extra.storage)] = extra.storage
    return list(found.values())
