"""What crosses this boundary: live tensors and a file in; the storages whose bytes the file has already out."""

from __future__ import annotations

from typing import Any

import torch

from dotpt.formats.draft import Link
from dotpt.saving.incremental import is_much
from dotpt.saving.unchanged import LEAST, Base, hashes_of
from dotpt.training.torch_plain import plain

_WORD = 16  # bytes: whatever the type of its elements, such a storage is written to its last byte


def held_by(base: Base, tree: Any) -> dict[int, Link]:
    """The storages of a tree that a file has, by their address: those that need not be copied.

    There are none if so much has changed that a whole file is better, or if a tensor lives elsewhere than in the
    processor's memory: then all are copied, and compared when they have come.

    Args:
        tree: plain values and live tensors, which stay alive until the file is written.
    """
    storages: dict[int, int] = {}
    elsewhere = False

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal elsewhere
        if tensor.layout is torch.strided and tensor.device.type == "cpu" and type(tensor.detach()) is torch.Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = max(storages.get(storage.data_ptr(), 0), storage.nbytes())
        else:
            elsewhere = elsewhere or tensor.device.type not in ("cpu", "meta")
        return tensor

    plain(tree, note)
    if elsewhere:
        return {}
    sizes = base.sizes()
    asked = [
        (address, nbytes)
        for address, nbytes in storages.items()
        if nbytes >= LEAST and nbytes % _WORD == 0 and nbytes in sizes
    ]
    found = base.find((number, asked[number][1], digest) for number, digest in enumerate(hashes_of(asked)))
    held = {asked[number][0]: link for number, link in found.items()}
    if is_much(sum(link.nbytes for link in held.values()), sum(storages.values())):
        return {}
    return held
