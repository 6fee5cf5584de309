"""Small models and their optimizers, for the tests of `dotpt.load_into(optimizer, ...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

MAKERS: dict[str, Callable[..., Any]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "SGD without momentum": lambda p: torch.optim.SGD(p, lr=0.05),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "Adam amsgrad": lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True),
    "Adam fused": lambda p: torch.optim.Adam(p, lr=0.05, fused=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.05, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=0.05),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.05),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.05),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=0.05),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.05),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.05),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=0.05),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.05, max_iter=3),
    "Own": lambda p: Own(p, lr=0.05),
}


class Own(torch.optim.Optimizer):
    """An optimizer of a user's: momentum in float32 whatever the parameter is, and a count for all parameters."""

    def __init__(self, params: Any, lr: float = 0.1, decay: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.state["rounds"] = self.state.get("rounds", 0) + 1  # type: ignore[assignment,index]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    kept = self.state[p].setdefault("mean", torch.zeros(p.shape, dtype=torch.float32, device=p.device))
                    kept.mul_(group["decay"]).add_(p.grad)
                    p.sub_(group["lr"] * kept)


def net(sizes: Any, bias: bool = True) -> Any:
    """Layers with these names side by side: {name: (inputs, outputs)}, or names of layers of 3 to 3."""
    sizes = sizes if isinstance(sizes, dict) else dict.fromkeys(sizes, (3, 3))
    return torch.nn.ModuleDict({name: torch.nn.Linear(*size, bias=bias) for name, size in sizes.items()})


def train(model: Any, optimizer: Any, steps: int = 2, seed: int = 0) -> None:
    """Steps with gradients that depend on the seed and on the parameter's name only."""

    def closure() -> Any:
        optimizer.zero_grad()
        for name, p in model.named_parameters():
            if p.requires_grad:
                mark = sum(map(ord, name)) + seed
                p.grad = torch.linspace(-1, 1, p.numel() + 1)[1:].reshape(p.shape).mul(mark % 7 + 1).to(p)
        return torch.tensor(1.0)

    for _ in range(steps):
        closure()
        optimizer.step(closure) if isinstance(optimizer, torch.optim.LBFGS) else optimizer.step()


def trained(model: Any, make: Callable[..., Any], named: bool = False) -> Any:
    optimizer = make(list(model.named_parameters() if named else model.parameters()))
    train(model, optimizer)
    return optimizer


def entries(model: Any, optimizer: Any) -> dict[str, Any]:
    """What an optimizer keeps, by name."""
    return {name: optimizer.state[p] for name, p in model.named_parameters() if optimizer.state.get(p)}


def checkpoint(model: Any, optimizer: Any) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}


def adam(parameters: Iterable[Any], **options: Any) -> Any:
    return torch.optim.Adam(parameters, **({"lr": 0.05} | options))
