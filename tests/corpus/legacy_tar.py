"""Files of torch 0.1.0 to 0.1.9: a tar of ``sys_info``, ``pickle``, ``tensors``, ``storages``. Needs no torch.

No torch that still installs writes these, so they are built from the description. Persistent ids are decimal texts::

    storages  pickle(n), n x [pickle((key, tag, class)), int64 count, elements], pickle([(view, root, offset, n)])
    tensors   pickle(n), n x [pickle((key, storage key, class)), int32 ndim, 4 zero bytes, sizes, strides, offset]

The earliest form (`early`) has ``(key, class)`` for storages, no list of views, and ``(key, class, storage key)`` for
tensors. torch 2.13 reads the later form only.
"""

from __future__ import annotations

import io
import struct
import tarfile
from dataclasses import dataclass

from . import pickles as p

ITEM_SIZES = {"Byte": 1, "Char": 1, "Half": 2, "Short": 2, "Int": 4, "Float": 4, "Long": 8, "Double": 8}


@dataclass(frozen=True)
class Storage:
    """Elements of one kind, such as ``Float``, little-endian."""

    key: int
    kind: str
    data: bytes
    location: str = "cpu"


@dataclass(frozen=True)
class View:
    """A storage that is `count` elements of another, from `offset`."""

    key: int
    root: int
    offset: int
    count: int


@dataclass(frozen=True)
class Tensor:
    """A tensor over a storage or a view of one; without a storage it is empty."""

    key: int
    storage: int | None
    kind: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0


def write(
    obj: bytes, tensors: list[Tensor], storages: list[Storage], views: list[View] | None = None, *, early: bool = False
) -> bytes:
    """Return the tar around the pickle `obj`, in which `reference` stands for a tensor or storage."""
    members = {
        "sys_info": sys_info(1000),
        "pickle": obj,
        "tensors": p.pickled(p.number(len(tensors))) + b"".join(_tensor(t, early) for t in tensors),
        "storages": p.pickled(p.number(len(storages))) + b"".join(_storage(s, early) for s in storages),
    }
    if not early:
        rows = [p.stream(p.mark(), *map(p.long1, (v.key, v.root, v.offset, v.count)), p.tuple_()) for v in views or []]
        members["storages"] += p.pickled(p.empty_list(), p.mark(), *rows, p.appends())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def sys_info(version: int, little_endian: bool = True) -> bytes:
    """The pickle that says on what machine the file was written; it was never believed on loading."""
    sizes = [p.text("short"), p.number(2), p.text("int"), p.number(4), p.text("long"), p.number(4)]
    return p.pickled(
        *(p.empty_dict(), p.mark(), p.text("protocol_version"), p.number(version)),
        *(p.text("little_endian"), p.true() if little_endian else p.false()),
        *(p.text("type_sizes"), p.empty_dict(), p.mark(), *sizes, p.setitems(), p.setitems()),
    )


def reference(key: int) -> bytes:
    """Stand for the tensor or storage of that key, within the object's pickle."""
    return p.text(str(key)) + p.binpersid()


def _storage(storage: Storage, early: bool) -> bytes:
    kind = p.global_("torch", f"{storage.kind}Storage")
    location = [] if early else [p.text(storage.location)]
    head = p.pickled(p.mark(), p.long1(storage.key), *location, kind, p.tuple_())
    return head + struct.pack("<q", len(storage.data) // ITEM_SIZES[storage.kind]) + storage.data


def _tensor(tensor: Tensor, early: bool) -> bytes:
    kind = p.global_("torch", f"{tensor.kind}Tensor")
    storage = p.none() if tensor.storage is None else p.long1(tensor.storage)
    fields = [kind, storage] if early else [storage, kind]
    head = p.pickled(p.mark(), p.long1(tensor.key), *fields, p.tuple_())
    ndim = len(tensor.size)
    return head + struct.pack(f"<i4x{2 * ndim}qq", ndim, *tensor.size, *tensor.stride, tensor.offset)


def example(*, early: bool = False) -> bytes:
    """A dict of a matrix, its transpose, a tensor tied to it and, in the later form, one over a view of its storage.

    ``weight`` is 0..5 as 2 x 3 floats, ``transposed`` 3 x 2, ``tied`` the same tensor as ``weight``, ``count`` the
    longs 7, 8; ``tail`` (not in the early form) is the floats 4, 5.
    """
    weight, transposed, count, tail = 1001, 1002, 1003, 1004
    names = {"weight": weight, "transposed": transposed, "tied": weight, "count": count}
    tensors = [
        Tensor(weight, 2001, "Float", (2, 3), (3, 1)),
        Tensor(transposed, 2001, "Float", (3, 2), (1, 3)),
        Tensor(count, 2002, "Long", (2,), (1,)),
    ]
    storages = [Storage(2001, "Float", struct.pack("<6f", *range(6))), Storage(2002, "Long", struct.pack("<2q", 7, 8))]
    views = []
    if not early:
        names["tail"] = tail
        tensors.append(Tensor(tail, 2003, "Float", (2,), (1,)))
        views.append(View(2003, 2001, 4, 2))
    items = b"".join(p.text(name) + reference(key) for name, key in names.items())
    obj = p.pickled(p.empty_dict(), p.mark(), items, p.setitems())
    return write(obj, tensors, storages, views, early=early)


#: Complete files by name.
EXAMPLES = {"tar_early": example(early=True), "tar": example()}
