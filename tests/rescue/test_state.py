"""The state dict of a pickled module: what the stored files say, odd modules, hostile ones. Needs no torch."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import pytest

import dotpt
from dotpt.errors import LimitExceeded
from dotpt.limits import Limits
from dotpt.pickling.values import InertGlobal, InertObject, Symbol
from dotpt.rescue.made import tensor_of_number
from dotpt.rescue.state import state_of
from dotpt.rescue.tree import tree_of
from tests.corpus.stored import FIXTURES


def tensor() -> Any:
    return tensor_of_number(1.5)


def module(
    cls: str = "torch.nn.modules.module.Module", *, modules: Any = None, parameters: Any = None, **attributes: Any
) -> InertObject:
    record = InertObject(InertGlobal(*cls.rsplit(".", 1)), "new")
    parts = {"_parameters": {} if parameters is None else parameters, "_buffers": {}, "_modules": modules or {}}
    record.states.append({"training": False} | parts | attributes)
    return record


@pytest.mark.parametrize(("name", "left_out"), [("module", []), ("module_custom", ["scratch", "stride"])])
def test_stored_modules(name: str, left_out: list[str]) -> None:
    with dotpt.open(FIXTURES / f"zip/{name}.pt") as archive:
        tensors = archive.tensors
        found = state_of(archive.tree)
        assert sorted([*found.state, *left_out]) == sorted(tensors)
        for key, ref in found.state.items():
            assert ref.numpy().tobytes() == tensors[key].numpy().tobytes()


def test_tied_weights_share_a_storage() -> None:
    with dotpt.open(FIXTURES / "zip/module_tied.pt") as archive:
        state = state_of(archive.tree).state
    assert state["embed.weight"].storage is state["head.weight"].storage
    assert state["embed.weight"] is not state["head.weight"]
    assert not state["embed.weight"].requires_grad
    assert state["embed.weight"].flavor == "tensor"


def test_a_shared_module_stands_under_each_name() -> None:
    with dotpt.open(FIXTURES / "zip/module_shared.pt") as archive:
        found = state_of(archive.tree)
    assert list(found.state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert found.state["0.weight"].storage is found.state["2.weight"].storage
    assert list(found.metadata) == ["", "0", "1", "2"]


def test_buffers_that_are_not_persistent_and_parts_that_are_none() -> None:
    record = module(
        parameters={"weight": tensor(), "bias": None},
        _buffers=OrderedDict(kept=tensor(), gone=tensor(), none=None),
        _non_persistent_buffers_set={"gone"},
        modules={"absent": None},
    )
    assert list(state_of(record).state) == ["weight", "kept"]


def test_a_batch_norm_of_before_its_counter_is_of_version_1() -> None:
    norm = module("torch.nn.modules.batchnorm.BatchNorm2d", track_running_stats=True)
    assert state_of(norm).metadata == {"": {"version": 1}}
    norm.states[-1]["_buffers"] = {"num_batches_tracked": tensor()}
    assert state_of(norm).metadata == {"": {"version": 2}}


def test_a_norm_of_another_library_has_the_version_of_torchs() -> None:
    usual = {"num_features": 3, "eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": False}
    assert state_of(module("timm.layers.BatchNormAct2d", **usual)).metadata[""] == {"version": 2}
    assert state_of(module("timm.layers.Other", eps=1e-5)).metadata[""] == {"version": 1}


def test_hooks_are_named_and_not_run() -> None:
    record = module(_state_dict_hooks=OrderedDict({0: InertGlobal("my.hooks", "rename")}))
    (note,) = state_of(record).notes
    assert note == "the module itself: a my.hooks.rename could change what state_dict() gives; it was not run."


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"_parameters": [1]}, "its _parameters are a list; they were left out"),
        ({"_buffers": "no"}, "its _buffers are a str"),
        ({"_modules": (1, 2)}, "its _modules are a tuple"),
        ({"_parameters": {"w": 3 + 4j, "v": object()}}, "v: a object stands where a tensor should"),
        ({"_parameters": {"w": InertObject(InertGlobal("my", "Packed"), "call")}}, "w: a my.Packed stands where"),
        ({"_parameters": {7: tensor()}}, "the name of a parameter is a int, and no text"),
        ({"_modules": {"a": 3}}, "a: a int lies where a module should"),
        ({"_modules": {"a": InertObject(InertGlobal("os", "system"), "call")}}, "a: a os.system lies where a module"),
        ({"_modules": {("x",): module()}}, "the name of a submodule is no text"),
        ({"_non_persistent_buffers_set": ["b"]}, "its _non_persistent_buffers_set is a list"),
        ({"_parameters": {"w": {"a": [tensor(), {(1,): 2}]}}}, "w: it has a tuple as a key"),
    ],
)
def test_what_is_odd_is_said(parts: dict[str, Any], words: str) -> None:
    record = module()
    record.states[-1].update(parts)
    found = state_of(record)
    assert words in " ".join(found.notes)
    assert not any(type(value) is InertObject for value in found.state.values())
    str(tree_of(record))


def test_a_class_of_torch_whose_state_is_a_list() -> None:
    record = InertObject(InertGlobal("torch.nn.modules.linear", "Linear"), "new")
    record.states.append([1, 2])
    assert state_of(record).state == {}
    assert str(tree_of(record)) == "Linear(bias=False)"
    assert state_of(module(modules={"a": record})).notes == [
        "a: a torch.nn.modules.linear.Linear lies where a module should; it was left out."
    ]


def test_a_module_within_itself() -> None:
    inner = module(parameters={"w": tensor()})
    outer = module(modules={"inner": inner})
    inner.states[-1]["_modules"] = {"outer": outer, "self": inner}
    found = state_of(outer)
    assert list(found.state) == ["inner.w"]
    assert found.notes == [
        "inner.outer: the module lies within itself; it was not followed again.",
        "inner.self: the module lies within itself; it was not followed again.",
    ]
    assert str(tree_of(outer)).count("(the module lies within itself)") == 2


def test_a_very_deep_module() -> None:
    record = module(parameters={"w": tensor()})
    for _ in range(10_000):
        record = module(modules={"x": record})
    with pytest.raises(LimitExceeded, match="nesting"):
        state_of(record)
    with pytest.raises(LimitExceeded, match="nesting"):
        tree_of(record)
    deep = Limits(nesting=20_000, decoded_bytes=1 << 40)
    assert list(state_of(record, limits=deep).state) == ["x." * 10_000 + "w"]
    assert sum(1 for _ in tree_of(record, limits=deep).lines()) == 20_001


def test_a_module_with_a_great_many_paths() -> None:
    record = module("torch.nn.modules.container.ModuleList", parameters={"w": tensor()})
    for _ in range(100):
        record = module("torch.nn.modules.container.ModuleList", modules={"0": record, "1": record})
    begin = time.perf_counter()
    with pytest.raises(LimitExceeded, match="decoded_bytes"):
        state_of(record)
    folded = str(tree_of(record))  # children that look the same are one row
    assert folded.count("(0-1): 2 x ModuleList(") == 100
    for _ in range(100):
        record = module(modules={"0": record, "1": record})
    assert "more than 100,000 lines" in str(tree_of(record))
    assert time.perf_counter() - begin < 20


def test_names_with_odd_characters() -> None:
    name = "a.b\n\x1b[31m\ud800 ä"
    record = module(modules={name: module(parameters={name: tensor()})}, parameters={f"{name}.{name}": tensor()})
    found = state_of(record)
    assert list(found.state) == [f"{name}.{name}"]
    assert "two values have this name" in found.notes[0]
    text = str(tree_of(record))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3


def test_so_much_that_is_odd_is_counted() -> None:
    found = state_of(module(modules={str(at): at for at in range(5_000)}))
    assert len(found.notes) == 101
    assert found.notes[-1] == "and 4,900 more notes of this kind."


def test_a_quantized_convolution_that_pickles_a_tuple() -> None:
    record = InertObject(InertGlobal("torch.nn.quantized.modules.conv", "Conv2d"), "new")
    kernel = ((3, 3), (1, 1), (0, 0), (1, 1))
    record.states.append((3, 4, *kernel, False, (0, 0), 1, "zeros", tensor(), None, 0.25, 3, True))
    found = state_of(record)
    assert list(found.state) == ["weight", "bias", "scale", "zero_point"]
    assert found.state["bias"] is None
    assert str(tree_of(record)) == (
        "QuantizedConv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), scale=0.25, zero_point=3, bias=False)"
    )


def test_numbers_become_the_tensors_that_torch_makes_of_them() -> None:
    import numpy as np

    with dotpt.open(FIXTURES / "zip/module.pt") as archive:
        for value, dtype in ((True, "bool"), (0.1, "float32"), (1e300, "float32"), (7, "int64"), (-(2**70), "int64")):
            ref = tensor_of_number(value)
            ref.archive = archive
            assert ref.dtype.name == dtype
            with np.errstate(over="ignore"):
                wanted = np.array(max(value, -(2**63))).astype(dtype)
            assert ref.numpy() == wanted
            assert ref.shape == ()


def test_a_schemes_name_is_a_value() -> None:
    record = module("torch.ao.nn.quantized.modules.linear.LinearPackedParams", dtype=Symbol("per_tensor_affine"))
    record.states[-1]["_packed_params"] = None
    assert state_of(record).state["dtype"] == Symbol("per_tensor_affine")
