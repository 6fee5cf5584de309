"""Prefixes that wrappers put before every weight's name, and the line that takes them off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix that every name of the weights has.

    Attributes:
        prefix: as it stands before the names: ``module.``, ``module._orig_mod.``.
        words: where it comes from: ``DataParallel or DistributedDataParallel``.
        tensors: how many names have it.
    """

    prefix: str
    words: str
    tensors: int

    def to_dict(self) -> dict[str, Any]:
        """The prefix as plain values."""
        return {"prefix": self.prefix, "words": self.words, "tensors": self.tensors}
