"""Where the weights lie in the layouts of the field. Needs no torch."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from typing import Any

import pytest

from dotpt.errors import AmbiguousWeights, NoWeights
from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.rescue.find import choose, find_all, find_module
from dotpt.rescue.made import tensor_of_number
from tests.rescue.test_state import module


def state() -> OrderedDict[str, Any]:
    return OrderedDict((f"layer.{number}.weight", tensor_of_number(0.5)) for number in range(3))


def test_a_module_alone() -> None:
    record = module()
    found, others = choose(record)
    assert (found.address, found.value, found.is_module, others) == ("", record, True, [])
    assert find_module(record) == found


def test_ultralytics() -> None:
    model, ema = module("ultralytics.nn.tasks.DetectionModel"), module("ultralytics.nn.tasks.DetectionModel")
    tree = {"epoch": 3, "model": model, "ema": ema, "optimizer": {"state": {}, "param_groups": []}}
    found, others = choose(tree)
    assert (found.address, found.role) == ("model", "weights")
    assert [other.address for other in others] == ["ema"]
    assert choose(tree, "ema")[0].value is ema
    assert choose(tree | {"model": None})[0].address == "ema"
    assert find_module(tree) == found
    assert find_module(tree, "ema").address == "ema"  # type: ignore[union-attr]
    assert find_module({"model": model}, "ema") is None
    assert find_module({"state_dict": state()}) is None


@pytest.mark.parametrize(
    ("tree", "address"),
    [
        (state(), ""),
        ({"state_dict": state(), "hyper_parameters": InertObject(InertGlobal("my", "Config"), "new")}, "state_dict"),
        ({"args": Namespace(arch="x"), "model": state(), "extra_state": {}}, "model"),
        ({"dims": {"n_mels": 80}, "model_state_dict": state()}, "model_state_dict"),
        ({"model_state_dict": state(), "model_ema": state()}, "model_state_dict"),
        ({"state": {"model": state(), "epoch": 1}}, "state.model"),
        ([{"epoch": 1}, state()], "1"),
        (Namespace(net=state(), epoch=1), "net"),
        ({"params_ema": state()}, "params_ema"),
        ({"generator": state(), "discriminator": state()}, "generator"),
    ],
)
def test_layouts(tree: Any, address: str) -> None:
    assert choose(tree)[0].address == address


def test_several_networks_are_not_guessed() -> None:
    tree = {"actor": state(), "critic": state()}
    with pytest.raises(AmbiguousWeights) as caught:
        choose(tree)
    assert "actor" in str(caught.value)
    assert "critic" in str(caught.value)
    assert choose(tree, "critic")[0].address == "critic"


def test_an_optimizer_is_no_network() -> None:
    entries = {0: {"exp_avg": tensor_of_number(0.5), "step": tensor_of_number(0.5)}}
    tree = {"state": entries, "param_groups": [{"params": [0]}]}
    assert find_all({"optim": tree, "opt2": tree, "model": state()})[0].address == "model"
    with pytest.raises(NoWeights, match="neither a module nor a state dict"):
        choose({"opt2": tree})


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(NoWeights) as caught:
        choose({"model": state(), "epoch": 1}, "ema")
    assert "model" in str(caught.value)
    with pytest.raises(NoWeights, match="Its keys are: epoch, lr"):
        choose({"epoch": 1, "lr": 0.1})


def test_cycles_and_crowds_end() -> None:
    tree: dict[str, Any] = {"a": 1}
    tree["self"] = tree
    tree["many"] = [dict.fromkeys(range(3)) for _ in range(50_000)]
    with pytest.raises(NoWeights):
        choose(tree)
