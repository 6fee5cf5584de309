"""What is known of a tensor before it is read: the common ground of files, models and rules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """Shape and type of a tensor.

    Attributes:
        shape: elements along each dimension.
        dtype: torch's name of the type, without ``torch.``: ``float32``.
    """

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"
