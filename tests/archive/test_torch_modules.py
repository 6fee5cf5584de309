"""Whole models of torch's own layers: loaded without trust, and just what ``torch.load(weights_only=False)`` gives."""

from __future__ import annotations

import inspect
import io
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.errors import ClassesChanged, NameMissing, UnsafeGlobal
from dotpt.pickling import nn_names
from dotpt.pickling.values import InertObject

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from dotpt.archive.torch_modules import TorchLayers  # noqa: E402
from dotpt.pickling.changes import Changes  # noqa: E402
from tests.archive.whole_models import MODELS, residual  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.pickling.trusted import Data  # noqa: E402

nn = torch.nn
OLD = Path(__file__).parents[1] / "corpus" / "old_fixtures"


def saved(value: Any, protocol: int = 2, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def by_torch(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=False)


# -- what torch gives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_what_torch_gives(name: str, protocol: int, zipped: bool) -> None:
    torch.manual_seed(0)
    data = saved(MODELS[name][0](), protocol, zipped)
    assert same(dotpt.load(data), by_torch(data)) is None


@pytest.mark.parametrize("name", [name for name, (_, shape) in MODELS.items() if shape])
def test_it_works_like_the_one_that_was_saved(name: str) -> None:
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model, x = make(), torch.rand(shape)
    found = dotpt.load(saved(model))
    assert found.training is model.training
    assert list(found.state_dict()) == list(model.state_dict())
    assert repr(found) == repr(model)
    for net in (model, found):
        net.eval()
    first = [net(x) for net in (model, found)]
    outputs = [out[0] if isinstance(out, tuple) else out for out in first]
    assert torch.equal(*outputs)


def test_a_model_can_be_trained_and_saved_again() -> None:
    torch.manual_seed(0)
    model = dotpt.load(saved(residual())).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    again = dotpt.load(saved(model))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    buffer = io.BytesIO()
    dotpt.save(model, buffer)
    assert same(dotpt.load(buffer.getvalue()), again) is None


def test_no_random_number_is_drawn() -> None:
    data = saved(residual())
    before = torch.get_rng_state()
    dotpt.load(data)
    assert torch.equal(torch.get_rng_state(), before)


def test_sharing_is_kept() -> None:
    found = dotpt.load(saved(MODELS["shared"][0]()))
    assert found[0] is found[2]
    assert found[3].weight is found[0].weight


def test_devices_and_mapping(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(residual(), path)
    assert dotpt.load(path, map_location="meta")[0].weight.is_meta
    assert same(dotpt.load(path, mmap=True), torch.load(path, weights_only=False)) is None


def test_models_of_old_versions_of_torch() -> None:
    tried = 0
    for path in sorted(OLD.glob("*/module-*.pt")):
        found = dotpt.load(path, limits=dotpt.Limits(deflated=True))
        assert isinstance(found, nn.Sequential)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                wanted = torch.load(path, weights_only=False)
            except Exception:  # what torch cannot read is no yardstick
                continue
        assert same(found, wanted) is None, path
        tried += 1
    assert tried > 15


# -- what is not a whole model for us ----------------------------------------------------------------------------------


def test_weights_only_means_weights_only(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(nn.Linear(1, 1))
    with pytest.raises(UnsafeGlobal, match="leave weights_only=True out"):
        dotpt.load(data, weights_only=True)
    with dotpt.patch_torch(), pytest.raises(UnsafeGlobal, match="was not an allowed global by default"):
        torch.load(io.BytesIO(data))
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(UnsafeGlobal):
        dotpt.load(data)


def test_without_torch_the_error_says_what_to_do() -> None:
    with pytest.raises(UnsafeGlobal, match=r"a layer of torch.*dotpt\.rescue\(path\) gives its state dict"):
        dotpt.load(saved(nn.Linear(1, 1)), backend="numpy")
    inert = dotpt.load(saved(nn.Linear(1, 1)), backend="numpy", unknown="inert")
    assert type(inert) is InertObject


def test_a_part_of_a_model_is_no_model() -> None:
    with pytest.raises(UnsafeGlobal, match="leave only= out"):
        dotpt.load(saved(residual()), only="0.*")


def test_records_stay_records_around_what_is_unknown() -> None:
    data = saved({"net": nn.Sequential(nn.Linear(1, 1)), "data": Data(1)})
    inert = dotpt.load(data, unknown="inert")
    assert [type(part) for part in inert.values()] == [InertObject, InertObject]
    assert type(dotpt.load(saved(nn.Linear(1, 1)), unknown="inert")) is nn.Linear
    with pytest.raises(UnsafeGlobal) as caught:
        dotpt.load(data)
    assert [str(name) for name in caught.value.globals] == ["tests.pickling.trusted.Data"]


def test_layers_beside_trusted_classes() -> None:
    data = saved({"net": nn.Sequential(nn.Linear(1, 1)), "data": Data(1, nn.ReLU())})
    found = dotpt.load(data, trust=[Data])
    assert type(found["net"][0]) is nn.Linear
    assert type(found["data"].content) is nn.ReLU


@pytest.mark.parametrize("make", [
    lambda: nn.LazyLinear(3), lambda: torch.optim.SGD([torch.ones(1)]), lambda: nn.Linear(1, 1).forward,
    lambda: nn.utils.rnn.pack_sequence([torch.ones(1)]), lambda: torch.optim.swa_utils.AveragedModel(nn.Linear(1, 1)),
    lambda: torch.nn.init.ones_, lambda: torch.load, lambda: torch.nn.functional.handle_torch_function,
])  # fmt: skip
def test_the_rest_of_torch_needs_trust(make: Any) -> None:
    with pytest.raises(UnsafeGlobal):
        dotpt.load(saved(make()))


# -- the lists ---------------------------------------------------------------------------------------------------------

#: Of torch's layers, those that are left out, and those that only other classes are made from.
DEPRECATED = ("Container", "NLLLoss2d")
LEFT_OUT = ("Lazy", "_", "DistributedDataParallel")


def test_every_layer_of_this_torch_is_listed() -> None:
    here = {value for value in vars(nn).values() if inspect.isclass(value) and issubclass(value, nn.Module)}
    names = {(cls.__module__, cls.__qualname__) for cls in here if not cls.__name__.startswith(LEFT_OUT)}
    assert names - nn_names.LAYERS == set()


def test_every_name_leads_to_what_it_says() -> None:
    layers = TorchLayers(Changes())
    gone = []
    for module, name in sorted(nn_names.LAYERS | nn_names.HELPERS | nn_names.FUNCTIONS):
        try:
            found = layers.value(module, name)
        except NameMissing:
            gone.append((module, name))
            continue
        if (module, name) in nn_names.LAYERS:
            assert issubclass(found, nn.Module)
            assert found.__new__ is object.__new__ or name in DEPRECATED  # they warn whoever makes one
            restore = found.__setstate__
            assert restore.__module__.startswith("torch.nn.modules.")
        elif (module, name) in nn_names.HELPERS:
            assert isinstance(found, type)
        else:
            assert callable(found)
            assert not isinstance(found, type)
    assert gone == [], gone


def test_a_function_of_the_lists_comes_back_from_a_file() -> None:
    tried = 0
    for module, name in sorted(nn_names.FUNCTIONS):
        if module in ("torch", "torch.nn.functional"):
            function = TorchLayers(Changes()).value(module, name)
            try:
                data = saved(function)
            except (pickle.PicklingError, AttributeError):  # one made by another function
                continue
            assert dotpt.load(data) is function, name
            tried += 1
    assert tried > 100


def test_old_layers_get_what_they_lack() -> None:
    """What layers of torch 0.3 have not: they are filled from today's constructors, and it is said."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 2), nn.CrossEntropyLoss())
    for layer, name in ((model[0], "track_running_stats"), (model[1], "inplace"), (model[3], "reduction")):
        del layer.__dict__[name]
    model.named = nn.ParameterDict({"a": nn.Parameter(torch.ones(1))})
    model.listed = nn.ParameterList([torch.ones(1)])
    del model.named.__dict__["_keys"], model.listed.__dict__["_size"]
    with pytest.warns(ClassesChanged, match=r"BatchNorm1d sets more today than the file has: track_running_stats"):
        found = dotpt.load(saved(model))
    assert found[0].track_running_stats is True
    assert found[1].inplace is False
    assert found[3].reduction == "mean"
    assert list(found.named) == ["a"]
    assert len(found.listed) == 1


def test_the_library_of_layers_before_torch_1_3_is_none() -> None:
    found = TorchLayers(Changes()).make(*nn_names.BACKEND)
    assert found is None


def test_torch_is_not_asked_for_a_file_that_names_none_of_it() -> None:
    code = "import sys, dotpt; dotpt.load(b'\\x80\\x02N.', backend='numpy'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inspect_says_that_it_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(OrderedDict(model=residual(), epoch=1), path)
    report = dotpt.inspect(path)
    assert report.safety.verdict == "harmless"
    assert "layers of torch among them: dotpt.load gives the whole model" in report.safety.words
    assert not report.safety.weights_only
    assert report.safety.unknown == []
    assert any("dotpt.load(" in line and "['model']" in line for line in report.usage)
