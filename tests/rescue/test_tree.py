"""Module trees: what ``print(model)`` shows, for every layer of torch; tables against the torch that is installed."""

from __future__ import annotations

import importlib
import io
import pkgutil
import warnings
from inspect import isabstract
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

import dotpt  # noqa: E402
from dotpt.pickling.values import InertGlobal, InertObject  # noqa: E402
from dotpt.rescue.modules import view_of  # noqa: E402
from dotpt.rescue.quantized_words import name_of  # noqa: E402
from dotpt.rescue.tree import tree_of  # noqa: E402
from dotpt.rescue.versions import version_of  # noqa: E402

newest = pytest.mark.skipif(torch.__version__ < "2.13", reason="the wording is that of torch 2.13")

#: A layer of every class that torch prints in its own words, in several settings.
LAYERS: list[Any] = [
    nn.Threshold(0.1, 20), nn.Threshold(0.1, 20, inplace=True), nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(True),
    nn.SELU(), nn.SiLU(True), nn.Mish(), nn.RReLU(0.1, 0.3, True), nn.Hardtanh(-2, 2), nn.ELU(0.5, True), nn.CELU(),
    nn.GLU(1), nn.Softmax(), nn.Softmax(dim=1), nn.LogSoftmax(-1), nn.Softmin(0), nn.GELU(), nn.GELU("tanh"),
    nn.Hardshrink(), nn.Softshrink(0.2), nn.LeakyReLU(), nn.LeakyReLU(0.2, True), nn.PReLU(3), nn.Softplus(2, 10),
    nn.Tanh(), nn.Sigmoid(), nn.Hardswish(), nn.Hardsigmoid(), nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink(),
    nn.Softmax2d(), nn.BatchNorm1d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm3d(3, momentum=None),
    nn.SyncBatchNorm(4, track_running_stats=False), nn.InstanceNorm1d(3), nn.InstanceNorm2d(3, affine=True),
    nn.ChannelShuffle(2), nn.Dropout(), nn.Dropout2d(0.1, True), nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(),
    nn.Flatten(), nn.Flatten(0, 2), nn.Unflatten(1, (2, 3)), nn.Unflatten(1, torch.Size([2, 3])),
    nn.Unflatten(-1, [2, 3]), nn.Fold((4, 5), 2), nn.Unfold((2, 3), padding=1), nn.Bilinear(2, 3, 4),
    nn.Linear(2, 3), nn.Linear(2, 3, bias=False), nn.Identity(), nn.LocalResponseNorm(2), nn.CrossMapLRN2d(3),
    nn.GroupNorm(2, 4), nn.GroupNorm(2, 4, affine=False), nn.LayerNorm(3), nn.LayerNorm((3, 4), bias=False),
    nn.RMSNorm(4), nn.RMSNorm((3, 4), eps=1e-3, elementwise_affine=False), nn.ZeroPad2d(2), nn.CircularPad1d((1, 2)),
    nn.ReflectionPad2d(1), nn.ReplicationPad3d(1), nn.ConstantPad2d(1, 3.5), nn.ZeroPad1d(1), nn.ZeroPad3d(1),
    nn.PixelShuffle(2),
    nn.PixelUnshuffle(2), nn.AdaptiveAvgPool1d(3), nn.AdaptiveAvgPool2d((None, 2)), nn.AdaptiveMaxPool3d(2),
    nn.AvgPool1d(2), nn.AvgPool2d((2, 3), 1), nn.AvgPool3d(2), nn.MaxPool1d(2), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.MaxPool3d(2), nn.MaxUnpool2d(2), nn.LPPool1d(2, 3), nn.LPPool2d(1.5, 3), nn.FractionalMaxPool2d(2, 3),
    nn.LSTM(2, 3), nn.LSTM(2, 3, 2, bias=False, batch_first=True, dropout=0.1, bidirectional=True, proj_size=1),
    nn.GRU(2, 3), nn.RNN(2, 3, nonlinearity="relu"), nn.RNNCell(2, 3), nn.RNNCell(2, 3, False, "relu"),
    nn.LSTMCell(2, 3), nn.GRUCell(2, 3, bias=False), nn.Embedding(4, 3),
    nn.Embedding(4, 3, 0, 1.5, 1, True, sparse=True),
    nn.EmbeddingBag(4, 3), nn.EmbeddingBag(4, 3, max_norm=2.0, mode="sum", padding_idx=1), nn.Upsample(2),
    nn.Upsample(scale_factor=(2.0, 3.0), mode="bilinear"), nn.UpsamplingNearest2d(scale_factor=2),
    nn.UpsamplingBilinear2d((3, 4)), nn.Conv1d(2, 4, 3), nn.Conv2d(2, 4, 3, 2, 1, 2, 2, False, "reflect"),
    nn.Conv3d(2, 4, (1, 2, 3), padding="same"), nn.ConvTranspose1d(2, 4, 3), nn.Conv2d(1, 1, 1, padding="valid"),
    nn.ConvTranspose2d(2, 4, 3, 2, 1, 1), nn.ConvTranspose3d(2, 2, 1, groups=2), nn.MultiheadAttention(4, 2),
    nn.MultiheadAttention(4, 2, add_bias_kv=True, kdim=3), nn.TransformerEncoderLayer(4, 2, 8), nn.CosineSimilarity(),
    nn.PairwiseDistance(), nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss(), nn.CTCLoss(), nn.TripletMarginLoss(),
    nn.AdaptiveLogSoftmaxWithLoss(32, 6, [2, 4]), nn.Sequential(), nn.ModuleList(), nn.ModuleDict(),
    nn.ModuleList([nn.ReLU()]), nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1)]),
    nn.ParameterList(), nn.ParameterList([nn.Parameter(torch.zeros(2, 3))]), nn.ParameterDict(),
    nn.ParameterDict({"a": nn.Parameter(torch.zeros(3).half()), "b": torch.zeros(2).double()}),
    nn.ParameterList([nn.Parameter(torch.zeros(2, 3)), torch.zeros(1).double()]),
    nn.Sequential(nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(3)]), nn.Identity()),
]  # fmt: skip
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns of lazy modules
    LAYERS += [nn.LazyLinear(3), nn.LazyConv2d(3, 1), nn.LazyBatchNorm1d()]


def saved(model: Any) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(model, out)
    return out.getvalue()


def tree(model: Any) -> Any:
    with dotpt.open(saved(model)) as archive:
        return tree_of(archive.tree)


@newest
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: repr(layer).replace("\n", "")[:60])
def test_a_layer_is_printed_as_torch_prints_it(layer: Any) -> None:
    assert str(tree(layer)) == str(layer)


def test_a_child_that_is_none_is_shown() -> None:
    model = nn.Module()
    model.register_module("absent", None)
    assert str(tree(model)) == str(model) == "Module(\n  (absent): None\n)"


def test_hyper_parameters_and_children() -> None:
    found = tree(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ModuleList([nn.Dropout(0.25)])))
    convolution = found.children["0"].values
    assert convolution["in_channels"] == 1
    assert convolution["kernel_size"] == (3, 3)
    assert "training" not in convolution
    assert [(name, node.name) for name, node in found.walk()] == [
        ("", "Sequential"), ("0", "Conv2d"), ("1", "ModuleList"), ("1.0", "Dropout"),
    ]  # fmt: skip
    (entry,) = [entry for entry in found.to_dict()["modules"] if entry["name"] == "1.0"]
    assert entry["class"] == "torch.nn.modules.dropout.Dropout"
    assert entry["words"] == "p=0.25, inplace=False"
    assert entry["values"] == {"p": 0.25, "inplace": False}


def subclasses() -> list[type]:
    """Every class of module that torch has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for root in ("torch.nn.modules", "torch.ao.nn", "torch.nn.utils"):
            package = importlib.import_module(root)
            for found in pkgutil.walk_packages(package.__path__, f"{root}."):
                importlib.import_module(found.name)
    met: dict[type, None] = {}
    level: list[type] = [nn.Module]
    while level:
        cls = level.pop()
        for below in cls.__subclasses__():
            if below not in met:
                met[below] = None
                level.append(below)
    return [cls for cls in met if cls.__module__.startswith(("torch.nn.", "torch.ao.nn."))]


def pickled(cls: type) -> Any:
    return view_of(InertObject(InertGlobal(cls.__module__, cls.__qualname__), "new"))


def test_versions_are_those_of_the_installed_torch() -> None:
    wrong = {
        f"{cls.__module__}.{cls.__qualname__}": (version_of(pickled(cls)), cls._version)
        for cls in subclasses()
        if version_of(pickled(cls)) != cls._version
    }
    assert wrong == {}


@newest
def test_names_of_quantized_layers_are_those_of_the_installed_torch() -> None:
    wrong = {}
    for cls in subclasses():
        base = cls.__name__.startswith("_") or cls.__name__.endswith(("Base", "Module"))
        if not cls.__module__.startswith("torch.ao.nn.") or base or isabstract(cls):
            continue
        wanted = cls.__new__(cls)._get_name()
        if name_of(pickled(cls)) != wanted:
            wrong[f"{cls.__module__}.{cls.__qualname__}"] = name_of(pickled(cls)), wanted
    assert wrong == {}


@newest
def test_every_layer_that_has_words_is_in_the_table() -> None:
    """A class of torch.nn whose ``extra_repr`` is its own is printed by one of ours: `LAYERS` has one of each."""
    printed = {type(layer) for layer in LAYERS} | {nn.LinearCrossEntropyLoss}
    bases = {base for cls in printed for base in cls.__mro__ if "extra_repr" in vars(base)}
    missing = [
        cls.__name__
        for cls in subclasses()
        if cls.__module__.startswith("torch.nn.modules.") and "extra_repr" in vars(cls) and cls not in bases
    ]
    assert missing == []
