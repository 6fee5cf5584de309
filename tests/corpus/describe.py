"""What a reader must find in an object: every tensor with its address, as plain data that JSON can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from .bits import logical_bytes, parts, plain, storage_bytes

Fact = dict[str, Any]


def describe(obj: Any) -> list[Fact]:
    """List the tensors and storages of an object graph in the order in which a walk meets them.

    Addresses are keys, positions and attribute names joined by dots; the root's is empty. `storage` counts storages by
    first appearance, so equal numbers say shared memory. `sha256` is of the elements in row-major order, little-endian,
    conjugation and negation done; of a quantized tensor, of its integers (packed ones: of the whole storage). A tensor
    that is made of others has these under `parts`.
    """
    storages: dict[int, int] = {}
    return [_fact(address, item, storages) for address, item in walk(obj)]


def walk(obj: Any, address: str = "", above: frozenset[int] = frozenset()) -> Iterator[tuple[str, Any]]:
    """Yield each tensor and storage with its address; what holds itself is not entered again."""
    if isinstance(obj, (torch.Tensor, torch.UntypedStorage, torch.TypedStorage)):
        yield address, obj
    elif id(obj) not in above:
        for name, item in _children(obj):
            yield from walk(item, f"{address}.{name}" if address else str(name), above | {id(obj)})


def _children(obj: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(obj, dict):
        yield from obj.items()
    elif isinstance(obj, (list, tuple)):
        yield from enumerate(obj)
    elif isinstance(obj, np.ndarray):
        yield from enumerate(obj.ravel().tolist() if obj.dtype.hasobject else ())
    elif isinstance(obj, nn.Module):
        for held in (obj._parameters, obj._buffers, obj._modules):
            yield from ((name, item) for name, item in held.items() if item is not None)
        yield from ((name, item) for name, item in vars(obj).items() if not name.startswith("_"))
    elif not isinstance(obj, (type, torch.Generator)):
        yield from getattr(obj, "__dict__", {}).items()
        yield from ((name, getattr(obj, name)) for name in getattr(type(obj), "__slots__", ()) if hasattr(obj, name))


def _fact(address: str, item: Any, storages: dict[int, int]) -> Fact:
    if not isinstance(item, torch.Tensor):
        untyped = item if isinstance(item, torch.UntypedStorage) else item._untyped_storage
        dtype = "uint8" if item is untyped else str(item.dtype).removeprefix("torch.")
        number = storages.setdefault(untyped._cdata, len(storages))
        data = storage_bytes(untyped)
        fact: Fact = {"address": address, "kind": "storage", "dtype": dtype, "nbytes": len(data)}
        return {**fact, **_sha(data), "storage": number}
    return {"address": address, "kind": "tensor", **_tensor(item, storages)}


def _tensor(tensor: torch.Tensor, storages: dict[int, int]) -> Fact:
    fact: Fact = {
        "class": f"{type(tensor).__module__}.{type(tensor).__qualname__}",
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "layout": str(tensor.layout).removeprefix("torch."),
        "device": str(tensor.device),
        "requires_grad": tensor.requires_grad,
    }
    if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
        return fact
    made = parts(tensor)
    if not made and type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:  # a wrapper subclass
        made = {name: item for name, item in vars(tensor).items() if isinstance(item, torch.Tensor)}
    if not tensor.is_nested:
        fact["shape"] = list(tensor.shape)
    if made:
        fact["parts"] = {name: _part(item, storages) for name, item in made.items() if name != "cache"}
        if not tensor.is_quantized:
            return fact
    bare = plain(tensor)
    fact |= {"stride": list(bare.stride()), "storage_offset": bare.storage_offset()}
    if bare.is_meta:
        return fact
    flags = {name: True for name, is_set in (("conj", bare.is_conj()), ("neg", bare.is_neg())) if is_set}
    number = storages.setdefault(bare.untyped_storage()._cdata, len(storages))
    return {**fact, **flags, **_sha(logical_bytes(tensor)), "storage": number}


def _part(item: Any, storages: dict[int, int]) -> Any:
    return _tensor(item, storages) if isinstance(item, torch.Tensor) else item


def _sha(data: bytes) -> Fact:
    return {"sha256": hashlib.sha256(data).hexdigest()}
