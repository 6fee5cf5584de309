"""Which part of a file is which: weights, optimizer, epoch, ... each with its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dotpt.inspect.claims import Claim

ROLES = (
    "weights", "ema", "optimizer", "scheduler", "scaler", "rng", "loader", "config", "metrics", "loss",
    "progress", "code", "about", "other",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RolePart:
    """One part of a file.

    Attributes:
        role: one of `ROLES`: ``progress`` is the epoch or step reached, ``config`` hyper-parameters and arguments,
            ``about`` version, date and licence, ``code`` sources that are in the file.
        address: where it lies: the keys on the way, joined by dots; ``""`` for the whole object.
        keys: the same as the keys themselves.
        tensors: how many tensors it has.
        params: their elements, shared ones once.
        bytes: bytes of the storages that no part before it has; the parts add up to what the file holds.
        value: the value of a scalar (epoch 3, loss 0.12), a short text for a small plain value, else None.
        claim: what the role rests on.
    """

    role: str
    address: str
    keys: tuple[Any, ...]
    tensors: int
    params: int
    bytes: int
    value: Any
    claim: Claim

    def to_dict(self) -> dict[str, Any]:
        """The part as plain values."""
        from dotpt.inspect.report import plain

        return {
            "role": self.role,
            "address": self.address,
            "keys": [plain(key) for key in self.keys],
            "tensors": self.tensors,
            "params": self.params,
            "bytes": self.bytes,
            "value": plain(self.value),
            "certainty": self.claim.certainty,
            "because": self.claim.because,
        }
