"""A TorchScript archive with parameters, buffers of both kinds, plain tensors and shared modules. Needs torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Part(nn.Module):
    """Tensors of every role."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("passing", torch.zeros(3), persistent=False)
        self.register_buffer("kept", torch.zeros(1))
        self.register_parameter("none", None)
        self.plain = torch.arange(3.0)
        self.factor = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight.sum() + self.kept + self.passing.sum() + self.plain.sum()


class Whole(nn.Module):
    """A module with that part, one that is shared, and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Part()
        self.norm = nn.BatchNorm1d(2)
        self.linear = nn.Linear(2, 2, bias=False)
        self.shared = self.linear
        self.own = nn.Parameter(torch.ones(1))
        self.row = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.row(self.shared(self.linear(self.norm(self.part(x))))) * self.own


def scripted(path: Path) -> Any:
    """Write the archive; the module as `torch.jit.load` gives it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Whole().eval()).save(path)
        return torch.jit.load(path)
