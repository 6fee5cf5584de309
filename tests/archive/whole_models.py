"""Whole models of torch's own layers, each with an input, for the tests of loading them. Nothing here is a class."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody names it
from torch.nn.utils import prune

Made = tuple[Callable[[], Any], tuple[int, ...]]


def residual() -> nn.Module:
    """The layers of a small ResNet's stem and head."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.GroupNorm(2, 8), nn.SiLU(), nn.Dropout2d(0.1)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def encoder(**options: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=not options)


def weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 3)), nn.utils.weight_norm(nn.Linear(3, 2), dim=None))


def pruned() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    parts: Any = net
    prune.l1_unstructured(parts[0], "weight", 0.3)
    prune.ln_structured(parts[1], "weight", 0.5, n=2, dim=0)
    prune.ln_structured(parts[2], "weight", 0.5, n=float("-inf"), dim=1)
    prune.random_unstructured(parts[3], "weight", 1)
    prune.random_unstructured(parts[3], "weight", 1)  # twice: a container of methods
    prune.custom_from_mask(parts[4], "weight", torch.eye(2))
    prune.identity(parts[4], "bias")
    return net


def shared() -> nn.Module:
    one = nn.Linear(4, 4)
    net = nn.Sequential(one, nn.Tanh(), one, nn.Linear(4, 4))
    tied: Any = net[3]
    tied.weight = one.weight
    return net


def with_attributes() -> Any:
    net: Any = nn.Sequential(nn.Linear(4, 2))
    net.classes, net.epoch, net.mean, net.kinds = (
        ["cat", "dog"],
        3,
        torch.ones(3),
        {"act": F.gelu, "norm": nn.LayerNorm},
    )
    net.register_buffer("kept", torch.ones(1))
    net.register_buffer("left", torch.zeros(1), persistent=False)
    net[0].weight.requires_grad_(False)
    return net.eval()


def of_parameters() -> Any:
    return nn.ModuleDict({
        "list": nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1))]),
        "named": nn.ParameterDict({"a": nn.Parameter(torch.ones(2)), "b": None}),
        "layers": nn.ModuleList([nn.Linear(1, 1), nn.Identity()]),
    })  # fmt: skip


#: By name: how it is made, and the shape of an input (none: it is not called).
MODELS: dict[str, Made] = {
    "linear": (lambda: nn.Linear(4, 2), (3, 4)),
    "sequential": (residual, (2, 3, 8, 8)),
    "half": (lambda: nn.Linear(4, 2).to(torch.bfloat16), ()),
    "lstm": (lambda: nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True), (2, 5, 4)),
    "lstm with projections": (lambda: nn.LSTM(4, 3, proj_size=2), ()),
    "gru": (lambda: nn.GRU(4, 3, bias=False), (2, 5, 4)),
    "rnn": (lambda: nn.RNN(4, 3, nonlinearity="relu"), (2, 5, 4)),
    "encoder": (encoder, (2, 3, 8)),
    "encoder with gelu": (partial(encoder, activation="gelu", norm_first=True), (2, 3, 8)),
    "encoder with another function": (partial(encoder, activation=F.silu), (2, 3, 8)),
    "encoder with a function of torch": (partial(encoder, activation=torch.relu), (2, 3, 8)),
    "encoder with a layer": (partial(encoder, activation=nn.Mish()), (2, 3, 8)),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), ()),
    "attention": (lambda: nn.MultiheadAttention(8, 2, kdim=4, vdim=4), ()),
    "attention with more": (lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True), ()),
    "embedding": (lambda: nn.Sequential(nn.Embedding(10, 3, padding_idx=0), nn.EmbeddingBag(4, 2)), ()),
    "loss": (lambda: nn.ModuleList([
        nn.CrossEntropyLoss(weight=torch.ones(3)), nn.TripletMarginWithDistanceLoss(),
        nn.TripletMarginWithDistanceLoss(distance_function=F.pairwise_distance),
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0),
    ]), ()),
    "upsampling": (lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.ConvTranspose2d(3, 2, 2), nn.PixelShuffle(1)),
                   (1, 3, 4, 4)),
    "padding": (lambda: nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.ZeroPad2d(1)),
                (1, 1, 4, 4)),
    "unflatten": (lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(1)), (1, 4)),
    "weight norm": (weight_norm, (3, 4)),
    "spectral norm": (lambda: nn.utils.spectral_norm(nn.Linear(4, 2)).eval(), (3, 4)),
    "pruned": (pruned, (3, 4)),
    "shared": (shared, (3, 4)),
    "with attributes": (with_attributes, (3, 4)),
    "of parameters": (of_parameters, ()),
    "data parallel": (lambda: nn.DataParallel(nn.Linear(4, 2)), ()),
    "synchronised": (lambda: nn.SyncBatchNorm(4).eval(), ()),
    "checkpoint": (lambda: {"model": nn.Linear(2, 2), "epoch": 3, "act": F.relu, "layer": nn.Conv2d}, ()),
    "functions": (lambda: [F.relu, F.gelu, F.silu, F.softmax, torch.relu, torch.tanh, nn.Linear], ()),
}  # fmt: skip
