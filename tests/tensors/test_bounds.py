"""Every row of torch's table of malformed tensors, and what torch leaves out, is an error here. Needs no torch."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dotpt
from dotpt.container.ziprules import ZipError
from dotpt.errors import ChecksumMismatch, DotptError, LimitExceeded, PickleError, RecordMissing, TensorError
from dotpt.limits import Limits
from dotpt.tensors.bounds import MAX_INT64, Bounds
from dotpt.tensors.dtypes import DTYPES
from dotpt.tensors.refs import StorageRef, contiguous_strides
from tests.corpus import pickles as p
from tests.corpus.torch_zip import Style, pt

FLOAT = DTYPES["float32"]
DATA = np.arange(4, dtype=np.float32).tobytes()


def load(*ops: bytes, storages: dict[str, bytes] | None = None, style: Style | None = None, **options: Any) -> Any:
    data = pt(p.pickled(*ops), {"0": DATA} if storages is None else storages, style or Style())
    return dotpt.load(data, backend="numpy", **options)


def big(value: int) -> bytes:
    return p.long1(value) if not -(2**31) <= value < 2**31 else p.binint(value)


def tensor(
    offset: int = 0, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), source: bytes | None = None
) -> bytes:
    numbers = [p.stream(p.mark(), *map(big, values), p.tuple_()) for values in (size, stride)]
    hooks = p.call("collections", "OrderedDict")
    return p.call("torch._utils", "_rebuild_tensor_v2", source or p.storage(), big(offset), *numbers, p.false(), hooks)


OUTSIDE: dict[str, bytes] = {
    "offset beyond": tensor(offset=1),
    "offset far beyond": tensor(offset=2**62),
    "offset and size overflow 64 bits": tensor(offset=2**63 - 1),
    "size beyond": tensor(size=(5,)),
    "size of 2**63 - 1": tensor(size=(2**63 - 1,)),
    "size of 2**63": tensor(size=(2**63,)),
    "sizes whose product overflows": tensor(size=(2**32, 2**32), stride=(0, 0)),
    "sizes whose product overflows to 0": tensor(size=(2**32, 2**32, 2), stride=(0, 0, 0)),
    "stride beyond": tensor(size=(2,), stride=(4,)),
    "stride of 2**62": tensor(size=(3,), stride=(2**62,)),
    "negative offset": tensor(offset=-1),
    "negative size": tensor(size=(-1,)),
    "two negative sizes": tensor(size=(-2, -2), stride=(1, 1)),
    "negative stride": tensor(offset=3, stride=(-1,)),
    "fewer strides than sizes": tensor(size=(2, 2), stride=(1,)),
    "more strides than sizes": tensor(size=(2,), stride=(1, 1)),
    "another row too many": tensor(size=(2, 3), stride=(2, 1)),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_tensor_outside_its_storage_is_refused_in_every_mode(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.pt"
    path.write_bytes(pt(p.pickled(OUTSIDE[name]), {"0": DATA}))
    for options in ({}, {"mmap": True}, {"verify": False}, {"mmap": True, "verify": False}):
        with pytest.raises((TensorError, LimitExceeded)):
            dotpt.load(path, backend="numpy", **options)
    with pytest.raises((TensorError, LimitExceeded)):
        dotpt.open(path)


WRONG_TYPES: dict[str, bytes] = {
    "offset is text": p.call(
        "torch._utils", "_rebuild_tensor_v2", p.storage(), p.text("0"), p.ints(4), p.ints(1), p.false(), p.none()
    ),
    "offset is True": p.call(
        "torch._utils", "_rebuild_tensor_v2", p.storage(), p.true(), p.ints(1), p.ints(1), p.false(), p.none()
    ),
    "offset is a float": p.call(
        "torch._utils", "_rebuild_tensor_v2", p.storage(), p.binfloat(0.0), p.ints(1), p.ints(1), p.false(), p.none()
    ),
    "size is a number": p.call(
        "torch._utils", "_rebuild_tensor_v2", p.storage(), p.number(0), p.number(4), p.ints(1), p.false(), p.none()
    ),
    "size of floats": p.call(
        "torch._utils",
        "_rebuild_tensor_v2",
        p.storage(),
        p.number(0),
        p.stream(p.binfloat(4.0), p.tuple1()),
        p.ints(1),
        p.false(),
        p.none(),
    ),
    "size of True": p.call(
        "torch._utils",
        "_rebuild_tensor_v2",
        p.storage(),
        p.number(0),
        p.stream(p.true(), p.tuple1()),
        p.ints(1),
        p.false(),
        p.none(),
    ),
    "requires_grad is a number": p.call(
        "torch._utils", "_rebuild_tensor_v2", p.storage(), p.number(0), p.ints(4), p.ints(1), p.number(1), p.none()
    ),
    "storage is a number": p.call(
        "torch._utils", "_rebuild_tensor_v2", p.number(0), p.number(0), p.ints(4), p.ints(1), p.false(), p.none()
    ),
    "too few arguments": p.call("torch._utils", "_rebuild_tensor_v2", p.storage(), p.number(0)),
    "too many arguments": p.call(
        "torch._utils",
        "_rebuild_tensor_v2",
        p.storage(),
        p.number(0),
        p.ints(4),
        p.ints(1),
        p.false(),
        p.none(),
        p.none(),
        p.none(),
    ),
    "unknown mark": p.call(
        "torch._utils",
        "_rebuild_tensor_v2",
        p.storage(),
        p.number(0),
        p.ints(4),
        p.ints(1),
        p.false(),
        p.none(),
        p.stream(p.empty_dict(), p.text("os"), p.true(), p.setitem()),
    ),
    "v3 without a dtype": p.call(
        "torch._utils",
        "_rebuild_tensor_v3",
        p.storage(kind="UntypedStorage", count=16),
        p.number(0),
        p.ints(4),
        p.ints(1),
        p.false(),
        p.none(),
        p.text("float32"),
    ),
    "v3 beyond by its dtype": p.call(
        "torch._utils",
        "_rebuild_tensor_v3",
        p.storage(kind="UntypedStorage", count=16),
        p.number(0),
        p.ints(4),
        p.ints(1),
        p.false(),
        p.none(),
        p.global_("torch", "uint64"),
    ),
    "parameter of a number": p.call("torch._utils", "_rebuild_parameter", p.number(1), p.true(), p.none()),
    "meta of negative size": p.call(
        "torch._utils",
        "_rebuild_meta_tensor_no_storage",
        p.global_("torch", "float32"),
        p.stream(p.binint(-1), p.tuple1()),
        p.ints(1),
        p.false(),
    ),
    "meta of too many elements": p.call(
        "torch._utils",
        "_rebuild_meta_tensor_no_storage",
        p.global_("torch", "float32"),
        p.stream(big(2**40), big(2**40), p.tuple2()),
        p.ints(1, 1),
        p.false(),
    ),
    "meta without strides": p.call(
        "torch._utils",
        "_rebuild_meta_tensor_no_storage",
        p.global_("torch", "float32"),
        p.ints(2),
        p.empty_tuple(),
        p.false(),
    ),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_arguments_of_wrong_types_are_refused(name: str) -> None:
    with pytest.raises((TensorError, PickleError)):
        load(WRONG_TYPES[name], storages={"0": DATA})


def test_more_elements_than_the_record_holds_are_refused_with_and_without_mapping(tmp_path: Path) -> None:
    """CVE-2026-24747; with ``mmap=True`` torch 2.13 shows the bytes of the neighbour."""
    path = tmp_path / "t.pt"
    path.write_bytes(pt(p.pickled(tensor(size=(8,), source=p.storage(count=8))), {"0": DATA, "1": DATA}))
    for mmap in (False, True):
        with pytest.raises(TensorError, match="record holds 16 bytes, the pickle says 32"):
            dotpt.load(path, backend="numpy", mmap=mmap)


def test_a_compressed_record_is_never_mapped(tmp_path: Path) -> None:
    """torch 2.13 shows the compressed bytes as numbers."""
    path = tmp_path / "t.pt"
    path.write_bytes(pt(p.pickled(tensor()), {"0": DATA}, Style(deflated=frozenset(["data/0"]))))
    with pytest.raises(ZipError):
        dotpt.load(path, backend="numpy", mmap=True)
    with pytest.raises(DotptError, match="cannot be mapped"):
        dotpt.load(path, backend="numpy", mmap=True, limits=Limits(deflated=True))
    assert dotpt.load(path, backend="numpy", limits=Limits(deflated=True)).tolist() == [0, 1, 2, 3]


def test_a_wrong_checksum_is_noticed(tmp_path: Path) -> None:
    data = bytearray(pt(p.pickled(tensor()), {"0": DATA}))
    data[data.index(DATA)] ^= 1
    path = tmp_path / "t.pt"
    path.write_bytes(data)
    for mmap in (False, True):
        with pytest.raises(ChecksumMismatch):
            dotpt.load(path, backend="numpy", mmap=mmap)
        assert dotpt.load(path, backend="numpy", mmap=mmap, verify=False).shape == (4,)


def test_a_missing_record_is_named() -> None:
    with pytest.raises(RecordMissing) as caught:
        load(tensor(source=p.storage("7")))
    assert caught.value.record == "data/7"


# -- composite tensors ----------------------------------------------------------------------------------------------


def longs(key: str, values: list[int], size: tuple[int, ...]) -> bytes:
    return tensor(0, size, contiguous_strides(size), p.storage(key, len(values), "LongStorage"))


def packed(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def coo(indices: list[int], shape: tuple[int, ...], dims: int = 1) -> Any:
    size = p.call("torch", "Size", p.ints(*shape))
    data = p.stream(
        p.mark(),
        longs("1", indices, (dims, len(indices) // dims)),
        tensor(size=(len(indices) // dims,)),
        size,
        p.tuple_(),
    )
    layout = p.call("torch.serialization", "_get_layout", p.text("torch.sparse_coo"))
    return load(
        p.call("torch._utils", "_rebuild_sparse_tensor", layout, data), storages={"0": DATA, "1": packed(indices)}
    )


def test_a_sparse_tensor_is_read() -> None:
    found = coo([0, 2, 4, 6], (7,))
    assert found.parts["indices"].tolist() == [[0, 2, 4, 6]]
    assert found.shape == (7,)


@pytest.mark.parametrize(
    ("indices", "shape"), [([0, 2, 4, 7], (7,)), ([0, -1, 2, 3], (7,)), ([0, 2, 4, 2**62], (7,)), ([0, 1, 2, 3], ())]
)
def test_a_sparse_index_outside_the_shape_is_refused(indices: list[int], shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError):
        coo(indices, shape)


def compressed(layout: str, pointers: list[int], plain: list[int], shape: tuple[int, ...]) -> Any:
    size = p.call("torch", "Size", p.ints(*shape))
    parts = [longs("1", pointers, (len(pointers),)), longs("2", plain, (len(plain),)), tensor(size=(len(plain),)), size]
    made = p.call("torch.serialization", "_get_layout", p.text(f"torch.{layout}"))
    data = p.stream(p.mark(), *parts, p.tuple_())
    storages = {"0": DATA, "1": packed(pointers), "2": packed(plain)}
    return load(p.call("torch._utils", "_rebuild_sparse_tensor", made, data), storages=storages)


def test_compressed_sparse_tensors_are_read() -> None:
    assert compressed("sparse_csr", [0, 1, 4], [0, 0, 1, 2], (2, 3)).shape == (2, 3)
    assert compressed("sparse_csc", [0, 1, 4], [0, 0, 1, 2], (3, 2)).shape == (3, 2)


@pytest.mark.parametrize(
    ("pointers", "plain", "shape"),
    [
        ([0, 1, 5], [0, 0, 1, 2], (2, 3)),
        ([1, 1, 4], [0, 0, 1, 2], (2, 3)),
        ([0, 4, 1], [0, 0, 1, 2], (2, 3)),
        ([0, -1, 4], [0, 0, 1, 2], (2, 3)),
        ([0, 1, 4], [0, 0, 1, 3], (2, 3)),
        ([0, 1, 4], [0, 0, 1, -1], (2, 3)),
        ([0, 1, 4], [0, 0, 1, 2], (3, 3)),
        ([0, 1, 4], [0, 0, 1, 2], (2,)),
        ([0, 4], [0, 0, 1, 2], (2, 3)),
    ],
)
def test_compressed_sparse_tensors_are_checked(pointers: list[int], plain: list[int], shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError):
        compressed("sparse_csr", pointers, plain, shape)


def nested(sizes: list[int], strides: list[int], offsets: list[int]) -> Any:
    count = len(offsets)
    parts = [tensor(), longs("1", sizes, (count, 1)), longs("2", strides, (count, 1)), longs("3", offsets, (count,))]
    storages = {"0": DATA, "1": packed(sizes), "2": packed(strides), "3": packed(offsets)}
    return load(p.call("torch._utils", "_rebuild_nested_tensor", *parts), storages=storages)


def test_nested_tensors_are_read() -> None:
    assert [part.tolist() for part in nested([1, 3], [1, 1], [0, 1]).components] == [[0], [1, 2, 3]]


@pytest.mark.parametrize(
    ("sizes", "strides", "offsets"),
    [
        ([1, 4], [1, 1], [0, 1]),
        ([1, 3], [1, 2], [0, 1]),
        ([1, 3], [1, 1], [0, 2]),
        ([1, -3], [1, 1], [0, 1]),
        ([1, 2], [1, 1], [0, -1]),
    ],
)
def test_nested_components_outside_the_buffer_are_refused(
    sizes: list[int], strides: list[int], offsets: list[int]
) -> None:
    with pytest.raises(TensorError):
        nested(sizes, strides, offsets)


def quantized(size: int, stride: int, axis: int = 0, channels: int = 2) -> Any:
    source = p.storage("0", 4, "QInt8Storage")
    scheme = p.stream(
        p.mark(),
        p.global_("torch", "per_channel_affine"),
        tensor(size=(channels,), source=p.storage("1", 4)),
        longs("2", [0] * channels, (channels,)),
        p.number(axis),
        p.tuple_(),
    )
    made = p.call(
        "torch._utils",
        "_rebuild_qtensor",
        source,
        p.number(0),
        p.ints(2, size),
        p.ints(stride, 1),
        scheme,
        p.false(),
        p.none(),
    )
    return load(made, storages={"0": b"\1\2\3\4", "1": DATA, "2": packed([0] * channels)})


def test_quantized_tensors_are_read() -> None:
    assert quantized(2, 2).values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("size", "stride", "axis", "channels"), [(2, 3, 0, 2), (3, 2, 0, 2), (2, 2, 2, 2), (2, 2, 0, 3)]
)
def test_quantized_tensors_are_checked(size: int, stride: int, axis: int, channels: int) -> None:
    """pytorch#184652: an unchecked stride read the attacker's choice of memory."""
    with pytest.raises(TensorError):
        quantized(size, stride, axis, channels)


# -- the arithmetic, against every element's address ----------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    data=st.data(),
    offset=st.integers(0, 12),
    numel=st.integers(0, 60),
    dtype=st.sampled_from(["uint8", "int16", "float32", "complex128"]),
)
def test_what_is_accepted_touches_no_byte_outside(
    shape: list[int], data: Any, offset: int, numel: int, dtype: str
) -> None:
    strides = [data.draw(st.integers(0, 9)) for _ in shape]
    kind = DTYPES[dtype]
    storage = StorageRef("0", kind, "cpu", numel * kind.itemsize)
    touched = [offset + sum(i * s for i, s in zip(index, strides, strict=True)) for index in np.ndindex(*shape)]
    fits = all((place + 1) * kind.itemsize <= storage.nbytes for place in touched)
    try:
        ref = Bounds().tensor(storage, kind, offset, tuple(shape), tuple(strides))
    except TensorError:
        assert not fits
        return
    assert fits
    assert ref.extent == (max(touched) - offset + 1 if touched else 0)
    assert ref.numel == len(touched)


def test_limits_hold_at_their_edge() -> None:
    storage = StorageRef("0", FLOAT, "cpu", 16)
    bounds = Bounds(Limits(expanded_bytes=84, tensor_dims=3))
    assert bounds.tensor(storage, FLOAT, 0, (25,), (0,)).numel == 25
    with pytest.raises(LimitExceeded):
        bounds.tensor(storage, FLOAT, 0, (26,), (0,))
    assert bounds.tensor(storage, FLOAT, 0, (1, 1, 1), (1, 1, 1)).numel == 1
    with pytest.raises(LimitExceeded):
        bounds.tensor(storage, FLOAT, 0, (1,) * 4, (1,) * 4)


def test_an_empty_tensor_may_begin_anywhere_that_64_bits_can_say() -> None:
    storage = StorageRef("0", FLOAT, "cpu", 16)
    assert Bounds().tensor(storage, FLOAT, 99, (0, 3), (3, 1)).numel == 0
    with pytest.raises(TensorError):
        Bounds().tensor(storage, FLOAT, MAX_INT64 + 1, (0,), (1,))
