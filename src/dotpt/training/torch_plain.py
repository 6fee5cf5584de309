"""What crosses this boundary: the state of anything in, plain values out, which any torch opens with weights_only=True.

Containers are made anew, so that the result does not change when training goes on; tensors are handed to the caller.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch

from dotpt.errors import CannotPickle

_ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes))
_KEPT = frozenset((torch.dtype, torch.device, torch.Size, torch.memory_format, torch.layout))
_DEEPEST = 400  # levels; a state deeper than this contains itself


def plain(value: Any, tensor: Callable[[torch.Tensor], torch.Tensor], address: str = "", depth: int = 0) -> Any:
    """``value`` in plain types: numbers, texts, tensors, and lists, tuples, sets and dicts of them.

    numpy's numbers become Python's, its arrays tensors, paths texts, members of an enum their values.

    Args:
        value: a state dict, a config, a metric.
        tensor: what is put in the place of each tensor.
        address: where it lies, for messages.
        depth: how many containers are around it.

    Raises:
        CannotPickle: something has no plain form; ``key`` is its address.
    """
    kind = type(value)
    if kind in _ATOMS or kind in _KEPT:
        return value
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if depth > _DEEPEST:
        raise _no_form(value, address, "it is nested more than 400 levels deep, or contains itself")
    if isinstance(value, Mapping):
        return _mapping(value, tensor, address, depth + 1)
    if isinstance(value, (list, tuple, set, frozenset)):
        parts = [plain(one, tensor, f"{address}[{n}]", depth + 1) for n, one in enumerate(value)]
        return parts if isinstance(value, list) else set(parts) if isinstance(value, (set, frozenset)) else tuple(parts)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return tensor(torch.from_numpy(np.ascontiguousarray(value)))
    if isinstance(value, np.generic):
        return plain(value.item(), tensor, address, depth + 1)
    if isinstance(value, Enum):
        return plain(value.value, tensor, address, depth + 1)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for atom in (int, float, str, bytes):
        if isinstance(value, atom):
            return atom(value)  # type: ignore[arg-type]
    raise _no_form(value, address, "it is not made of plain values")


def _mapping(value: Mapping[Any, Any], tensor: Callable[[Any], Any], address: str, depth: int) -> Any:
    pairs = (
        (plain(key, tensor, address, depth), plain(one, tensor, f"{address}.{key}" if address else str(key), depth))
        for key, one in value.items()
    )
    if isinstance(value, Counter):
        return Counter(dict(pairs))
    if isinstance(value, OrderedDict):
        ordered: Any = OrderedDict(pairs)
        metadata = getattr(value, "_metadata", None)
        if metadata is not None:
            # the versions of the modules; load_state_dict may write into them, so they are copied
            ordered._metadata = plain(metadata, tensor, f"{address}._metadata", depth)
        return ordered
    return dict(pairs)


def _no_form(value: Any, address: str, why: str) -> CannotPickle:
    return CannotPickle(
        f"A {type(value).__qualname__} cannot go into a checkpoint: {why}.",
        key=address,
        hint="give its state_dict(), or numbers, texts, tensors, and lists and dicts of them",
    )
