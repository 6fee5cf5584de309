"""A run that is stopped and resumed is the run that was never stopped, to the bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from dotpt.training import EveryEpochs, EverySteps, check_resume  # noqa: E402
from tests.training import loops  # noqa: E402


def equal(one: Any, other: Any) -> bool:
    """Whether two states are the same to the bit."""
    return dotpt_digest(one) == dotpt_digest(other)


def dotpt_digest(value: Any) -> str:
    from dotpt.training.torch_check import _digest

    return _digest(value)


@pytest.mark.parametrize(
    "loader",
    [
        {},
        {"num_workers": 2},
        {"num_workers": 1, "persistent_workers": False, "prefetch_factor": 4},
        {"drop_last": True},
        {"generator": torch.Generator().manual_seed(5)},
    ],
    ids=lambda options: "_".join(options) or "plain",
)
def test_every_kind_of_loader_goes_on_where_it_was(tmp_path: Path, loader: dict[str, Any]) -> None:
    if "generator" in loader:
        loader["generator"].manual_seed(5)
    whole = loops.train(tmp_path / "whole", loader_options=loader)
    for stop in (1, 10, 13):
        if "generator" in loader:
            loader["generator"].manual_seed(5)
        folder = tmp_path / str(stop)
        before = loops.train(folder, loader_options=loader, stop_after=stop)
        after = loops.train(folder, loader_options=loader)
        assert equal(after["model"], whole["model"])
        assert equal(after["optimizer"]["state"], whole["optimizer"]["state"])
        assert {**before["losses"], **after["losses"]} == whole["losses"]
        assert not before["losses"].keys() & after["losses"].keys()


def test_an_iterable_data_set_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = loops.train(tmp_path / "whole", data=loops.Stream())
    loops.train(tmp_path / "run", data=loops.Stream(), stop_after=11)
    assert equal(loops.train(tmp_path / "run", data=loops.Stream())["model"], whole["model"])


@pytest.mark.parametrize("background", [True, False])
def test_saves_at_the_ends_of_epochs_resume_there(tmp_path: Path, background: bool) -> None:
    options = {"save": EveryEpochs(), "background": background, "epochs": 3}
    whole = loops.train(tmp_path / "whole", **options)
    before = loops.train(tmp_path / "run", stop_after=17, **options)
    after = loops.train(tmp_path / "run", **options)
    assert equal(after["model"], whole["model"])
    assert min(after["losses"]) == 11
    assert len(before["losses"]) == 17


def test_a_finished_run_takes_no_more_steps(tmp_path: Path) -> None:
    first = loops.train(tmp_path)
    again = loops.train(tmp_path)
    assert again["losses"] == {}
    assert equal(again["model"], first["model"])


def test_a_resumed_run_can_be_longer(tmp_path: Path) -> None:
    whole = loops.train(tmp_path / "whole", epochs=3)
    loops.train(tmp_path / "run", epochs=2)
    assert equal(loops.train(tmp_path / "run", epochs=3)["model"], whole["model"])


def test_a_loop_without_epochs(tmp_path: Path) -> None:
    def train(count: int) -> Any:
        loops.seed()
        net = loops.model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        with dotpt.Checkpointer(tmp_path, model=net, optimizer=optimizer, save=EverySteps(2), quiet=True) as ckpt:
            for _ in ckpt.steps(count):
                loss = net(torch.randn(4, 6)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                ckpt.step(loss=loss)
        return net.state_dict()

    train(4)
    resumed = train(9)
    for path in tmp_path.glob("step-*"):
        path.unlink()
    assert equal(resumed, train(9))


def test_check_resume_proves_it(tmp_path: Path) -> None:
    report = check_resume(lambda folder: loops.train(folder, save=None)["model"])
    assert report.ok
    assert str(report) == "Exact: stopped after step 5, 10, 15 and resumed, each of 20 steps was the same to the bit."


@pytest.mark.parametrize(
    ("left_out", "told", "differs"),
    [
        ("optimizer", "AdamW is not saved", "model"),
        ("scheduler", "OneCycleLR is not saved", "optimizer"),
        ("loader", "DataLoader is not saved", "metrics.loss"),
    ],
)
def test_check_resume_says_what_is_not_saved(left_out: str, told: str, differs: str) -> None:
    report = check_resume(partial(loops.train, leave_out=(left_out,), save=None), stops=[7])
    assert not report.ok
    assert differs in report.differences[0].parts
    assert report.differences[0].step == 8
    assert told in str(report)


def test_check_resume_says_when_the_training_itself_varies() -> None:
    def train(folder: Path) -> Any:
        with dotpt.Checkpointer(folder, save=None, quiet=True) as ckpt:
            for _ in ckpt.steps(2):
                ckpt.step(loss=random.SystemRandom().random())

    assert "Two undisturbed runs already differ, in step 1 (metrics.loss)" in str(check_resume(train))


def test_check_resume_needs_a_checkpointer() -> None:
    with pytest.raises(dotpt.DotptError, match="took no step with a Checkpointer"):
        check_resume(lambda folder: None)


@pytest.mark.skipif(not find_spec("sklearn"), reason="its digits are what is learned")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each life of the run is a fork")
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not() -> None:
    """The short variant of `make resume`: SIGKILL at random moments, also inside saves."""
    command = [sys.executable, "-m", "demo.resume", "--kills", "8", "--seed", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 kills at random moments" in done.stdout
    assert "none was ever damaged" in done.stdout
    assert "bit for bit" in done.stdout


def test_parameters_can_still_be_added_to_an_optimizer_that_was_resumed(tmp_path: Path) -> None:
    """The names of parameters in the file are the checkpointer's: torch refuses a group without them beside those."""

    def make() -> Any:
        net = loops.model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        return optimizer, dotpt.Checkpointer(tmp_path, model=net, optimizer=optimizer, quiet=True)

    before, ckpt = make()
    ckpt.save(1)
    ckpt.close()
    optimizer, ckpt = make()
    ckpt.restore()
    ckpt.close()
    assert optimizer.state_dict() == before.state_dict()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
