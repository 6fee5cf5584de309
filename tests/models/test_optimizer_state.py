"""The state of an optimizer is found wherever checkpoints keep it, in each of its spellings."""

from __future__ import annotations

from typing import Any

import pytest

from dotpt.errors import AmbiguousOptimizer, NoOptimizer, OptimizerMismatch
from dotpt.models.facts import Facts
from dotpt.models.optimizer_state import find_optimizer, length_kept, shape_kept

STATE: dict[str, Any] = {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}


@pytest.mark.parametrize(
    ("checkpoint", "address"),
    [
        (STATE, ""),
        ({"model": {}, "optimizer": STATE}, "optimizer"),
        ({"optimizer_state_dict": STATE, "epoch": 3}, "optimizer_state_dict"),
        ({"optim": STATE}, "optim"),
        ({"optimizer_states": [STATE], "lr_schedulers": [{}]}, "optimizer_states.0"),
        ({"train": {"state": {"opt": STATE}}}, "train.state.opt"),
        ({"last_optimizer_state": STATE}, "last_optimizer_state"),
    ],
)
def test_it_is_found(checkpoint: Any, address: str) -> None:
    found = find_optimizer(checkpoint)
    assert found.address == address
    assert found.ids == [0, 1]
    assert found.state == {0: {"step": 1}}
    assert found.groups[0].settings == {"lr": 0.1}


def test_several_are_not_chosen_from() -> None:
    checkpoint = {"optimizer_states": [STATE, STATE | {"state": {}}]}
    with pytest.raises(AmbiguousOptimizer, match="2 optimizers") as caught:
        find_optimizer(checkpoint)
    assert caught.value.found == ["optimizer_states.0", "optimizer_states.1"]
    assert find_optimizer(checkpoint, "optimizer_states.1").state == {}


def test_none_is_said_with_what_there_is() -> None:
    with pytest.raises(NoOptimizer, match=r"holds model, epoch.*Try: save it too"):
        find_optimizer({"model": {}, "epoch": 3})
    with pytest.raises(NoOptimizer, match=r"at the address optim.*Try: address='optimizer'"):
        find_optimizer({"optimizer": STATE}, "optim")


def test_names_and_states_of_nobody() -> None:
    found = find_optimizer({
        "state": {0: {}, 7: {"step": 1}, "rounds": 3},
        "param_groups": [{"params": [0, 1], "param_names": ["a", "b"], "lr": 1.0}],
    })  # fmt: skip
    assert found.groups[0].names == ("a", "b")
    assert found.groups[0].settings == {"lr": 1.0}
    assert (found.extra, found.orphans) == ({"rounds": 3}, (7,))


def test_the_flat_spelling_of_torch_distributed() -> None:
    found = find_optimizer({
        "state.a.weight.exp_avg": 1, "state.a.weight.step": 2, "state.b.exp_avg": 3,
        "param_groups.a.weight.lr": 0.1, "param_groups.b.lr": 0.2,
    })  # fmt: skip
    assert found.state == {"a.weight": {"exp_avg": 1, "step": 2}, "b": {"exp_avg": 3}}
    assert [(group.ids, group.settings) for group in found.groups] == [
        (("a.weight",), {"lr": 0.1}),
        (("b",), {"lr": 0.2}),
    ]


@pytest.mark.parametrize(
    "state",
    [
        {"state": {}, "param_groups": [{"params": [0]}, {"params": [0]}]},
        {"state": {0: 3}, "param_groups": [{"params": [0]}]},
        {"state": {}, "param_groups": [{"params": 3}]},
        {"state": {}, "param_groups": [{"params": [(1, 2)]}]},
    ],
)
def test_what_only_looks_like_one(state: Any) -> None:
    with pytest.raises(OptimizerMismatch, match="not what torch's optimizers write"):
        find_optimizer(state)


def test_cycles_and_depth_end() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(NoOptimizer):
        find_optimizer(loop)


def test_shapes_that_entries_tell() -> None:
    count, matrix, flat = Facts((), "float32"), Facts((3, 4), "float32"), Facts((12,), "float32")
    assert shape_kept({"step": count, "exp_avg": matrix}) == (3, 4)
    assert shape_kept({"step": count}) is None
    assert shape_kept({"momentum_buffer": None}) is None
    assert shape_kept({"mine": matrix, "other": matrix}) == (3, 4)
    assert shape_kept({"mine": matrix, "other": flat}) is None
    assert shape_kept({"exp_avg_sq_row": Facts((3,), "float32"), "exp_avg_sq_col": Facts((4,), "float32")}) == (3, 4)
    lbfgs = {"func_evals": 1, "n_iter": 1, "d": flat}
    assert (shape_kept(lbfgs), length_kept(lbfgs)) == (None, 12)
