"""Tensors of the corpus: every dtype, shape, stride and layout that torch can save."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .classes import PairTensor, TaggedTensor
from .entry import Table

TENSORS = Table()

#: Dtypes that plain tensors can have and torch 2.13 can save; int1-7 and uint1-7 cannot be saved.
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.uint16, torch.uint32, torch.uint64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.complex32, torch.complex64, torch.complex128),
        *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
        torch.float4_e2m1fn_x2,
        *(torch.bits8, torch.bits16, torch.bits1x8, torch.bits2x4, torch.bits4x2),
    )
}

#: Dtypes that travel as ``_rebuild_tensor_v3`` over an untyped storage: torch cannot read them back from legacy files.
V3_DTYPES = {
    name
    for name in DTYPES
    if name.startswith(("float8", "float4", "bits")) or name in ("uint16", "uint32", "uint64", "complex32")
}

_SPECIAL = [0.0, -0.0, 1.5, -2.25, math.nan, math.inf, -math.inf, 3.0e-5]
_SIGNED = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}


def sample(dtype: torch.dtype) -> torch.Tensor:
    """A few values of `dtype`, extremes included: NaN and infinities, least and greatest integers, all byte values."""
    if dtype is torch.bool:
        return torch.tensor([True, False, True, True, False])
    if dtype in (torch.complex32, torch.complex64, torch.complex128):
        parts = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}
        return torch.tensor(_SPECIAL, dtype=parts[dtype]).view(dtype)
    if dtype.is_floating_point and dtype.itemsize > 1:
        return torch.tensor([*_SPECIAL, torch.finfo(dtype).max, torch.finfo(dtype).tiny], dtype=dtype)
    if dtype.itemsize == 1:
        return torch.arange(256, dtype=torch.uint8).view(dtype)
    signed = _SIGNED[8 * dtype.itemsize]
    info = torch.iinfo(signed)
    return torch.tensor([0, 1, -1, 0x0102, info.min, info.max], dtype=signed).view(dtype)


for _name, _dtype in DTYPES.items():
    _tags = ("tensor", "dtype", *(["no-legacy"] if _name in V3_DTYPES else []))
    TENSORS.add(f"dtype_{_name}", lambda dtype=_dtype: {"x": sample(dtype)}, *_tags)


def _grid(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.arange(math.prod(shape), dtype=dtype).view(shape)


_SHAPES = {
    "shape_0d": lambda: torch.tensor(2.5),
    "shape_0d_int": lambda: torch.tensor(-7),
    "shape_empty": lambda: torch.empty(0),
    "shape_zero_dim": lambda: torch.empty(3, 0, 2),
    "shape_1d": lambda: _grid(5),
    "shape_5d": lambda: _grid(2, 1, 3, 2, 2),
    "shape_8d": lambda: _grid(1, 2, 1, 2, 1, 2, 1, 2),
    "stride_transpose": lambda: _grid(3, 4).t(),
    "stride_step": lambda: _grid(4, 6)[::2, 1::2],
    "stride_expand": lambda: _grid(1, 3).expand(4, 3),
    "stride_expand_scalar": lambda: torch.tensor(1.0).expand(2, 5),
    "stride_permute": lambda: _grid(2, 3, 4).permute(2, 0, 1),
    "stride_narrow": lambda: _grid(10).narrow(0, 3, 4),
    "stride_row": lambda: _grid(6, 5)[2],
    "stride_element": lambda: _grid(6)[4],
    "stride_overlap": lambda: _grid(10).as_strided((4, 3), (2, 1)),
    "stride_channels_last": lambda: _grid(2, 3, 2, 2).to(memory_format=torch.channels_last),
    "stride_odd_size_one": lambda: _grid(12).as_strided((1, 3), (7, 4)),
    "stride_empty_past_end": lambda: _grid(6)[6:],
    "stride_int16_step": lambda: _grid(4, 4, dtype=torch.int16)[:, ::2],
    "stride_float8_step": lambda: torch.arange(16, dtype=torch.uint8).view(torch.float8_e5m2).view(4, 4)[1:, ::2],
}
for _name, _make in _SHAPES.items():
    _tags = ("tensor", "shape" if _name.startswith("shape") else "stride")
    TENSORS.add(_name, _make, *_tags, *(["no-legacy"] if "float8" in _name else []))


@TENSORS.entry("tensor", "sharing")
def shared_tied() -> Any:
    """One tensor under two keys: the same object after loading."""
    weight = _grid(3, 4)
    return {"embed.weight": weight, "head.weight": weight}


@TENSORS.entry("tensor", "sharing")
def shared_views() -> Any:
    """Several tensors over one storage, whole, part and transposed."""
    base = _grid(4, 6)
    return {"part": base[1:3], "whole": base, "transposed": base.t(), "last": base[-1, -1], "again": base.view(24)}


@TENSORS.entry("tensor", "sharing")
def shared_many() -> Any:
    """Twelve storages, so that numeric and lexicographic record orders differ, with a view into the eleventh."""
    tensors = [torch.full((2,), float(i)) for i in range(12)]
    return {"tensors": tensors, "view": tensors[10][1:]}


TENSORS.add("conj_view", lambda: torch.tensor([1 + 2j, 3 - 4j, complex(math.nan, 1)]).conj(), "tensor", "conj")
TENSORS.add("neg_view", lambda: torch.tensor([1 + 2j, 3 - 4j]).conj().imag, "tensor", "neg")
TENSORS.add("requires_grad", lambda: _grid(3).requires_grad_(), "tensor", "grad")
TENSORS.add("parameter", lambda: nn.Parameter(_grid(2, 2)), "tensor", "grad", "parameter")
TENSORS.add("parameter_frozen", lambda: nn.Parameter(_grid(2), requires_grad=False), "tensor", "parameter")
TENSORS.add("buffer", lambda: nn.Buffer(_grid(2)), "tensor", "state")
TENSORS.add("uninitialized_parameter", nn.UninitializedParameter, "tensor", "parameter")


@TENSORS.entry("tensor", "parameter", "grad", "state")
def parameter_with_attributes() -> Any:
    """A parameter with attributes: ``_rebuild_parameter_with_state``."""
    parameter = nn.Parameter(_grid(3))
    parameter.note, parameter.partition = "sharded", (0, 2)  # type: ignore[attr-defined]
    return parameter


@TENSORS.entry("tensor", "state")
def tensor_with_attributes() -> Any:
    """A plain tensor with attributes: ``_rebuild_from_type_v2``."""
    tensor = _grid(3)
    tensor.note = {"scale": 0.5}  # type: ignore[attr-defined]
    return tensor


@TENSORS.entry("tensor", "subclass", "state")
def tensor_subclass() -> Any:
    """A subclass with an attribute."""
    tensor = _grid(2, 3).as_subclass(TaggedTensor)
    tensor.tag = "boxes"  # type: ignore[attr-defined]
    return {"boxes": tensor}


TENSORS.add("wrapper_subclass", lambda: PairTensor(_grid(2, 3), _grid(2, 3) + 10), "tensor", "subclass", "state")
TENSORS.add("meta", lambda: {"w": torch.empty(2, 3, device="meta"), "b": torch.empty(3, device="meta")}, "meta")
TENSORS.add("meta_strided", lambda: torch.empty(2, 3, device="meta", dtype=torch.bfloat16).t(), "meta")

# Storages by themselves. torch writes an untyped storage in the legacy form but cannot read it back.
TENSORS.add("storage_untyped", lambda: _grid(3).untyped_storage(), "storage", "no-legacy")
TENSORS.add("storage_typed", lambda: torch.FloatStorage([1.0, 2.0, 3.0]), "storage")
TENSORS.add("storage_typed_dtype", lambda: torch.TypedStorage([1, 2, 3], dtype=torch.int64), "storage")


@TENSORS.entry("storage", "sharing")
def storage_and_tensor() -> Any:
    """A tensor and its own typed storage."""
    tensor = _grid(4)
    return {"tensor": tensor, "storage": tensor.storage()}


TENSORS.add(
    "singletons",
    lambda: {
        "size": torch.Size([2, 3]),
        "size_empty": torch.Size([]),
        "dtypes": list(DTYPES.values()),
        "devices": [torch.device("cpu"), torch.device("cuda", 1), torch.device("meta"), torch.device("mps")],
        "layouts": [torch.strided, torch.sparse_coo, torch.sparse_csr, torch.sparse_bsc, torch.jagged],
        "qschemes": [torch.per_tensor_affine, torch.per_channel_affine_float_qparams],
    },
    "torch-value",
)
