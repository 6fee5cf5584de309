"""Roles, kinds, optimizers and prefixes of objects that are made here, without a file."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from typing import Any

import pytest

from dotpt.inspect.kinds import kind_of_value
from dotpt.inspect.names import WEIGHT_KEYS, role_of_name
from dotpt.inspect.optimizers import optimizer_of
from dotpt.inspect.prefixes import prefixes_of
from dotpt.inspect.roles import RolePart, parts_of, weights_part
from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.tensors.dtypes import DTYPES
from dotpt.tensors.refs import StorageRef, TensorRef, contiguous_strides

_count = iter(range(10**9))


def tensor(*shape: int, dtype: str = "float32", storage: StorageRef | None = None) -> TensorRef:
    numel = 1
    for size in shape:
        numel *= size
    kind = DTYPES[dtype]
    storage = storage or StorageRef(str(next(_count)), kind, "cpu", numel * kind.itemsize)
    return TensorRef(storage, kind, 0, shape, contiguous_strides(shape))


def weights() -> dict[str, Any]:
    return OrderedDict({"fc.weight": tensor(2, 3), "fc.bias": tensor(2)})


def optimizer() -> dict[str, Any]:
    state = {0: {"step": tensor(), "exp_avg": tensor(2, 3), "exp_avg_sq": tensor(2, 3)}}
    return {"state": state, "param_groups": [{"lr": 0.1, "weight_decay": 0, "params": [0]}]}


def module(**children: Any) -> InertObject:
    made = InertObject(InertGlobal("net", "Net"), "new")
    made.states.append({"training": True, "_parameters": {"weight": tensor(4)}, "_buffers": {}, "_modules": children})
    return made


def roles(tree: Any) -> dict[str, RolePart]:
    return {part.address: part for part in parts_of(tree)}


@pytest.mark.parametrize("key", WEIGHT_KEYS)
def test_known_wrappers_are_seen_through(key: str) -> None:
    part = weights_part(parts_of({"epoch": 1, key: weights(), "optimizer": optimizer()}))
    assert part is not None
    assert (part.address, part.keys, part.tensors, part.params, part.bytes) == (key, (key,), 2, 8, 32)
    assert part.role in ("weights", "ema")


def test_averaged_weights_come_first() -> None:
    part = weights_part(parts_of({"state_dict": weights(), "state_dict_ema": weights()}))
    assert part is not None
    assert (part.address, part.role) == ("state_dict_ema", "ema")


def test_weights_of_no_known_name_are_told_by_their_shape() -> None:
    found = roles({"my_thing": weights(), "epoch": 3})
    assert found["my_thing"].role == "weights"
    assert found["my_thing"].claim.certainty == "INFERRED"


def test_several_networks() -> None:
    pair = {"a": weights(), "b": weights()}
    found = roles({"modelA_state_dict": weights(), "modelB_state_dict": weights(), "nets": pair})
    assert {part.role for part in found.values()} == {"weights"}
    assert found["nets"].tensors == 4


def test_a_checkpoint_in_a_checkpoint() -> None:
    found = roles({"checkpoint": {"model": weights(), "optimizer": optimizer(), "epoch": 2}})
    assert {address: part.role for address, part in found.items()} == {
        "checkpoint.model": "weights",
        "checkpoint.optimizer": "optimizer",
        "checkpoint.epoch": "progress",
    }


def test_weights_beside_an_epoch_without_a_dictionary_of_their_own() -> None:
    found = roles({"fc.weight": tensor(2), "fc.bias": tensor(2), "epoch": 3, "loss": tensor()})
    assert found[""].role == "weights"
    assert found[""].tensors == 2
    assert found["epoch"].value == 3
    assert found["loss"].role == "loss"


def test_roles_by_name() -> None:
    tree = {
        "model": weights(), "optimizer": optimizer(), "lr_scheduler": {"last_epoch": 3, "base_lrs": [0.1]}, "epoch": 7,
        "scaler": {"scale": 2.0, "growth_factor": 2.0, "backoff_factor": 0.5}, "args": Namespace(lr=0.1),
        "rng_state": tensor(5056, dtype="uint8"), "best_acc1": 71.5, "train_loss": 0.12, "version": "1.0",
        "sampler": {"position": 4}, "whatever": [1, 2],
    }  # fmt: skip
    found = {address: part.role for address, part in roles(tree).items()}
    assert found == {
        "model": "weights", "optimizer": "optimizer", "lr_scheduler": "scheduler", "epoch": "progress",
        "scaler": "scaler", "args": "config", "rng_state": "rng", "best_acc1": "metrics", "train_loss": "loss",
        "version": "about", "sampler": "loader", "whatever": "other",
    }  # fmt: skip
    assert roles(tree)["best_acc1"].value == 71.5
    assert roles(tree)["args"].value == "1 entry: lr"


def test_shared_storages_count_once_and_parts_add_up() -> None:
    shared = weights()
    storage = StorageRef("s", DTYPES["float32"], "cpu", 400)
    parts = parts_of({"model": shared, "copy": shared, "head": {"a.weight": tensor(10, storage=storage)}, "epoch": 1})
    sizes = {part.address: part.bytes for part in parts}
    assert sizes == {"model": 32, "copy": 0, "head": 400, "epoch": 0}
    assert {part.address: part.tensors for part in parts}["copy"] == 2


def test_whole_modules() -> None:
    assert kind_of_value(module(), True).value == "whole module"
    found = roles({"model": None, "ema": module(layer=module()), "epoch": -1})
    assert (found["ema"].role, found["ema"].tensors) == ("ema", 2)
    assert kind_of_value({"model": module(), "epoch": 1}, True).value == "checkpoint"


@pytest.mark.parametrize(
    ("tree", "kind"),
    [
        ([tensor(2), tensor(3)], "list of tensors"),
        ({"a": tensor(2), "b": tensor(3)}, "dictionary of tensors"),
        ({"a": [tensor(2)], "b": 1}, "object with tensors"),
        (optimizer(), "optimizer state"),
        ([optimizer(), optimizer()], "optimizer state"),
        ({"optimizer": optimizer(), "epoch": 1}, "checkpoint"),
        ({"last_epoch": 1, "_step_count": 2}, "scheduler state"),
        ({"lr": 0.1}, "plain data"),
        ([], "plain data"),
        ({"a": InertObject(InertGlobal("x", "Y"), "new")}, "object"),
        (InertObject(InertGlobal("x", "Y"), "new"), "object"),
    ],
)
def test_kinds(tree: Any, kind: str) -> None:
    has_tensors = kind not in ("scheduler state", "plain data", "object")
    assert kind_of_value(tree, has_tensors).value == kind


@pytest.mark.parametrize(
    ("kept", "group", "name"),
    [
        ("exp_avg exp_avg_sq", {"weight_decay": 0}, "Adam or AdamW"),
        ("exp_avg exp_avg_sq", {"weight_decay": 0.01}, "AdamW"),
        ("exp_avg exp_avg_sq", {"decoupled_weight_decay": False, "weight_decay": 0.01}, "Adam"),
        ("exp_avg exp_avg_sq mu_product", {}, "NAdam"),
        ("momentum_buffer", {}, "SGD with momentum"),
        ("", {"nesterov": False, "momentum": 0.0}, "SGD"),
        ("", {"nesterov": False, "momentum": 0.9}, "SGD with momentum"),
        ("exp_avg", {}, "Lion"),
        ("square_avg", {}, "RMSprop"),
        ("something", {}, "unknown"),
    ],
)
def test_optimizer(kept: str, group: dict[str, Any], name: str) -> None:
    state = {"state": {0: dict.fromkeys(kept.split(), 1)}, "param_groups": [group]}
    assert optimizer_of(state).value == name


def test_prefixes() -> None:
    assert prefixes_of([]) == []
    assert prefixes_of(["module.a", "b"]) == []
    (found,) = prefixes_of(["_orig_mod.module.a", "_orig_mod.module.b"])
    assert found.prefix == "_orig_mod.module."
    (found,) = prefixes_of(["n_averaged", "module.a"])
    assert "AveragedModel" in found.words


def test_names() -> None:
    assert role_of_name("model_ema") == "ema"
    assert role_of_name("optimizerStates") == "optimizer"
    assert role_of_name("") is None
    assert role_of_name("x" * 10**6) is None


def test_hostile_trees_cost_little() -> None:
    """The same dictionary under many names, wrappers in wrappers, and a chain of generators' names."""
    shared: dict[str, Any] = {f"k{i}": [i] for i in range(20_000)}
    tree: dict[str, Any] = {f"model{i}": {"a": shared} for i in range(3_000)}
    nested: Any = {"rng": 1}
    for _ in range(900):
        nested = {"rng": nested}
    tree["rng"] = nested
    found = parts_of(tree)
    assert len(found) <= 70
    assert found[-1].value == "2,937 more parts"
