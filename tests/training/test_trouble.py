"""Checkpointers in loops that break, are interrupted, forgotten, forked, or fed with what is no number."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from dotpt.errors import UsageError, WriteError  # noqa: E402
from dotpt.training import EverySteps  # noqa: E402
from dotpt.training import checkpointer as module  # noqa: E402
from dotpt.training.checkpointer import SaveFailed  # noqa: E402


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """As in a fresh process, whatever other tests have left open."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    for number in before:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def checkpointer(folder: Path, **options: Any) -> dotpt.Checkpointer:
    return dotpt.Checkpointer(folder, **{"quiet": True, **options})


def slowly(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    real = module.write

    def slow(*args: Any, **options: Any) -> None:
        time.sleep(seconds)
        real(*args, **options)

    monkeypatch.setattr(module, "write", slow)


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise WriteError("The disk is full.")

    monkeypatch.setattr(module, "write", full)


def test_an_error_of_the_loop_waits_for_the_last_save_and_frees_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    with pytest.raises(ZeroDivisionError), checkpointer(tmp_path) as ckpt:  # noqa: PT012
        path = ckpt.save(1)
        raise ZeroDivisionError
    assert dotpt.verify(path).ok
    checkpointer(tmp_path).close()


def test_an_error_of_the_loop_is_kept_when_the_save_failed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch)
    with pytest.warns(SaveFailed, match="disk is full"), pytest.raises(ZeroDivisionError):  # noqa: PT012, PT031, SIM117
        with checkpointer(tmp_path) as ckpt:
            ckpt.save(1)
            raise ZeroDivisionError
    with pytest.raises(WriteError), checkpointer(tmp_path) as ckpt:
        ckpt.save(1)


def test_an_interrupt_while_waiting_does_not_let_a_save_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch, 0.6)
    net = torch.nn.Linear(300, 300)
    with checkpointer(tmp_path, model=net, signals=[]) as ckpt:
        before = net.weight.detach().clone()
        path = ckpt.save(1)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            ckpt.save(2)
        timer.join()
        torch.nn.init.zeros_(net.weight)
        ckpt.save(3)
    assert torch.equal(torch.load(path, weights_only=True)["model_state_dict"]["weight"], before)
    assert sorted(one.name for one in tmp_path.glob("*.pt")) == ["step-00000001.pt", "step-00000003.pt"]


def test_a_signal_during_a_save_is_answered_at_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ckpt = checkpointer(tmp_path, save=EverySteps(1))
    real = ckpt._run.capture

    def interrupted(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(ckpt._run, "capture", interrupted)
    ckpt.step()
    monkeypatch.setattr(ckpt._run, "capture", real)
    with pytest.raises(SystemExit):
        ckpt.step()


def test_a_closed_one_saves_no_more(tmp_path: Path) -> None:
    ckpt = checkpointer(tmp_path)
    ckpt.close()
    ckpt.close()
    with pytest.raises(UsageError, match="closed"):
        ckpt.save(1)


def test_a_forgotten_one_lets_go_of_folder_and_signals(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ckpt = checkpointer(tmp_path)
    path = ckpt.save(1)
    ckpt.wait()
    del ckpt
    gc.collect()
    assert path.exists()
    assert signal.getsignal(signal.SIGTERM) == before
    checkpointer(tmp_path).close()


def test_one_that_is_forgotten_while_it_saves_is_closed_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    slowly(monkeypatch)
    path = checkpointer(tmp_path).save(1)
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    gc.collect()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before
    checkpointer(tmp_path).close()


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_of_python_waits_for_the_last_save_and_tells_if_it_failed(tmp_path: Path, fails: bool) -> None:
    script = f"""
import time, torch, dotpt
from dotpt.training import checkpointer as module
real = module.write
def slow(*args, **options):
    time.sleep(0.3)
    if {fails}:
        raise dotpt.DotptError("The disk is full.")
    real(*args, **options)
module.write = slow
ckpt = dotpt.Checkpointer({str(tmp_path)!r}, model=torch.nn.Linear(2, 2), quiet=True)
ckpt.save(1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("the last save failed: The disk is full." in done.stderr) == fails
    assert (tmp_path / "step-00000001.pt").exists() != fails


@pytest.mark.parametrize("background", [True, False])
def test_it_works_in_another_thread(tmp_path: Path, background: bool) -> None:
    def work() -> None:
        with checkpointer(tmp_path, save=EverySteps(1), background=background) as ckpt:
            for _ in ckpt.steps(2):
                ckpt.step(loss=1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_one_that_was_made_here_may_be_used_and_closed_in_another_thread(tmp_path: Path) -> None:
    ckpt = checkpointer(tmp_path, save=EverySteps(1))
    for work in (ckpt.step, ckpt.close):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    ckpt.close()  # the signals can only be given back here
    assert len(list(tmp_path.glob("*.pt"))) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_in_the_midst_of_a_save_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on, of any fork beside threads
        with checkpointer(tmp_path) as ckpt:
            path = ckpt.save(1)
            child = os.fork()
            if not child:
                ckpt.close()  # does not wait for a thread that is not there
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            stubborn = os.fork()
            if not stubborn:
                time.sleep(30)
                os._exit(0)
            time.sleep(0.3)  # Python forgets the signals that come while it forks
            os.kill(stubborn, signal.SIGTERM)
            assert os.WTERMSIG(os.waitpid(stubborn, 0)[1]) == signal.SIGTERM
            ckpt.wait()
            with pytest.raises(dotpt.DotptError, match="another Checkpointer of this process"):
                checkpointer(tmp_path)
    assert dotpt.verify(path).ok


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.ones(2), "a tensor of the shape [2]"),
        (None, "NoneType None"),
        ("0.5", "str '0.5'"),
        ([1.0], "list [1.0]"),
        (1j, "complex 1j"),
    ],
)
def test_a_metric_that_is_no_number_is_named(tmp_path: Path, value: Any, told: str) -> None:
    with checkpointer(tmp_path) as ckpt:
        for act in (lambda: ckpt.step(val_acc=value), lambda: ckpt.save(1, {"val_acc": value})):
            with pytest.raises(UsageError, match="The metric val_acc is no number") as caught:
                act()
            assert told in str(caught.value)


def test_metrics_may_have_the_names_of_other_things(tmp_path: Path) -> None:
    metrics = {"step": 7, "epoch": torch.tensor([3.0]), "metrics": True, "bytes": 2.5}
    with checkpointer(tmp_path, save=EverySteps(1)) as ckpt:
        ckpt.step(**metrics)
    with checkpointer(tmp_path) as ckpt:
        restored = ckpt.restore()
    assert restored is not None
    assert (restored.step, restored.epoch) == (1, 0)
    assert restored.metrics == {"step": 7.0, "epoch": 3.0, "metrics": 1.0, "bytes": 2.5}


def test_no_epochs_and_fewer_epochs_than_were_done(tmp_path: Path) -> None:
    with checkpointer(tmp_path, save=None) as ckpt:
        assert list(ckpt.epochs(0)) == []
        assert list(ckpt.epochs(3)) == [0, 1, 2]
        ckpt.save()
    with checkpointer(tmp_path) as ckpt:
        assert list(ckpt.epochs(2)) == []
        assert list(ckpt.epochs(4)) == [3]


def test_a_loop_over_steps_that_takes_none_is_told(tmp_path: Path) -> None:
    with checkpointer(tmp_path) as ckpt, pytest.raises(UsageError, match="did not call step"):
        for _ in ckpt.steps(3):
            pass
