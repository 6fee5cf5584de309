"""The training jobs: how long a save stops the training, against torch's ways and against a plain copy."""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn

import dotpt
from bench.files import Files
from bench.fitting import Stack
from bench.measure import Job
from dotpt.training import EverySteps, Latest

_STEPS = 60


def jobs(files: Files) -> Iterator[Job]:
    """Every line of the table, in its order. What is timed is the call that training waits for, not the write."""
    folder = files.large.parent / "training"
    model = Stack(torch.load(files.large))
    state = model.state_dict()
    ckpt = dotpt.Checkpointer(folder / "ours", model=model, save=None, keep=Latest(1), quiet=True)
    theirs = folder / "theirs.pt"
    warm = {name: torch.empty_like(tensor) for name, tensor in state.items()}
    pending: list[Future[Any]] = []

    def rest() -> None:
        """Nothing is being written any more."""
        ckpt.wait()
        while pending:
            pending.pop().result()
        shutil.rmtree(folder / "dcp", ignore_errors=True)
        theirs.unlink(missing_ok=True)

    def asynchronous() -> None:
        if not dist.is_initialized():
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pending.append(dcp.async_save(state, checkpoint_id=folder / "dcp"))

    def copy() -> None:
        for name, tensor in state.items():
            warm[name].copy_(tensor)

    yield Job(
        "stall of a background save of 1 GiB", "torch.save",
        lambda: ckpt.save(1), lambda: torch.save(state, theirs), 4, 6, 9, rest,
    )  # fmt: skip
    yield Job(
        "stall of a background save of 1 GiB", "torch.distributed.checkpoint.async_save",
        lambda: ckpt.save(1), asynchronous, 4, 8, 9, rest,
    )  # fmt: skip
    yield Job(
        "stall of a background save of 1 GiB", "a plain copy into warm memory",
        lambda: ckpt.save(1), copy, 0.67, 0.83, 15, rest,
    )  # fmt: skip
    frozen = dotpt.Checkpointer(
        folder / "frozen", model=model, save=None, keep=Latest(1), quiet=True, incremental=True, background=False,
        durable=False, verify=False,
    )  # fmt: skip
    first = itertools.count(1)

    def train() -> None:
        """A step that changes two of the tensors."""
        rest()
        with torch.no_grad():
            for layer in model.layers[:2]:
                layer.weight.add_(1)

    yield Job(
        "incremental save of 1 GiB, of which 6 % have changed, not durable", "torch.save",
        lambda: frozen.save(next(first)), lambda: torch.save(state, theirs), 8, 15, 11, train,
    )  # fmt: skip
    yield Job(
        "a loop of small steps, a save at every step", "the same without saves",
        _loop(folder / "loop", EverySteps(1)), _loop(None, None), 0.7, 0.9, 7,
    )  # fmt: skip


def _loop(folder: Path | None, save: Any) -> Callable[[], None]:
    """A training of so many steps of a small convolutional net, made anew each time."""

    def train() -> None:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters())
        images, labels = torch.randn(128, 1, 16, 16), torch.randint(10, (128,))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        ckpt = folder and dotpt.Checkpointer(folder, model=model, optimizer=optimizer, save=save, quiet=True)
        for _ in range(_STEPS):
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if ckpt:
                ckpt.step(loss=loss)
        if ckpt:
            ckpt.close()

    return train
