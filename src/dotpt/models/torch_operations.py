"""The operations of rules on torch's tensors, where numpy's spelling is another.

What crosses this boundary: tensors in, tensors of the same device out. Invariant: no gradient is recorded.
"""

from __future__ import annotations

import torch


def joined(parts: list[torch.Tensor], dim: int) -> torch.Tensor:
    """Tensors behind each other."""
    return torch.cat(parts, dim)


def cast(tensor: torch.Tensor, dtype: str) -> torch.Tensor:
    """A tensor of another type, named as torch does without ``torch.``."""
    made: torch.dtype = getattr(torch, dtype)
    return tensor.to(made)
