"""Training loops for the tests: small, with everything that draws random numbers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import dotpt
from dotpt.training import EverySteps


class Noisy(torch.utils.data.Dataset[Any]):
    """A data set that draws from every generator there is."""

    def __len__(self) -> int:
        return 47

    def __getitem__(self, number: int) -> Any:
        noise = torch.randn(6) * 0.1 + random.random() * 0.1 + np.random.rand() * 0.1
        return noise + number / 47, torch.tensor(float(number % 2))


class Stream(torch.utils.data.IterableDataset[Any]):
    """A data set without a length."""

    def __iter__(self) -> Any:
        for number in range(40):
            yield torch.randn(6) + number / 40, torch.tensor(float(number % 2))


def model() -> nn.Module:
    """With buffers and with dropout."""
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 1))


def seed() -> None:
    """As a script does in its first lines."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def train(
    folder: Path,
    *,
    data: Any = None,
    epochs: int = 2,
    leave_out: tuple[str, ...] = (),
    loader_options: dict[str, Any] | None = None,
    stop_after: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """A whole training: what it ended with, and the losses of the steps that were taken."""
    seed()
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=500)
    given = {"batch_size": 5, "shuffle": data is None, **(loader_options or {})}
    loader = torch.utils.data.DataLoader(data or Noisy(), **given)
    parts = {"model": net, "optimizer": optimizer, "scheduler": scheduler}
    for name in leave_out:
        parts.pop(name, None)
    losses = {}
    options = {"save": EverySteps(1), "quiet": True, **options}
    with dotpt.Checkpointer(folder, **parts, **options) as ckpt:
        for _ in ckpt.epochs(epochs):
            for inputs, targets in loader if "loader" in leave_out else ckpt.batches(loader):
                loss = nn.functional.mse_loss(net(inputs).squeeze(1), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                losses[ckpt.global_step + 1] = loss.item()
                ckpt.step(loss=loss)
                if ckpt.global_step == stop_after:
                    return {"losses": losses}
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
