"""Bytes that need not be there, and weights that are shared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dotpt.inspect.claims import Certainty


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
    """All findings, largest first, and the groups of addresses that share one storage (tied weights: no waste)."""

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
