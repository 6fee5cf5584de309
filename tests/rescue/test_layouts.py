"""Checkpoints as libraries write them, around classes that are not there when they are rescued; and any module."""

from __future__ import annotations

import io
import pickle
from argparse import Namespace
from collections import OrderedDict
from enum import Enum
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

import dotpt  # noqa: E402


class Task(Enum):
    """An enumeration among hyper-parameters."""

    DETECT = "detect"


class AttributeDict(dict[str, Any]):
    """As Lightning keeps its hyper-parameters."""


class Config:
    """An object of a library."""

    def __init__(self) -> None:
        self.width = 4
        self.inner = {"task": Task.DETECT, "shape": torch.Size([2, 3]), "dtype": torch.float16}
        self.tensor = torch.zeros(2)


def rescued(value: Any) -> Any:
    out = io.BytesIO()
    torch.save(value, out)
    return dotpt.rescue(out.getvalue(), backend="torch")


def equal(found: Any, wanted: dict[str, Any]) -> bool:
    got = found.state_dict
    return list(got) == list(wanted) and all(torch.equal(got[name], value) for name, value in wanted.items())


def test_lightning_with_classes_of_its_own() -> None:
    model = nn.Linear(2, 3)
    found = rescued({
        "epoch": 4, "state_dict": model.state_dict(), "hyper_parameters": AttributeDict(lr=0.1, config=Config()),
        "optimizer_states": [torch.optim.Adam(model.parameters()).state_dict()], "callbacks": {Config: {"best": 0.5}},
    })  # fmt: skip
    assert equal(found, model.state_dict())
    parameters = found.values["hyper_parameters"]
    assert parameters["lr"] == 0.1
    assert parameters["config"]["width"] == 4
    assert parameters["config"]["__class__"] == f"{__name__}.Config"
    assert parameters["config"]["inner"] == {"task": "detect", "shape": [2, 3], "dtype": "torch.float16"}
    assert {needed.name.rpartition(".")[2] for needed in found.unknown} == {"AttributeDict", "Config", "Task"}


def test_fairseq_and_whisper() -> None:
    model = nn.Linear(2, 3)
    found = rescued({
        "args": Namespace(arch="transformer", lr=[0.1], config=Config()), "cfg": {"task": Config()},
        "model": model.state_dict(), "criterion": None, "optimizer_history": [{"num_updates": 7}],
        "last_optimizer_state": torch.optim.Adam(model.parameters()).state_dict(), "extra_state": {"epoch": 2},
    })  # fmt: skip
    assert (found.address, equal(found, model.state_dict())) == ("model", True)
    assert found.values["args"]["arch"] == "transformer"
    assert found.values["args"]["config"]["width"] == 4
    assert found.values["optimizer_history"] == [{"num_updates": 7}]
    found = rescued({"dims": {"n_mels": 80}, "model_state_dict": model.state_dict()})
    assert (found.address, found.values) == ("model_state_dict", {"dims": {"n_mels": 80}})


def test_ultralytics_in_half_precision() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).half()
    found = rescued({"epoch": 1, "model": model, "ema": None, "train_args": {"imgsz": 640}, "date": "2026-11-22"})
    assert (found.address, equal(found, model.state_dict())) == ("model", True)
    assert found.state_dict["0.weight"].dtype == torch.float16
    assert found.values["train_args"] == {"imgsz": 640}


def test_what_lies_beside_the_tensors_is_a_value() -> None:
    found = rescued({**{f"{name}.weight": torch.ones(2) for name in "abc"}, "epoch": 3, "name": "best"})
    assert list(found.state_dict) == ["a.weight", "b.weight", "c.weight"]
    assert found.values == {"epoch": 3, "name": "best"}
    inner = rescued({"model": {"a.weight": torch.zeros(2), "b.weight": torch.ones(2), "epoch": 3}, "best": 0.5})
    assert inner.values == {"model": {"epoch": 3}, "best": 0.5}
    assert found.notes == ["epoch is no tensor: it is among the values.", "name is no tensor: it is among the values."]


def test_the_extra_state_of_a_state_dict_stays() -> None:
    class Counted(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"seen": 3}

        def set_extra_state(self, state: Any) -> None:
            pass

    model = Counted(2, 2)
    found = rescued({"model": model.state_dict()})
    assert found.state_dict["_extra_state"] == {"seen": 3}
    assert str(model.load_state_dict(found.state_dict)) == "<All keys matched successfully>"


class Bomb:
    """What a hostile file has in place of a module. The pickle names a function that must not be called."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("the file ran something",)


def test_nothing_of_a_file_is_called() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model.hidden = Bomb()
    model._modules["bomb"] = Bomb()  # type: ignore[assignment]
    model._parameters["weight"] = Bomb()  # type: ignore[assignment]
    out = io.BytesIO()
    torch.save(model, out, pickle_module=pickle)
    found = dotpt.rescue(out.getvalue(), backend="torch")
    assert list(found.state_dict) == ["0.weight", "0.bias"]
    text = " ".join(found.notes)
    assert "weight: a _pytest.outcomes." in text
    assert "bomb: a _pytest.outcomes." in text
    str(found.tree)
    found.to_dict()


NAMES = st.sampled_from(["a", "b", "conv", "weight_x", "0", "ä", "x y"])


@st.composite
def models(draw: Any, depth: int = 0) -> nn.Module:
    """Any module: nested, shared, with tied and missing parameters, buffers of both kinds."""
    model = nn.Module()
    tensors = st.sampled_from([torch.zeros(2), torch.ones(2, 3).t(), torch.arange(3), torch.tensor(1.5).bfloat16()])
    shared = nn.Parameter(torch.randn(2))
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        kind = draw(st.sampled_from(["parameter", "tied", "none", "buffer", "passing", "module", "shared", "layer"]))
        if kind == "parameter":
            model.register_parameter(name, nn.Parameter(draw(tensors).float()))
        elif kind == "tied":
            model.register_parameter(name, shared)
        elif kind == "none":
            model.register_parameter(name, None)
        elif kind in ("buffer", "passing"):
            model.register_buffer(name, draw(tensors), persistent=kind == "buffer")
        elif kind == "layer":
            model.add_module(name, draw(st.sampled_from([nn.BatchNorm1d(2), nn.Linear(1, 1), nn.ReLU(), None])))
        elif depth < 3:
            below = draw(models(depth + 1))
            model.add_module(name, below)
            if kind == "shared":
                model.add_module(f"{name}_again", below)
    return model


@settings(max_examples=60, deadline=None)
@given(models())
def test_any_module_gives_its_state_dict(model: nn.Module) -> None:
    wanted = OrderedDict(model.state_dict())
    wanted_metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    found = rescued(model)
    assert equal(found, wanted)
    assert {name: dict(versions) for name, versions in found.metadata.items()} == wanted_metadata
    assert str(found.tree) == str(model)
