"""Where each tensor lies in the file that is about to be written, under the address that `dotpt.open` gives it.

A checkpoint of plain containers is walked as it is. Anything else (a whole module, a class of one's own) is read back
from its pickle: what an address means is decided in one place, the reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

from dotpt.formats.draft import NamedRange
from dotpt.formats.manifest import ranges_in
from dotpt.limits import TRUSTED_LIMITS
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine
from dotpt.pickling.tree import ATOMS, DICTS, spelled
from dotpt.saving.tensors import Storage, Tensor, TensorWriter

_UNNAMED = "tensor"  # the address of one that lies nowhere, or under an empty key


def named_ranges(value: Any, stream: bytes, writer: TensorWriter) -> list[NamedRange]:
    """The range of each tensor in ``value``, whose pickle is ``stream``."""
    if not writer.storages:
        return []
    walked = _walked(value, writer) if writer.plain else None
    if walked is not None and len({tensor.name for tensor in walked}) == len(walked):
        return walked
    # the pickle is ours: it may be as large and as deep as what the user saves
    return list(ranges_in(Machine(stream, Context(TRUSTED_LIMITS)).load(), TRUSTED_LIMITS))


def _walked(value: Any, writer: TensorWriter) -> list[NamedRange] | None:
    """Addresses in an object of plain containers and tensors; None if there is anything else in it."""
    found: list[NamedRange] = []
    alone, placed, stands_for, seen = writer.alone, writer.placed, writer.stands_for, set[int]()
    is_one = id(value) in alone or id(value) in placed or id(value) in stands_for
    level: list[tuple[str, Any]] = [("", {_UNNAMED: value} if is_one else value)]
    while level:
        address, container = level.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        children = _children(container)
        if children is None:
            return None
        inner = []
        prefix = address + "." if address else ""
        for key, child in children:
            if type(child) in ATOMS:
                continue
            name = prefix + (key if type(key) is str else spelled(key))
            identity = id(stands_for.get(id(child), child))
            if identity in alone:
                storage = alone[identity]
                found.append(NamedRange(name or _UNNAMED, storage.key, 0, storage.written))
            elif identity in placed:
                storage, tensor = placed[identity]
                found.append(NamedRange(name or _UNNAMED, storage.key, *_range(storage, tensor)))
            else:
                inner.append((name, child))
        level.extend(reversed(inner))
    return found


def _children(value: Any) -> Iterable[tuple[Any, Any]] | None:
    kind = type(value)
    if kind in DICTS:
        return value.items()  # type: ignore[no-any-return]
    return enumerate(value) if kind is list or kind is tuple else None


def _range(storage: Storage, tensor: Tensor) -> tuple[int, int]:
    """Its first byte in the storage as it is written, and the one behind its last."""
    dtype, view, _ = tensor
    if dtype.bits or (storage.whole and storage.nbytes == prod(view.shape) * dtype.itemsize):
        return 0, storage.written  # all of it; in the first case because several elements share a byte
    offset, _, strides = storage.moved.get(view, view)
    return _bytes(offset, view.shape, strides, dtype.itemsize)


def _bytes(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """First byte of a view, and the one behind its last."""
    if 0 in shape:
        return 0, 0
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return offset * itemsize, (offset + reach + 1) * itemsize
