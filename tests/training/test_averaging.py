"""The average of weights: the right numbers, streamed, in a plain state dict."""

from __future__ import annotations

import tracemalloc
import warnings

import ml_dtypes
import numpy as np
import pytest

import dotpt
from dotpt.errors import NoCheckpoint, NoSpace, UnsupportedError, UsageError
from dotpt.training import averaging
from dotpt.training.averaging import average, shares_of
from dotpt.training.streaming import PIECE
from tests.training.runs import damage, trainer

RANDOM = np.random.default_rng(5)


def files(tmp_path, trees):
    paths = []
    for number, tree in enumerate(trees):
        paths.append(tmp_path / f"{number}.pt")
        dotpt.save(tree, paths[-1], durable=False)
    return paths


def state(**tensors):
    return {"step": 1, "model_state_dict": tensors, "optimizer_state_dict": {"state": {}, "param_groups": []}}


def averaged(tmp_path, trees, **options):
    average(files(tmp_path, trees), tmp_path / "out.pt", **options)
    return dotpt.load(tmp_path / "out.pt", backend="numpy")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.complex64])
def test_the_mean_in_the_type_of_the_weights(tmp_path, dtype):
    arrays = [(RANDOM.standard_normal((7, 5)) * 10).astype(dtype) for _ in range(3)]
    found = averaged(tmp_path, [state(w=array, b=array[0].copy()) for array in arrays])
    wide = np.complex128 if dtype is np.complex64 else np.float64 if np.dtype(dtype).itemsize > 2 else np.float32
    wanted = sum(array.astype(wide) * wide(1 / 3) for array in arrays).astype(dtype)
    assert sorted(found) == ["b", "w"]
    assert found["w"].dtype == dtype
    assert found["w"].tobytes() == wanted.tobytes()
    assert found["b"].tobytes() == wanted[0].tobytes()


def test_float32_is_summed_in_float64(tmp_path):
    arrays = [np.array([1e8, 1.0], np.float32), np.array([1.0, 1.0], np.float32), np.array([-1e8, 1.0], np.float32)]
    found = averaged(tmp_path, [state(w=array) for array in arrays])
    np.testing.assert_allclose(found["w"], [1 / 3, 1.0], rtol=1e-6)  # in float32 the first would be 0


def test_the_exponential_mean(tmp_path):
    arrays = [RANDOM.standard_normal(9) for _ in range(4)]
    found = averaged(tmp_path, [state(w=array) for array in arrays], ema=0.9)
    wanted = arrays[0]
    for array in arrays[1:]:
        wanted = 0.9 * wanted + 0.1 * array
    np.testing.assert_allclose(found["w"], wanted, rtol=1e-14)
    assert sum(shares_of(7, 0.99)) == pytest.approx(1)
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(UsageError, match="decay"):
            shares_of(3, wrong)


def test_counters_and_what_is_no_tensor_are_the_last_ones(tmp_path):
    trees = [state(w=np.ones(2, np.float32), n=np.int64(n), mask=np.array([n > 1])) for n in (1, 2, 7)]
    paths = files(tmp_path, trees)
    made = average(paths, tmp_path / "out.pt")
    found = dotpt.load(tmp_path / "out.pt", backend="numpy")
    assert found["n"] == 7
    assert found["n"].dtype == np.int64
    assert found["mask"].tolist() == [True]
    assert (made.weights, made.tensors, made.last) == ("model_state_dict", 3, 2)
    assert dotpt.read_metadata(tmp_path / "out.pt")["average"]["of"] == ["0.pt", "1.pt", "2.pt"]


def test_views_ties_and_odd_shapes(tmp_path):
    def tree(seed):
        base = np.random.default_rng(seed).standard_normal((4, 6)).astype(np.float32)
        return state(tied=base, same=base, turned=base.T, column=base[:, 2], empty=base[:0], scalar=np.float32(seed))

    found = averaged(tmp_path, [tree(1), tree(2)])
    one, two = tree(1)["model_state_dict"], tree(2)["model_state_dict"]
    for name, value in found.items():
        wanted = (np.float64(0.5) * one[name] + np.float64(0.5) * two[name]).astype(np.float32)
        assert value.shape == np.shape(wanted), name
        assert np.array_equal(value, wanted), name
    with dotpt.open(tmp_path / "out.pt") as archive:
        keys = {name: ref.storage_key for name, ref in archive.tensors.items()}
    assert keys["tied"] == keys["same"] != keys["turned"]


def test_where_the_weights_are(tmp_path):
    trees = [
        {"a": {"b": {"w": np.full(2, n, np.float32)}}, "state.dict": {"w": np.full(2, -n, np.float32)}}
        for n in (1.0, 3.0)
    ]
    paths = files(tmp_path, trees)
    for address, value in (("a.b", 2), ("state.dict", -2)):
        average(paths, tmp_path / "out.pt", weights=address)
        assert dotpt.load(tmp_path / "out.pt", backend="numpy")["w"].tolist() == [value, value]
    with pytest.raises(UsageError, match="no state dict under 'nothing'") as caught:
        average(paths, tmp_path / "out.pt", weights="nothing")
    assert "a, state.dict" in caught.value.hint
    plain = files(tmp_path, [{"layer.weight": np.full(2, n, np.float32)} for n in (1.0, 3.0)])
    assert average(plain, tmp_path / "out.pt").weights == ""


def test_shards_of_other_libraries(tmp_path):
    trainer(tmp_path)
    paths = [averaging.weights_file(tmp_path / f"checkpoint-{step}") for step in (10, 30)]
    average(paths, tmp_path / "out.pt")
    assert dotpt.load(tmp_path / "out.pt", backend="numpy")["net.weight"].tolist() == [[20.0] * 4]
    (tmp_path / "checkpoint-10/model.safetensors").unlink()
    with pytest.raises(NoCheckpoint, match="No file of weights"):
        averaging.weights_file(tmp_path / "checkpoint-10")


def test_weights_of_another_model_are_refused(tmp_path):
    out = tmp_path / "out.pt"
    with pytest.raises(UsageError, match=r"w is \[2\] there and \[3\] in 1.pt"):
        average(files(tmp_path, [state(w=np.ones(2)), state(w=np.ones(3))]), out)
    with pytest.raises(UsageError, match=r"1.pt has b, and 0.pt has not"):
        average(files(tmp_path, [state(w=np.ones(2)), state(w=np.ones(2), b=np.ones(1))]), out)
    with pytest.raises(UsageError, match=r"0.pt has b, and 1.pt has not"):
        average(files(tmp_path, [state(w=np.ones(2), b=np.ones(1)), state(w=np.ones(2))]), out)
    assert not out.exists()


def test_a_damaged_one_is_refused_and_nothing_is_written(tmp_path):
    paths = files(tmp_path, [state(w=np.ones(100)), state(w=np.ones(100))])
    damage(paths[0])
    with pytest.raises(NoCheckpoint, match="is damaged"):
        average(paths, tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_what_cannot_be_averaged(tmp_path):
    paths = files(tmp_path, [state(w=np.ones(2))] * 2)
    with pytest.raises(UsageError, match="two checkpoints or more"):
        average(paths[:1], tmp_path / "out.pt")
    with pytest.raises(UsageError, match="would replace a checkpoint"):
        average(paths, paths[1])
    nothing = files(tmp_path, [{"epoch": 1}] * 2)
    with pytest.raises(UsageError, match="No weights"):
        average(nothing, tmp_path / "out.pt")


def test_a_disk_that_fills_leaves_no_file(tmp_path, monkeypatch):
    paths = files(tmp_path, [state(w=np.ones(100))] * 2)

    def full(*args, **options):
        raise NoSpace("The disk is full.")

    monkeypatch.setattr(averaging._Sum, "read_into", full)
    with pytest.raises(NoSpace):
        average(paths, tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_large_tensors_pass_through_little_memory(tmp_path):
    count = (80 << 20) // 4  # 80 MiB each
    paths = files(tmp_path, [state(w=np.full(count, n, np.float32)) for n in (1, 2, 6)])
    tracemalloc.start()
    average(paths, tmp_path / "out.pt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20
    with dotpt.open(tmp_path / "out.pt") as archive:
        assert {float(value) for value in archive["w"][:: PIECE // 64]} == {3.0}


@pytest.mark.torch
def test_quantized_weights_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says once in a process that its quantized types are deprecated
        quantized = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.quint8)
    paths = files(tmp_path, [state(w=quantized)] * 2)
    with pytest.raises(UnsupportedError, match="cannot be averaged"):
        average(paths, tmp_path / "out.pt")


@pytest.mark.torch
def test_torch_opens_the_result_and_agrees_with_it(tmp_path):
    torch = pytest.importorskip("torch")
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)))
    paths = []
    for number, model in enumerate(models):
        paths.append(tmp_path / f"{number}.pt")
        torch.save({"model_state_dict": model.state_dict(), "epoch": number}, paths[-1])
    average(paths, tmp_path / "out.pt")
    swa = torch.optim.swa_utils.AveragedModel(models[0])
    for model in models:
        swa.update_parameters(model)
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert type(found).__name__ == "OrderedDict"
    assert found._metadata == models[2].state_dict()._metadata
    models[0].load_state_dict(found)
    for name, parameter in swa.module.named_parameters():
        torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-6, atol=1e-7)
