"""safetensors files: a dictionary of contiguous tensors, by name. Nothing in them can be run."""

from __future__ import annotations

import sys
from typing import Any

from dotpt.container.safetensors import WIRE_TYPES, SafetensorsContainer
from dotpt.errors import UnsupportedError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.source.base import Source
from dotpt.tensors.bounds import Bounds
from dotpt.tensors.dtypes import DTYPES
from dotpt.tensors.refs import StorageRef, TensorRef, contiguous_strides


def read(source: Source, options: ReadOptions) -> Contents:
    """The contents of a safetensors file: its tensors in the order of the header, each a storage of its own.

    Raises:
        SafetensorsError, TruncatedFile: it breaks a rule of the format.
        LimitExceeded: its header asks for too much.
        UnsupportedError: a tensor is of a type that torch does not have.
    """
    container = SafetensorsContainer(source, options.limits)
    bounds = Bounds(options.limits)
    storages: dict[str, StorageRef] = {}
    tree: dict[str, Any] = {}
    for name in container.entries:
        tree[name], storages[name] = _tensor(container, name, bounds)
    facts = {"byteorder": "little", "header_bytes": container.header_bytes}
    contents = Contents("safetensors", tree, container, storages, [], facts)
    contents.metadata = dict(container.metadata)
    if container.unknown_fields:
        fields = ", ".join(sorted(container.unknown_fields)[:5])
        contents.notes.append(f"The header says more of its tensors than the format knows ({fields}): ignored.")
    return contents


def _tensor(container: SafetensorsContainer, name: str, bounds: Bounds) -> tuple[TensorRef, StorageRef]:
    entry, record = container.entries[name], container.record(name)
    torch_name, shape = WIRE_TYPES[entry.dtype][0], entry.shape
    if torch_name is None:
        raise UnsupportedError(
            f"The tensor is of the type {entry.dtype}, which torch does not have.", path=container.source.name, key=name
        )
    dtype = DTYPES[torch_name]
    if dtype.bits:  # torch counts bytes where the header counts the elements packed into them
        packed = 8 // dtype.bits
        if not shape or shape[-1] % packed:
            raise UnsupportedError(
                f"The tensor's last dimension does not divide by {packed}, so torch cannot hold it as {dtype}.",
                path=container.source.name,
                key=name,
                found=shape,
            )
        shape = (*shape[:-1], shape[-1] // packed)
    storage = StorageRef(name, dtype, "cpu", record.size)
    storage.container, storage.place, storage.swap = container, record, sys.byteorder == "big"
    return bounds.tensor(storage, dtype, 0, shape, contiguous_strides(shape)), storage
