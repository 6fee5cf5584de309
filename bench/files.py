"""The files that are timed, written by torch and safetensors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file


@dataclass(frozen=True)
class Files:
    """Paths of the inputs."""

    large: Path  # 1 GiB: 32 tensors of 32 MiB
    large_safetensors: Path
    small: Path  # 10,000 tensors of 4 KiB
    small_safetensors: Path


def make(folder: Path, scale: float) -> Files:
    """Write the inputs; ``scale`` shrinks them for a trial run."""
    torch.manual_seed(0)
    files = Files(*(folder / name for name in ("large.pt", "large.safetensors", "small.pt", "small.safetensors")))
    rows = max(int(2048 * scale), 1)
    large = {f"layers.{n}.weight": torch.randn(rows, 4096) for n in range(32)}
    torch.save(large, files.large)
    save_file(large, files.large_safetensors)
    small = {f"layers.{n}.weight": torch.randn(16, 64) for n in range(max(int(10_000 * scale), 10))}
    torch.save(small, files.small)
    save_file(small, files.small_safetensors)
    return files
