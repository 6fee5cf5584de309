"""Legacy files of torch 0.1.10 to 0.3, some by Python 2, built from opcodes. Needs no torch.

    pickle(magic) pickle(1001) pickle(sys_info) pickle(object) pickle(keys) then for each key: int64 count, elements

What today's torch reads but does not write any more: storages that are views of others (the sixth item of a persistent
id), tensors from before ``_rebuild_tensor_v2``, and texts as Python 2 strings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from . import pickles as p
from .legacy_tar import ITEM_SIZES, sys_info

MAGIC = 0x1950A86A20F9469CFC6C
_FLOATS = struct.pack("<6f", *range(6))

Text = Callable[[str], bytes]


def python2(value: str) -> bytes:
    """A text as Python 2 pickled its ``str``: SHORT_BINSTRING, from 256 bytes on BINSTRING."""
    return p.short_binstring(value) if len(value.encode()) < 1 << 8 else p.binstring(value)


def legacy(
    obj: bytes, storages: dict[str, tuple[str, bytes]], *, text: Text = p.text, little_endian: bool = True
) -> bytes:
    """Return a legacy file.

    Args:
        obj: the object's opcodes, without PROTO and STOP.
        storages: kind, such as ``Float``, and little-endian bytes by key.
        text: how texts are pickled in the list of keys.
        little_endian: what ``sys_info`` says; torch ignores it.
    """
    keys = sorted(storages)
    out = p.pickled(p.long1(MAGIC)) + p.pickled(p.number(1001)) + sys_info(1001, little_endian) + p.pickled(obj)
    out += p.pickled(p.empty_list(), p.mark(), *map(text, keys), p.appends())
    for key in keys:
        kind, data = storages[key]
        out += struct.pack("<q", len(data) // ITEM_SIZES[kind]) + data
    return out


def storage(key: str, kind: str, count: int, view: tuple[str, int, int] | None = None, *, text: Text = p.text) -> bytes:
    """The persistent id of a storage; `view` is the view's own key, its offset and count in elements."""
    seen = p.none() if view is None else p.stream(p.mark(), text(view[0]), *map(p.number, view[1:]), p.tuple_())
    pid = [text("storage"), p.global_("torch", f"{kind}Storage"), text(key), text("cpu"), p.number(count), seen]
    return p.stream(p.mark(), *pid, p.tuple_(), p.binpersid())


def tensor_0_3(source: bytes, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A tensor as torch 0.2 and 0.3 wrote it."""
    return p.call("torch._utils", "_rebuild_tensor", source, p.number(offset), p.ints(*size), p.ints(*stride))


def tensor_0_1(source: bytes, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A tensor as torch 0.1 wrote it: an empty one whose state is set."""
    empty = p.stream(p.global_("torch", "FloatTensor"), p.empty_tuple(), p.reduce_())
    state = p.stream(p.mark(), source, p.number(offset), p.ints(*size), p.ints(*stride), p.tuple_())
    return p.stream(empty, state, p.build())


def parameter_0_3(data: bytes, requires_grad: bool = True) -> bytes:
    """A parameter of 0.3: NEWOBJ, then the state (requires grad, volatile, hooks)."""
    state = p.stream(p.true() if requires_grad else p.false(), p.false(), p.call("collections", "OrderedDict"))
    made = p.stream(p.global_("torch.nn.parameter", "Parameter"), data, p.tuple1(), p.newobj())
    return p.stream(made, state, p.tuple3(), p.build())


def _dict(text: Text = p.text, **items: bytes) -> bytes:
    body = b"".join(text(name) + value for name, value in items.items())
    return p.stream(p.empty_dict(), p.mark(), body, p.setitems())


def _views() -> bytes:
    """One storage of 6 floats; ``head`` and ``tail`` are over views of it, ``whole`` over the storage itself."""
    root = storage("300", "Float", 6)
    head = storage("300", "Float", 6, ("301", 0, 2))
    tail = storage("300", "Float", 6, ("302", 4, 2))
    obj = _dict(
        head=tensor_0_3(head, (2,), (1,)), tail=tensor_0_3(tail, (2,), (1,)), whole=tensor_0_3(root, (2, 3), (3, 1))
    )
    return legacy(obj, {"300": ("Float", _FLOATS)})


def _python2() -> bytes:
    """Every text a Python 2 string, one of them long, one not ASCII."""
    weight = tensor_0_3(storage("300", "Float", 6, text=python2), (3, 2), (1, 3))
    obj = _dict(python2, weight=weight, note=python2("n" * 300), name=python2("café"), epoch=p.number(3))
    return legacy(obj, {"300": ("Float", _FLOATS)}, text=python2)


def _simple(make: Callable[..., bytes], little_endian: bool = True) -> bytes:
    obj = _dict(weight=make(storage("300", "Float", 6), (2, 3), (3, 1)))
    return legacy(obj, {"300": ("Float", _FLOATS)}, little_endian=little_endian)


#: Complete files by name. All hold the floats 0..5; see the functions above for their shapes.
EXAMPLES = {
    "legacy_0_1_build": _simple(tensor_0_1),
    "legacy_0_3": _simple(tensor_0_3),
    "legacy_0_3_views": _views(),
    "legacy_0_3_parameter": _simple(lambda *tensor: parameter_0_3(tensor_0_3(*tensor))),
    "legacy_0_3_python2": _python2(),
    "legacy_big_endian_machine": _simple(tensor_0_3, little_endian=False),
}
