"""Objects of torch's and of a user's own classes that ``trust=`` must build as torch does."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.testing._internal import common_subclass
from torch.testing._internal.two_tensor import TwoTensor

from tests.pickling.trusted import Data


def hook(*_: Any) -> None:
    """Stand in for a hook that a user registers."""


class Child(nn.Module):
    """It knows its parent, past nn.Module's registration."""

    def __init__(self, parent: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "parent", parent)
        self.weight = nn.Parameter(torch.ones(1))


class Net(nn.Module):
    """Layers, hooks, buffers, lists of modules, a tied weight, and a weight that knows its module."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.child = Child(self)
        self.register_buffer("mask", torch.ones(2))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.register_forward_hook(hook)
        self.listed = nn.ParameterList([nn.Parameter(torch.ones(2))])
        self.named = nn.ParameterDict({"q": nn.Parameter(torch.zeros(2))})
        self.modules_listed = nn.ModuleList([nn.Conv2d(1, 1, 1), nn.ReLU()])
        self.tied = self.linear.weight
        self.linear.weight.owner = self  # type: ignore[union-attr]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x))  # type: ignore[no-any-return]


class Tagged(torch.Tensor):
    """A plain subclass."""


class Stateful(torch.Tensor):
    """A subclass with a `__setstate__` of its own."""

    def __setstate__(self, state: Any) -> None:
        self.got = state


class Slotted(torch.Tensor):
    """A subclass whose state is in a slot."""

    __slots__ = ("tag",)


def with_tag(tensor: Any, tag: Any = None) -> Any:
    """Set a Python attribute on a tensor."""
    tensor.tag = [1, Data(2)] if tag is None else tag
    return tensor


def pair() -> Any:
    return TwoTensor(torch.ones(2, 3), torch.zeros(2, 3))


def training() -> Any:
    """An optimizer and a scheduler themselves, not their state dicts."""
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {"model": model, "optimizer": optimizer, "schedule": torch.optim.lr_scheduler.StepLR(optimizer, 1)}


def attributes() -> Any:
    tensor = with_tag(torch.ones(2), {"data": Data(1)})
    tensor.again = [tensor.tag]
    return {"one": tensor, "two": tensor, "parameter": with_tag(nn.Parameter(torch.ones(2)))}


def objects_in_arrays() -> Any:
    array = np.empty((2, 2), dtype=object)
    array[:] = [[torch.ones(2), Data(3)], [None, [torch.zeros(1)]]]
    return [array, np.asfortranarray(array)]


OBJECTS: dict[str, Callable[[], Any]] = {
    "net": Net,
    "sequential": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten()),
    "deep": lambda: reduce(lambda inner, _: nn.Sequential(inner), range(40), nn.Linear(1, 1)),
    "recurrent": lambda: nn.LSTM(2, 3),
    "attention": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2),
    "lazy": lambda: [nn.LazyLinear(3), nn.UninitializedParameter(), nn.UninitializedBuffer()],
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2)),
    "training": training,
    "packed": lambda: nn.utils.rnn.pack_sequence([torch.ones(3), torch.ones(2)]),
    "distribution": lambda: torch.distributions.Normal(torch.zeros(2), torch.ones(2)),
    "results": lambda: [torch.ones(2, 3).max(0), torch.ones(2, 3).sort(0)],
    "generator": lambda: torch.Generator().manual_seed(2),
    "subclass": lambda: torch.ones(3).as_subclass(Tagged),
    "subclass with attributes": lambda: with_tag(torch.ones(3).as_subclass(Tagged)),
    "subclass with its own state": lambda: with_tag(torch.ones(3).as_subclass(Stateful)),
    "subclass with slots": lambda: with_tag(torch.ones(3).as_subclass(Slotted)),
    "subclass with gradient": lambda: torch.ones(3, requires_grad=True).as_subclass(Tagged),
    "subclass in a parameter": lambda: nn.Parameter(torch.ones(3).as_subclass(Tagged)),
    "two tensors": pair,
    "two tensors in a parameter": lambda: nn.Parameter(pair()),
    "two tensors in a parameter with attributes": lambda: with_tag(nn.Parameter(pair())),
    "two tensors in a module": lambda: nn.ParameterList([nn.Parameter(pair())]),
    "torch's diagonal": lambda: common_subclass.DiagTensorBelow(torch.ones(3)),
    "torch's non-wrapper": lambda: common_subclass.NonWrapperTensor(torch.ones(3)),
    "torch's sizes": lambda: common_subclass.WrapperTensorWithCustomSizes(torch.ones(2, 3)),
    "torch's strides": lambda: common_subclass.WrapperTensorWithCustomStrides(torch.ones(2, 3)),
    "torch's sparse": lambda: common_subclass.SparseTensor((3, 3), torch.ones(2), torch.zeros(2, 2, dtype=torch.long)),
    "attributes": attributes,
    "objects in arrays": objects_in_arrays,
    "names": lambda: [
        *(torch.relu, torch.nn.functional.relu, torch.Tensor, torch.FloatTensor, torch.Size, torch.device, torch.dtype),
        *(torch._utils._rebuild_tensor_v2, torch.optim.SGD, nn.Parameter, nn.Buffer, torch.Generator, nn.init.ones_),
        *(torch.return_types.max, nn.Linear, Net),
    ],
}
