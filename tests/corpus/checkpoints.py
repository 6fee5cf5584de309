"""Whole checkpoints of the corpus, shaped like the ones that training scripts and libraries write."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .classes import Detector, TiedLanguageModel
from .entry import Table

CHECKPOINTS = Table()


def network() -> nn.Sequential:
    """Convolution, norm, linear: parameters, buffers, an int64 counter."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))


def train(model: nn.Module, optimizer: Optimizer, steps: int = 2) -> None:
    """Take a few steps, so that the optimizer has state."""
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.rand(2, 3, 4, 4)).square().mean().backward()
        optimizer.step()


def _prefixed(prefix: str) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((prefix + key, value) for key, value in network().state_dict().items())


CHECKPOINTS.add("state_dict", lambda: network().state_dict(), "state-dict")
CHECKPOINTS.add("state_dict_tied", lambda: TiedLanguageModel().state_dict(), "state-dict", "sharing")
CHECKPOINTS.add("state_dict_half", lambda: network().half().state_dict(), "state-dict")
CHECKPOINTS.add("state_dict_bfloat16", lambda: dict(network().bfloat16().state_dict()), "state-dict")
CHECKPOINTS.add("state_dict_data_parallel", lambda: nn.DataParallel(network()).state_dict(), "state-dict", "prefix")
CHECKPOINTS.add("state_dict_compiled", lambda: _prefixed("_orig_mod."), "state-dict", "prefix")
CHECKPOINTS.add("state_dict_ddp_compiled", lambda: _prefixed("module._orig_mod."), "state-dict", "prefix")
CHECKPOINTS.add("state_dict_lstm", lambda: nn.LSTM(3, 4, num_layers=2).state_dict(), "state-dict")


@CHECKPOINTS.entry("optimizer")
def optimizer_sgd() -> Any:
    """SGD with momentum, two groups."""
    model = network()
    groups = [{"params": list(model[0].parameters())}, {"params": list(model[4].parameters()), "lr": 0.01}]
    optimizer = SGD(groups, lr=0.1, momentum=0.9)
    train(model, optimizer)
    return optimizer.state_dict()


def _adamw() -> tuple[nn.Module, AdamW]:
    model = network()
    optimizer = AdamW(model.parameters(), lr=1e-3, amsgrad=True)
    train(model, optimizer)
    return model, optimizer


@CHECKPOINTS.entry("optimizer")
def optimizer_adamw() -> Any:
    """AdamW with all its moments."""
    _, optimizer = _adamw()
    return optimizer.state_dict()


@CHECKPOINTS.entry("scheduler")
def schedulers() -> Any:
    """Schedulers' state dicts, one nested."""
    made = {}
    for name, make in {
        "step": lambda o: StepLR(o, 3),
        "cosine": lambda o: CosineAnnealingLR(o, 10),
        "sequential": lambda o: SequentialLR(o, [LinearLR(o), StepLR(o, 2)], [4]),
    }.items():
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        optimizer.step()
        made[name] = make(optimizer).state_dict()
    return made


def _scaler() -> dict[str, Any]:
    return torch.amp.GradScaler("cpu").state_dict()


CHECKPOINTS.add("grad_scaler", _scaler, "scaler")


@CHECKPOINTS.entry("state-dict", "ema")
def ema() -> Any:
    """An averaged model: ``n_averaged`` and ``module.`` keys."""
    model = network()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(model)
    return averaged.state_dict()


@CHECKPOINTS.entry("rng", "numpy")
def rng_states() -> Any:
    """The states that an exact resume needs."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.arange(16, dtype=torch.uint8)],
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }


@CHECKPOINTS.entry("checkpoint")
def checkpoint_tutorial() -> Any:
    """The shape of PyTorch's own tutorial."""
    model, optimizer = _adamw()
    return {
        "epoch": 5,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "loss": torch.tensor(0.4, requires_grad=True),
    }


@CHECKPOINTS.entry("checkpoint")
def checkpoint_lightning() -> Any:
    """The shape of a Lightning ``.ckpt``."""
    model, optimizer = _adamw()
    progress = {"total": {"ready": 2, "completed": 2}, "current": {"ready": 1, "completed": 1}}
    return {
        "epoch": 1,
        "global_step": 2,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": OrderedDict((f"model.{key}", value) for key, value in model.state_dict().items()),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": progress, "epoch_loop.batch_progress": progress}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [StepLR(optimizer, 1).state_dict()],
        "MixedPrecision": _scaler(),
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 1e-3, "layers": [4, 5]},
    }


@CHECKPOINTS.entry("checkpoint")
def checkpoint_hf_trainer() -> Any:
    """What an HF trainer's folder holds in several files, in one: model, optimizer, scheduler, arguments."""
    model = TiedLanguageModel()
    optimizer = AdamW(model.parameters(), lr=5e-5)
    model(torch.tensor([[1, 2]])).sum().backward()
    optimizer.step()
    return {
        "pytorch_model.bin": model.state_dict(),
        "optimizer.pt": optimizer.state_dict(),
        "scheduler.pt": StepLR(optimizer, 1).state_dict(),
        "rng_state.pth": {"cpu": torch.get_rng_state()[:64].clone(), "python": random.getstate()},
        "trainer_state": {"epoch": 1.0, "global_step": 500, "log_history": [{"loss": 1.5, "step": 500}]},
    }


@CHECKPOINTS.entry("checkpoint", "module")
def checkpoint_ultralytics() -> Any:
    """A whole half-precision module pickled in a dict, as ultralytics does."""
    model = Detector()
    return {
        "epoch": -1,
        "best_fitness": None,
        "model": None,
        "ema": model.half(),
        "updates": 100,
        "optimizer": None,
        "train_args": {"task": "detect", "imgsz": 640, "lr0": 0.01},
        "train_metrics": {"metrics/mAP50(B)": 0.5},
        "train_results": {"epoch": [1, 2], "time": [1.5, 3.0]},
        "date": "2024-02-29T12:00:00",
        "version": "8.3.0",
        "license": "AGPL-3.0",
    }


@CHECKPOINTS.entry("module")
def module() -> Any:
    """A whole module of torch's own classes."""
    return network().eval()


@CHECKPOINTS.entry("module", "sharing")
def module_shared() -> Any:
    """A module whose submodule is met twice."""
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


CHECKPOINTS.add("module_custom", Detector, "module", "custom")
CHECKPOINTS.add("module_tied", TiedLanguageModel, "module", "custom", "sharing")
