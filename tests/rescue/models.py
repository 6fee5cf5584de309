"""Modules of every kind that `torch.save(model)` writes, for the tests to rescue. Needs torch."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

DISTRIBUTED = torch.distributed.is_available() and hasattr(torch.distributed, "HashStore")


class Block(nn.Module):
    """A block with buffers of both kinds, a parameter that is None, and plain attributes."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width
        self.name = "block"
        self.norm = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.randn(()))
        self.register_parameter("nothing", None)
        self.register_buffer("kept", torch.arange(3))
        self.register_buffer("passing", torch.zeros(2), persistent=False)
        self.register_buffer("empty", None)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.linear(self.norm(x))) * self.scale


class Net(nn.Module):
    """Nested blocks, a shared submodule, tied weights, lists and dictionaries of modules and parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4, padding_idx=0)
        self.blocks = nn.ModuleList([Block() for _ in range(3)])
        self.again = self.blocks[1]
        self.named = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Identity()})
        self.loose = nn.ParameterList([nn.Parameter(torch.randn(2)), nn.Parameter(torch.randn(3, 2))])
        self.words = nn.ParameterDict({"x": nn.Parameter(torch.randn(2)), "y": torch.zeros(1)})
        self.head = nn.Linear(4, 11, bias=False)
        self.head.weight = self.embed.weight
        self.frozen = nn.Parameter(torch.randn(3), requires_grad=False)
        self.brief = nn.Parameter(torch.randn(3).bfloat16())
        self.view = nn.Parameter(torch.randn(4, 6).t()[1:3])
        self.gone = None
        self.config = {"depth": 3, "act": "relu"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).mean(1)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def with_hooks() -> nn.Module:
    """A module with forward and backward hooks of functions that can be pickled."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.1))
    model[0].register_forward_hook(print)
    model.register_full_backward_hook(print)
    return model


def weight_normed() -> nn.Module:
    """The older weight_norm, by hooks, and the older spectral_norm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normed = torch.nn.utils.weight_norm(nn.Conv1d(2, 3, 3), dim=0)
    return nn.Sequential(normed, torch.nn.utils.spectral_norm(nn.Linear(3, 5)))


def parametrizations() -> nn.Module:
    """What a parametrized module holds; torch refuses to pickle the module itself."""
    linear = torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 5))
    both = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))
    return nn.ModuleDict({"first": linear.parametrizations, "second": both.parametrizations})


def pruned() -> nn.Module:
    """A pruned layer: weight_orig and a mask."""
    from torch.nn.utils import prune

    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def dynamic() -> nn.Module:
    """A model quantized dynamically: linear layers and an LSTM."""
    model = nn.Sequential(OrderedDict(first=nn.Linear(8, 4), lstm=nn.LSTM(4, 3, 2), last=nn.Linear(3, 2, bias=False)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear, nn.LSTM}, dtype=torch.qint8)


def dynamic_half() -> nn.Module:
    """The same in half precision, and the recurrent cells."""
    model = nn.ModuleDict({"linear": nn.Linear(8, 4), "gru": nn.GRU(4, 3), "cell": nn.LSTMCell(3, 2)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half = torch.ao.quantization.quantize_dynamic(model, {nn.Linear, nn.GRU, nn.LSTMCell}, dtype=torch.float16)
    return half


class Small(nn.Module):
    """For static quantization."""

    def __init__(self) -> None:
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 2)
        self.plus = torch.ao.nn.quantized.FloatFunctional()
        self.dequant = torch.ao.quantization.DeQuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.conv(self.quant(x))))
        x = self.head(self.plus.add(x, x).mean((2, 3)))
        return self.dequant(x)


def static() -> nn.Module:
    """A model quantized after calibration."""
    from torch.ao import quantization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Small().eval()
        model.qconfig = quantization.get_default_qconfig("fbgemm")
        model = quantization.fuse_modules(model, [["conv", "norm", "relu"]])
        prepared = quantization.prepare(model)
        prepared(torch.randn(2, 3, 8, 8))
        return quantization.convert(prepared)


def observers() -> nn.Module:
    """What a model holds while it is made ready for quantization."""
    from torch.ao import quantization

    model = nn.ModuleDict({
        "fake": quantization.FakeQuantize(),
        "minmax": quantization.MinMaxObserver(),
        "channels": quantization.PerChannelMinMaxObserver(),
        "histogram": quantization.HistogramObserver(),
        "embedding": torch.ao.nn.quantized.Embedding(10, 12),
        "reference": torch.ao.nn.quantized.reference.Linear(3, 2),
    })  # fmt: skip
    for name in ("fake", "minmax", "channels", "histogram"):
        model[name](torch.randn(4, 3))
    return model


def transformer() -> nn.Module:
    """Attention, encoder and decoder."""
    return nn.Transformer(8, 2, num_encoder_layers=2, num_decoder_layers=1, dim_feedforward=16, batch_first=True)


def parallel() -> nn.Module:
    """DataParallel."""
    return nn.DataParallel(Block())


def averaged() -> nn.Module:
    """AveragedModel, with its counter."""
    model = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2))
    model.update_parameters(nn.Linear(2, 2))
    return model


def compiled() -> nn.Module:
    """torch.compile, before its first call."""
    return torch.compile(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))


def distributed() -> nn.Module:
    """DistributedDataParallel; it is made and saved within `process_group`."""
    return nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


@contextmanager
def process_group() -> Iterator[None]:
    """A group of one process, where torch can make one."""
    if not DISTRIBUTED:
        yield
        return
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def traced_graph() -> nn.Module:
    """A module of torch.fx."""
    return torch.fx.symbolic_trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))


def recurrent() -> nn.Module:
    """LSTM, GRU and RNN in their forms."""
    return nn.ModuleList([
        nn.LSTM(4, 3, 2, bidirectional=True, proj_size=2), nn.GRU(2, 2, batch_first=True), nn.RNN(2, 2, dropout=0.0),
        nn.GRUCell(2, 3), nn.RNNCell(2, 3, nonlinearity="relu"),
    ])  # fmt: skip


def alike() -> nn.Module:
    """A list of blocks that are alike, and one that is not."""
    return nn.ModuleList([*(nn.Linear(2, 2) for _ in range(4)), nn.ReLU(), nn.Linear(2, 2)])


def buffered() -> nn.Module:
    """Buffers of every kind of tensor."""
    model = nn.Module()
    model.register_buffer("complex", torch.randn(3, dtype=torch.complex64).conj())
    model.register_buffer("sparse", torch.eye(3).to_sparse())
    model.register_buffer("quantized", torch.quantize_per_tensor(torch.randn(3), 0.1, 1, torch.quint8))
    model.register_buffer("flag", torch.tensor(True))
    model.register_buffer("none", torch.zeros(0, 3))
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "block": Block,
    "net": Net,
    "hooks": with_hooks,
    "weight_norm": weight_normed,
    "parametrizations": parametrizations,
    "pruned": pruned,
    "dynamic": dynamic,
    "dynamic_half": dynamic_half,
    "static": static,
    "observers": observers,
    "transformer": transformer,
    "parallel": parallel,
    "averaged": averaged,
    "compiled": compiled,
    "fx": traced_graph,
    "recurrent": recurrent,
    "alike": alike,
    "buffered": buffered,
}
if DISTRIBUTED:
    MODELS["distributed"] = distributed
