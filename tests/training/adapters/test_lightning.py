"""Lightning's Trainer with our CheckpointIO and callback."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")
from pytorch_lightning.callbacks import Callback  # noqa: E402
from pytorch_lightning.loggers import CSVLogger  # noqa: E402

import dotpt  # noqa: E402
from dotpt.errors import UnsafeGlobal, UsageError, WriteError  # noqa: E402
from dotpt.training import latest_whole  # noqa: E402
from dotpt.training.adapters import torch_saver  # noqa: E402
from dotpt.training.adapters.lightning import DotptCheckpointIO  # noqa: E402
from dotpt.training.finding import DamagedCheckpoint  # noqa: E402
from dotpt.training.layouts import listing_of  # noqa: E402
from tests.training.adapters.lightning_run import Net, train  # noqa: E402
from tests.training.runs import damage, names  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.managers,
    pytest.mark.filterwarnings("ignore:::pytorch_lightning"),  # advice for larger runs, and of torch for Lightning
]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights after five epochs that nothing interrupted."""
    return train(tmp_path_factory.mktemp("whole"), 5)[1].state_dict()


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_fit_saves_plain_files_with_hashes_that_are_listed(tmp_path):
    _, module = train(tmp_path, 2)
    listing = listing_of(tmp_path)
    assert (listing.layout, names(listing)) == ("Lightning", ["epoch=0-step=4.ckpt", "epoch=1-step=8.ckpt"])
    path = tmp_path / "epoch=1-step=8.ckpt"
    assert dotpt.verify(path).ok
    loaded = torch.load(path, weights_only=True)
    assert equal(module.state_dict(), loaded["state_dict"])
    assert loaded["hyper_parameters"] == {"width": 4}
    assert Net.load_from_checkpoint(path).hparams.width == 4


def test_a_run_that_is_killed_goes_on_bit_for_bit(tmp_path, undisturbed):
    command = [sys.executable, "-m", "tests.training.adapters.lightning_run", str(tmp_path / "run"), "5"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(dotpt.__file__).parents[1]}"}
    killed = subprocess.run([*command, str(tmp_path / "x.pt"), "14"], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert latest_whole(tmp_path / "run") is not None
    subprocess.run([*command, str(tmp_path / "x.pt"), "0"], cwd=ROOT, env=environment, check=True)
    assert equal(undisturbed, torch.load(tmp_path / "x.pt"))


@pytest.mark.filterwarnings("ignore::dotpt.training.finding.DamagedCheckpoint")
def test_a_damaged_newest_is_passed_over(tmp_path, undisturbed):
    train(tmp_path, 3)
    damage(tmp_path / "epoch=2-step=12.ckpt")
    with pytest.warns(DamagedCheckpoint, match=r"epoch=2-step=12\.ckpt is passed over"):
        assert latest_whole(tmp_path).name == "epoch=1-step=8.ckpt"
    _, module = train(tmp_path, 5)
    assert equal(undisturbed, module.state_dict())


def test_without_the_random_states_it_would_not(tmp_path, undisturbed):
    train(tmp_path, 2, random=False)
    _, module = train(tmp_path, 5, random=False)
    assert not equal(undisturbed, module.state_dict())


def test_in_the_foreground(tmp_path, undisturbed):
    train(tmp_path, 2, io=DotptCheckpointIO(background=False, durable=False, verify=False))
    _, module = train(tmp_path, 5, io=DotptCheckpointIO(background=False))
    assert equal(undisturbed, module.state_dict())


def test_what_is_removed_goes_after_what_replaces_it(tmp_path, monkeypatch):
    real, seen = torch_saver.write, []

    def watching(tree, path, **options):
        seen.append([one.name for one in tmp_path.glob("*.ckpt")])
        real(tree, path, **options)

    monkeypatch.setattr(torch_saver, "write", watching)
    train(tmp_path, 4, save_top_k=1)
    assert [len(there) for there in seen] == [0, 1, 1, 1]
    assert names(listing_of(tmp_path)) == ["epoch=3-step=16.ckpt"]


def test_training_goes_on_while_a_snapshot_is_written(tmp_path, monkeypatch):
    real, go, written = torch_saver.write, threading.Event(), []

    def slowly(tree, path, **options):
        assert go.wait(30)
        real(tree, path, **options)
        written.append(tree["global_step"])

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if trainer.global_step == 4:
                self.then = {name: value.clone() for name, value in module.state_dict().items()}
            if trainer.global_step == 7:
                assert not written
                go.set()

    monkeypatch.setattr(torch_saver, "write", slowly)
    watch = Watch()
    train(tmp_path, 2, callbacks=[watch])
    assert written == [4, 8]
    assert equal(watch.then, dotpt.load(tmp_path / "epoch=0-step=4.ckpt")["state_dict"])


def test_a_save_that_fails_stops_the_fit(tmp_path, monkeypatch):
    def full(*_, **__):
        raise WriteError("The disk is full.")

    monkeypatch.setattr(torch_saver, "write", full)
    with pytest.raises(WriteError, match="full"):
        train(tmp_path, 1)


def test_what_saves_take_is_logged(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="")
    train(tmp_path / "checkpoints", 3, logger=logger)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    told = [row for row in rows if row["checkpoint/seconds"]]
    assert [row["step"] for row in told] == ["4", "8", "12"]
    assert all(0 <= float(row["checkpoint/waited"]) <= float(row["checkpoint/stalled"]) for row in told)
    assert set(listing_of(tmp_path).curves) == {"loss"}


def test_classes_of_ones_own_are_loaded_only_if_they_are_trusted(tmp_path):
    io = DotptCheckpointIO()
    io.save_checkpoint({"state_dict": {}, "hyper_parameters": {"loss": Path, "where": Odd()}}, tmp_path / "a/x.ckpt")
    with pytest.raises(UnsafeGlobal, match="Odd"):
        io.load_checkpoint(tmp_path / "a/x.ckpt")
    assert type(io.load_checkpoint(tmp_path / "a/x.ckpt", weights_only=False)["hyper_parameters"]["where"]) is Odd
    trusting = DotptCheckpointIO(trust=[Odd, Path])
    assert trusting.load_checkpoint(tmp_path / "a/x.ckpt")["hyper_parameters"]["loss"] is Path
    io.remove_checkpoint(tmp_path / "a/x.ckpt")
    io.teardown()
    assert not (tmp_path / "a/x.ckpt").exists()
    with pytest.raises(UsageError, match="storage_options"):
        io.save_checkpoint({}, tmp_path / "y.ckpt", storage_options={})
    io.teardown()


class Odd:
    """Something that users put into hyper-parameters."""
