"""How two checkpoints differ, tensor by tensor and value by value."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

import dotpt
from dotpt.training import differences
from dotpt.training.differences import compare, values_in
from dotpt.training.streaming import PIECE


def differ(tmp_path, before, after):
    for name, tree in (("a.pt", before), ("b.pt", after)):
        dotpt.save(tree, tmp_path / name, durable=False)
    with dotpt.open(tmp_path / "a.pt") as one, dotpt.open(tmp_path / "b.pt") as two:
        return compare(one, two)


def only(found):
    (difference,) = found.tensors
    return difference


def test_equal_files_do_not_differ(tmp_path):
    tree = {"w": np.arange(12.0).reshape(3, 4).T, "n": np.int64(3), "epoch": 1, "x": [1, math.nan], "y": math.nan}
    found = differ(tmp_path, tree, tree)
    assert found.none
    assert found.same == 2


def test_how_much_a_tensor_changed(tmp_path):
    before, after = np.array([3.0, 4.0, 0.0, 0.0], np.float32), np.array([3.0, 4.0, 0.5, 0.0], np.float32)
    found = differ(tmp_path, {"w": before, "same": before.copy()}, {"w": after, "same": before.copy()})
    difference = only(found)
    assert (difference.name, difference.what, difference.numel, difference.changed) == ("w", "changed", 4, 1)
    assert difference.largest == 0.5
    assert difference.relative == pytest.approx(0.1)
    assert (found.same, found.by_hash) == (1, 1)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.complex64, np.uint8])
def test_each_kind_of_number(tmp_path, dtype):
    difference = only(differ(tmp_path, {"w": np.array([1, 2, 4], dtype)}, {"w": np.array([1, 5, 2], dtype)}))
    assert (difference.changed, difference.largest) == (2, 3.0)
    assert difference.relative == pytest.approx(math.sqrt(13 / 21))


def test_integers_that_no_float_tells_apart(tmp_path):
    large = 2**62
    difference = only(differ(tmp_path, {"n": np.array([large, -large])}, {"n": np.array([large + 1, large])}))
    assert (difference.changed, difference.largest) == (2, float(2**63))


def test_truth_values(tmp_path):
    difference = only(differ(tmp_path, {"m": np.array([True, False])}, {"m": np.array([True, True])}))
    assert (difference.changed, difference.largest) == (1, 1.0)


def test_nan_and_infinity(tmp_path):
    before, after = np.array([math.nan, math.inf, 1.0]), np.array([math.nan, math.inf, 2.0])
    difference = only(differ(tmp_path, {"w": before}, {"w": after}))
    assert (difference.changed, difference.largest, difference.relative) == (1, 1.0, None)
    difference = only(differ(tmp_path, {"w": np.array([1.0, 1.0])}, {"w": np.array([1.0, math.nan])}))
    assert difference.changed == 1
    assert math.isnan(difference.largest)
    difference = only(differ(tmp_path, {"w": np.zeros(2)}, {"w": np.ones(2)}))
    assert difference.relative is None  # there was nothing to compare with


def test_tensors_that_came_went_or_are_others_now(tmp_path):
    before = {"gone": np.ones(2), "wide": np.ones((2, 3)), "type": np.ones(2, np.float32)}
    after = {"wide": np.ones((3, 2)), "type": np.full(2, 2.0), "new": np.ones(1)}
    found = {difference.name: difference for difference in differ(tmp_path, before, after).tensors}
    assert {name: one.what for name, one in found.items()} == {
        "gone": "removed", "wide": "another shape", "type": "changed", "new": "added"
    }  # fmt: skip
    assert (found["wide"].before, found["wide"].after) == ("float64 [2, 3]", "float64 [3, 2]")
    assert (found["type"].before, found["type"].largest) == ("float32 [2]", 1.0)


def test_a_change_of_the_type_alone_is_a_difference(tmp_path):
    difference = only(differ(tmp_path, {"w": np.ones(2, np.float32)}, {"w": np.ones(2)}))
    assert difference.changed == 0
    assert difference.after == "float64 [2]"


def test_large_tensors_are_read_piece_by_piece(tmp_path):
    before = np.zeros((3, PIECE // 8 + 7))
    after = before.copy()
    after[0, 0], after[2, -1] = 1.0, -2.0
    difference = only(differ(tmp_path, {"w": before}, {"w": after}))
    assert (difference.changed, difference.largest) == (2, 2.0)


def test_views_are_compared_by_their_elements(tmp_path):
    base = np.arange(24.0).reshape(4, 6)
    found = differ(tmp_path, {"w": base.T, "c": base[:, 1]}, {"w": np.ascontiguousarray(base.T), "c": base[:, 1] + 1})
    assert only(found).name == "c"
    assert only(found).changed == 4


def test_hashes_spare_the_reading(tmp_path, monkeypatch):
    tree = {"w": np.ones(100), "v": np.ones(50)[::2]}

    def read(*args):
        raise AssertionError("read")

    monkeypatch.setattr(differences, "Flat", read)
    assert differ(tmp_path, tree, tree).by_hash == 2


def test_other_values(tmp_path):
    before = {"step": 1, "lr": 0.1, "m": {"loss": 0.5}, "list": [1, 2], "gone": "x", "long": list(range(99))}
    after = {"step": 2, "lr": 0.1, "m": {"loss": 0.25}, "list": [1, 2, 3], "new": None, "long": list(range(98))}
    found = differ(tmp_path, before | {"w": np.ones(1)}, after | {"w": np.ones(1)}).values
    assert found == {
        "step": ("1", "2"),
        "m.loss": ("0.5", "0.25"),
        "list": ("[1, 2]", "[1, 2, 3]"),
        "gone": ("x", ""),
        "long": ("99 values", "98 values"),
        "new": ("", "null"),
    }


def test_a_value_and_its_type(tmp_path):
    assert differ(tmp_path, {"x": 1, "y": True}, {"x": 1.0, "y": 1}).values == {"x": ("1", "1.0"), "y": ("true", "1")}
    shared = [1]
    assert dict(values_in({"a": shared, "b": (), "c": {1: {"d": "e"}}})) == {"a": [1], "c.1.d": "e"}


@pytest.mark.torch
def test_optimizers_sparse_and_quantized_tensors(tmp_path):
    torch = pytest.importorskip("torch")

    def tree(value):
        sparse = torch.tensor([[0.0, value], [1.0, 0.0]]).to_sparse()
        quantized = torch.quantize_per_tensor(torch.tensor([value, 1.0]), 0.5, 0, torch.quint8)
        return {"sparse": sparse, "q": quantized, "p": torch.nn.Parameter(torch.ones(2) * value)}

    found = differ(tmp_path, tree(2.0), tree(3.0))
    assert {one.name: (one.changed, one.largest) for one in found.tensors} == {
        "sparse.values": (1, 1.0), "q": (1, 2.0), "p": (2, 1.0)
    }  # fmt: skip
    assert differ(tmp_path, tree(2.0), tree(2.0)).none
