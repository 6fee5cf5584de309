"""`dotpt.patch_torch`: torch's two functions are ours for a while, and then exactly what they were."""

from __future__ import annotations

import copy
import inspect
import io
import os
import pickle
import sys
import warnings
import zipfile
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest

import dotpt

torch = pytest.importorskip("torch")

from dotpt.errors import UsageError  # noqa: E402

pytestmark = pytest.mark.torch
# In a dictionary: a name of this module would be patched, like that of any other.
TORCHS = {"save": torch.save, "load": torch.load}


def by_us(file) -> bool:
    """Whether we have written a file."""
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith(".dotpt/manifest.json") for name in archive.namelist())


def ours() -> dict[str, bool]:
    """Which functions are ours, in all the places that torch itself has them."""
    found = {}
    for name, function in TORCHS.items():
        here = getattr(torch, name)
        assert here is getattr(torch.serialization, name)
        found[name] = here is not function
    return found


def all_names() -> dict[str, dict[str, int]]:
    """What every name of every module holds, except in the test runner, which counts as it goes."""
    return {
        key: {name: id(value) for name, value in vars(module).items()}
        for key, module in sys.modules.copy().items()
        if type(module) is ModuleType and key.partition(".")[0] not in ("hypothesis", "_pytest", "pytest")
    }


@pytest.fixture
def user(monkeypatch):
    """A module that has bound torch's functions by name, as ``from torch import load`` does."""
    module = ModuleType("user_of_torch")
    vars(module).update(read=torch.load, write=torch.save)
    monkeypatch.setitem(sys.modules, "user_of_torch", module)
    return module


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert ours() == {"save": False, "load": False}


# -- patching and undoing ---------------------------------------------------------------------------------------------


def test_every_name_of_every_module_is_as_it_was(user):
    dotpt.patch_torch().undo()  # what is imported for it, is
    before = all_names()
    with dotpt.patch_torch():
        changed = all_names()
        assert ours() == {"save": True, "load": True}
        assert changed["user_of_torch"] != before["user_of_torch"]
        assert user.read is torch.load
        assert user.write is torch.save
    assert all_names() == before
    assert changed.keys() == before.keys()
    different = {key for key in before if changed[key] != before[key]}
    assert different == {"torch", "torch.serialization", "user_of_torch"}


@pytest.mark.parametrize(("save", "load"), [(True, False), (False, True), (True, True), (False, False)])
def test_each_function_by_itself(save, load):
    with dotpt.patch_torch(save=save, load=load):
        assert ours() == {"save": save, "load": load}


def test_a_patch_without_with():
    patch = dotpt.patch_torch()
    assert patch.active
    assert ours()["save"]
    patch.undo()
    patch.undo()
    assert not patch.active
    with pytest.raises(UsageError, match="has been undone"), patch:
        raise AssertionError("not reached")


def test_an_error_inside_ends_it():
    with pytest.raises(ZeroDivisionError), dotpt.patch_torch():
        1 / 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_nested_patches_end_in_any_order(order, user):
    patches = [dotpt.patch_torch(load=False), dotpt.patch_torch(save=False), dotpt.patch_torch()]
    left = {0: "save", 1: "load", 2: "save load"}
    for number in order:
        patches[number].undo()
        del left[number]
        words = " ".join(left.values())
        assert ours() == {"save": "save" in words, "load": "load" in words}
        assert (user.read is TORCHS["load"]) == ("load" not in words)


def test_a_library_that_is_imported_meanwhile(monkeypatch):
    with dotpt.patch_torch():
        module = ModuleType("late_user_of_torch")
        exec("from torch import load, save as write", vars(module))
        monkeypatch.setitem(sys.modules, "late_user_of_torch", module)
        assert module.load is torch.load
    assert module.load is TORCHS["load"]
    assert module.write is TORCHS["save"]


def test_they_look_like_torchs():
    with dotpt.patch_torch():
        for name, function in TORCHS.items():
            mine = getattr(torch, name)
            assert inspect.signature(mine) == inspect.signature(function)
            assert mine.__doc__ == function.__doc__
            assert pickle.loads(pickle.dumps(mine)) is mine
            assert copy.deepcopy(mine) is mine
        assert torch.load.__module__ == "torch.serialization"


def test_without_torch_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr("dotpt.dropin.patch.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "dotpt.dropin.torch_patch", None)
    monkeypatch.delattr("dotpt.dropin.torch_patch", raising=False)
    with pytest.raises(ImportError, match="torch is not installed") as caught:
        dotpt.patch_torch()
    assert caught.value.hint == "pip install torch"


# -- saving -----------------------------------------------------------------------------------------------------------


def test_saving_is_ours_and_atomic(tmp_path, user):
    path = tmp_path / "a.pt"
    state = torch.nn.Linear(3, 4).state_dict()
    with dotpt.patch_torch():
        user.write(state, path)
        assert by_us(path)
        old = path.read_bytes()
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            torch.save({"model": state, "hook": lambda: None}, path)
        assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pt"]
    loaded = torch.load(path)
    assert isinstance(loaded, OrderedDict)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_every_way_to_name_the_arguments(tmp_path):
    with dotpt.patch_torch(durable=False):
        torch.save([1], tmp_path / "a.pt", pickle, 2, True, False)
        torch.save(obj=[1], f=str(tmp_path / "b.pt"), pickle_protocol=4)
        torch.save([1], io.BytesIO(), pickle_module=pickle)
        torch.save([1], tmp_path / "c.pt", _use_new_zipfile_serialization=False)
        assert torch.load(f=tmp_path / "a.pt", map_location="cpu") == torch.load(tmp_path / "c.pt", "cpu") == [1]
        with pytest.raises(TypeError, match="unexpected keyword argument 'format'"):
            torch.save([1], tmp_path / "d.pt", format="legacy")
        with pytest.raises(TypeError):
            torch.save([1])
    assert by_us(tmp_path / "a.pt")
    assert by_us(tmp_path / "b.pt")


@pytest.mark.parametrize("durable", [True, False])
def test_durable_is_asked_for(tmp_path, monkeypatch, durable):
    calls = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with dotpt.patch_torch(durable=durable):
        torch.save([1], tmp_path / "a.pt")
    assert bool(calls) is durable


def test_the_last_of_several_says_what_is_durable(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with dotpt.patch_torch(durable=True):
        with dotpt.patch_torch(durable=False):
            torch.save([1], tmp_path / "a.pt")
        assert not calls
        torch.save([1], tmp_path / "a.pt")
        assert calls


def test_numpy_arrays_stay_numpys(tmp_path):
    with dotpt.patch_torch(durable=False):
        torch.save({"a": np.arange(3), "b": np.float64(2)}, tmp_path / "a.pt")
    loaded = torch.load(tmp_path / "a.pt", weights_only=False)
    assert type(loaded["a"]) is np.ndarray
    assert type(loaded["b"]) is np.float64


def test_the_same_object_gives_the_same_bytes(tmp_path):
    with dotpt.patch_torch(durable=False):
        for name in ("a.pt", "another.name"):
            torch.save({"a": torch.arange(9.0)}, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another.name").read_bytes()


# -- loading ----------------------------------------------------------------------------------------------------------


def test_what_is_not_read_is_not_verified(tmp_path):
    """Loading verifies every byte it reads; to the meta device it reads none, and mapped ones are read when used."""
    path = tmp_path / "a.pt"
    torch.save({"a": torch.ones(100_000)}, path)
    path.write_bytes(path.read_bytes().replace(b"\x00\x00\x80\x3f", b"\x00\x00\x80\x40", 1))
    with dotpt.patch_torch(save=False):
        with pytest.raises(RuntimeError, match="checksum"):
            torch.load(path)
        for meta in ("meta", torch.device("meta")):
            assert torch.load(path, map_location=meta)["a"].is_meta
        assert torch.load(path, mmap=True)["a"][0] == 4
        torch.utils.serialization.config.load.mmap = True
        try:
            assert torch.load(path)["a"][0] == 4
        finally:
            torch.utils.serialization.config.load.mmap = False


# -- torch's own use of them ------------------------------------------------------------------------------------------


def test_storages_that_are_pickled_go_through_them():
    """torch pickles a storage as a file within the pickle, which it writes and reads with these functions."""
    with dotpt.patch_torch(durable=False):
        tensor = torch.arange(6.0).reshape(2, 3)
        by_patched = pickle.dumps(tensor)
        assert torch.equal(pickle.loads(by_patched), tensor)
        assert torch.equal(copy.deepcopy(tensor), tensor)
        torch.save(tensor, buffer := io.BytesIO(), pickle_module=pickle)
    assert torch.equal(pickle.loads(by_patched), tensor)
    assert torch.equal(torch.load(io.BytesIO(buffer.getvalue())), tensor)


def test_the_hub_loads_through_them(tmp_path, monkeypatch):
    torch.save({"w": torch.ones(3)}, tmp_path / "source.pt")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with dotpt.patch_torch():
        loaded = torch.hub.load_state_dict_from_url((tmp_path / "source.pt").as_uri(), progress=False)
    assert torch.equal(loaded["w"], torch.ones(3))


def test_distributed_checkpoints_are_saved_through_them(tmp_path):
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    state = {"model": torch.nn.Linear(3, 4).state_dict(), "step": 7}
    with warnings.catch_warnings(), dotpt.patch_torch(durable=False):
        warnings.simplefilter("ignore")
        checkpoint.save(state, checkpoint_id=tmp_path / "dcp", no_dist=True)
        again = {"model": torch.nn.Linear(3, 4).state_dict(), "step": 0}
        checkpoint.load(again, checkpoint_id=tmp_path / "dcp", no_dist=True)
    assert again["step"] == 7
    assert torch.equal(again["model"]["weight"], state["model"]["weight"])


def test_compiled_functions_may_save(tmp_path):
    def step(x):
        y = x * 2
        torch.save(y, tmp_path / "a.pt")
        return y + 1

    with warnings.catch_warnings(), dotpt.patch_torch(durable=False):
        warnings.simplefilter("ignore")
        assert torch.equal(torch.compile(step, backend="eager")(torch.ones(2)), torch.full((2,), 3.0))
        assert torch.equal(torch.load(tmp_path / "a.pt"), torch.full((2,), 2.0))
