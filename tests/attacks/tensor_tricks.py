"""Attacks on whoever rebuilds tensors: numbers in a pickle that make torch read or write where it must not.

Nothing in them is called, so a scanner of names sees nothing. Needs no torch.
"""

from __future__ import annotations

from tests.attacks.attack import Attack, called, value, zipped
from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

TENSORS: list[Attack] = []
_HOOKS = called("collections", "OrderedDict")


def _add(
    name: str,
    source: str,
    what: str,
    *ops: bytes,
    storages: dict[str, bytes] | None = None,
    load: str = "refused",
    scan: str = "not clean",
) -> None:
    made = zipped(p.pickled(*ops)) if storages is None else pt(p.pickled(*ops), storages)
    TENSORS.append(Attack(name, source, what, lambda: made, "model.pt", scan, load))


# A row is a tensor, and its parts are read along it.
# fmt: off

def _quantized(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    scheme = p.stream(p.mark(), p.global_("torch", "per_tensor_affine"), p.binfloat(1.0), p.number(0), p.tuple_())
    return p.call("torch._utils", "_rebuild_qtensor", p.storage(kind="QInt8Storage", count=16), p.number(offset),
                  p.ints(*size), p.ints(*stride), scheme, p.false(), _HOOKS)


def _sparse(indices: tuple[int, ...], size: tuple[int, ...]) -> bytes:
    place = p.tensor((1, len(indices)), (len(indices), 1), source=p.storage("1", len(indices), "LongStorage"))
    values = p.tensor((len(indices),), (1,), source=p.storage("0", 4))
    parts = p.stream(p.mark(), place, values, p.ints(*size), p.false(), p.tuple_())
    return p.call("torch._utils", "_rebuild_sparse_tensor", p.global_("torch", "sparse_coo"), parts)


def _longs(*values: int) -> dict[str, bytes]:
    return {"0": bytes(16), "1": b"".join(each.to_bytes(8, "little", signed=True) for each in values)}


def _written() -> None:
    known = "CVE-2026-24747 GHSA-63cw-57p8-fm3p"
    _add("SETITEM on a tensor", known, "SETITEM writes into a tensor", p.tensor(), p.number(0), p.binfloat(1.0),
         p.setitem())
    _add("SETITEMS on a tensor", known, "SETITEMS does", p.tensor(), p.mark(), p.number(0), p.binfloat(1.0),
         p.setitems())
    _add("SETITEM on a list", known, "SETITEM writes into a list", p.empty_list(), p.number(0), p.none(), p.setitem())
    _add("SETITEM on a bytearray", known, "SETITEM writes into a bytearray", p.proto(5), p.bytearray8(b"abc"),
         p.number(2), p.number(0), p.setitem())
    _add("APPEND to a bytearray", "section 2", "extend is looked up on anything", p.proto(5), p.bytearray8(b"abc"),
         p.mark(), p.number(0), p.appends())
    _add("ADDITEMS to a list", "section 2", "add is looked up on anything", p.empty_list(), p.mark(), p.none(),
         p.additems())
    _add("BUILD of a tensor", "1.1", "set_(*state) of a tensor", p.tensor(), p.ints(1, 2, 3), p.build())
    _add("more elements than bytes", known, "the count of the storage is not that of the record",
         p.tensor((400,), (1,), source=p.storage(count=400)))
    _add("fewer elements than bytes", known, "the record is longer than the storage says",
         p.tensor((2,), (1,), source=p.storage(count=2)))
    _add("one storage, two counts", known, "two persistent ids disagree about one record", p.tensor(), p.tensor(
        (2,), (1,), source=p.storage(count=2)), p.tuple2())
    # the bytes are the storage's own either way, and torch gives the same values: odd, and no harm
    _add("one storage, two types", known, "two persistent ids disagree about its type", p.tensor(), p.tensor(
        (2,), (1,), source=p.storage(kind="DoubleStorage", count=2)), p.tuple2(), load="value", scan="any")
    _add("no record", known, "a storage that is not in the file", p.tensor(source=p.storage("9")))
    for label, key in {"a path": "../../../etc/passwd", "absolute": "/etc/passwd", "empty": "", "NUL": "0\0"}.items():
        _add(f"storage key: {label}", known, f"a storage whose key is {label}", p.tensor(source=p.storage(key)))


def _placed() -> None:
    _add("negative offset", "section 7", "before the storage", p.tensor(offset=-1))
    _add("offset beyond", "section 7", "after the storage", p.tensor(offset=1))
    _add("negative size", "section 7", "a size below nothing", p.tensor((-4,)))
    _add("negative stride", "section 7", "a stride backwards", p.tensor((4,), (-1,)))
    _add("stride beyond", "section 7", "the last element lies outside", p.tensor((2,), (1_000,)))
    _add("sizes that overflow", "section 7", "a product beyond 64 bits", p.tensor((2**31 - 1,) * 3, (0, 0, 0)))
    _add("size of 2**63", "section 7", "one size beyond 64 bits", p.call(
        "torch._utils", "_rebuild_tensor_v2", p.storage(), p.number(0), p.stream(p.long1(2**63), p.tuple1()), p.ints(1),
        p.false(), _HOOKS))
    _add("more strides than sizes", "section 7", "lists of two lengths", p.tensor((4,), (1, 1)))
    _add("expanded to 8 GB", "1.1", "stride 0 over 16 bytes: 8 GB for whoever copies it", p.tensor((2**31 - 1,), (0,)))
    _add("65 dimensions", "1.8", "more dimensions than any library has", p.tensor((1,) * 65, (1,) * 65))
    known = "pytorch 184652 GHSA-jg6j-8w4h-2pg2"
    _add("quantized stride", known, "a quantized tensor's strides are not checked by torch", _quantized((4,), (10**6,)))
    _add("quantized offset", known, "nor its offset", _quantized((4,), (1,), 10**6), storages={"0": bytes(16)})
    _add("quantized negative stride", known, "nor their sign", _quantized((4, 4), (-100, 1)),
         storages={"0": bytes(16)})
    known = "CVE-2025-62164; pytorch PR 184750; pytorch 194750 GHSA-pxpx-v6rm-5jqf"
    _add("sparse index outside", known, "an index beyond the shape: to_dense writes there", _sparse((10**9,), (4,)),
         storages=_longs(10**9))
    _add("sparse index negative", known, "an index before it", _sparse((-1,), (4,)), storages=_longs(-1))
    _add("sparse of no shape", known, "a shape below nothing", _sparse((0,), (-4,)), storages=_longs(0))
    known = "pytorch PR 169570"
    _add("_rebuild_from_type_v2 of nothing", known, "no arguments at all",
         p.global_("torch._tensor", "_rebuild_from_type_v2"), p.empty_tuple(), p.reduce_())
    _add("_rebuild_from_type_v2 of numbers", known, "numbers where functions stand",
         called("torch._tensor", "_rebuild_from_type_v2", 1, 2, (), {}))
    _add("_rebuild_from_type_v2 of a call", known, "a function of the file's choice",
         p.call("torch._tensor", "_rebuild_from_type_v2", p.global_("os", "system"), p.global_("torch", "Tensor"),
                value(("true",)), value({})), scan="dangerous")
    _add("a subclass of the file's choice", known, "a class of the file's choice is made around a tensor",
         p.call("torch._tensor", "_rebuild_from_type_v2", p.global_("torch._utils", "_rebuild_tensor_v2"),
                p.global_("subprocess", "Popen"), p.stream(p.mark(), p.storage(), p.number(0), p.ints(4), p.ints(1),
                p.false(), _HOOKS, p.tuple_()), value({})), scan="dangerous")
    for name, arguments in {"_rebuild_tensor": (None, 0, (4,), (1,)), "_rebuild_parameter": (None, True, {}),
                            "_rebuild_device_tensor_from_numpy": (None, None, "cpu", False),
                            "_rebuild_nested_tensor": (1, 2, 3, 4)}.items():
        _add(f"{name} of nothing", "section 7", "arguments of wrong types", called("torch._utils", name, *arguments))


def _denied() -> None:
    """The rows of 1.8 that are a file; test_bombs.py holds them to time and memory."""
    _add("a deep tuple as a key", "gh-154318", "hashing it overflows the C stack: torch.load dies",
         p.empty_dict(), p.empty_tuple(), p.tuple1() * 200_000, p.none(), p.setitem(), load="LimitExceeded",
         scan="not clean")
    _add("memo index of 10**8", "CVE-2018-20406 gh-115952", "an array of 1.5 GB for one entry",
         p.none(), p.long_binput(10**8), load="value", scan="any")
    _add("a million lists", "1.8", "whoever walks by recursion falls", p.empty_list() * 10**5, p.append() * (10**5 - 1),
         load="LimitExceeded", scan="not clean")
    prime = 2**61 - 1
    _add("integers of one hash", "1.8", "a dictionary as slow as a list", p.empty_dict(), p.mark(), b"".join(
        p.long1(k * prime) + p.none() for k in range(1, 16_001)), p.setitems(), load="LimitExceeded",
        scan="not clean")
    _add("an integer that cannot be printed", "1.8", "4,000 bytes in LONG4", p.long4(b"\1" * 4_000),
         load="LimitExceeded", scan="not clean")
    for label, ops in {"BINBYTES8": p.binbytes8(b"abc", 2**62), "BYTEARRAY8": p.bytearray8(b"abc", 2**62),
                       "BINUNICODE8": p.binunicode8(b"abc", 2**63), "LONG4": p.long4(b"", 2**31 - 1)}.items():
        _add(f"{label} of 2**62 bytes", "1.8", "a length that is a lie", p.proto(5), ops)
    _add("NEXT_BUFFER", "section 2", "a buffer that nobody gave", p.proto(5), p.next_buffer())
    _add("READONLY_BUFFER", "section 2", "a view of any buffer", p.proto(5), p.bytearray8(b"abc"), p.readonly_buffer())


_written()
_placed()
_denied()
