"""What torch prints of its quantized layers: their names (``_get_name``) and what stands between the brackets.

Of observers and fake quantization torch prints values of tensors. A file's tensors are not read to print its modules,
so that these have their children only.
"""

from __future__ import annotations

from typing import Any

from dotpt.rescue.layer_words import convolution, layer_words, pieces, shown
from dotpt.rescue.modules import ModuleView, script_object, view_of
from dotpt.tensors.refs import TensorRef

_AO = "torch.ao.nn."
# Beginnings of module names, and what torch's name for the class is made of. The first that fits holds.
_NAMES = (
    (f"{_AO}intrinsic.quantized.dynamic.", "DynamicQuantized{}"),
    (f"{_AO}intrinsic.quantized.", "Quantized{}"),
    (f"{_AO}quantized.dynamic.", "DynamicQuantized{}"),
    (f"{_AO}quantized.reference.", "Quantized{}(Reference)"),
    (f"{_AO}quantized.", "Quantized{}"),
    (f"{_AO}quantizable.", "Quantizable{}"),
    (f"{_AO}sparse.quantized.dynamic.", "SparseQuantizedDynamic{}"),
    (f"{_AO}sparse.quantized.", "SparseQuantized{}"),
)
_THEIR_OWN = frozenset((
    "QFunctional", "FloatFunctional", "FXFloatFunctional", "Quantize", "DeQuantize", "Sigmoid", "LinearPackedParams",
    "EmbeddingPackedParams", "PackedParameter", "RNNCellBase", "WeightedQuantizedModule", "_LSTMLayer",
    "_LSTMSingleLayer",
))  # fmt: skip
# Where torch says something else than the pattern.
_ODD = {
    f"{_AO}quantized.reference.modules.sparse.EmbeddingBag": "QuantizedEmbedding(Reference)",
    f"{_AO}sparse.quantized.linear.LinearPackedParams": "SparseQuantizedLinearPackedParams",
}
_PACKED = frozenset(("LinearPackedParams", "EmbeddingPackedParams"))
_RECURRENT = "=input_size =hidden_size num_layers:1 bias:True batch_first:False dropout:0 bidirectional:False"


def name_of(view: ModuleView) -> str:
    """The name that torch prints for a class."""
    if view.class_name in _ODD:
        return _ODD[view.class_name]
    for start, form in _NAMES:
        if view.class_name.startswith(start):
            return view.name if view.name in _THEIR_OWN else form.format(view.name)
    return view.name


def is_hidden(view: ModuleView, child: ModuleView) -> bool:
    """Whether torch leaves a submodule out when it prints a quantized layer."""
    if not view.class_name.startswith(_AO):
        return False
    if ".quantized.dynamic.modules.rnn." in view.class_name:
        return child.name in ("PackedParameter", "ModuleList")
    return child.name in _PACKED and child.class_name.startswith(_AO)


def quantized_words(view: ModuleView) -> str:
    """What stands between the brackets of a class of `torch.ao.nn`."""
    name, cls = view.class_name, view.name
    if name.startswith((f"{_AO}qat.", f"{_AO}intrinsic.qat.")):
        base = cls.replace("Bn", "").replace("ReLU", "") if "qat" in name else cls
        return layer_words(base, view)
    if ".quantized." not in name or ".sparse." in name:
        return ""
    if ".reference." in name:
        return layer_words(cls, view)
    if ".dynamic.modules.rnn." in name:
        return layer_words(cls, view) if "Cell" in cls else pieces(_RECURRENT, view)
    if cls.startswith("Conv"):
        return convolution(view, "=in_channels =out_channels kernel_size stride scale zero_point")
    if cls.startswith("Linear"):
        return _linear(view, dynamic=".dynamic." in name)
    if cls.startswith("Embedding"):
        return f"{pieces('num_embeddings embedding_dim', view)}, {_packed_type(view)}, {_scheme(view)}"
    if cls in ("QFunctional", "Quantize"):
        return pieces("dtype" if cls == "Quantize" else "scale zero_point", view)
    return layer_words(cls, view)


def _linear(view: ModuleView, *, dynamic: bool) -> str:
    if not dynamic:
        return f"{pieces('in_features out_features scale zero_point', view)}, {_scheme(view)}"
    packed = _packed_type(view)
    scheme = f", {_scheme(view)}" if packed == "dtype=torch.qint8" else ""
    return f"{pieces('in_features out_features', view)}, {packed}{scheme}"


def _packed_type(view: ModuleView) -> str:
    packed = view.modules.get("_packed_params")
    return f"dtype={shown(view_of(packed).get('dtype') if packed is not None else None)}"


def _scheme(view: ModuleView) -> str:
    """How the weight is quantized, from the packed tensor."""
    packed = view.modules.get("_packed_params")
    inner = view_of(packed) if packed is not None else view
    for name in ("_packed_params", "_packed_weight", "weight"):
        weight = _first_tensor(inner.get(name))
        if weight is not None:
            return f"qscheme=torch.{_scheme_of(weight.extra or {})}"
    return "qscheme=None"


def _scheme_of(extra: dict[str, Any]) -> str:
    """The name of a tensor's scheme. torch writes the one with zero points between the numbers as the one without."""
    zero_points = extra.get("zero_points")
    floats = type(zero_points) is TensorRef and zero_points.dtype.is_floating
    name = shown(extra.get("scheme"))
    return f"{name}_float_qparams" if floats and name == "per_channel_affine" else name


def _first_tensor(value: Any) -> TensorRef | None:
    """The first tensor of packed weights."""
    inner = script_object(value)
    level = [value if inner is None else inner]
    for _ in range(64):
        if not level:
            return None
        value = level.pop(0)
        if type(value) is TensorRef:
            return value
        if type(value) in (tuple, list):
            level = [*value[:16], *level]
    return None
