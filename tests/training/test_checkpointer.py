"""What a checkpointer saves, keeps, restores and refuses."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

import dotpt  # noqa: E402
from dotpt.errors import CannotPickle, NoCheckpoint, RunInUse, UsageError, WriteError  # noqa: E402
from dotpt.training import Best, EveryMinutes, EverySteps, Latest, Never, OnSignal, Steps  # noqa: E402
from dotpt.training.finding import DamagedCheckpoint  # noqa: E402


def steps_in(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.pt"))


def checkpointer(folder: Path, **options: Any) -> dotpt.Checkpointer:
    return dotpt.Checkpointer(folder, **{"quiet": True, **options})


def damage(path: Path) -> None:
    """One bit of the first tensor's bytes."""
    with dotpt.open(path) as archive:
        start = next(ref.byte_range[0] for ref in archive.tensors.values() if ref.byte_range)
    content = bytearray(path.read_bytes())
    content[start] ^= 1
    path.write_bytes(content)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_an_ordinary_one_under_the_names_of_torchs_tutorial(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 3, 7])
    parts = {"model": net, "optimizer": optimizer, "scheduler": scheduler, "scaler": torch.amp.GradScaler("cpu")}
    with checkpointer(tmp_path, **parts, config={"lr": 1e-3, "path": Path("a"), "n": np.int64(3)}) as ckpt:
        ckpt.step(loss=torch.tensor(0.5, requires_grad=True), accuracy=np.float32(0.25))
        path = ckpt.save()
    assert path == tmp_path / "step-00000001.pt"
    checkpoint = torch.load(path, weights_only=True)
    assert list(checkpoint)[:5] == ["step", "epoch", "loss", "metrics", "config"]
    assert (checkpoint["step"], checkpoint["epoch"], checkpoint["loss"]) == (1, 0, 0.5)
    assert checkpoint["metrics"] == {"loss": 0.5, "accuracy": 0.25}
    assert checkpoint["config"] == {"lr": 1e-3, "path": "a", "n": 3}
    net.load_state_dict(checkpoint["model_state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    scheduler.load_state_dict(checkpoint["scheduler_state_dict"])
    assert checkpoint["optimizer_state_dict"]["param_groups"][0]["param_names"] == ["weight", "bias"]
    assert dotpt.verify(path).ok


def test_everything_is_optional(tmp_path: Path) -> None:
    with checkpointer(tmp_path / "a" / "b") as ckpt:
        ckpt.save(3)
    with checkpointer(tmp_path / "a" / "b") as ckpt:
        restored = ckpt.restore()
    assert restored is not None
    assert (restored.step, restored.parts) == (3, ["random"])


def test_what_cannot_be_plain_is_told_by_its_address(tmp_path: Path) -> None:
    with checkpointer(tmp_path, config={"nested": [object()]}) as ckpt, pytest.raises(CannotPickle) as caught:
        ckpt.save()
    assert caught.value.key == "config.nested[0]"


def test_an_object_without_a_state_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="callback has no state_dict"):
        checkpointer(tmp_path, callback=object())


def test_shared_and_strided_tensors_stay_so(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5, bias=False)
            self.out.weight = self.embed.weight
            self.register_buffer("last", torch.randn(1, 3, 4, 4).contiguous(memory_format=torch.channels_last))
            self.register_buffer("view", torch.arange(20.0)[5:9])
            self.register_buffer("sparse", torch.eye(3).to_sparse())

    net = Odd()
    with checkpointer(tmp_path, model=net) as ckpt:
        path = ckpt.save()
    state = torch.load(path, weights_only=True)["model_state_dict"]
    assert state["embed.weight"].data_ptr() == state["out.weight"].data_ptr()
    assert state["last"].stride() == net.last.stride()
    for name, tensor in net.state_dict().items():
        assert torch.equal(state[name].to_dense(), tensor.to_dense())


# -- the snapshot -----------------------------------------------------------------------------------------------------


def test_training_may_go_on_in_place_while_the_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dotpt.training import checkpointer as module

    go, real = threading.Event(), module.write

    def slow(*args: Any, **options: Any) -> None:
        assert go.wait(30)
        real(*args, **options)

    monkeypatch.setattr(module, "write", slow)
    net, config = nn.Linear(300, 300), {"a": [1]}
    before = net.weight.detach().clone()
    with checkpointer(tmp_path, model=net, config=config) as ckpt:
        path = ckpt.save()
        with torch.no_grad():
            net.weight.zero_()
        config["a"].append(2)
        assert not path.exists()
        go.set()
        ckpt.wait()
    checkpoint = torch.load(path, weights_only=True)
    assert torch.equal(checkpoint["model_state_dict"]["weight"], before)
    assert checkpoint["config"] == {"a": [1]}


def test_a_second_save_waits_for_the_first_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dotpt.training import checkpointer as module

    real = module.write

    def slow(*args: Any, **options: Any) -> None:
        time.sleep(0.2)
        real(*args, **options)

    monkeypatch.setattr(module, "write", slow)
    with checkpointer(tmp_path, model=nn.Linear(2, 2)) as ckpt:
        ckpt.save(1)
        ckpt.save(2)
        ckpt.wait()
        saves = [event for event in ckpt.history if event["event"] == "save"]
    assert saves[0]["waited"] < 0.1 < saves[1]["waited"] <= saves[1]["stalled"]


def test_what_goes_wrong_in_the_background_is_raised_at_the_next_call_and_only_once(tmp_path: Path) -> None:
    ckpt = checkpointer(tmp_path / "run", model=nn.Linear(2, 2), save=EverySteps(1))
    ckpt.step()
    ckpt.wait()
    (tmp_path / "run").rename(tmp_path / "gone")
    ckpt.step()
    with pytest.raises(WriteError, match="does not exist"):
        ckpt.step()
    (tmp_path / "gone").rename(tmp_path / "run")
    ckpt.step()
    ckpt.close()
    assert steps_in(tmp_path / "run")[-1] == ckpt.global_step


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_retention_keeps_what_the_policy_says(tmp_path: Path) -> None:
    losses = [5, 1, 4, 3, 6, 7, 8]
    with checkpointer(tmp_path, save=EverySteps(1), keep=Latest(2) | Best(1, "loss") | Steps([4])) as ckpt:
        for loss in losses:
            ckpt.step(loss=loss)
    assert steps_in(tmp_path) == [2, 4, 6, 7]


def test_the_newest_whole_one_stays_whatever_the_policy_says(tmp_path: Path) -> None:
    with checkpointer(tmp_path, save=EverySteps(1), keep=Never()) as ckpt:
        for _ in range(3):
            ckpt.step()
    assert steps_in(tmp_path) == [3]


def test_only_files_of_this_run_are_deleted(tmp_path: Path) -> None:
    other = tmp_path / "other"
    with checkpointer(other, save=EverySteps(1)) as ckpt:
        ckpt.step()
    run = tmp_path / "run"
    run.mkdir()
    (run / "step-00000002.pt").write_bytes((other / "step-00000001.pt").read_bytes())
    torch.save({"step": 3}, run / "step-00000003.pt")
    (run / "step-00000004.pt").write_bytes(b"something else")
    (run / "best.pt").write_bytes(b"mine")
    with checkpointer(run, save=EverySteps(1), keep=Latest(1)) as ckpt:
        for step in (10, 11, 12):
            ckpt.save(step)
    assert steps_in(run) == [2, 3, 4, 12]


def test_a_save_that_fails_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dotpt.training import checkpointer as module

    with checkpointer(tmp_path, save=EverySteps(1), keep=Latest(1)) as ckpt:
        ckpt.step()
        ckpt.wait()

        def full(*args: Any, **options: Any) -> None:
            raise WriteError("The disk is full.")

        monkeypatch.setattr(module, "write", full)
        ckpt.step()
        with pytest.raises(WriteError):
            ckpt.wait()
    assert steps_in(tmp_path) == [1]


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="no RLIMIT_FSIZE here")
def test_a_full_disk_is_told_and_the_last_checkpoint_is_whole(tmp_path: Path) -> None:
    import resource

    net = nn.Linear(300, 300)
    with checkpointer(tmp_path, model=net, keep=Latest(1)) as ckpt:
        ckpt.save(1)
        ckpt.wait()
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        try:
            ckpt.save(2)
            with pytest.raises(dotpt.DotptError, match="could not be written"):
                ckpt.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        restored = ckpt.restore()
    assert restored is not None
    assert restored.step == 1


# -- what is restored -------------------------------------------------------------------------------------------------


def test_restore_gives_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    with checkpointer(tmp_path) as ckpt:
        assert ckpt.restore() is None
        assert ckpt.restore("best") is None
        assert ckpt.restore(3) is None


def test_latest_best_a_step_and_a_path(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    with checkpointer(tmp_path, model=net, keep=Latest(9) | Best(1, "loss")) as ckpt:
        for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0)):
            nn.init.constant_(net.weight, step)
            ckpt.save(step, {"loss": loss})
        for which, step in (("latest", 3), ("best", 2), (1, 1), (tmp_path / "step-00000002.pt", 2)):
            restored = ckpt.restore(which)
            assert restored is not None
            assert (restored.step, net.weight.item(), ckpt.global_step) == (step, step, step)
        with pytest.raises(NoCheckpoint, match="no checkpoint of step 7") as caught:
            ckpt.restore(7)
        assert "1, 2, 3" in str(caught.value)


def test_best_needs_a_policy_that_says_what_is_best(tmp_path: Path) -> None:
    with checkpointer(tmp_path) as ckpt:
        ckpt.save(1)
        with pytest.raises(UsageError, match="Nothing says what is best"):
            ckpt.restore("best")


def test_a_damaged_newest_file_is_passed_over_by_name(tmp_path: Path) -> None:
    net = nn.Linear(30, 30)
    with checkpointer(tmp_path, model=net) as ckpt:
        for step in (1, 2, 3):
            ckpt.save(step)
        ckpt.wait()
        damage(tmp_path / "step-00000003.pt")
        content = (tmp_path / "step-00000002.pt").read_bytes()
        (tmp_path / "step-00000002.pt").write_bytes(content[: len(content) // 2])
        with pytest.warns(DamagedCheckpoint) as told:
            restored = ckpt.restore()
    assert restored is not None
    assert restored.step == 1
    assert {str(one.message).split(" is ")[0] for one in told} == {"step-00000003.pt", "step-00000002.pt"}


def test_if_none_is_whole_the_run_does_not_begin_anew_in_silence(tmp_path: Path) -> None:
    with checkpointer(tmp_path, model=nn.Linear(30, 30)) as ckpt:
        ckpt.save(1)
        ckpt.wait()
        damage(tmp_path / "step-00000001.pt")
        with pytest.warns(DamagedCheckpoint), pytest.raises(NoCheckpoint, match="No checkpoint here is whole"):
            ckpt.restore()


def test_the_latest_is_the_one_saved_last_whatever_its_step_and_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with checkpointer(tmp_path, keep=Latest(9)) as ckpt:
        ckpt.save(100)
        ckpt.save(200)
        ckpt.wait()
    real = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda *given: real(0))
    with checkpointer(tmp_path, keep=Latest(2)) as ckpt:
        ckpt.restore(100)
        ckpt.save(150)
    assert steps_in(tmp_path) == [150, 200]
    os.utime(tmp_path / "step-00000150.pt", (0, 0))
    with checkpointer(tmp_path) as ckpt:
        restored = ckpt.restore()
    assert restored is not None
    assert restored.step == 150


def test_a_checkpoint_of_another_model_leaves_this_one_alone(tmp_path: Path) -> None:
    with checkpointer(tmp_path, model=nn.Linear(3, 3)) as ckpt:
        ckpt.save(1)
    net = nn.Linear(4, 4)
    before = net.weight.detach().clone()
    with checkpointer(tmp_path, model=net) as ckpt, pytest.raises(dotpt.DotptError, match="do not fit Linear"):
        ckpt.restore()
    assert torch.equal(net.weight, before)


def test_what_is_not_there_and_what_is_not_used_is_told(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    with checkpointer(tmp_path, model=net, ema=nn.Linear(2, 2)) as ckpt:
        ckpt.save(1)
    with checkpointer(tmp_path, model=net, optimizer=torch.optim.SGD(net.parameters(), 0.1)) as ckpt:
        restored = ckpt.restore()
    assert restored is not None
    assert (restored.parts, restored.missing, restored.unused) == (["model", "random"], ["optimizer"], ["ema"])
    assert "not in it    optimizer: as they were made" in str(restored)


def test_an_optimizer_follows_the_names_of_its_parameters(tmp_path: Path) -> None:
    def make(*layers: str) -> Any:
        net = nn.ModuleDict({name: nn.Linear(2, 2) for name in layers})
        return net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)

    net, optimizer = make("a", "b")
    sum(layer(torch.ones(1, 2)).sum() * n for n, layer in enumerate(net.values(), 1)).backward()
    optimizer.step()
    with checkpointer(tmp_path, model=net, optimizer=optimizer) as ckpt:
        ckpt.save(1)
    turned, other = make("b", "a")
    with checkpointer(tmp_path, model=turned, optimizer=other) as ckpt:
        ckpt.restore()
    for name in ("a", "b"):
        saved = optimizer.state[net[name].weight]["momentum_buffer"]
        assert torch.equal(other.state[turned[name].weight]["momentum_buffer"], saved)


def test_an_average_beside_the_model_does_not_change_the_names_of_the_optimizer(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with checkpointer(tmp_path, model=net, optimizer=optimizer) as ckpt:
        ckpt.save(1)
    ema = torch.optim.swa_utils.AveragedModel(net)
    with checkpointer(tmp_path, model=net, optimizer=optimizer, ema=ema) as ckpt:
        restored = ckpt.restore()
        path = ckpt.save(2)
    assert restored is not None
    assert (restored.parts, restored.missing) == (["model", "optimizer", "random"], ["ema"])
    group = torch.load(path, weights_only=True)["optimizer_state_dict"]["param_groups"][0]
    assert group["param_names"] == ["weight", "bias"]


def test_one_optimizer_of_two_models(tmp_path: Path) -> None:
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD([*one.parameters(), *other.parameters()], 0.1, momentum=0.9)
    (one(torch.ones(1, 2)) * 2 + other(torch.ones(1, 2))).sum().backward()
    optimizer.step()
    before = optimizer.state_dict()
    with checkpointer(tmp_path, model=one, other=other, optimizer=optimizer) as ckpt:
        ckpt.save(1)
        ckpt.restore()
    for number, state in before["state"].items():
        assert torch.equal(optimizer.state_dict()["state"][number]["momentum_buffer"], state["momentum_buffer"])


def test_every_random_generator_goes_on(tmp_path: Path) -> None:
    own = {"torch": torch.Generator(), "numpy": np.random.default_rng(3), "python": random.Random(4)}

    def draw() -> list[Any]:
        return [
            torch.rand(1).item(), random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(),
            torch.rand(1, generator=own["torch"]).item(), own["numpy"].random(), own["python"].gauss(0, 1),
        ]  # fmt: skip

    draw()
    with checkpointer(tmp_path, generators=own) as ckpt:
        path = ckpt.save(1)
        ckpt.wait()
        expected = [draw(), draw()]
        torch.load(path, weights_only=True)
        ckpt.restore()
    assert [draw(), draw()] == expected


# -- when -------------------------------------------------------------------------------------------------------------


def test_none_saves_only_when_told(tmp_path: Path) -> None:
    with checkpointer(tmp_path, save=None) as ckpt:
        for _ in range(3):
            ckpt.step()
        assert steps_in(tmp_path) == []
        ckpt.save()
    assert steps_in(tmp_path) == [3]


def test_minutes_are_counted_from_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with checkpointer(tmp_path, save=EveryMinutes(1), keep=Latest(9)) as ckpt:
        for seconds in (30, 31, 59, 2):
            clock[0] += seconds
            ckpt.step()
    assert steps_in(tmp_path) == [2, 4]


def test_a_policy_for_the_other_question_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not when to save"):
        checkpointer(tmp_path, save=Latest(3))
    with pytest.raises(UsageError, match="not what to keep"):
        checkpointer(tmp_path, keep=OnSignal("SIGTERM"))


# -- signals, and others ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_saves_once_and_stops_cleanly(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    ckpt = checkpointer(tmp_path, save=None)
    ckpt.step()
    os.kill(os.getpid(), number)
    with pytest.raises(SystemExit) as stopped:
        ckpt.step()
    assert stopped.value.code == 128 + number
    assert steps_in(tmp_path) == [2]
    assert signal.getsignal(number) == before
    checkpointer(tmp_path).close()  # the folder is free


def test_on_signal_saves_and_goes_on(tmp_path: Path) -> None:
    with checkpointer(tmp_path, save=OnSignal("SIGUSR2")) as ckpt:
        ckpt.step()
        os.kill(os.getpid(), signal.SIGUSR2)
        ckpt.step()
        ckpt.step()
    assert steps_in(tmp_path) == [2]


def test_a_second_ctrl_c_does_not_wait_for_a_step(tmp_path: Path) -> None:
    with checkpointer(tmp_path, save=None):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with checkpointer(tmp_path), pytest.raises(RunInUse, match="already being written into this folder"):
        checkpointer(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="nothing was started"):
        checkpointer(tmp_path / "file" / "run")


def test_the_history_is_in_memory_and_beside_the_checkpoints(tmp_path: Path) -> None:
    class Board:
        told: list[Any] = []

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.told.append((name, step))

    with checkpointer(tmp_path, writer=Board()) as ckpt:
        ckpt.save(5, {"loss": float("nan")})
        ckpt.restore()
    lines = [json.loads(line) for line in (tmp_path / "checkpoints.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["run", "start", "save", "load"]
    assert lines[1]["keep"] == "Latest(count=3)"
    assert lines[2]["step"] == 5
    assert {"stalled", "seconds", "GB/s", "bytes", "waited"} <= lines[2].keys()
    assert ("checkpoint/stalled", 5) in Board.told
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = checkpointer(tmp_path)
    assert again.history.run == lines[0]["run"]
    again.close()
