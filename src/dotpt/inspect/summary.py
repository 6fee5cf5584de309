"""What the tensors of a file amount to, and what its wholeness rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotpt.container.zip import ZipContainer
from dotpt.tensors.refs import StorageRef, TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the tensors has one property (a dtype).

    Attributes:
        tensors: how many have it.
        params: their elements.
        bytes: bytes of their values.
    """

    tensors: int = 0
    params: int = 0
    bytes: int = 0

    def to_dict(self) -> dict[str, int]:
        """The share as plain values."""
        return {"tensors": self.tensors, "params": self.params, "bytes": self.bytes}


@dataclass(slots=True)
class TensorSummary:
    """The tensors of a file.

    Attributes:
        count: addresses that hold a tensor.
        params: elements of all of them, those that are the same tensor at two addresses counted once.
        bytes: bytes of the storages they look at, each storage once: what loading everything takes.
        dtypes: share by dtype name, largest first (tied tensors once).
        devices: number of tensors by device tag in the file (``cpu``, ``cuda:0``).
        layouts: number of tensors by layout other than plain strided ones (``sparse_csr``, ``quantized``, ``meta``).
        requires_grad: how many are marked as trainable.
    """

    count: int = 0
    params: int = 0
    bytes: int = 0
    dtypes: dict[str, Share] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    layouts: dict[str, int] = field(default_factory=dict)
    requires_grad: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values."""
        return {
            "count": self.count,
            "params": self.params,
            "bytes": self.bytes,
            "dtypes": {name: share.to_dict() for name, share in self.dtypes.items()},
            "devices": dict(self.devices),
            "layouts": dict(self.layouts),
            "requires_grad": self.requires_grad,
        }


@dataclass(slots=True)
class Integrity:
    """Whether a file is whole, as far as its structure tells. Checksums are for `dotpt.verify`.

    Attributes:
        whole: nothing is missing and every rule of the container that was checked holds.
        words: one line for people: ``whole``, ``cut short: ends at 1.2 of about 4.0 GB``, ``damaged: ...``.
        reasons: what was checked, or what is wrong, one sentence each.
        checksums: how many records have a checksum.
        records: how many records there are (0 where the format has none).
    """

    whole: bool
    words: str
    reasons: list[str] = field(default_factory=list)
    checksums: int = 0
    records: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return {
            "whole": self.whole,
            "words": self.words,
            "reasons": list(self.reasons),
            "checksums": self.checksums,
            "records": self.records,
        }


def summary_of(refs: Iterable[TensorRef]) -> TensorSummary:
    """The summary of these tensors."""
    total = TensorSummary()
    devices: Counter[str] = Counter()
    layouts: Counter[str] = Counter()
    types: dict[str, list[int]] = {}
    places: set[tuple[Any, ...]] = set()
    storages: dict[int, StorageRef] = {}
    for ref in refs:
        total.count += 1
        total.requires_grad += ref.requires_grad
        devices[ref.device] += 1
        layout = layout_of(ref)
        if layout != "strided":
            layouts[layout] += 1
        storage = ref.storage
        if storage is not None:
            place: tuple[Any, ...] = id(storage), ref.offset, ref.shape, ref.strides, ref.dtype.name
            if place in places:
                continue
            places.add(place)
        for part in ref.strided_parts() if ref.parts else (ref,):
            if part.storage is not None:
                base = part.storage.view_of[0] if part.storage.view_of else part.storage
                storages[id(base)] = base
        numel = ref.numel
        share = types.setdefault(ref.dtype.name, [0, 0, 0])
        share[0] += 1
        share[1] += numel
        share[2] += ref.nbytes if ref.parts or storage is None else numel * ref.dtype.itemsize
        total.params += numel
    total.bytes = sum(storage.nbytes for storage in storages.values())
    total.dtypes = {name: Share(*share) for name, share in sorted(types.items(), key=lambda item: -item[1][2])}
    total.devices, total.layouts = dict(devices.most_common()), dict(layouts.most_common())
    return total


def layout_of(ref: TensorRef) -> str:
    """The layout, with what makes a strided tensor special: ``quantized``, ``meta``."""
    if ref.layout == "strided":
        if ref.extra and "scheme" in ref.extra:
            return "quantized"
        if ref.is_meta and not (ref.extra and "array" in ref.extra):
            return "meta"
    return ref.layout


def integrity_of(archive: Archive) -> Integrity:
    """What opening has checked of a file that is whole, and what only its checksums could tell."""
    records = checksums = 0
    reasons = []
    for container in archive.contents.containers:
        records += len(container.names)
        if isinstance(container, ZipContainer):
            checksums += sum(container.crc_of(index) is not None for index in range(len(container.names)))
    if archive.format in ("zip", "torchscript"):
        reasons.append("The directory obeys every rule, and every storage has the size that the pickle gives it.")
    elif archive.format in ("legacy", "tar"):
        reasons.append("Every storage is there with the size that the pickle gives it; nothing follows the last one.")
    elif archive.format in ("safetensors", "sharded"):
        reasons.append("Every tensor that the header names lies within the file.")
    if checksums:
        every = "All" if checksums == records else f"{checksums:,} of"
        reasons.append(f"{every} {records:,} records have a checksum; `dotpt verify` compares them.")
    elif archive.format != "pickle":
        reasons.append("It has no checksums: a changed byte in a tensor cannot be told.")
    return Integrity(True, "whole", reasons, checksums, records)
