"""TorchScript modules beyond those of the corpus: containers, sharing, every element type, other layouts.

(No `from __future__ import annotations`: torch.jit reads the annotations of attributes.)
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn


class Containers(nn.Module):
    """Lists, dictionaries and modules of modules; attributes that no state dict has."""

    list_of_tensors: list[torch.Tensor]
    dict_of_tensors: dict[str, torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.list_of_tensors = [torch.ones(2), torch.zeros(3)]
        self.dict_of_tensors = {"k": torch.ones(1)}
        self.integers, self.numbers, self.flags, self.complex = [1, 2], [1.0], [True], 1 + 2j
        self.device = torch.device("cpu")
        self.many = nn.ModuleList([nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2))])
        self.named = nn.ModuleDict({"a": nn.Linear(2, 2)})
        self.register_buffer("forgotten", torch.ones(2), persistent=False)
        self.register_buffer("row", self.linear.weight.detach()[1])
        self.plain = torch.ones(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Use everything, so that everything is compiled."""
        x = self.linear(x) + self.list_of_tensors[0] + self.dict_of_tensors["k"] + self.plain
        x = x + self.forgotten + self.row
        for module in self.many:
            x = module(x)
        for module in self.named.values():
            x = module(x)
        return x * self.integers[0] * self.numbers[0] if self.flags[0] else x.to(self.device)


class Shared(nn.Module):
    """One layer at four addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.again = self.linear
        self.sequence = nn.Sequential(self.linear, nn.ReLU(), self.linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Go through it four times."""
        return self.again(self.sequence(self.linear(x)))


class Buffers(nn.Module):
    """Nothing but buffers."""

    def __init__(self, **buffers: torch.Tensor) -> None:
        super().__init__()
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Do nothing."""
        return x


class Small(nn.Module):
    """One layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Go through it."""
        return self.linear(x)


TYPES = """
    uint16 uint32 uint64 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu bfloat16 half
    double complex64 complex128 bool int8 uint8 int16 int32 int64
"""


def _types() -> nn.Module:
    raw = torch.arange(32, dtype=torch.uint8) % 2
    buffers = {f"of_{name}": raw.clone().view(getattr(torch, name)) for name in TYPES.split()}
    return Buffers(**buffers, conj=torch.ones(3, dtype=torch.complex64).conj())


def _quantized() -> nn.Module:
    channels = torch.tensor([0.1, 0.2]), torch.tensor([0, 1])
    return Buffers(
        tensor=torch.quantize_per_tensor(torch.arange(4.0), 0.1, 2, torch.qint8),
        channel=torch.quantize_per_channel(torch.ones(2, 2), *channels, 0, torch.quint8),
    )


def _sparse() -> nn.Module:
    return Buffers(coo=torch.eye(3).to_sparse(), csr=torch.eye(3).to_sparse_csr())


def _shared_object() -> torch.jit.ScriptModule:
    module = torch.jit.script(Shared())
    module.again = module.linear
    return module


def _frozen() -> torch.jit.ScriptModule:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.jit.freeze(torch.jit.script(Small().eval()))


def _writer(make: Callable[[], torch.jit.ScriptModule], lite: bool = False) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = make()
            if lite:
                module._save_for_lite_interpreter(str(path))
            else:
                module.save(str(path))
        return path

    return write


#: Writers by name; each takes a path and returns it.
MORE_SCRIPTS: dict[str, Callable[[Path], Path]] = {
    "containers": _writer(lambda: torch.jit.script(Containers())),
    "shared_script": _writer(lambda: torch.jit.script(Shared())),
    "shared_trace": _writer(lambda: torch.jit.trace(Shared(), torch.ones(1, 2))),
    "shared_object": _writer(_shared_object),
    "types": _writer(lambda: torch.jit.script(_types())),
    "sparse": _writer(lambda: torch.jit.script(_sparse())),
    "quantized": _writer(lambda: torch.jit.script(_quantized())),
    "frozen": _writer(_frozen),
    "frozen_lite": _writer(_frozen, lite=True),
}
