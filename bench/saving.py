"""The saving jobs: against torch.save, safetensors and a plain write; durable, recycled; memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

import dotpt
from bench.files import Files
from bench.measure import Job

MIB = 1 << 20


def jobs(files: Files) -> Iterator[Job]:
    """Every line of the table, in its order. Each contender writes a new file, unless the job says else."""
    large, small = torch.load(files.large), torch.load(files.small)
    folder = files.large.parent
    ours, theirs = folder / "ours.pt", folder / "theirs.pt"

    def fresh() -> None:
        ours.unlink(missing_ok=True)
        theirs.unlink(missing_ok=True)

    def plain() -> None:
        with theirs.open("wb", buffering=0) as file:
            for tensor in large.values():
                view = memoryview(tensor.view(torch.uint8).reshape(-1).numpy())
                while view:
                    view = view[file.write(view) :]

    def synced() -> None:
        torch.save(large, theirs)
        with theirs.open("rb") as file:
            os.fsync(file.fileno())

    yield Job(
        "save 1 GiB, not durable", "torch.save",
        lambda: dotpt.save(large, ours, durable=False), lambda: torch.save(large, theirs), 1.7, 2, 11, fresh,
    )  # fmt: skip
    yield Job(
        "save 1 GiB, not durable", "plain write of the bytes",
        lambda: dotpt.save(large, ours, durable=False), plain, 0.8, 0.95, 11, fresh,
    )  # fmt: skip
    yield Job(
        "save 1 GiB, durable", "torch.save and fsync", lambda: dotpt.save(large, ours), synced, 1.3, 1.5, 9, fresh
    )
    yield Job(
        "save 10,000 x 4 KiB, not durable", "torch.save",
        lambda: dotpt.save(small, ours, durable=False), lambda: torch.save(small, theirs), 2, 4, 15, fresh,
    )  # fmt: skip
    yield Job(
        "save 10,000 x 4 KiB, not durable", "safetensors save_file",
        lambda: dotpt.save(small, ours, durable=False), lambda: save_file(small, theirs), 1, 1.5, 15, fresh,
    )  # fmt: skip
    yield Job(
        "replace 1 GiB again and again, recycle=True", "recycle=False",
        lambda: dotpt.save(large, ours, recycle=True), lambda: dotpt.save(large, theirs), 1.3, 2, 9,
    )  # fmt: skip


def memory(files: Files) -> dict[str, float]:
    """Bytes that saving 1 GiB takes beyond the tensors, for us and for torch."""
    return {
        "dotpt.save": _peak(files.large, "dotpt.save(kept, target)"),
        "torch.save": _peak(files.large, "torch.save(kept, target)"),
    }


def _peak(path: Path, code: str) -> float:
    script = f"""
import torch, numpy, dotpt
dotpt.save
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
target = {str(path) + ".saved"!r}
kept = {{"weight": torch.zeros(4)}}
{code}
kept = torch.load({str(path)!r})
before = peak()
{code}
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    Path(str(path) + ".saved").unlink()
    return float(done.stdout)
