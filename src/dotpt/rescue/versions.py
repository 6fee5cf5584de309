"""The versions that torch notes beside a state dict (``state_dict._metadata``), by class.

They are attributes of the classes, so no file of a whole module has them. The table is that of torch 2.13; a test
compares it to the torch that is installed. The version of a class is 1 unless it says otherwise.
"""

from __future__ import annotations

from dotpt.rescue.modules import ModuleView

_QUANTIZED, _DYNAMIC = "torch.ao.nn.quantized.modules.", "torch.ao.nn.quantized.dynamic.modules."
_INTRINSIC = "torch.ao.nn.intrinsic."
_VERSIONS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    # module of the class, beginnings of its name, version
    ("torch.nn.modules.batchnorm.", ("",), 2),
    ("torch.nn.modules.instancenorm.", ("",), 2),
    (f"{_QUANTIZED}batchnorm.", ("",), 2),
    (f"{_QUANTIZED}normalization.", ("InstanceNorm",), 2),
    (f"{_QUANTIZED}linear.", ("Linear",), 3),
    (f"{_DYNAMIC}linear.", ("",), 4),
    (f"{_DYNAMIC}rnn.", ("LSTM", "GRU", "RNNBase"), 2),
    (f"{_INTRINSIC}quantized.dynamic.modules.linear_relu.", ("",), 4),
    (f"{_INTRINSIC}quantized.modules.linear_relu.", ("",), 3),
    (f"{_INTRINSIC}quantized.modules.bn_relu.", ("",), 2),
    (f"{_INTRINSIC}qat.modules.conv_fused.", ("ConvBn", "_ConvBn"), 2),
    ("torch.ao.quantization.observer.", (
        "HistogramObserver", "MinMaxObserver", "MovingAverage", "PerChannelMinMax", "UniformQuantization"
    ), 3),
)  # fmt: skip
# Classes of the same names that have no state of their own kind.
_FIRST = frozenset((
    f"{_DYNAMIC}rnn.LSTMCell", f"{_DYNAMIC}rnn.GRUCell",
))  # fmt: skip
# What every batch or instance norm has, also one whose class is code outside the file.
_NORM = frozenset(("num_features", "eps", "momentum", "affine", "track_running_stats"))


def version_of(view: ModuleView) -> int:
    """The version that ``state_dict()`` notes for a module.

    A class outside torch that has all attributes of torch's norms is taken for one of them. A norm without
    ``num_batches_tracked`` is of before torch 0.4.1, and of version 1: torch adds the buffer then.
    """
    version = _by_name(view.class_name)
    if version == 1 and not view.class_name.startswith("torch.") and view.attributes.keys() >= _NORM:
        version = 2
    counted = "num_batches_tracked" in view.buffers
    if version == 2 and view.get("track_running_stats") is True and not counted:
        return 1
    return version


def _by_name(name: str) -> int:
    if name in _FIRST:
        return 1
    module, _, cls = name.rpartition(".")
    for place, beginnings, version in _VERSIONS:
        if place == f"{module}." and cls.startswith(beginnings):
            return version
    return 1
