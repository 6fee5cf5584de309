"""Builders of what only TorchScript's own pickler (in C++) writes: typed lists, sparse tensors, storage classes.

Sources: torch/jit/_pickle.py (2.13), whose functions return their argument; torch/csrc/jit/serialization/pickler.cpp,
which names storage classes by the element type's C++ name and writes sparse tensors with arguments of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dotpt.pickling import build_torch
from dotpt.pickling.values import StorageClass, Symbol
from dotpt.pickling.vocabulary import Known, Vocabulary, bad
from dotpt.tensors.dtypes import DTYPES

Args = tuple[Any, ...]
_MODULE = "torch.jit._pickle"
_SPARSE = "torch._utils._rebuild_sparse_tensor"
# Element types that Python's torch.save writes by name, and C++ as a class "<NAME>Storage".
_STORAGES = {
    "UInt16": "uint16", "UInt32": "uint32", "UInt64": "uint64", "ComplexHalf": "complex32",
    "Float8_e5m2": "float8_e5m2", "Float8_e4m3fn": "float8_e4m3fn", "Float8_e5m2fnuz": "float8_e5m2fnuz",
    "Float8_e4m3fnuz": "float8_e4m3fnuz", "Float8_e8m0fnu": "float8_e8m0fnu", "Float4_e2m1fn_x2": "float4_e2m1fn_x2",
    "Bits8": "bits8", "Bits16": "bits16", "Bits1x8": "bits1x8", "Bits2x4": "bits2x4", "Bits4x2": "bits4x2",
}  # fmt: skip
_LAYOUTS = {1: "sparse_coo", 2: "sparse_csr"}  # c10::Layout


def entries() -> Iterator[tuple[str, str, Any]]:
    """(modules, name, value) rows of the vocabulary."""
    for name in ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"):
        yield _MODULE, name, Known(f"{_MODULE}.{name}", _list(name))
    yield _MODULE, "restore_type_tag", Known(f"{_MODULE}.restore_type_tag", _tagged)
    yield _MODULE, "build_tensor_from_id", Known(f"{_MODULE}.build_tensor_from_id", _tensor_number)
    yield "torch._utils", "_rebuild_sparse_tensor", Known(_SPARSE, _sparse)
    for name, dtype in _STORAGES.items():
        yield "torch torch.cuda", f"{name}Storage", StorageClass(DTYPES[dtype])


def _list(name: str) -> Any:
    def build(vocabulary: Vocabulary, args: Args) -> Any:
        """([values],): a list of one type."""
        if len(args) != 1 or type(args[0]) is not list:
            raise bad(f"{_MODULE}.{name}")
        return args[0]

    return build


def _tagged(vocabulary: Vocabulary, args: Args) -> Any:
    """(value, its type in TorchScript's words): the type matters to TorchScript alone."""
    if len(args) != 2 or type(args[1]) is not str:
        raise bad(f"{_MODULE}.restore_type_tag")
    return args[0]


def _tensor_number(vocabulary: Vocabulary, args: Args) -> Any:
    """(number,): a tensor of a table beside the pickle. Only formats that dotpt refuses have that table."""
    if len(args) != 1 or type(args[0]) is not int:
        raise bad(f"{_MODULE}.build_tensor_from_id")
    return args[0]


def _sparse(vocabulary: Vocabulary, args: Args) -> Any:
    """(layout number, size, requires_grad, indices or two index tensors, values, hooks), or what Python writes."""
    if not args or type(args[0]) is not int:
        return build_torch.sparse(vocabulary, args)
    layout = _LAYOUTS.get(args[0])
    if layout is None or len(args) != {"sparse_coo": 6, "sparse_csr": 7}[layout] or type(args[2]) is not bool:
        raise bad(_SPARSE)
    size, requires_grad, parts = args[1], args[2], args[3:-1]
    ref = build_torch.sparse(vocabulary, (Symbol(layout), (*parts, size)))
    ref.look(requires_grad=requires_grad)
    return ref
