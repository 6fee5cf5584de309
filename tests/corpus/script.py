"""TorchScript archives: scripted, traced, and for the lite interpreter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from .entry import quiet


class _Inner(nn.Module):
    """A submodule with a constant, an attribute and a method of its own."""

    def __init__(self) -> None:
        """Make it, small."""
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.scale = 0.5
        self.names = ["a", "b"]
        self.table = {"a": 1}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale what the layer gives."""
        return self.linear(x) * self.scale + float(len(self.names))


class _Outer(nn.Module):
    """Nested modules, a buffer, a tied parameter and tensor constants in the code."""

    def __init__(self) -> None:
        """Make it, small."""
        super().__init__()
        self.inner = _Inner()
        self.other = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        self.register_buffer("offset", torch.arange(2.0))
        self.tied = self.inner.linear.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Go through both."""
        return self.other(self.inner(x)) + self.offset + torch.tensor([1.0, 2.0])


def _scripted() -> torch.jit.ScriptModule:
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.jit.script(_Outer())


def _script(path: Path) -> Path:
    with quiet():
        _scripted().save(str(path), _extra_files={"note.txt": "hello", "labels.json": b'["cat"]'})
    return path


def _trace(path: Path) -> Path:
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.jit.trace(_Outer(), torch.ones(1, 3), check_trace=False).save(str(path))
    return path


def _half(path: Path) -> Path:
    with quiet():
        _scripted().half().save(str(path))
    return path


def _lite(path: Path) -> Path:
    with quiet():
        _scripted()._save_for_lite_interpreter(str(path), _extra_files={"note.txt": "hello"})
    return path


#: Writers by name; each takes a path and returns it. The lite one is usually called ``.ptl``.
SCRIPTS: dict[str, Callable[[Path], Path]] = {
    "script": _script,
    "script_half": _half,
    "trace": _trace,
    "lite": _lite,
}
