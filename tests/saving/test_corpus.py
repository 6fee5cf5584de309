"""Every object of the corpus, saved by us: read alike by torch and by us, the same bytes each time."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.corpus.objects import OBJECTS, quiet  # noqa: E402

# Where content decides in our stream and identity in torch's: equal texts or bytes that are different objects.
BY_VALUE = {"wrapper_subclass", "byte_strings", "collections_types", "generator", "numpy_kinds", "numpy_shapes",
            "numpy_dtypes", "numpy_generators"}  # fmt: skip


def saved(value: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    dotpt.save(value, out, arrays="numpy", **options)
    return out.getvalue()


def saved_by_torch(value: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def by_torch(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=False)


@pytest.fixture(params=list(OBJECTS))
def entry(request):
    with quiet():
        yield OBJECTS[request.param]


def test_torch_reads_it(entry) -> None:
    value = entry()
    expected = same(value, by_torch(saved_by_torch(value)))  # what torch itself does not keep
    assert same(value, by_torch(saved(value, compact=False))) == expected
    assert same(value, by_torch(saved(value)), strides=False) in (expected, None)


def test_we_read_it(entry) -> None:
    value = entry()
    data, theirs = saved(value), saved_by_torch(value)
    if dotpt.open(theirs).unknown_globals:
        assert dotpt.verify(data).ok
        return
    difference = same(dotpt.load(theirs), dotpt.load(data), strides=False)
    assert difference is None, difference
    assert dotpt.verify(data).ok


def test_weights_only_if_torch_could(entry) -> None:
    value = entry()
    try:
        torch.load(io.BytesIO(saved_by_torch(value)), weights_only=True)
    except Exception:
        return
    torch.load(io.BytesIO(saved(value)), weights_only=True)


def test_the_pickle_is_torchs(entry) -> None:
    value = entry()
    ours, theirs = (zipfile.ZipFile(io.BytesIO(data)) for data in (saved(value, compact=False), saved_by_torch(value)))
    assert (ours.read("archive/data.pkl") == theirs.read("archive/data.pkl")) == (entry.name not in BY_VALUE)
    kept = [info.filename for info in ours.infolist() if "/.dotpt/" not in info.filename]
    assert kept == [info.filename for info in theirs.infolist()]
    for info in theirs.infolist():
        if "/data/" in info.filename:
            assert ours.read(info.filename) == theirs.read(info.filename)
    assert ours.testzip() is None


def test_the_same_bytes_again(entry) -> None:
    assert saved(entry()) == saved(entry())


def test_legacy(entry) -> None:
    if "no-legacy" in entry.tags:
        pytest.skip("torch cannot read it back from its own legacy file either")
    value = entry()
    expected = same(value, by_torch(saved_by_torch(value, _use_new_zipfile_serialization=False)))
    data = saved(value, format="legacy", compact=False)
    assert same(value, by_torch(data)) == expected
    assert saved(entry(), format="legacy") == saved(entry(), format="legacy")
    if not dotpt.open(data).unknown_globals:
        assert dotpt.verify(data).ok
