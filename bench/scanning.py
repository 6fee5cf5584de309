"""The scanning jobs: whole processes, against picklescan, both installed in an environment of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.files import Files
from bench.measure import Job, Work

ENVIRONMENT = Path(".venv-scanners/bin")


def jobs(files: Files, scale: float) -> Iterator[Job]:
    """One large file, one of many tensors, a folder of many files."""
    if not ENVIRONMENT.exists():
        raise SystemExit("There is no .venv-scanners: run this by `make bench`.")
    large, folder = _make(files.small.parent, scale)
    for name, path, bar in (
        ("process: dotpt scan of 1 GiB, 16 tensors", large, 1),
        ("process: dotpt scan of 10,000 tensors", files.small, 2),
    ):
        ours, theirs = _run("dotpt", "scan", str(path)), _run("picklescan", "-p", str(path))
        yield Job(name, "picklescan", ours, theirs, bar, bar, 21)
    yield Job(
        "process: dotpt scan --jobs 2 of 1,000 files", "picklescan",
        _run("dotpt", "scan", "--jobs", "2", str(folder)), _run("picklescan", "-p", str(folder)), 2, 2, 15,
    )  # fmt: skip


def _make(where: Path, scale: float) -> tuple[Path, Path]:
    large, folder = where / "sixteen.pt", where / "many"
    torch.save({f"layers.{n}.weight": torch.randn(max(int(4096 * scale), 1), 4096) for n in range(16)}, large)
    folder.mkdir()
    for number in range(max(int(1000 * scale), 10)):
        state = {f"layers.{n}.{part}": torch.randn(8, 8) for n in range(4) for part in ("weight", "bias")}
        torch.save(state, folder / f"model-{number:04}.pt")
    return large, folder


def _run(program: str, *arguments: str) -> Work:
    command = [str(ENVIRONMENT / program), *arguments]
    # as they were installed: nothing from this checkout, and the bytecode that pip compiled
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def work() -> None:
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return work
