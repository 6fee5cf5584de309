"""Two processes under torchrun: one writes, both restore, and both agree on when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed"),
]

import dotpt  # noqa: E402

SCRIPT = """
import os, signal, sys, random
import torch, torch.distributed as dist
from torch import nn
import dotpt
from dotpt.training import EveryMinutes, EverySteps, Latest, Never

folder, out, stop, by = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
random.seed(rank)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
model = nn.parallel.DistributedDataParallel(net)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
data = torch.arange(64.0).reshape(16, 4) / 64
sampler = torch.utils.data.DistributedSampler(data, shuffle=True)
loader = torch.utils.data.DataLoader(data, batch_size=2, sampler=sampler)
ckpt = dotpt.Checkpointer(folder, model=model, optimizer=optimizer, save=EverySteps(3), keep=Latest(2))
drawn = []
for epoch in ckpt.epochs(3):
    for batch in ckpt.batches(loader):
        noise = torch.rand(1).item() + random.random()
        drawn.append((ckpt.global_step, noise, batch.sum().item()))
        loss = (model(batch) * noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if by == "signal" and ckpt.global_step + 1 == stop and rank == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        ckpt.step(loss=loss)
        if by == "kill" and ckpt.global_step == stop:
            ckpt.wait()
            dist.barrier()
            os._exit(9)
ckpt.close()
torch.save({"model": net.state_dict(), "drawn": drawn}, f"{out}.{rank}")
dist.barrier()
sys.stdout.flush()
os._exit(0)  # at its regular end torch aborts in one of ten runs, also without dotpt
"""


def run(folder: Path, out: Path, stop: int = 0, by: str = "") -> subprocess.CompletedProcess[str]:
    """The script on two processes."""
    script = folder.parent / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    command += [str(folder), str(out), str(stop), by]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def outcome(out: Path) -> list[Any]:
    return [torch.load(f"{out}.{rank}") for rank in (0, 1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder / "run", folder / "out")
    assert done.returncode == 0, done.stderr
    return outcome(folder / "out")


@pytest.mark.parametrize(("by", "stop", "saved"), [("kill", 5, 3), ("signal", 5, 5)])
def test_a_run_on_two_processes_resumes_to_the_bit(
    tmp_path: Path, whole: list[Any], by: str, stop: int, saved: int
) -> None:
    stopped = run(tmp_path / "run", tmp_path / "out", stop, by)
    assert stopped.returncode != 0
    assert [path.name for path in sorted((tmp_path / "run").glob("step-*"))][-1] == f"step-{saved:08d}.pt"
    resumed = run(tmp_path / "run", tmp_path / "out")
    assert resumed.returncode == 0, resumed.stderr
    for rank, (after, before) in enumerate(zip(outcome(tmp_path / "out"), whole, strict=True)):
        assert after["drawn"] == before["drawn"][saved:], f"rank {rank}"
        for name, tensor in before["model"].items():
            assert torch.equal(tensor, after["model"][name])


def test_the_file_is_that_of_one_process_and_the_names_are_those_of_the_model(tmp_path: Path, whole: list[Any]) -> None:
    done = run(tmp_path / "run", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    path = sorted((tmp_path / "run").glob("step-*"))[-1]
    checkpoint = torch.load(path, weights_only=True)
    assert list(checkpoint["model_state_dict"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert checkpoint["world_size"] == len(checkpoint["ranks"]) == 2
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1))
    with dotpt.Checkpointer(tmp_path / "run", model=net, quiet=True) as ckpt:
        restored = ckpt.restore()
    assert restored is not None
    assert "saved by 2 processes, and there are 1 now" in "".join(restored.notes)


FAILING = """
import os, sys
import torch, torch.distributed as dist
import dotpt
from dotpt.training import checkpointer as module

folder = sys.argv[1]
dist.init_process_group("gloo")
rank = dist.get_rank()
told = []

def note(act):
    try:
        act()
    except dotpt.DotptError as error:
        told.append(f"{type(error).__name__}: {error.problem}")

ckpt = dotpt.Checkpointer(folder, model=torch.nn.Linear(2, 2), save=None, quiet=True)
note(lambda: dotpt.Checkpointer(folder, model=torch.nn.Linear(2, 2)))
ckpt.save(1)
note(lambda: ckpt.restore(7))
real = module.write

def full(*args, **options):
    raise dotpt.DotptError("The disk is full.")

module.write = full
ckpt.save(2)
note(lambda: ckpt.save(3))
module.write = real
ckpt.save(4)
ckpt.close()
with open(f"{folder}.{rank}", "w") as file:
    file.write("\\n".join(told))
dist.barrier()
os._exit(0)
"""


def test_what_fails_in_the_first_process_is_raised_in_all(tmp_path: Path) -> None:
    script = tmp_path / "fail.py"
    script.write_text(FAILING)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, str(tmp_path / "run")], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [(tmp_path / f"run.{rank}").read_text().splitlines() for rank in (0, 1)]
    assert told[0] == told[1]
    assert [line.split(":")[0] for line in told[0]] == ["RunInUse", "NoCheckpoint", "DotptError"]
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pt")) == ["step-00000001.pt", "step-00000004.pt"]
