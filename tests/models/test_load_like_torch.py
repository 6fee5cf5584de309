"""`dotpt.load_into` gives the model that load_state_dict gives, to the bit, and refuses what that refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dotpt
from dotpt.errors import FitError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

from tests.models.live_models import (  # noqa: E402
    SHAPES,
    TO,
    Hooked,
    Odd,
    Owner,
    build,
    everything,
    extras,
    fill,
    objects,
    same,
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:Casting complex")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES, source_to=TO, target_to=TO, live=st.booleans())
def test_it_gives_what_load_state_dict_gives(
    tmp_path: Path, shape: Any, source_to: Any, target_to: Any, live: bool
) -> None:
    torch.manual_seed(0)
    source = fill(build(shape), 1)
    torch.manual_seed(0)
    target = fill(build(shape), 2)
    if source_to is not None:
        source.to(source_to)
    if target_to is not None:
        target.to(target_to)
    torch.manual_seed(0)
    expected = fill(build(shape), 2)
    if target_to is not None:
        expected.to(target_to)
    before = objects(target)
    path = tmp_path / "weights.pt"
    torch.save(source.state_dict(), path)
    expected.load_state_dict(source.state_dict())
    report = dotpt.load_into(target, source.state_dict() if live else path)
    same(target, expected)
    assert objects(target) == before
    assert report.ok
    assert report.loaded
    assert not report.missing
    assert not report.unexpected
    assert not report.renamed
    json.dumps(report.to_dict())
    assert len(str(report)) > 10


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES, meta=st.booleans(), mapped=st.booleans())
def test_assign_gives_what_load_state_dict_gives(tmp_path: Path, shape: Any, meta: bool, mapped: bool) -> None:
    source, target, expected = (fill(build(shape), seed) for seed in (1, 2, 2))
    if meta:
        target, expected = target.to("meta"), expected.to("meta")
    path = tmp_path / "weights.pt"
    torch.save(source.state_dict(), path)
    expected.load_state_dict(torch.load(path, weights_only=False), assign=True)
    report = dotpt.load_into(target, path, assign=True, mmap=mapped, verify=not mapped)
    assert everything(target)[:2] == everything(expected)[:2]
    assert extras(target) == extras(expected)
    assert report.ok


CHANGES = st.lists(
    st.tuples(st.sampled_from(["drop", "extra", "reshape", "no tensor", "scalar", "again"]), st.integers(0, 30)),
    max_size=3,
)


def changed(state: Any, changes: Any) -> Any:
    """A state dict after some mishaps."""
    for what, number in changes:
        names = list(state)
        name = names[number % len(names)] if names else "x"
        if what == "drop":
            state.pop(name, None)
        elif what == "extra":
            state[f"{name}x"] = torch.zeros(2)
        elif what == "again":
            state[f"more.{name}"] = state.get(name, torch.ones(1))
        elif isinstance(state.get(name), torch.Tensor):
            value = state[name]
            shape = (1,) if what == "scalar" else (*value.shape, 1)
            state[name] = "no tensor" if what == "no tensor" else torch.zeros(shape, dtype=value.dtype)
    return state


@pytest.mark.filterwarnings("ignore:Casting complex")
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES, changes=CHANGES, strict=st.booleans(), live=st.booleans(), assign=st.sampled_from([None, True]))
def test_it_refuses_what_load_state_dict_refuses(
    tmp_path: Path, shape: Any, changes: Any, strict: bool, live: bool, assign: bool | None
) -> None:
    def make(seed: int) -> nn.Module:
        torch.manual_seed(0)
        return fill(build(shape), seed)

    state = changed(make(1).state_dict(), changes)
    torch.save(state, tmp_path / "a.pt")
    target, expected = make(2), make(2)
    before = everything(target)
    try:
        keys = expected.load_state_dict(copy.deepcopy(state), strict=strict, assign=bool(assign))
    except (RuntimeError, AttributeError) as error:
        refused: Exception | None = error
    else:
        refused = None
    try:
        report = dotpt.load_into(target, state if live else tmp_path / "a.pt", weights="", strict=strict, assign=assign)
    except FitError:
        if refused is None:
            raise
        report = None
    if report is None:
        own = any(isinstance(module, (Owner, nn.InstanceNorm1d)) for module in target.modules())
        assert own or everything(target) == before
        return
    if refused is not None:  # only because of a tied tensor, which is there under another name
        assert any("is the same tensor as" in note for note in report.notes)
        return
    tied = {
        name
        for name in keys.missing_keys
        if any(note.startswith(f"{name} is not in the file") for note in report.notes)
    }
    assert {*report.missing} | tied == {*keys.missing_keys}
    assert {*report.unexpected} == {*keys.unexpected_keys}
    if tied and assign:  # torch tears the two apart: the one that is missing keeps the old tensor
        return
    assert everything(target)[:2] == everything(expected)[:2]
    assert extras(target) == extras(expected)


def test_the_file_may_have_other_types_and_the_cast_is_told(tmp_path: Path) -> None:
    source, target = nn.Linear(300, 200).double(), nn.Linear(300, 200)
    expected = copy.deepcopy(target)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    expected.load_state_dict(source.state_dict())
    report = dotpt.load_into(target, tmp_path / "a.pt")
    same(target, expected)
    assert [(cast.name, cast.file, cast.model) for cast in report.cast] == [
        ("weight", "float64", "float32"),
        ("bias", "float64", "float32"),
    ]
    assert "2 cast" in report.summary


def test_a_graph_that_needs_the_old_values_notices(tmp_path: Path) -> None:
    model = nn.Linear(3, 1)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    out = (model(torch.randn(2, 3, requires_grad=True)) ** 2).sum()
    dotpt.load_into(model, tmp_path / "a.pt")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_state_dicts_of_before_torch_0_4_1_keep_the_counter() -> None:
    source, target = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    target.num_batches_tracked.fill_(5)
    old = dict(source.state_dict())  # no versions
    del old["num_batches_tracked"]
    report = dotpt.load_into(target, old)
    assert report.ok
    assert report.kept == ["num_batches_tracked"]
    assert int(target.num_batches_tracked) == 5
    new = source.state_dict()  # says that it is new: then the counter is missing
    del new["num_batches_tracked"]
    with pytest.raises(FitError) as caught:
        dotpt.load_into(target, new)
    assert caught.value.report.missing == ["num_batches_tracked"]


def test_versions_of_modules_follow_the_prefix() -> None:
    source, target = (
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
    )
    state = nn.DataParallel(source).state_dict()
    del state["module.1.num_batches_tracked"]
    with pytest.raises(FitError) as caught:
        dotpt.load_into(target, state)
    assert caught.value.report.missing == ["1.num_batches_tracked"]


def test_lazy_modules_take_the_shapes_of_the_file(tmp_path: Path) -> None:
    source, target = nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.LazyLinear(4))
    torch.save(source.state_dict(), tmp_path / "a.pt")
    assert dotpt.load_into(target, tmp_path / "a.pt").ok
    assert torch.equal(target[0].weight, source[0].weight)


@pytest.mark.filterwarnings("ignore:torch", "ignore::DeprecationWarning", "ignore:.*deprecated")
def test_quantized_modules_load_by_their_own_code(tmp_path: Path) -> None:
    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), {nn.Linear})

    source, target = make(1), make(2)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    report = dotpt.load_into(target, tmp_path / "a.pt")
    x = torch.randn(2, 4)
    assert torch.equal(source(x), target(x))
    assert report.ok
    assert "0.scale" in report.matched
    assert "4 of 4 tensors loaded" in report.summary


def test_an_own_load_state_dict_is_called() -> None:
    class Model(nn.Linear):
        def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
            self.called = True
            return super().load_state_dict({key.removeprefix("x."): value for key, value in state.items()}, strict)

    source, target = nn.Linear(2, 2), Model(2, 2)
    report = dotpt.load_into(target, {f"x.{key}": value for key, value in source.state_dict().items()})
    assert target.called
    assert torch.equal(source.weight, target.weight)
    assert "load_state_dict of its own" in " ".join(report.notes)


def test_an_own_load_state_dict_that_refuses_is_a_fit_error() -> None:
    class Model(nn.Linear):
        def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
            raise RuntimeError("no")

    with pytest.raises(FitError) as caught:
        dotpt.load_into(Model(2, 2), nn.Linear(2, 2).state_dict())
    assert caught.value.report.errors == ["no"]


def test_hooks_that_forgive_are_heard() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    state = dict(nn.Sequential(nn.Linear(2, 2)).state_dict().items())
    report = dotpt.load_into(model, state)
    assert report.ok
    assert torch.equal(model[0].weight, state["0.weight"])


def test_hooks_that_rename_are_heard(tmp_path: Path) -> None:
    source, target = nn.Linear(3, 3), nn.Sequential(Hooked())
    torch.save({f"0.old.{key}": value for key, value in source.state_dict().items()}, tmp_path / "a.pt")
    report = dotpt.load_into(target, tmp_path / "a.pt")
    assert report.ok
    assert torch.equal(target[0].inner.weight, source.weight)


def test_names_below_none_are_told_and_not_refused() -> None:
    state = Odd().state_dict() | {"child.weight": torch.zeros(2)}
    model = Odd()
    copy.deepcopy(model).load_state_dict(state)
    report = dotpt.load_into(model, state)
    assert report.ok
    assert "child.weight" in report.dropped
