"""Each class of optimizer keeps its own state: others are refused, types and devices are right, own code is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dotpt.errors import OptimizerMismatch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from dotpt.models.torch_optimizer import load_optimizer  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.models.optimizers_torch import MAKERS, adam, checkpoint, entries, net, train, trained  # noqa: E402


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(value: Any) -> Path:
        torch.save(value, tmp_path / "checkpoint.pt")
        return tmp_path / "checkpoint.pt"

    return save


# -- other optimizers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read", "words"),
    [
        ("Adam", "SGD", "SGD keeps momentum_buffer; the file keeps exp_avg, exp_avg_sq, step, as Adam, AdamW"),
        ("SGD", "Adam", "Adam keeps exp_avg, exp_avg_sq, step; the file keeps momentum_buffer, as SGD and Muon do"),
        ("Adam", "RMSprop", "RMSprop keeps square_avg, step"),
        ("NAdam", "Adam", "the file keeps exp_avg, exp_avg_sq, mu_product, step, as NAdam does"),
        ("SGD without momentum", "Adam", "Adam has the settings betas, eps, which the file does not know"),
        ("LBFGS", "Adam", "Adam keeps"),
        ("Adam", "LBFGS", "LBFGS keeps"),
    ],
)
def test_the_state_of_another_class_is_refused(written: str, read: str, words: str) -> None:
    model = net("ab")
    optimizer, other = trained(model, MAKERS[written]), MAKERS[read](model.parameters())
    with pytest.raises(OptimizerMismatch, match=words) as caught:
        load_optimizer(other, checkpoint(model, optimizer), model=model)
    assert "Try: make an optimizer of the class that was saved" in str(caught.value)
    report = load_optimizer(other, checkpoint(model, optimizer), model=model, strict="report")
    assert (report.loaded, report.ok, report.matched) == (False, False, [])
    assert not other.state


def test_an_optimizer_of_a_user_is_compared_with_what_it_keeps() -> None:
    model = net("ab")
    own = trained(model, MAKERS["Own"])
    with pytest.raises(OptimizerMismatch, match="Own keeps mean; the file keeps momentum_buffer"):
        load_optimizer(own, checkpoint(model, trained(model, MAKERS["SGD"])), model=model)


def test_adam_and_adamw_are_one_family() -> None:
    model = net("ab")
    report = load_optimizer(MAKERS["AdamW"](model.parameters()), trained(model, adam).state_dict(), model=model)
    assert report.ok


def test_amsgrad_needs_what_it_kept() -> None:
    model = net("ab")
    state = trained(model, MAKERS["Adam amsgrad"]).state_dict()
    for entry in state["state"].values():
        del entry["max_exp_avg_sq"]
    with pytest.raises(OptimizerMismatch, match=r"a.weight needs max_exp_avg_sq"):
        load_optimizer(adam(model.parameters()), state, model=model)


def test_an_older_file_has_fewer_settings() -> None:
    model = net("ab")
    state = trained(model, adam).state_dict()
    for key in ("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"):
        del state["param_groups"][0][key]
    for entry in state["state"].values():
        entry["step"] = int(entry["step"])
    fresh = adam(model.parameters())
    report = load_optimizer(fresh, state, model=model)
    assert report.ok
    assert not report.settings
    train(model, fresh)
    assert fresh.state[model["a"].weight]["step"] == 4


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="added in torch 2.9")
def test_muon() -> None:
    model, later = net("ab", bias=False), net("ba", bias=False)
    optimizer, fresh = (torch.optim.Muon(one.parameters(), lr=0.1) for one in (model, later))
    train(model, optimizer)
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert report.ok
    assert same(entries(model, optimizer)["a.weight"], entries(later, fresh)["a.weight"], sharing=False) is None
    with pytest.raises(OptimizerMismatch, match="Muon has the settings"):
        load_optimizer(fresh, checkpoint(model, trained(model, MAKERS["SGD"])), model=model)


def test_sparse_adam() -> None:
    def make() -> Any:
        model = torch.nn.ModuleDict({name: torch.nn.Embedding(4, 3, sparse=True) for name in "ab"})
        return model, torch.optim.SparseAdam(model.parameters())

    (model, optimizer), (later, fresh) = make(), make()
    for layer in model.values():
        layer(torch.tensor([1, 2])).sum().backward()
    optimizer.step()
    assert load_optimizer(fresh, checkpoint(model, optimizer), model=later).ok
    assert same(optimizer.state_dict(), fresh.state_dict(), sharing=False) is None


def test_lbfgs_keeps_one_state_for_all() -> None:
    model, later, more = net("ab"), net("ba"), net("abc")
    state = checkpoint(model, trained(model, MAKERS["LBFGS"]))
    with pytest.raises(OptimizerMismatch, match="LBFGS keeps one state for all parameters in a row"):
        load_optimizer(MAKERS["LBFGS"](more.parameters()), state, model=more)
    named = checkpoint(model, trained(model, MAKERS["LBFGS"], named=True))
    for checkpoint_ in (state, named):
        with pytest.raises(OptimizerMismatch, match="LBFGS keeps one state for all parameters in a row"):
            load_optimizer(MAKERS["LBFGS"](later.parameters()), checkpoint_, model=later)


# -- precision, devices, counters -----------------------------------------------------------------------------------


def test_momentum_keeps_its_precision_where_torch_rounds_it() -> None:
    for kind in ("SGD", "Adagrad", "Adadelta", "Rprop", "ASGD", "Own"):
        model = net("ab")
        optimizer = trained(model, MAKERS[kind])
        later = net("ab").bfloat16()
        fresh = MAKERS[kind](later.parameters())
        report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
        assert report.ok
        assert not report.cast
        assert same(entries(model, optimizer)["a.weight"], entries(later, fresh)["a.weight"], sharing=False) is None
        train(later, fresh)


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop", "NAdam", "RAdam", "Adamax", "Adafactor", "Adam fused"])
def test_where_a_step_needs_the_gradients_type_the_state_gets_it_and_it_is_said(kind: str) -> None:
    model = net("ab")
    optimizer = trained(model, MAKERS[kind])
    later = net("ab").bfloat16()
    fresh = MAKERS[kind](later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert {(one.file, one.model) for one in report.cast} == {("float32", "bfloat16")}
    assert "the state was rounded" in report.notes[-1]
    assert "keep the parameters in float32" in str(report)
    train(later, fresh)
    counts = fresh.state[later["a"].weight]
    assert counts["step"].dtype == torch.float32
    assert counts.get("mu_product", counts["step"]).dtype == torch.float32  # torch rounds it
    # and it is true: as it was saved, a step fails
    for p, entry in fresh.state.items():
        fresh.state[p] = {key: part.float() for key, part in entry.items()}
    with pytest.raises(RuntimeError, match=r"dtype|scalar type"):
        train(later, fresh)


def test_half_precision_state_of_torchs_optimizers_is_widened_for_a_float_model() -> None:
    model = net("ab").bfloat16()
    optimizer = trained(model, MAKERS["SGD"])
    later = net("ab")
    fresh = MAKERS["SGD"](later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert {(one.file, one.model) for one in report.cast} == {("bfloat16", "float32")}
    assert not any("rounded" in note for note in report.notes)


@pytest.mark.parametrize("fused", [False, True])
def test_the_count_of_steps_lies_where_the_step_needs_it(fused: bool) -> None:
    model = net("ab")
    state = trained(model, lambda p: adam(p, fused=not fused)).state_dict()
    fresh = adam(model.parameters(), fused=fused)
    report = load_optimizer(fresh, state, model=model)
    assert [(one.key, one.file, one.now) for one in report.settings] == [("fused", not fused, fused)]
    train(model, fresh)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("options", [{}, {"fused": True}, {"capturable": True}, {"foreach": False}])
def test_state_goes_to_the_parameters_device(options: dict[str, Any], saved: Callable[[Any], Path]) -> None:
    model = net("ab")
    path = saved(checkpoint(model, trained(model, adam)))
    later = net("ab").cuda()
    fresh = adam(later.parameters(), **options)
    assert load_optimizer(fresh, path, model=later).ok
    entry = fresh.state[later["a"].weight]
    assert entry["exp_avg"].is_cuda
    assert entry["step"].is_cuda == bool(options.get("fused") or options.get("capturable"))
    train(later, fresh)
    back = net("ab")
    again = adam(back.parameters())
    assert load_optimizer(again, checkpoint(later, fresh), model=back).loaded
    assert not again.state[back["a"].weight]["step"].is_cuda
    train(back, again)


def test_parameters_without_memory_are_refused() -> None:
    model = net("ab")
    with torch.device("meta"):
        later = net("ab")
    with pytest.raises(OptimizerMismatch, match="meta device"):
        load_optimizer(adam(later.parameters()), checkpoint(model, trained(model, adam)), model=later)


def test_parameters_spread_over_devices_are_refused() -> None:
    from torch import distributed

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        from torch.distributed.device_mesh import DeviceMesh
        from torch.distributed.tensor import distribute_module

        model = net("ab")
        state = checkpoint(model, trained(model, adam))
        spread = distribute_module(net("ab"), DeviceMesh("cpu", [0]))
        with pytest.raises(OptimizerMismatch, match=r"DTensor.*set_optimizer_state_dict"):
            load_optimizer(adam(spread.parameters()), state, model=spread)
    finally:
        distributed.destroy_process_group()


# -- the optimizer's own code ---------------------------------------------------------------------------------------


class WithLoader(torch.optim.Adam):
    """One that has a say in loading."""

    def load_state_dict(self, state_dict: Any) -> None:
        self.asked = len(state_dict["state"])
        super().load_state_dict(state_dict)


def test_code_of_the_class_for_loading_is_used() -> None:
    model, later = net("ab"), net("bxa")
    optimizer = trained(model, adam)
    fresh = WithLoader(later.parameters())
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=later)
    assert fresh.asked == 4
    assert "WithLoader has code of its own for loading" in " ".join(report.notes)
    for name in report.matched:
        assert same(entries(model, optimizer)[name], entries(later, fresh)[name], sharing=False) is None


def test_hooks_are_called() -> None:
    model = net("ab")
    state = checkpoint(model, trained(model, adam))
    called: list[str] = []
    fresh = adam(model.parameters())
    fresh.register_load_state_dict_post_hook(lambda _: called.append("after"))
    assert load_optimizer(fresh, state, model=model).notes == []
    fresh.register_load_state_dict_pre_hook(lambda *_: called.append("before"))
    assert "has hooks" in load_optimizer(fresh, state, model=model).notes[0]
    assert called == ["after", "before", "after"]


def test_a_scheduler_goes_on() -> None:
    model = net("ab")
    optimizer = trained(model, adam)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    fresh = adam(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(fresh, 1, gamma=0.1)
    report = load_optimizer(fresh, checkpoint(model, optimizer), model=model)
    assert {one.key for one in report.settings} == {"lr", "initial_lr"}
    train(model, fresh)
    schedule.step()
    assert fresh.param_groups[0]["lr"] == pytest.approx(0.005)
