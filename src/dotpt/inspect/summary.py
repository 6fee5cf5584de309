"""What the tensors of a file amount to, and what its wholeness rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the tensors has one property (a dtype, a device, a layout).

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
        layouts: number of tensors by layout other than strided (``sparse_csr``, ``quantized``, ``meta``).
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
        whole: nothing is missing and every rule of the container holds.
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
