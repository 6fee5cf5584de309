"""The state of an optimizer follows its parameters by name, wherever they have gone; and nothing is silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dotpt
from dotpt.archive.archive import Archive
from dotpt.errors import AmbiguousOptimizer, ChecksumMismatch, NoOptimizer, OptimizerMismatch, UsageError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from dotpt.models.torch_optimizer import load_optimizer  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.models.optimizers_torch import MAKERS, adam, checkpoint, entries, net, train, trained  # noqa: E402

Sizes = dict[str, tuple[int, int]]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(value: Any) -> Path:
        torch.save(value, tmp_path / "checkpoint.pt")
        return tmp_path / "checkpoint.pt"

    return save


# -- as torch does, where torch can ---------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
@pytest.mark.parametrize("kind", MAKERS)
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.dictionaries(st.sampled_from("abcdef"), st.tuples(*[st.integers(1, 4)] * 2), min_size=1, max_size=4))
def test_equal_to_load_state_dict_and_so_are_the_next_steps(
    kind: str, named: bool, sizes: Sizes, saved: Callable[[Any], Path]
) -> None:
    model = net(sizes)
    path = saved(checkpoint(model, trained(model, MAKERS[kind], named)))
    twins = [deepcopy(model), deepcopy(model)]
    theirs, ours = (MAKERS[kind](list(twin.named_parameters() if named else twin.parameters())) for twin in twins)
    theirs.load_state_dict(torch.load(path)["optimizer"])
    report = load_optimizer(ours, path, model=twins[1])
    assert report.ok
    assert report.loaded
    assert (report.cast, report.settings) == ([], [])
    assert same(theirs.state_dict(), ours.state_dict(), sharing=False) is None
    for twin, optimizer in zip(twins, (theirs, ours), strict=True):
        train(twin, optimizer, seed=5)
    assert same(twins[0].state_dict(), twins[1].state_dict(), sharing=False) is None


# -- parameters come, go and move -----------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True], ids=["by the weights' order", "by name"])
@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind not in ("LBFGS", "SGD without momentum")])
def test_added_removed_and_reordered(kind: str, named: bool, saved: Callable[[Any], Path]) -> None:
    model = net("abcd")
    optimizer = trained(model, MAKERS[kind], named)
    changed = net("dxba")
    fresh = MAKERS[kind](changed.parameters())
    report = load_optimizer(fresh, saved(checkpoint(model, optimizer)), model=changed)
    assert report.loaded
    assert not report.ok
    assert report.naming == ("names" if named else "order")
    assert report.added == ["x.weight", "x.bias"]
    assert report.removed == ["c.weight", "c.bias"]
    assert report.matched == [f"{layer}.{part}" for layer in "dba" for part in ("weight", "bias")]
    assert report.moved["d.weight"] == (6, 0)
    assert "b.weight" not in report.moved
    before, after = entries(model, optimizer), entries(changed, fresh)
    assert {name for name in after if name not in report.added} == set(report.matched)
    for name in report.matched:
        assert same(before[name], after[name], sharing=False) is None
    train(changed, fresh)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), named=st.booleans())
def test_whatever_is_placed_is_its_own(data: st.DataObject, named: bool) -> None:
    """Random models, frozen parts, groups and changes: no entry is given to another parameter, unless it is said."""
    names = data.draw(st.permutations("abcde"))[: data.draw(st.integers(1, 5))]
    sizes = {name: data.draw(st.sampled_from([(2, 2), (2, 3)])) for name in names}
    model, split = net(sizes), data.draw(st.booleans())
    optimizer = adam(_groups(_some(data, model), split, named))
    train(model, optimizer)
    changed = data.draw(st.booleans())
    order = data.draw(st.permutations([*names, "x"])) if changed else names
    later = net({name: sizes.get(name, (2, 2)) for name in order})
    fresh = adam(_groups(_some(data, later), split, False))
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later, strict="report")
    before, after = entries(model, optimizer), entries(later, fresh)
    wrong = [name for name in after if name not in before or same(before[name], after[name], sharing=False)]
    assert not wrong or any("assumed" in note for note in report.notes)
    if named:
        assert not wrong
        here = {name for name, p in later.named_parameters() if any(p is one for one in _parameters(fresh))}
        assert set(report.matched) == set(before) & here
    elif not report.problems:
        assert {*report.matched, *report.removed} == set(before) or wrong


def _some(data: st.DataObject, model: Any) -> list[tuple[str, Any]]:
    named = list(model.named_parameters())
    return [pair for pair in named if data.draw(st.booleans())] or named


def _parameters(optimizer: Any) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _groups(named: list[tuple[str, Any]], split: bool, with_names: bool) -> list[dict[str, Any]]:
    """Weights and biases apart, as transformers are trained, or all together."""
    parts = [[pair for pair in named if pair[1].dim() > 1], [pair for pair in named if pair[1].dim() < 2]]
    chosen = [part for part in parts if part] if split else [named]
    return [{"params": part if with_names else [p for _, p in part]} for part in chosen]


def test_a_parameter_with_the_same_shape_that_changed_places_keeps_its_own() -> None:
    model, later = net("ab"), net("ba")
    optimizer, fresh = trained(model, adam), adam(later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert (report.ok, report.naming) == (True, "order")
    assert set(report.moved) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    assert same(entries(model, optimizer)["a.weight"], entries(later, fresh)["a.weight"], sharing=False) is None
    assert "INFERRED" in str(report)


def test_wrappers_in_the_recorded_names() -> None:
    model = torch.nn.DataParallel(net("ab"))
    optimizer = trained(model, adam, named=True)
    later = net("ab")
    fresh = adam(later.parameters())
    report = load_optimizer(fresh, {"optimizer": optimizer.state_dict()}, model=later)
    assert report.ok
    assert report.renamed["module.a.weight"] == "a.weight"
    assert any("module." in note for note in report.notes)
    assert "renamed  " not in str(report)
    assert fresh.param_groups[0]["param_names"][0] == "a.weight"


def test_a_compiled_model_goes_on_from_a_plain_one() -> None:
    model = net("ab")
    optimizer = trained(model, adam, named=True)
    wrapped = {f"_orig_mod.{name}": p for name, p in net("ab").named_parameters()}
    report = load_optimizer(adam(wrapped.values()), {"optimizer": optimizer.state_dict()}, model=wrapped)
    assert report.ok
    assert report.renamed["b.bias"] == "_orig_mod.b.bias"


@pytest.mark.parametrize("named", [False, True])
def test_rules_for_layers_that_have_another_name_now(named: bool) -> None:
    model, later = net("ab"), net("xb")
    optimizer, fresh = trained(model, adam, named), adam(later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later, rules={"a.": "x.", "q.": "r."})
    assert report.ok
    assert dotpt.load_into(fresh, checkpoint(model, optimizer), model=later, rules={"a.": "x."}).ok
    assert report.renamed == {"a.weight": "x.weight", "a.bias": "x.bias"}
    assert "q." in report.notes[0]
    assert same(entries(model, optimizer)["a.bias"], entries(later, fresh)["x.bias"], sharing=False) is None


def test_groups_follow_their_parameters_and_bring_their_settings() -> None:
    model = net("ab")
    weights, biases = [m.weight for m in model.values()], [m.bias for m in model.values()]
    optimizer = adam([{"params": weights, "weight_decay": 0.1}, {"params": biases, "lr": 0.5}])
    train(model, optimizer)
    later = net("bac")
    fresh = adam([  # the other way round, and one of the weights with the biases
        {"params": [m.bias for m in later.values()] + [later["a"].weight], "eps": 1e-3},
        {"params": [later["b"].weight], "foreach": False},
        {"params": [later["c"].weight], "lr": 7.0},
    ])  # fmt: skip
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert report.groups == [1, 0, None]
    assert [group["lr"] for group in fresh.param_groups] == [0.5, 0.05, 7.0]
    assert [group["weight_decay"] for group in fresh.param_groups] == [0, 0.1, 0]
    assert report.regrouped == {"a.weight": (0, 0)}
    assert "regrouped  a.weight" in str(report)
    assert "group 0, settings of 1" in str(report)
    assert fresh.param_groups[1]["foreach"] is False  # how a step is computed stays
    told = {(one.group, one.key): (one.file, one.before, one.now) for one in report.settings}
    assert told[0, "lr"] == (0.5, 0.05, 0.5)
    assert told[0, "eps"] == (1e-8, 1e-3, 1e-8)
    assert told[1, "weight_decay"] == (0.1, 0, 0.1)
    assert report.added == ["c.bias", "c.weight"]
    train(later, fresh)


def test_backbone_and_head_with_the_same_shapes_are_told_apart_by_their_groups() -> None:
    model = net(["body", "head"])
    optimizer = adam([{"params": model["body"].parameters()}, {"params": model["head"].parameters(), "lr": 1.0}])
    train(model, optimizer)
    later = net(["stem", "body", "head"])
    fresh = adam([{"params": [*later["stem"].parameters(), *later["body"].parameters()]},
                  {"params": later["head"].parameters()}])  # fmt: skip
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert report.added == ["stem.weight", "stem.bias"]
    assert report.notes == ["That parameters lie in the groups that they were saved in is assumed."]
    for name in report.matched:
        assert same(entries(model, optimizer)[name], entries(later, fresh)[name], sharing=False) is None


# -- heads, ties, frozen parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True])
def test_a_head_of_another_size_starts_afresh(named: bool) -> None:
    model = net({"body": (3, 3), "head": (3, 10)})
    optimizer = trained(model, adam, named)
    later = net({"body": (3, 3), "head": (3, 4)})
    fresh = adam(later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert [(one.name, one.file, one.model) for one in report.skipped] == [
        ("head.weight", (10, 3), (4, 3)), ("head.bias", (10,), (4,)),
    ]  # fmt: skip
    assert entries(later, fresh).keys() == {"body.weight", "body.bias"}
    assert not report.ok
    assert "skipped  head.weight  [10, 3]" in str(report)
    train(later, fresh)


def test_tied_parameters_count_once() -> None:
    def tied(order: str) -> Any:
        model = net(order, bias=False)
        model["b"].weight = model["a"].weight
        return model

    model, later = tied("abc"), tied("cba")
    optimizer, fresh = trained(model, adam), adam(later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert report.ok
    assert report.renamed == {"a.weight": "b.weight"} or not report.renamed
    kept = optimizer.state[model["a"].weight], fresh.state[later["a"].weight]
    assert same(*kept, sharing=False) is None


def test_frozen_parameters_in_and_out_of_the_optimizer() -> None:
    model = net({"a": (3, 3), "b": (3, 4), "c": (3, 5)})
    model["b"].requires_grad_(False)
    inside = trained(model, adam)
    outside = adam(p for p in model.parameters() if p.requires_grad)
    train(model, outside)
    for optimizer in (inside, outside):
        later = net({"c": (3, 5), "b": (3, 4), "a": (3, 3)})
        fresh = adam(later.parameters())
        report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
        assert report.matched == ["c.weight", "c.bias", "a.weight", "a.bias"]
        assert (report.stateless if optimizer is inside else report.added) == ["b.weight", "b.bias"]


def test_buffers_are_no_parameters() -> None:
    def build(*order: int) -> Any:
        layers = [torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)]
        return torch.nn.ModuleDict({str(number): layers[number] for number in order})

    model, later = build(0, 1), build(1, 0)
    optimizer, fresh = trained(model, adam), adam(later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert report.ok
    for name, entry in entries(later, fresh).items():
        assert same(entries(model, optimizer)[name], entry, sharing=False) is None


# -- what cannot be told is not guessed -----------------------------------------------------------------------------


def test_what_could_be_either_is_refused_and_the_optimizer_untouched() -> None:
    model = net({"a": (3, 3), "b": (3, 3), "c": (3, 4)})
    optimizer = adam([*model["a"].parameters(), *model["c"].parameters()])
    train(model, optimizer)
    later = net({"a": (3, 3), "b": (3, 3), "c": (3, 4)})
    fresh = adam(later.parameters(), lr=1.0)
    train(later, fresh)
    before = deepcopy(fresh.state_dict())
    with pytest.raises(
        OptimizerMismatch, match=r"2 of them .*could each be several of the model's.*Try: weights="
    ) as caught:
        load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert same(before, fresh.state_dict(), sharing=False) is None
    report = caught.value.report
    assert report.unplaced == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert not report.loaded
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later, strict="report")
    assert report.matched == ["c.weight", "c.bias"]
    assert report.unplaced == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert report.loaded
    assert same(optimizer.state[model["c"].weight], fresh.state[later["c"].weight], sharing=False) is None
    assert same(before["state"][0], fresh.state_dict()["state"][0], sharing=False) is None


def test_without_weights_position_decides_and_it_is_said() -> None:
    model = net("ab")
    optimizer = trained(model, adam)
    later = net("ab")
    report = load_optimizer(adam(later.parameters()), optimizer.state_dict(), model=later)
    assert (report.ok, report.naming, report.address) == (True, "position", "")
    assert "changed places would go unnoticed" in report.notes[0]


def test_without_weights_another_number_of_parameters_is_refused() -> None:
    model = net("ab")
    optimizer = trained(model, adam)
    later = net("abc")
    fresh = adam(later.parameters())
    with pytest.raises(
        OptimizerMismatch, match=r"hold \[4\] parameters where those of the optimizer hold \[6\]"
    ) as caught:
        load_optimizer(fresh, optimizer.state_dict(), model=later)
    assert "weights=" in str(caught.value)
    report = load_optimizer(fresh, optimizer.state_dict(), model=later, strict="report")
    assert (report.loaded, report.matched) == (False, [])
    assert not fresh.state
    report = load_optimizer(fresh, optimizer.state_dict(), model=later, weights=model.state_dict())
    assert report.loaded
    assert report.added == ["c.weight", "c.bias"]


def test_weights_of_another_file(tmp_path: Path) -> None:
    """HF's Trainer writes optimizer.pt beside the weights."""
    model = net("ab")
    torch.save(trained(model, adam).state_dict(), tmp_path / "optimizer.pt")
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    later = net("ba")
    for weights in (tmp_path / "pytorch_model.bin", dotpt.open(tmp_path / "pytorch_model.bin")):
        report = load_optimizer(adam(later.parameters()), tmp_path / "optimizer.pt", model=later, weights=weights)
        assert (report.naming, len(report.moved)) == ("order", 4)
    weights.close()


def test_weights_in_the_order_of_the_alphabet_say_nothing_of_the_models() -> None:
    model = net(["z", "a"])
    optimizer = trained(model, adam)
    weights = dict(sorted(model.state_dict().items()))
    later = net(["z", "a"])
    fresh = adam(later.parameters())
    assert load_optimizer(fresh, optimizer.state_dict(), model=later, weights=weights).ok
    assert same(entries(model, optimizer)["z.weight"], entries(later, fresh)["z.weight"], sharing=False) is None


def test_a_shape_that_speaks_against_the_position_is_heard() -> None:
    model, later = net({"a": (3, 3), "b": (3, 4)}), net({"b": (3, 4), "a": (3, 3)})
    optimizer = trained(model, adam)
    with pytest.raises(OptimizerMismatch, match="by position their shapes differ"):
        load_optimizer(adam(later.parameters()), optimizer.state_dict(), model=later)


def test_nothing_in_common_is_refused() -> None:
    model, later = net("ab"), net("xy")
    optimizer = trained(model, adam, named=True)
    with pytest.raises(OptimizerMismatch, match=r"None of the parameters in the file \(a.weight"):
        load_optimizer(adam(later.parameters()), optimizer.state_dict(), model=later)


def test_parameters_of_no_model_are_asked_for() -> None:
    model, loss = net("ab"), torch.nn.Linear(2, 2)
    optimizer = trained(model, adam, named=True)
    both = adam([*model.parameters(), *loss.parameters()])
    with pytest.raises(OptimizerMismatch, match=r"2 parameters of the optimizer are not the model's.*ModuleList"):
        load_optimizer(both, optimizer.state_dict(), model=model)
    with pytest.raises(OptimizerMismatch, match=r"4 parameters of the optimizer are not the model's"):
        load_optimizer(adam(model.parameters()), optimizer.state_dict(), model=loss)
    with pytest.raises(UsageError, match="model= takes a module"):
        load_optimizer(both, optimizer.state_dict(), model=None)


# -- files ----------------------------------------------------------------------------------------------------------


def test_lightning_and_two_optimizers(saved: Callable[[Any], Path]) -> None:
    model = net("ab")
    first, second = trained(model, adam), trained(model, lambda p: adam(p, lr=0.5))
    path = saved({"state_dict": model.state_dict(), "optimizer_states": [first.state_dict(), second.state_dict()]})
    fresh = adam(model.parameters())
    with pytest.raises(AmbiguousOptimizer, match=r"2 optimizers.*checkpoint.pt.*address='optimizer_states.0'"):
        load_optimizer(fresh, path, model=model)
    report = load_optimizer(fresh, path, model=model, address="optimizer_states.1")
    assert (report.address, report.source) == ("optimizer_states.1", str(path))
    assert fresh.param_groups[0]["lr"] == 0.5
    assert dotpt.load_into(fresh, path, model=model, address="optimizer_states.0").loaded
    assert fresh.param_groups[0]["lr"] == 0.05
    with pytest.raises(NoOptimizer, match="at the address optimizer"):
        load_optimizer(fresh, path, model=model, address="optimizer")


def test_states_by_name_of_torch_distributed() -> None:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    for flat in (False, True):
        model = net("ab")
        optimizer = trained(model, adam)
        options = StateDictOptions(flatten_optimizer_state_dict=flat)
        state = get_optimizer_state_dict(model, optimizer, options=options)
        later = net("bxa")
        fresh = adam(later.parameters())
        report = load_optimizer(fresh, {"optim": state}, model=later)
        assert (report.naming, report.added) == ("names", ["x.weight", "x.bias"])
        for name in report.matched:
            assert same(entries(model, optimizer)[name], entries(later, fresh)[name], sharing=False) is None
        train(later, fresh)


def test_only_the_state_is_read_a_tensor_at_a_time(
    saved: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = net("ab")
    path = saved(checkpoint(model, trained(model, adam)))
    read: list[str] = []
    honest = Archive.read_tensor

    def noted(archive: Any, ref: Any, *args: Any, **options: Any) -> Any:
        read.append(ref.name)
        return honest(archive, ref, *args, **options)

    monkeypatch.setattr(Archive, "read_tensor", noted)
    with dotpt.open(path) as archive:
        load_optimizer(adam(model.parameters()), archive, model=model)
    wanted = [f"optimizer.state.{n}.{key}" for n in range(4) for key in ("step", "exp_avg", "exp_avg_sq")]
    assert read == wanted


def test_tensors_that_share_a_storage_are_read_once(saved: Callable[[Any], Path]) -> None:
    model = net("ab")
    optimizer = trained(model, MAKERS["SGD"])
    flat = torch.cat([optimizer.state[p]["momentum_buffer"].flatten() for p in model.parameters()])
    at = 0
    for p in model.parameters():
        optimizer.state[p]["momentum_buffer"] = flat[at : at + p.numel()].view(p.shape)
        at += p.numel()
    path = saved(checkpoint(model, optimizer))
    fresh = MAKERS["SGD"](model.parameters())
    assert load_optimizer(fresh, path, model=model).ok
    assert same(optimizer.state_dict(), fresh.state_dict()) is None


def test_a_damaged_file_leaves_the_optimizer_as_it_was(saved: Callable[[Any], Path]) -> None:
    model = net("ab")
    path = saved(checkpoint(model, trained(model, adam)))
    with dotpt.open(path) as archive:
        start, _ = archive["optimizer.state.3.exp_avg_sq"].byte_range or (0, 0)
    content = bytearray(path.read_bytes())
    content[start] ^= 1
    path.write_bytes(content)
    fresh = adam(model.parameters(), lr=7.0)
    with pytest.raises(ChecksumMismatch):
        load_optimizer(fresh, path, model=model)
    assert not fresh.state
    assert fresh.param_groups[0]["lr"] == 7.0


class Schedule:
    """A class that no reader knows."""


def test_an_object_of_an_unknown_class_is_refused(saved: Callable[[Any], Path]) -> None:
    model = net("ab")
    optimizer = trained(model, adam)
    optimizer.param_groups[0]["schedule"] = Schedule()
    fresh = adam(model.parameters())
    with pytest.raises(OptimizerMismatch, match=r"Schedule.*whose class is not known.*trust="):
        load_optimizer(fresh, saved(checkpoint(model, optimizer)), model=model)
    assert not fresh.state


def test_memory_is_not_shared_with_the_checkpoint() -> None:
    model = net("ab")
    optimizer = trained(model, adam)
    fresh = adam(model.parameters())
    load_optimizer(fresh, checkpoint(model, optimizer), model=model)
    mine, theirs = (one.state[model["a"].weight]["exp_avg"] for one in (fresh, optimizer))
    assert mine.data_ptr() != theirs.data_ptr()


def test_a_learning_rate_that_is_a_tensor(saved: Callable[[Any], Path]) -> None:
    model = net("ab")
    optimizer = trained(model, lambda p: adam(p, lr=torch.tensor(0.25), foreach=False))
    fresh = adam(model.parameters(), lr=torch.tensor(0.5), foreach=False)
    report = load_optimizer(fresh, saved(checkpoint(model, optimizer)), model=model)
    assert isinstance(fresh.param_groups[0]["lr"], torch.Tensor)
    assert [(one.key, one.file, one.before, one.now) for one in report.settings] == [("lr", 0.25, 0.5, 0.25)]


# -- the report -----------------------------------------------------------------------------------------------------


def test_the_report_is_a_table_and_plain_values() -> None:
    model, later = net({"a": (3, 3), "c": (2, 2)}), net({"b": (3, 3), "a": (3, 3), "c": (2, 5)})
    optimizer = trained(model, adam, named=True)
    report = load_optimizer(adam(later.parameters(), lr=1.0), checkpoint(model, optimizer), model=later)
    assert str(report).splitlines() == [
        "Adam <- a checkpoint (optimizer): state of 2 of 6 parameters loaded, 2 added, 2",
        "  of another shape, 1 settings of the file",
        "           name           in the file  in the optimizer",
        "  added    b.weight                    starts afresh",
        "  added    b.bias                      starts afresh",
        "  skipped  c.weight       [2, 2]       [5, 2]",
        "  skipped  c.bias         [2]          [5]",
        "  setting  lr of group 0  0.05         1.0, now 0.05",
        "  note: the file names its parameters",
    ]
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False
    assert repr(report).startswith("<dotpt.OptimizerReport: Adam <- a checkpoint (optimizer): state of 2 of 6")


def test_arguments_are_checked() -> None:
    model = net("ab")
    with pytest.raises(UsageError, match="strict='maybe'"):
        load_optimizer(adam(model.parameters()), {}, model=model, strict="maybe")
