"""What some of torch's classes put into a state dict besides their parameters and buffers.

These are the classes of torch that override ``_save_to_state_dict``: the quantized ones, whose packed weights are
objects of C++ that a pickle keeps as tuples. A module in; names and values out, in torch's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dotpt.rescue.made import tensor_of_number
from dotpt.rescue.modules import ModuleView, script_object

Entries = Iterator[tuple[str, Any]]


def own_entries(view: ModuleView) -> Entries:
    """Names and values that the class itself adds."""
    write = _writer_of(view.class_name)
    return iter(()) if write is None else write(view)


def adds_what_is_unknown(view: ModuleView) -> bool:
    """Whether it is a class of torch that adds something which is not read here."""
    return view.class_name.startswith("torch.ao.nn.sparse.quantized.")


def _writer_of(name: str) -> Callable[[ModuleView], Entries] | None:
    if not name.startswith("torch.ao.nn.") or name.startswith("torch.ao.nn.sparse."):
        return None
    module, _, cls = name.rpartition(".")
    if ".quantized.reference." in module:
        return _reference
    if ".quantized." not in module:
        return None
    if ".rnn" in module:
        return {"PackedParameter": _packed_parameter}.get(cls, _cell if cls.endswith("Cell") else None)
    if module.rpartition(".")[2] in _CONVOLUTIONS:
        return _convolution
    return _WRITERS.get(cls)


def _scale(view: ModuleView) -> Entries:
    for name in ("scale", "zero_point"):
        value = view.get(name, 1.0 if name == "scale" else 0)
        yield name, tensor_of_number(value) if type(value) in (float, int, bool) else value


def _packed_linear(view: ModuleView) -> Entries:
    yield "dtype", view.get("dtype")
    packed = script_object(view.get("_packed_params"))
    if packed is None:
        packed = view.get("weight"), view.get("bias")  # as torch 1.4 and 1.5 pickled it
    yield "_packed_params", packed


def _packed_embedding(view: ModuleView) -> Entries:
    yield "dtype", view.get("dtype")
    packed = script_object(view.get("_packed_weight"))  # version, tensors, doubles, integers
    tensors = packed[1] if type(packed) is tuple and len(packed) > 1 else None
    weight = tensors[0] if type(tensors) is list and tensors else view.get("_packed_weight")
    yield "_packed_weight", weight


def _convolution(view: ModuleView) -> Entries:
    yield "weight", view.get("weight")
    yield "bias", view.get("bias")
    yield from _scale(view)


def _packed_parameter(view: ModuleView) -> Entries:
    yield "param", view.get("param")


def _cell(view: ModuleView) -> Entries:
    for name in ("_packed_weight_ih", "_packed_weight_hh"):
        yield name, view.get(name)


def _reference(view: ModuleView) -> Entries:
    """`torch.ao.nn.quantized.reference`: float weights, and how they are to be quantized."""
    scheme = view.get("weight_qscheme")
    if scheme is None:
        return
    yield "weight_qscheme", scheme
    yield "weight_dtype", view.get("weight_dtype")
    yield "weight_scale", view.get("weight_scale")
    yield "weight_zero_point", view.get("weight_zero_point")
    if str(scheme).endswith("per_channel_affine"):
        yield "weight_axis", view.get("weight_axis")


_CONVOLUTIONS = frozenset(("conv", "conv_relu", "conv_add"))
_WRITERS: dict[str, Callable[[ModuleView], Entries]] = {
    "Linear": _scale,
    "LinearReLU": _scale,
    "LinearLeakyReLU": _scale,
    "LinearTanh": _scale,
    "LinearPackedParams": _packed_linear,
    "EmbeddingPackedParams": _packed_embedding,
    "QFunctional": _scale,
}
