"""Whole modules, saved by torch and rescued in a process without it: what the live model's state_dict() gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.rescue.models import MODELS, process_group  # noqa: E402

ROOT = Path(__file__).parents[2]
#: Values that are objects of C++: torch's state dict holds them as they are, a rescued one their tensors.
PACKED = ("dynamic", "dynamic_half")
#: What torch prints from the values of tensors, or from code.
NOT_PRINTED = ("static", "observers", "fx")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The folder of the files, the live models, and what the other process found."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    with warnings.catch_warnings(), process_group():
        warnings.simplefilter("ignore")  # torch's own, of its older interfaces
        models = {name: make() for name, make in MODELS.items()}
        for name, model in models.items():
            torch.save(model, folder / f"{name}.pt")
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("without_torch.py")), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder, models, json.loads(done.stdout)


def loaded(path: Path) -> Any:
    """What torch makes of a file; of quantized tensors it warns of itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")
        return torch.load(path, weights_only=True)


def same(one: Any, other: Any) -> bool:
    """Whether two values of state dicts are equal, bit by bit."""
    if not isinstance(one, torch.Tensor):
        return type(one) is type(other) and (
            all(map(same, one, other)) if isinstance(one, tuple) else bool(one == other)
        )
    if one.dtype != other.dtype or one.shape != other.shape or one.layout != other.layout:
        return False
    if one.is_quantized:
        same_type = one.qscheme() == other.qscheme()
        return same_type and torch.equal(one.dequantize(), other.dequantize())
    if one.layout != torch.strided:
        one, other = one.to_dense(), other.to_dense()
    one, other = one.resolve_conj().contiguous(), other.resolve_conj().contiguous()
    return torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8))


def groups(state: dict[str, Any]) -> set[frozenset[str]]:
    """Names that share a storage."""
    found: dict[int, set[str]] = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor) and value.layout == torch.strided and value.numel():
            found.setdefault(value.untyped_storage().data_ptr(), set()).add(name)
    return {frozenset(names) for names in found.values() if len(names) > 1}


@pytest.mark.parametrize("name", MODELS)
def test_the_state_dict_is_that_of_the_live_model(live: Any, name: str) -> None:
    folder, models, found = live
    wanted = models[name].state_dict()
    got = loaded(folder / f"{name}.out.pt")
    assert list(got) == found[name]["names"] == list(wanted)
    for key, value in wanted.items():
        if isinstance(value, torch.ScriptObject):
            assert name in PACKED
            assert f"{key}: an object of C++ (packed weights)" in " ".join(found[name]["notes"])
            continue
        assert same(value, got[key]), key
        assert isinstance(value, torch.Tensor) is isinstance(got[key], torch.Tensor)
        if isinstance(value, torch.Tensor):
            assert not got[key].requires_grad
    assert groups(got) == groups(wanted)
    models[name].load_state_dict(wanted)  # the live model takes it, and so it takes what was rescued
    if name not in PACKED:
        assert str(models[name].load_state_dict(got)) == "<All keys matched successfully>"


@pytest.mark.parametrize("name", MODELS)
def test_the_versions_are_those_of_the_live_model(live: Any, name: str) -> None:
    folder, models, found = live
    wanted = models[name].state_dict()._metadata
    assert found[name]["order"] == list(wanted)
    assert found[name]["metadata"] == {key: dict(versions) for key, versions in wanted.items()}
    assert loaded(folder / f"{name}.out.pt")._metadata == wanted


@pytest.mark.parametrize("name", [name for name in MODELS if name not in NOT_PRINTED])
@pytest.mark.skipif(torch.__version__ < "2.13", reason="the wording is that of torch 2.13")
def test_the_tree_is_what_print_shows(live: Any, name: str) -> None:
    _, models, found = live
    assert found[name]["tree"].splitlines() == str(models[name]).splitlines()


def test_what_is_printed_of_tensors_or_code_is_left_out(live: Any) -> None:
    _, _, found = live
    assert "(quant): Quantize(dtype=torch.quint8)" in found["static"]["tree"]
    assert "scale=" in found["static"]["tree"]
    assert "(minmax): MinMaxObserver()" in found["observers"]["tree"]
    assert found["fx"]["tree"].startswith("GraphModule(\n  (0): Linear(in_features=3")


def test_classes_and_values_are_told(live: Any) -> None:
    _, _, found = live
    assert found["net"]["unknown"] == ["tests.rescue.models.Net", "tests.rescue.models.Block"]
    assert found["net"]["values"] == {"gone": None, "config": {"depth": 3, "act": "relu"}}
    assert found["block"]["values"] == {"width": 4, "name": "block"}
    (note,) = found["net"]["notes"]
    assert note.startswith("The code of tests.rescue.models.Block, tests.rescue.models.Net is not in the file")
    assert found["transformer"]["unknown"] == []
    assert found["transformer"]["notes"] == []
