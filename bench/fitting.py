"""The fitting jobs: weights into a model, against torch's way to the same model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

import dotpt
from bench.files import Files
from bench.measure import Job


class Stack(torch.nn.Module):
    """A model whose state dict has the names of the bench's files: ``layers.N.weight``."""

    def __init__(self, like: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        rows = [torch.nn.Linear(tensor.shape[1], tensor.shape[0], bias=False, dtype=dtype) for tensor in like.values()]
        self.layers = torch.nn.ModuleList(rows)


def jobs(files: Files) -> Iterator[Job]:
    """Every line of the table, in its order. The model is made once; its weights are overwritten each time."""
    for path, what, bars in (
        (files.large, "1 GiB", (2.0, 4.0)),
        (files.small, "10,000 x 4 KiB", (1.0, 2.0)),
    ):
        model = Stack(torch.load(path, mmap=True))
        yield Job(
            f"load_into {what}, verified", "load_state_dict(torch.load)",
            lambda path=path, model=model: dotpt.load_into(model, path),  # type: ignore[misc]
            lambda path=path, model=model: model.load_state_dict(torch.load(path)),  # type: ignore[misc]
            *bars, 11,
        )  # fmt: skip
    half = Stack(torch.load(files.large, mmap=True), torch.bfloat16)
    yield Job(
        "load_into 1 GiB, cast to bfloat16", "load_state_dict(torch.load)",
        lambda: dotpt.load_into(half, files.large), lambda: half.load_state_dict(torch.load(files.large)), 1, 2, 9,
    )  # fmt: skip
    yield Job(
        "load_into 1 GiB, meta model, assign, mmap", "the same with torch",
        lambda: dotpt.load_into(_meta(files), files.large, assign=True, mmap=True, verify=False),
        lambda: _meta(files).load_state_dict(torch.load(files.large, mmap=True), assign=True), 0.5, 1, 15,
    )  # fmt: skip


def _meta(files: Files) -> Stack:
    with torch.device("meta"):
        return Stack(torch.load(files.large, mmap=True, map_location="meta"))


def memory(files: Files) -> dict[str, float]:
    """Peak memory of fitting 1 GiB into a model, over the model's size: 0.05 is 5 %."""
    return {
        "dotpt.load_into": _peak(files.large, "dotpt.load_into(model, path)"),
        "load_state_dict(torch.load)": _peak(files.large, "model.load_state_dict(torch.load(path))"),
    }


def _peak(path: Path, code: str) -> float:
    script = f"""
import torch, dotpt
from bench.fitting import Stack
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
warm = Stack({{"a": torch.zeros(2, 2)}})
torch.save(warm.state_dict(), {str(path) + ".warm"!r})
dotpt.load_into(warm, {str(path) + ".warm"!r})
path = {str(path)!r}
shapes = {{name: torch.empty(ref.shape, device="meta") for name, ref in dotpt.open(path).tensors.items()}}
base = peak()
model = Stack(shapes)
size = sum(p.numel() * p.element_size() for p in model.parameters())
{code}
print((peak() - base) / size - 1)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout)
