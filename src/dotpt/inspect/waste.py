"""Bytes that need not be there, and weights that are shared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotpt.container.zip import ZipContainer
from dotpt.errors import readable
from dotpt.inspect.claims import Certainty
from dotpt.inspect.roles import RolePart
from dotpt.inspect.sizes import size_text
from dotpt.pickling.tree import transform
from dotpt.tensors.refs import StorageRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

_LEAST = 4096  # bytes; less is not worth a word
_MOST_NAMED = 20
_MOST_ITEMS = 100
_STORAGE = re.compile(r"(?:data|constants)/[^/]+")


@dataclass(frozen=True, slots=True)
class WasteItem:
    """One finding.

    Attributes:
        what: ``view`` (a storage larger than what its tensors use), ``duplicate`` (storages of the same content),
            ``unreferenced`` (records that nothing names), ``optimizer`` (state that only training needs).
        bytes: how many bytes it costs.
        words: one sentence.
        addresses: the tensors concerned (at most 20).
        certainty: as in `Claim`.
    """

    what: str
    bytes: int
    words: str
    addresses: tuple[str, ...]
    certainty: Certainty

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {
            "what": self.what,
            "bytes": self.bytes,
            "words": self.words,
            "addresses": list(self.addresses),
            "certainty": self.certainty,
        }


@dataclass(slots=True)
class Waste:
    """All findings, largest first, and the groups of addresses that are one tensor (tied weights: no waste)."""

    items: list[WasteItem] = field(default_factory=list)
    tied: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes of the findings of kind view, duplicate and unreferenced."""
        return sum(item.bytes for item in self.items if item.what != "optimizer")

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain values."""
        return {
            "bytes": self.bytes,
            "items": [item.to_dict() for item in self.items],
            "tied": [list(group) for group in self.tied],
        }


@dataclass(slots=True)
class _Looked:
    """What looks at one storage."""

    storage: StorageRef
    names: list[str] = field(default_factory=list)
    windows: set[tuple[int, int]] = field(default_factory=set)


def waste_of(archive: Archive, parts: Iterable[RolePart] = ()) -> Waste:
    """What of a file need not be there."""
    looked, tied = _look(archive)
    items = [*_views(archive, looked), *_duplicates(looked), *_unreferenced(archive)]
    training = sum(part.bytes for part in parts if part.role in ("optimizer", "scheduler", "scaler"))
    total = sum(entry.storage.nbytes for entry in looked.values())
    if training >= _LEAST and total:
        share = f"{100 * training / total:.0f} %"
        words = f"Optimizer state is {share} of the tensors' bytes; only resuming training needs it."
        items.append(WasteItem("optimizer", training, words, (), "INFERRED"))
    items.sort(key=lambda item: -item.bytes)
    return Waste(items[:_MOST_ITEMS], tied)


def _look(archive: Archive) -> tuple[dict[int, _Looked], list[tuple[str, ...]]]:
    """Every storage with the windows that tensors have on it, and the addresses that are one tensor."""
    looked: dict[int, _Looked] = {}
    places: dict[tuple[Any, ...], list[str]] = {}
    for name, ref in archive.tensors.items():
        for part in ref.strided_parts() if ref.parts else (ref,):
            storage = part.storage
            if storage is None:
                continue
            base, start = storage.view_of or (storage, 0)
            entry = looked.get(id(base))
            if entry is None:
                entry = looked[id(base)] = _Looked(base)
            entry.names.append(name)
            first = start + part.offset * part.dtype.itemsize
            entry.windows.add((first, first + part.extent * part.dtype.itemsize))
        if ref.storage is not None and ref.numel:
            places.setdefault((id(ref.storage), ref.offset, ref.shape, ref.dtype.name), []).append(name)
    tied = [tuple(names[:_MOST_NAMED]) for names in places.values() if len(names) > 1]
    return looked, tied[:_MOST_ITEMS]


def _views(archive: Archive, looked: dict[int, _Looked]) -> list[WasteItem]:
    """Storages of which the tensors use a part: torch.save writes all of a storage, also for a small view."""
    partly = {}
    for key, entry in looked.items():
        unused = entry.storage.nbytes - _union(entry.windows)
        if unused >= _LEAST:
            partly[key] = unused
    if partly:  # a storage that was saved as such is used to its end
        for storage in _bare_storages(archive):
            base = storage.view_of[0] if storage.view_of else storage
            partly.pop(id(base), None)
    items = []
    for key, unused in partly.items():
        entry = looked[key]
        size = entry.storage.nbytes
        key_text, used = readable(entry.storage.key)[:60], size_text(size - unused)
        words = f"Storage {key_text} has {size_text(size)}, used are {used}: it was saved for a view of a part."
        items.append(WasteItem("view", unused, words, tuple(entry.names[:_MOST_NAMED]), "CONFIRMED"))
    return items


def _union(windows: Iterable[tuple[int, int]]) -> int:
    """Bytes that are in any of the windows."""
    total, end = 0, 0
    for first, last in sorted(windows):
        if last > end:
            total += last - max(first, end)
            end = last
    return total


def _bare_storages(archive: Archive) -> list[StorageRef]:
    found: list[StorageRef] = []

    def note(value: Any) -> Any:
        if type(value) is StorageRef:
            found.append(value)
        return value

    transform(archive.tree, note, archive.options.limits.nesting)
    return found


def _duplicates(looked: dict[int, _Looked]) -> list[WasteItem]:
    """Storages whose records have the same checksum and size: most likely the same content."""
    groups: dict[tuple[int, int], list[_Looked]] = {}
    for entry in looked.values():
        storage = entry.storage
        if isinstance(storage.container, ZipContainer) and storage.index >= 0 and storage.nbytes >= _LEAST:
            crc = storage.container.crc_of(storage.index)
            if crc is not None:
                groups.setdefault((crc, storage.nbytes), []).append(entry)
    items = []
    for (_, size), entries in groups.items():
        if len(entries) > 1:
            names = tuple(entry.names[0] for entry in entries[:_MOST_NAMED])
            words = f"{len(entries):,} storages of {size_text(size)} have one checksum: copies of the same values."
            items.append(WasteItem("duplicate", size * (len(entries) - 1), words, names, "INFERRED"))
    return items


def _unreferenced(archive: Archive) -> list[WasteItem]:
    """Records among the storages that no pickle names."""
    contents = archive.contents
    container = contents.container
    if contents.format != "zip" or not isinstance(container, ZipContainer):
        return []
    stray = [
        name for name in container.names if _STORAGE.fullmatch(name) and name.partition("/")[2] not in contents.storages
    ]
    size = sum(container.sizes[container.index(name)] for name in stray)
    if not stray:
        return []
    shown = ", ".join(readable(name)[:60] for name in stray[:3])
    words = f"{len(stray):,} records with {size_text(size)} are named by nothing in the file: {shown}."
    return [WasteItem("unreferenced", size, words, (), "CONFIRMED")]
