"""Any nested object x type x strides x sharing x device tag: saved by us or by torch, read alike by both."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from tests.corpus import torch_zip as tz  # noqa: E402
from tests.corpus.bits import logical_bytes  # noqa: E402
from tests.corpus.compare import same  # noqa: E402

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.complex64, torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn,
]  # fmt: skip
TAGS = ["cpu", "cuda:0", "cuda:7", "mps", "xpu:1"]
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def storages(draw: st.DrawFn) -> torch.Tensor:
    """A flat tensor that is all of its storage."""
    dtype = draw(st.sampled_from(DTYPES))
    numel = draw(st.integers(0, 64))
    raw = torch.arange(numel * dtype.itemsize, dtype=torch.uint8)
    return raw.remainder(2).to(torch.bool) if dtype is torch.bool else raw.view(dtype) if numel else raw.to(dtype)


@st.composite
def tensors(draw: st.DrawFn, pool: list[torch.Tensor]) -> torch.Tensor:
    """Some view of one of a few storages."""
    base = draw(st.sampled_from(pool))
    if draw(st.booleans()) or not base.numel():
        return base
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    strides = [draw(st.integers(0, 5)) for _ in shape]
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if 0 not in shape else 0
    if reach >= base.numel():
        return base
    view = torch.as_strided(base, shape, strides, draw(st.integers(0, base.numel() - 1 - reach)))
    if draw(st.booleans()) and view.dtype.is_floating_point and view.dtype.itemsize > 1:
        view = torch.nn.Parameter(view, draw(st.booleans()))
    return view


KEYS = st.one_of(st.text(max_size=5), st.integers(-5, 1 << 40), st.booleans(), st.none())
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(allow_nan=False), st.text(max_size=8),
    st.binary(max_size=8), st.complex_numbers(allow_nan=False), st.sets(st.one_of(st.integers(), st.text(max_size=3))),
)  # fmt: skip


@st.composite
def objects(draw: st.DrawFn) -> Any:
    pool = draw(st.lists(storages(), min_size=1, max_size=4))
    leaves = st.one_of(PLAIN, tensors(pool))
    containers = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(KEYS, inner, max_size=4),
            st.dictionaries(st.text(max_size=4), inner, max_size=4).map(OrderedDict),
            st.tuples(inner, inner),
            inner.map(lambda value: [value, value]),  # one object at two places
        ),
        max_leaves=12,
    )
    return draw(containers)


def ours(value: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    dotpt.save(value, out, arrays="numpy", **options)
    return out.getvalue()


def theirs(value: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def alike(a: Any, b: Any, **options: Any) -> str | None:
    """What differs. That empty storages are shared is not kept by torch's loading, and nobody can see it."""
    found = same(a, b, **options)
    empty = found is not None and "storage shared" in found and not _holds_memory_twice(a)
    return same(a, b, sharing=False, **options) if empty else found


def _holds_memory_twice(value: Any) -> bool:
    """Whether two different tensors with elements look at one storage."""
    seen: dict[int, int] = {}
    level = [value]
    while level:
        value = level.pop()
        if isinstance(value, torch.Tensor) and value.numel():
            if seen.setdefault(value.untyped_storage()._cdata, id(value)) != id(value):
                return True
        elif isinstance(value, dict):
            level += value.values()
        elif isinstance(value, (list, tuple)):
            level += value
    return False


def torch_loads(data: bytes, **options: Any) -> Any:
    return torch.load(io.BytesIO(data), weights_only=False, **options)


@SETTINGS
@given(objects(), st.sampled_from([2, 2, 2, 3, 4, 5]))
def test_what_we_save_is_read_alike(value: Any, protocol: int) -> None:
    for data in (ours(value, protocol=protocol), ours(value, protocol=protocol, compact=False)):
        assert alike(value, torch_loads(data), strides=False) is None
        assert alike(torch_loads(data), dotpt.load(data)) is None
        assert dotpt.verify(data).ok
    assert alike(value, torch_loads(data)) is None  # not compacted, it is the same to the last offset


@SETTINGS
@given(objects())
def test_without_torch_it_is_the_same_values(value: Any) -> None:
    data = ours(value)
    with dotpt.open(data) as archive:
        wanted = {name: ref.torch() for name, ref in archive.tensors.items()}
        for name, tensor in wanted.items():
            array = archive[name].numpy() if name in archive.contents.tree else archive.tensors[name].numpy()
            assert array.shape == tuple(tensor.shape)
            assert np.ascontiguousarray(array).tobytes() == logical_bytes(tensor)


@SETTINGS
@given(objects())
def test_what_torch_saves_is_read_alike(value: Any) -> None:
    for data in (theirs(value), theirs(value, _use_new_zipfile_serialization=False)):
        try:
            expected = torch_loads(data)
        except AttributeError:  # torch cannot read its own legacy files of the newer types
            expected = value
        assert alike(expected, dotpt.load(data)) is None


@SETTINGS
@given(objects())
def test_saved_twice_the_same_bytes(value: Any) -> None:
    data = ours(value)
    assert ours(value) == data
    assert ours(dotpt.load(data)) == data


@SETTINGS
@given(objects())
def test_never_larger_than_torchs_but_for_our_records(value: Any) -> None:
    def stored(data: bytes) -> int:
        return sum(len(content) for name, content in tz.read(data)[1] if name.startswith("data/"))

    assert stored(ours(value)) <= stored(theirs(value))


@SETTINGS
@given(objects(), st.sampled_from(TAGS))
def test_device_tags(value: Any, tag: str) -> None:
    """A tag is a text in the pickle: with one written for another device, both readers move the tensors here."""
    package = (1, lambda storage: tag, lambda storage, location: storage if location == tag else None)
    registry = torch.serialization._package_registry
    registry.insert(0, package)
    try:
        data = ours(value)
        assert alike(torch_loads(data), dotpt.load(data, map_location="cpu")) is None
    finally:
        registry.remove(package)
    assert alike(torch_loads(data, map_location="cpu"), dotpt.load(data)) is None
    with dotpt.open(data) as archive:
        assert {ref.device for ref in archive.tensors.values()} <= {tag}


@SETTINGS
@given(objects())
def test_the_legacy_format(value: Any) -> None:
    data = ours(value, format="legacy")
    assert alike(value, dotpt.load(data), strides=False) is None
    try:
        loaded = torch_loads(data)
    except AttributeError:  # torch cannot read its own legacy files of the newer types
        return
    assert alike(dotpt.load(data), loaded) is None
