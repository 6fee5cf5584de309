"""Classes of the user's own that corpus files name; they live here so that a pickle can find them by name."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_map_only


class TaggedTensor(torch.Tensor):
    """A plain subclass: saved through ``_rebuild_from_type_v2`` with its attributes as state."""


class PairTensor(torch.Tensor):
    """A wrapper subclass without data of its own: saved through ``_rebuild_wrapper_subclass``."""

    left: torch.Tensor
    right: torch.Tensor

    @staticmethod
    def __new__(cls, left: torch.Tensor, right: torch.Tensor) -> PairTensor:
        """Take shape, dtype and device from `left`."""
        pair: PairTensor = torch.Tensor._make_wrapper_subclass(cls, left.shape, dtype=left.dtype, device=left.device)
        pair.left, pair.right = left, right
        return pair

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        """Show both halves."""
        return f"PairTensor({self.left!r}, {self.right!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do everything on both halves."""
        left, right = (
            func(*tree_map_only(PairTensor, pick, args), **tree_map_only(PairTensor, pick, kwargs or {}))
            for pick in (lambda pair: pair.left, lambda pair: pair.right)
        )
        return PairTensor(left, right) if isinstance(left, torch.Tensor) else left


class Point(NamedTuple):
    """A namedtuple of the user's own."""

    x: int
    y: int


class Config:
    """An ordinary object with a ``__dict__``."""

    def __init__(self, **values: Any) -> None:
        """Make it, small."""
        self.__dict__.update(values)


class Slotted:
    """An object whose state is in slots: BUILD gets ``(None, {...})``."""

    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        """Make it, small."""
        self.left, self.right = left, right

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Return what protocol 2 takes by itself; protocol 1 refuses slots without this."""
        return None, {"left": self.left, "right": self.right}


class Block(nn.Module):
    """Convolution, norm, activation: the brick of `Detector`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make it, small."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the three in turn."""
        return self.act(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class Detector(nn.Module):
    """A small model shaped like the ones that ultralytics pickles whole: layers, names, stride, yaml."""

    def __init__(self) -> None:
        """Make it, small."""
        super().__init__()
        self.model = nn.Sequential(Block(3, 4), Block(4, 4), nn.Conv2d(4, 6, 1))
        self.names = {0: "person", 1: "bicycle"}
        self.stride = torch.tensor([8.0, 16.0, 32.0])
        self.yaml = {"nc": 2, "scale": "n", "backbone": [[-1, 1, "Conv", [64, 3, 2]]]}
        self.register_buffer("anchors", torch.arange(6.0).view(3, 2))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the layers."""
        return self.model(x)  # type: ignore[no-any-return]


class TiedLanguageModel(nn.Module):
    """An embedding whose weight is also the output head's."""

    def __init__(self) -> None:
        """Make it, small."""
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed, normalise, project."""
        return self.head(self.norm(self.embed(x)))  # type: ignore[no-any-return]
