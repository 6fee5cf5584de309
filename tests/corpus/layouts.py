"""Tensors of the corpus that are more than bytes and strides: quantized, sparse, nested."""

from __future__ import annotations

from typing import Any

import torch

from .entry import Table

LAYOUTS = Table()

_QUANTIZED = {"quint8": torch.quint8, "qint8": torch.qint8, "qint32": torch.qint32}
_PACKED = {"quint4x2": torch.quint4x2, "quint2x4": torch.quint2x4}


def _floats(*shape: int) -> torch.Tensor:
    return torch.linspace(-1.0, 1.0, int(torch.Size(shape).numel())).view(shape)


def _scales(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor([0.1, 0.2, 0.3], dtype=dtype)


for _name, _dtype in _QUANTIZED.items():
    LAYOUTS.add(
        f"quantized_tensor_{_name}",
        lambda dtype=_dtype: torch.quantize_per_tensor(_floats(3, 4), 0.05, 7, dtype),
        *("tensor", "quantized"),
    )
    LAYOUTS.add(
        f"quantized_channel_{_name}",
        lambda dtype=_dtype: torch.quantize_per_channel(_floats(3, 4), _scales(), torch.tensor([0, 1, 2]), 0, dtype),
        *("tensor", "quantized"),
    )
for _name, _dtype in {"quint8": torch.quint8, **_PACKED}.items():
    LAYOUTS.add(
        f"quantized_float_qparams_{_name}",
        lambda dtype=_dtype: torch.quantize_per_channel(
            _floats(3, 4), _scales(torch.float32), torch.tensor([0.0, 1.5, 2.0]), 0, dtype
        ),
        *("tensor", "quantized", *(["packed"] if _name in _PACKED else [])),
    )


def _packed(dtype: torch.dtype) -> torch.Tensor:
    """``quantize_per_tensor`` reads such values as garbage, so the bytes are set by hand."""
    tensor = torch._empty_affine_quantized([4, 4], scale=0.5, zero_point=3, dtype=dtype)
    storage = tensor.untyped_storage()
    for i in range(storage.nbytes()):
        storage[i] = 37 * i % 256
    return tensor


for _name, _dtype in _PACKED.items():
    LAYOUTS.add(f"quantized_tensor_{_name}", lambda dtype=_dtype: _packed(dtype), "tensor", "quantized", "packed")
LAYOUTS.add(
    "quantized_transposed",
    lambda: torch.quantize_per_tensor(_floats(3, 4), 0.1, 0, torch.qint8).t(),
    *("tensor", "quantized", "stride"),
)


def _matrix() -> torch.Tensor:
    matrix = torch.zeros(4, 6)
    matrix[0, 1], matrix[1, 4], matrix[3, 0] = 1.0, float("nan"), float("-inf")
    return matrix


def _coo(coalesced: bool) -> torch.Tensor:
    """Built in order rather than by ``coalesce()``, which leaves uninitialised memory behind the values."""
    indices = torch.tensor([[0, 0, 2], [1, 3, 0]] if coalesced else [[0, 2, 0], [1, 0, 1]])
    values = torch.tensor([1.0, 2.0, 3.0])
    return torch.sparse_coo_tensor(indices, values, (3, 4), check_invariants=True, is_coalesced=coalesced)


_SPARSE: dict[str, Any] = {
    "sparse_coo": lambda: _coo(True),
    "sparse_coo_uncoalesced": lambda: _coo(False),
    "sparse_coo_empty": lambda: torch.sparse_coo_tensor((2, 3)),
    "sparse_coo_hybrid": lambda: torch.sparse_coo_tensor(
        torch.tensor([[0, 2]]), torch.arange(6.0).view(2, 3), (4, 3), check_invariants=True
    ),
    "sparse_csr": lambda: _matrix().to_sparse_csr(),
    "sparse_csr_int32": lambda: torch.sparse_csr_tensor(
        torch.tensor([0, 1, 2], dtype=torch.int32),
        torch.tensor([1, 0], dtype=torch.int32),
        torch.tensor([1, 2]),
        (2, 2),
        check_invariants=True,
    ),
    "sparse_csr_batched": lambda: torch.stack([torch.eye(3), torch.eye(3)]).to_sparse_csr(),
    "sparse_csr_hybrid": lambda: torch.ones(3, 4, 2).to_sparse_csr(dense_dim=1),
    "sparse_csc": lambda: _matrix().to_sparse_csc(),
    "sparse_bsr": lambda: _matrix().to_sparse_bsr((2, 2)),
    "sparse_bsc": lambda: _matrix().to_sparse_bsc((2, 3)),
}
for _name, _make in _SPARSE.items():
    LAYOUTS.add(_name, _make, "tensor", "sparse")


def _rows() -> list[torch.Tensor]:
    return [torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)]


# torch's legacy loader rebuilds nested tensors before the sizes have been read, and fails.
LAYOUTS.add("nested_strided", lambda: torch.nested.nested_tensor(_rows()), "tensor", "nested", "no-legacy")
LAYOUTS.add("nested_jagged", lambda: torch.nested.nested_tensor(_rows(), layout=torch.jagged), "tensor", "nested")
LAYOUTS.add(
    "nested_jagged_view",
    lambda: torch.nested.nested_tensor_from_jagged(torch.arange(18.0).view(6, 3), torch.tensor([0, 2, 6])),
    *("tensor", "nested"),
)
LAYOUTS.add(
    "nested_jagged_lengths",
    lambda: torch.nested.nested_tensor_from_jagged(
        torch.arange(18.0).view(6, 3), torch.tensor([0, 3, 6]), lengths=torch.tensor([2, 1])
    ),
    *("tensor", "nested"),
)
