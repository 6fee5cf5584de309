"""Packages on disk for the tests of models that travel: written, imported, changed and forgotten again."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_numbers = count()

NETS = """
import torch
from torch import nn
from PACKAGE.blocks import Block


class Net(nn.Module):
    def __init__(self, width, classes=3, *, act=nn.ReLU, sizes=(4, 4)):
        super().__init__()
        self.first = nn.Linear(sizes[0], width)
        self.act = act()
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, classes)
        self.register_buffer("scale", torch.linspace(0, 1, classes), persistent=False)

    def forward(self, x):
        return self.head(self.blocks(self.act(self.first(x)))) * self.scale


class Other(nn.Module):
    pass
"""
BLOCKS = """
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x):
        return x + self.inner(x)
"""


class Package:
    """A package in a folder of its own.

    Attributes:
        name: which no other test has.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"shop{next(_numbers)}"
        self.folder = folder
        self.write("__init__", "")
        self.write("nets", NETS)
        self.write("blocks", BLOCKS)

    def write(self, module: str, text: str) -> None:
        """Write a module anew."""
        path = self.folder / self.name / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).replace("PACKAGE", self.name))

    def change(self, module: str, old: str, new: str) -> None:
        """Change the text of a module, and forget the package, as a new program would."""
        path = self.folder / self.name / f"{module}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.forget()

    def get(self, module: str = "nets") -> ModuleType:
        """A module of it, imported."""
        return importlib.import_module(f"{self.name}.{module}")

    def net(self, **kwargs: Any) -> Any:
        """A `Net` with weights that are no defaults."""
        import torch

        torch.manual_seed(7)
        return self.get().Net(**{"width": 8} | kwargs)

    def remove(self, module: str) -> None:
        """Delete a module."""
        (self.folder / self.name / f"{module}.py").unlink()
        self.forget()

    def forget(self) -> None:
        """As if nobody had imported it."""
        import linecache

        importlib.invalidate_caches()
        linecache.checkcache()
        for name in [name for name in sys.modules if name.partition(".")[0] == self.name]:
            del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A package that can be imported."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Package(folder)
    yield made
    made.forget()
    for name in [name for name in sys.modules if name.startswith("dotpt_source_")]:
        del sys.modules[name]
