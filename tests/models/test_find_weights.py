"""Weights in every layout of the field, in files that torch wrote and in memory."""

from __future__ import annotations

import time
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.errors import AmbiguousWeights, NoWeights
from dotpt.models.find import find_weights, is_weight
from dotpt.tensors.refs import TensorRef

np = pytest.importorskip("numpy")

FIXTURES = Path(__file__).parent.parent / "corpus" / "fixtures" / "zip"


def weights(**more: Any) -> dict[str, Any]:
    return OrderedDict({"fc.weight": np.ones((2, 3), "float32"), "fc.bias": np.zeros(2, "float32"), **more})


OPTIMIZER = {"state": {0: {"exp_avg": np.zeros((2, 3))}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
LAYOUTS: dict[str, Any] = {
    "": weights(),
    "state_dict": {"state_dict": weights(), "hyper_parameters": {"lr": 1}, "callbacks": {"x": {"best": np.ones(1)}}},
    "model": {"model": weights(), "optimizer": OPTIMIZER, "epoch": 3, "args": Namespace(lr=1)},
    "model_state_dict": {"dims": {"n_mels": 80}, "model_state_dict": weights()},
    "net": {"net": weights(), "acc": 0.9, "epoch": 3},
    "params": {"params": weights()},
    "module": {"module": weights(), "optimizer": None, "ds_config": {}, "loss_scaler": None, "global_steps": 3},
    "generator": {"generator": weights()},
    "state.model": {"state": {"model": weights(), "optimizer": OPTIMIZER}, "version": 1},
    "0": [weights(), 3],
    "meta.weights": {"meta": {"weights": weights()}, "loss": np.ones(1)},
    "model_state": {"model_state": weights(), "rng": np.zeros(5056, "uint8"), "loss": np.ones(3), "step": np.ones(3)},
}


@pytest.mark.parametrize("address", LAYOUTS)
def test_weights_in_memory_are_found(address: str) -> None:
    found = find_weights(LAYOUTS[address])
    assert (found.address, found.role, list(found.state)) == (address, "weights", ["fc.weight", "fc.bias"])
    assert found.others == ()
    assert found.notes == ()
    assert find_weights(LAYOUTS[address], address).state.keys() == found.state.keys()
    held = LAYOUTS[address]
    assert address or found.state["fc.weight"] is held["fc.weight"]


@pytest.mark.parametrize("address", LAYOUTS)
def test_weights_in_files_of_every_layout(address: str, tmp_path: Path) -> None:
    dotpt.save(LAYOUTS[address], tmp_path / "a.pt")
    with dotpt.open(tmp_path / "a.pt") as archive:
        found = find_weights(archive)
    assert (found.address, found.role, list(found.state)) == (address, "weights", ["fc.weight", "fc.bias"])
    assert all(is_weight(value) for value in found.state.values())


@pytest.mark.parametrize("ema", ["ema", "ema_state_dict", "params_ema", "state_dict_ema", "model_ema", "g_ema"])
def test_averaged_weights_only_if_asked_for_or_alone(ema: str) -> None:
    both = {"params": weights(), ema: weights(), "epoch": 1}
    auto, asked, alone = find_weights(both), find_weights(both, "ema"), find_weights({ema: weights(), "params": None})
    assert (auto.address, auto.role, auto.others) == ("params", "weights", (ema,))
    assert auto.notes == (f"Taken from params; there are other weights at {ema}.",)
    assert (asked.address, asked.role, asked.notes) == (ema, "ema", ())
    assert (alone.address, alone.role) == (ema, "ema")
    assert alone.notes == (f"The averaged weights at {ema} were taken, for there are no others.",)


def test_of_several_networks_none_is_guessed() -> None:
    two = {"netA": weights(), "netB": weights(**{"x.weight": np.ones(1)}), "epoch": 3}
    with pytest.raises(AmbiguousWeights, match="netA, netB") as caught:
        find_weights(two)
    assert 'weights="netA"' in str(caught.value)
    assert isinstance(caught.value, KeyError)
    assert find_weights(two, "netB").address == "netB"


def test_the_models_names_tell_which_network_is_meant() -> None:
    two = {"netA": weights(), "netB": {"module.x.weight": np.ones(1)}, "epoch": 3}
    found = find_weights(two, want=["x.weight"])
    assert (found.address, found.others) == ("netB", ("netA",))
    assert found.notes == ("Taken from netB, whose names are those of the model; there are other weights at netA.",)
    gan = {"generator": weights(), "discriminator": {"x.weight": np.ones(1)}}
    assert find_weights(gan).address == "generator"
    assert find_weights(gan, want=["x.weight"]).address == "discriminator"
    assert find_weights(gan, want=["y.weight"]).address == "generator"
    with pytest.raises(AmbiguousWeights):
        find_weights({"netA": weights(), "netB": weights()}, want=["fc.weight"])


@pytest.mark.parametrize(
    ("tree", "where", "words"),
    [
        ({"epoch": 3, "lr": 0.1}, "auto", "Its keys are: epoch, lr"),
        (OPTIMIZER, "auto", "neither a module nor a state dict"),
        ({"model": weights()}, "modle", "there are some at: model"),
        ({"model": weights()}, "ema", "there are some at: model"),
        ({"model": weights()}, "model.fc", "there are some at: model"),
        (None, "auto", "neither a module nor a state dict"),
        ([], "auto", "neither a module nor a state dict"),
        ({3: np.ones(3)}, "auto", "Its keys are: 3"),
    ],
)
def test_where_there_are_none_the_error_says_what_there_is(tree: Any, where: str, words: str) -> None:
    with pytest.raises(NoWeights, match=words) as caught:
        find_weights(tree, where, name="a.pt")
    assert "a.pt" in str(caught.value)


def test_an_address_that_the_user_names_is_taken_at_its_word() -> None:
    tree = {"parts": {"a.b": {"w": np.ones(1), "x": 1, "y": 2, "z": 3}}}
    found = find_weights(tree, "parts.a.b")
    assert (found.address, list(found.state)) == ("parts.a.b", ["w", "x", "y", "z"])


def test_weights_that_lie_beside_an_epoch() -> None:
    found = find_weights({"fc.weight": np.ones(2), "epoch": 1, "lr": 0.1, "args": {}})
    assert list(found.state) == ["fc.weight"]


def test_extra_state_and_versions_are_kept() -> None:
    state = weights(**{"fc._extra_state": {"scale": np.ones(1)}})
    state._metadata = OrderedDict({"": {"version": 1}, "fc": {"version": 2}})  # type: ignore[attr-defined]
    found = find_weights({"model": state})
    assert found.state["fc._extra_state"] == {"scale": np.ones(1)}
    assert found.metadata == {"": {"version": 1}, "fc": {"version": 2}}


def test_a_state_dict_is_one_whatever_is_in_it() -> None:
    only = {"fc._extra_state": 3}
    with pytest.raises(NoWeights):
        find_weights(only)
    made = OrderedDict(only)
    made._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    assert find_weights(made).state == only
    assert list(find_weights({"w": np.ones(1), "_extra_state": 3}).state) == ["w", "_extra_state"]


def test_a_dictionary_in_itself_is_no_trap() -> None:
    tree: dict[str, Any] = {"model": weights()}
    tree["self"] = tree
    assert find_weights(tree).address == "model"


def test_a_large_dictionary_in_many_places_is_looked_at_once() -> None:
    large = {str(at): 0 for at in range(100_000)}
    tree = [{"w": np.ones(1), "v": np.ones(1), "x": large, str(at): large} for at in range(900)]
    start = time.perf_counter()
    with pytest.raises(NoWeights):
        find_weights({"a": tree, "b": 3}, "ema")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("file", "address", "role", "count"),
    [
        ("checkpoint_lightning.pt", "state_dict", "weights", 9),
        ("checkpoint_tutorial.pt", "model_state_dict", "weights", 9),
        ("checkpoint_ultralytics.pt", "ema", "ema", 15),
        ("module.pt", "", "weights", 9),
        ("module_custom.pt", "", "weights", 15),
    ],
)
def test_weights_in_files(file: str, address: str, role: str, count: int) -> None:
    with dotpt.open(FIXTURES / file) as archive:
        for source in (archive, archive.tree):
            found = find_weights(source)
            assert (found.address, found.role, len(found.state)) == (address, role, count)
            assert all(type(value) is TensorRef for value in found.state.values())


def test_a_script_is_read_with_its_program() -> None:
    path = next(iter(sorted((FIXTURES.parent).rglob("*script*.pt"))), None)
    assert path is not None
    with dotpt.open(path) as archive:
        assert archive.format == "torchscript"
        assert find_weights(archive).state
        with pytest.raises(NoWeights, match="TorchScript"):
            find_weights(archive.tree)


@pytest.mark.torch
def test_models_and_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    want = model.state_dict()
    rng = torch.get_rng_state()
    for tree in (model, want, {"model": model, "ema": None, "epoch": 1}, {"net": want, "rng": rng, "loss": rng[:1]}):
        found = find_weights(tree)
        assert list(found.state) == list(want)
        assert all(found.state[name].data_ptr() == want[name].data_ptr() for name in want)
        assert found.metadata is not None
        assert found.metadata["1"] == {"version": 2}


@pytest.mark.torch
def test_a_checkpoint_that_torch_wrote(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "a.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}, path)
    with dotpt.open(path) as archive:
        found = find_weights(archive)
    assert (found.address, list(found.state)) == ("model", ["weight", "bias"])
    assert found.metadata == {"": {"version": 1}}
