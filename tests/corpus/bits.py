"""The bytes of a tensor, whatever its dtype and layout, and the plain tensors that a composite one is made of."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.nested._internal.nested_tensor import NestedTensor

# For moving elements as they are: torch cannot copy every dtype, but it can copy these.
_CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}
_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor without its subclass and its graph."""
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.detach().as_subclass(torch.Tensor)


def logical_bytes(tensor: torch.Tensor) -> bytes:
    """Return the elements of a strided tensor in row-major order, little-endian, conjugation and negation done."""
    tensor = plain(tensor)
    if tensor.is_quantized:
        return _quantized_bytes(tensor)
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    carried = tensor.view(_CARRIERS[tensor.dtype.itemsize]).contiguous()
    array = carried.view(-1).numpy()
    if sys.byteorder == "big":
        array = array.byteswap()
    return array.tobytes()


def _quantized_bytes(tensor: torch.Tensor) -> bytes:
    if tensor.dtype in (torch.quint4x2, torch.quint2x4):
        return storage_bytes(tensor.untyped_storage())  # packed: several elements a byte, no strides
    return logical_bytes(tensor.int_repr())


def storage_bytes(storage: Any) -> bytes:
    """Return all bytes of a storage on the CPU."""
    if isinstance(storage, torch.TypedStorage):
        storage = storage._untyped_storage
    return torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tobytes()


def parts(tensor: torch.Tensor) -> dict[str, Any]:
    """Return what makes up a tensor that is not plain strided: tensors and numbers by name, empty for a plain one."""
    if isinstance(tensor, NestedTensor):
        return {
            "values": tensor._values,
            "offsets": tensor._offsets,
            "lengths": tensor._lengths,
            "ragged_idx": tensor._ragged_idx,
            "cache": dict(tensor._metadata_cache),
        }
    if tensor.is_nested:
        return {
            "values": torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage()),
            "sizes": tensor._nested_tensor_size(),
            "strides": tensor._nested_tensor_strides(),
            "offsets": tensor._nested_tensor_storage_offsets(),
        }
    if tensor.layout is torch.sparse_coo:
        found = {"indices": tensor._indices(), "values": tensor._values(), "is_coalesced": tensor.is_coalesced()}
        return found
    if tensor.layout in _COMPRESSED:
        return {name: getattr(tensor, name)() for name in _COMPRESSED[tensor.layout]}
    if tensor.is_quantized:
        return _qparams(tensor)
    return {}


def _qparams(tensor: torch.Tensor) -> dict[str, Any]:
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return {"qscheme": str(tensor.qscheme()), "scale": tensor.q_scale(), "zero_point": tensor.q_zero_point()}
    return {
        "qscheme": str(tensor.qscheme()),
        "scales": tensor.q_per_channel_scales(),
        "zero_points": tensor.q_per_channel_zero_points(),
        "axis": tensor.q_per_channel_axis(),
    }
