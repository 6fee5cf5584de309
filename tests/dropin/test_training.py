"""A training script that knows nothing of dotpt, under ``dotpt run``: it saves, is killed, resumes, ends the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import dotpt

torch = pytest.importorskip("torch")

from tests.corpus.compare import same  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.skipif(os.name == "nt", reason="SIGKILL is another thing there")]
SCRIPT = Path(__file__).with_name("train.py")
SOURCES = Path(dotpt.__file__).parents[1]
UNDER_US = ("-m", "dotpt", "run", "--no-durable")


def train(folder: Path, *arguments: str, by: tuple[str, ...] = UNDER_US) -> subprocess.CompletedProcess[str]:
    """Run the script on a folder."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    command = [sys.executable, *by, str(SCRIPT), str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def by_us(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".dotpt/manifest.json") for name in archive.namelist())


def test_killed_and_resumed_it_ends_as_if_nothing_had_been(tmp_path):
    plain = train(tmp_path / "plain", by=())
    assert plain.returncode == 0, plain.stderr
    assert not by_us(tmp_path / "plain/final.pt")

    ours = tmp_path / "ours"
    for steps, epochs in ((21, "01"), (13, "2")):  # in the third epoch; again in the second one after that
        killed = train(ours, "--kill-after", str(steps))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert [line for line in killed.stdout.splitlines() if "saved" in line] == [f"saved epoch {n}" for n in epochs]
        assert by_us(ours / "checkpoint.pt")
        assert dotpt.verify(ours / "checkpoint.pt").ok
    ended = train(ours)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("resumed at epoch 3\n")

    assert sorted(path.name for path in ours.iterdir()) == ["checkpoint.pt", "final.pt", "model.pt"]
    for name in ("final.pt", "checkpoint.pt"):
        assert by_us(ours / name)
        assert same(torch.load(ours / name), torch.load(tmp_path / "plain" / name)) is None
    assert by_us(ours / "model.pt")
    models = [torch.load(folder / "model.pt", weights_only=False) for folder in (ours, tmp_path / "plain")]
    assert same(models[0].state_dict(), models[1].state_dict()) is None


def test_a_checkpoint_of_either_is_resumed_by_the_other(tmp_path):
    assert train(tmp_path, "--kill-after", "10", by=()).returncode == -signal.SIGKILL
    assert not by_us(tmp_path / "checkpoint.pt")
    assert train(tmp_path, "--kill-after", "10").returncode == -signal.SIGKILL
    assert by_us(tmp_path / "checkpoint.pt")
    ended = train(tmp_path, by=())
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("resumed at epoch 2\n")


SAVING = """
import sys, torch
for number in range(1_000_000):
    torch.save({"w": torch.full((3_000_000,), float(number)), "number": number}, sys.argv[1])
    print(number, flush=True)
"""


def test_killed_at_any_moment_the_file_is_whole(tmp_path):
    script = tmp_path / "saving.py"
    script.write_text(SAVING)
    (tmp_path / "files").mkdir()
    target = tmp_path / "files/checkpoint.pt"
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    for delay in (0.013, 0.11, 0.37):
        process = subprocess.Popen([sys.executable, *UNDER_US, script, target], env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
            said = process.stdout.read().split()
        assert process.wait(60) == -signal.SIGKILL
        assert dotpt.verify(target).ok
        loaded = torch.load(target)
        assert loaded["number"] >= int(said[-1] if said else 0)
        assert torch.equal(loaded["w"], torch.full((3_000_000,), float(loaded["number"])))
    with dotpt.patch_torch(durable=False):  # sweeps what the killed ones have left
        torch.save([1], target)
    assert [path.name for path in target.parent.iterdir()] == ["checkpoint.pt"]


DAMAGING = """
import os, resource, signal, sys, torch
path = sys.argv[1]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
torch.save({"w": torch.ones(1000)}, path)
for failing in ({"w": torch.zeros(1000), "f": lambda: 0}, {"w": torch.zeros(1_000_000)}):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        torch.save(failing, path)
    except Exception as error:
        print(type(error).__name__, flush=True)
print(torch.load(path)["w"].sum().item(), sorted(os.listdir(os.path.dirname(path))))
"""


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path):
    script = tmp_path / "damaging.py"
    script.write_text(DAMAGING)
    (tmp_path / "files").mkdir()
    target = tmp_path / "files/checkpoint.pt"
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    results = []
    for by in (UNDER_US, ()):
        command = [sys.executable, *by, str(script), str(target)]
        results.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=False))
    ours, theirs = results
    assert ours.returncode == 0, ours.stderr
    assert ours.stdout.split("\n") == ["CannotPickle", "NoSpace", "1000.0 ['checkpoint.pt']", ""]
    assert theirs.returncode != 0  # what this is for
