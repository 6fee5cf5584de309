"""What fuzzing has found, each in its smallest form. docs/fuzzing.md tells the story of each."""

from __future__ import annotations

import gc
import io
import struct
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt.container import ziprules as rules
from dotpt.errors import PickleError, UsageError
from dotpt.tensors.arrays import MetaArray, NestedArray, QuantizedArray, SparseArray
from tests.corpus import pickles as p
from tests.corpus.stored import FIXTURES
from tests.corpus.torch_zip import pt, read, write

FOUR = struct.pack("<4f", 1, 2, 3, 4)


def one_tensor(made: bytes = p.tensor(), storages: dict[str, bytes] | None = None) -> bytes:
    return pt(p.pickled(p.empty_dict(), p.text("a"), made, p.setitem()), {"0": FOUR} if storages is None else storages)


def many_tensors() -> bytes:
    entries = [p.text(f"k{n}") + p.tensor(source=p.storage(str(n))) for n in range(100)]
    return pt(p.pickled(p.empty_dict(), p.mark(), *entries, p.setitems()), {str(n): FOUR for n in range(100)})


@pytest.mark.parametrize("data", [one_tensor(), many_tensors()], ids=["row by row", "by columns"])
def test_a_record_marked_as_a_folder_is_refused(data: bytes) -> None:
    """torch (miniz) takes it for a folder by an attribute alone, reads nothing, and gives uninitialised memory."""
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    marked = bytearray(data)
    marked[entry + 38] |= 0x10
    with pytest.raises(rules.UnsupportedFlags, match="marked as a folder"):
        dotpt.load(bytes(marked), backend="numpy")
    marked[entry + 38] ^= 0x30  # the archive bit, which zip tools set, means nothing
    assert dotpt.load(bytes(marked), backend="numpy")


def test_a_record_that_torch_finds_in_another_case_is_refused() -> None:
    """torch asks for `byteorder` in any case: it read these numbers big-endian, and dotpt little-endian."""
    records = [("BYTEORDER" if name == "byteorder" else name, data) for name, data in read(one_tensor())[1]]
    with pytest.raises(rules.BadRecordName, match="in another case"):
        dotpt.load(write(records), backend="numpy")


def test_a_device_tensor_of_another_type_than_its_values_is_refused() -> None:
    """torch converts them, and no writer ever has to."""

    def data(dtype: str) -> bytes:
        cpu = p.text("cpu")
        return one_tensor(
            p.call(
                "torch._utils",
                "_rebuild_device_tensor_from_cpu_tensor",
                p.tensor(),
                p.global_("torch", dtype),
                cpu,
                p.false(),
            )
        )

    assert dotpt.load(data("float32"), backend="numpy")["a"].tolist() == [1, 2, 3, 4]
    with pytest.raises(PickleError, match="never write"):
        dotpt.load(data("int32"), backend="numpy")


def meta(*shape: int) -> bytes:
    arguments = [p.global_("torch", "float32"), p.ints(*shape), p.ints(*[1] * len(shape)), p.false()]
    return one_tensor(p.call("torch._utils", "_rebuild_meta_tensor_no_storage", *arguments))


def test_an_empty_meta_tensor_is_a_meta_tensor() -> None:
    """It was taken for an empty tensor of torch 0.1, which has no storage either."""
    assert dotpt.load(meta(0), backend="numpy")["a"].shape == (0,)
    assert type(dotpt.load(meta(0), backend="numpy")["a"]) is MetaArray
    old = one_tensor(p.global_("torch", "FloatTensor") + p.empty_tuple() + p.reduce_())
    assert type(dotpt.load(old, backend="numpy")["a"]) is np.ndarray
    with dotpt.open(old) as archive:
        assert archive.tensors["a"].device == "cpu"


@pytest.mark.torch
def test_an_empty_meta_tensor_is_one_for_torch_too() -> None:
    torch = pytest.importorskip("torch")
    for data in (meta(0), meta(2)):
        theirs = torch.load(io.BytesIO(data), weights_only=True)["a"]
        assert dotpt.load(data, backend="torch")["a"].device == theirs.device == torch.device("meta")
    old = one_tensor(p.global_("torch", "FloatTensor") + p.empty_tuple() + p.reduce_())
    assert dotpt.load(old, backend="torch")["a"].device == torch.device("cpu")


@pytest.mark.parametrize("mark", ["conj", "neg"])
def test_a_marked_tensor_without_dimensions_is_an_array(mark: str) -> None:
    """numpy makes scalars of them when it conjugates or negates."""
    hooks, marks = p.call("collections", "OrderedDict"), p.empty_dict() + p.text(mark) + p.true() + p.setitem()
    parts = [p.storage(), p.number(0), p.empty_tuple(), p.empty_tuple(), p.false(), hooks, marks]
    found = dotpt.load(one_tensor(p.call("torch._utils", "_rebuild_tensor_v2", *parts)), backend="numpy")["a"]
    assert type(found) is np.ndarray
    assert found.tolist() == (-1.0 if mark == "neg" else 1.0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sparse_csr", SparseArray),
        ("quantized_tensor_qint8", QuantizedArray),
        ("nested_strided", NestedArray),
        ("meta", MetaArray),
    ],
)
def test_records_of_ours_are_not_saved(name: str, kind: type) -> None:
    """They went into the file as classes of dotpt, which nobody can read: not torch, and not dotpt."""
    path = FIXTURES / "zip" / f"{name}.pt"
    loaded = dotpt.load(path, backend="numpy")
    assert any(type(value) is kind for value in _leaves(loaded))
    with pytest.raises(UsageError, match="numpy has no array for"):
        dotpt.save(loaded, io.BytesIO())
    if name != "nested_strided":
        with dotpt.open(path) as archive:  # the hint
            dotpt.save(archive.tree, io.BytesIO())


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (dict, list, tuple)):
        items = value.values() if isinstance(value, dict) else value
        return [leaf for item in items for leaf in _leaves(item)]
    return [value]


@pytest.mark.skipif(not gc.isenabled(), reason="the collector is off")
def test_the_collector_still_runs_where_only_small_files_are_loaded() -> None:
    """Every load set its counters back, so in a loop of loads it never ran: what lay in a circle stayed for ever."""
    data = one_tensor()
    dotpt.load(data, backend="numpy")
    runs = gc.get_stats()[0]["collections"]
    for _ in range(400):
        circle: list[Any] = [[] for _ in range(20)]
        circle.append(circle)
        dotpt.load(data, backend="numpy")
    del circle
    assert gc.get_stats()[0]["collections"] > runs


def test_the_collector_also_runs_where_large_files_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from dotpt.archive import collector

    monkeypatch.setattr(collector, "_FEW", 100)
    monkeypatch.setattr(collector, "_MANY", 1_000)
    runs = gc.get_stats()[2]["collections"]
    kept: list[Any] = []
    for _ in range(20):
        with collector.paused():
            kept += [[] for _ in range(300)]
    assert gc.get_stats()[2]["collections"] > runs + 2
