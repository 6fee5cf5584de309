"""The reading jobs: loading, mapping, single tensors, whole processes, memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file

import dotpt
from bench.files import Files
from bench.measure import Job, peak_over, process


def jobs(files: Files) -> Iterator[Job]:
    """Every line of the table of the issue, in its order."""
    large, small = str(files.large), str(files.small)
    one = "layers.17.weight"

    def one_of_ours() -> object:
        with dotpt.open(large, mmap=True, verify=False) as archive:
            return archive[one].torch()

    def one_verified() -> object:
        with dotpt.open(large, mmap=True) as archive:
            return archive[one].torch()

    yield Job(
        "load 1 GiB, copied and verified", "torch.load", lambda: dotpt.load(large), lambda: torch.load(large), 3, 5
    )
    yield Job(
        "load 1 GiB, mmap, unverified", "torch.load(mmap=True)",
        lambda: dotpt.load(large, mmap=True, verify=False), lambda: torch.load(large, mmap=True), 2, 4, 101,
    )  # fmt: skip
    yield Job(
        "load 1 GiB, mmap, unverified", "safetensors load_file",
        lambda: dotpt.load(large, mmap=True, verify=False), lambda: load_file(files.large_safetensors), 1, 1.5, 101,
    )  # fmt: skip
    yield Job(
        "load 1 GiB, mmap, verified", "torch.load (unverified)",
        lambda: dotpt.load(large, mmap=True), lambda: torch.load(large), 8, 12,
    )  # fmt: skip
    yield Job(
        "load 10,000 x 4 KiB, verified", "torch.load", lambda: dotpt.load(small), lambda: torch.load(small), 6, 10
    )
    for backend in ("mmap", "pread"):
        yield Job(
            "load 10,000 x 4 KiB, verified", f"safetensors ({backend})",
            lambda: dotpt.load(small),
            lambda backend=backend: load_file(files.small_safetensors, backend=backend), 0.7, 1,
        )  # fmt: skip
    yield Job(
        "one tensor of 1 GiB, file opened fresh, mmap", "torch.load(mmap=True)",
        one_of_ours, lambda: torch.load(large, mmap=True)[one], 3, 10, 101,
    )  # fmt: skip
    yield Job(
        "one tensor of 1 GiB, opened fresh, verified", "torch.load (unverified)",
        one_verified, lambda: torch.load(large)[one], 3, 10,
    )  # fmt: skip
    yield Job(
        "process: dotpt inspect of 1 GiB", "python -c torch.load(mmap)",
        process("-m", "dotpt", "inspect", large),
        process("-c", f"import torch; torch.load({large!r}, mmap=True)"), 6, 10, 7,
    )  # fmt: skip
    yield Job(
        "process: import dotpt", "import torch", process("-c", "import dotpt"), process("-c", "import torch"), 30, 60, 7
    )


def memory(files: Files) -> dict[str, float]:
    """Peak memory over the file's size, for us and for torch."""
    tiny = Path(f"{files.large}.tiny")
    torch.save({"weight": torch.zeros(4)}, tiny)
    return {
        "dotpt.load": peak_over(str(files.large), "dotpt.load(path)"),
        "torch.load": peak_over(str(files.large), "torch.load(path)"),
    }
