"""Ignite's Checkpoint handler, with our save handler, against Ignite itself."""

from __future__ import annotations

import threading

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("ignite")
from ignite.engine import Engine, Events  # noqa: E402
from ignite.handlers import Checkpoint  # noqa: E402

import dotpt  # noqa: E402
from dotpt.errors import UsageError, WriteError  # noqa: E402
from dotpt.training import latest_whole  # noqa: E402
from dotpt.training.adapters import torch_saver  # noqa: E402
from dotpt.training.adapters.ignite import DotptSaver  # noqa: E402
from dotpt.training.finding import DamagedCheckpoint  # noqa: E402
from dotpt.training.layouts import listing_of  # noqa: E402
from tests.training.runs import cut, damage, names  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.managers]


def run(folder, epochs, *, resume=False, n_saved=2, losses=None, **options):
    """Train for some epochs of 4 steps, with a checkpoint after each."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    data = [torch.randn(5, 3, generator=torch.Generator().manual_seed(n)) for n in range(4)]

    def step(engine, batch):
        optimizer.zero_grad()
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    trainer = Engine(step)
    objects = {"model": model, "optimizer": optimizer, "trainer": trainer}
    if resume and (path := latest_whole(folder)):
        Checkpoint.load_objects(objects, dotpt.load(path))
    with DotptSaver(folder, require_empty=not resume, **options) as saver:
        scores = {"score_function": lambda engine: -engine.state.output, "score_name": "neg_loss"} if losses else {}
        handler = Checkpoint(
            objects, saver, n_saved=n_saved, global_step_transform=lambda e, _: e.state.epoch, **scores
        )
        trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
        trainer.run(data, max_epochs=epochs)
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("background", [True, False])
def test_a_run_is_saved_listed_and_goes_on_bit_for_bit(tmp_path, background):
    whole = run(tmp_path / "whole", 6, background=background)
    run(tmp_path / "cut", 3, background=background)
    resumed = run(tmp_path / "cut", 6, resume=True, background=background)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert names(listing_of(tmp_path / "whole")) == ["checkpoint_5.pt", "checkpoint_6.pt"]
    assert listing_of(tmp_path / "whole").layout == "Ignite"
    path = tmp_path / "whole/checkpoint_6.pt"
    assert dotpt.verify(path).ok
    assert torch.load(path, weights_only=True)["model"]["weight"].shape == (2, 3)


def test_a_damaged_newest_is_passed_over(tmp_path):
    whole = run(tmp_path / "whole", 5)
    run(tmp_path / "cut", 4)
    damage(tmp_path / "cut/checkpoint_4.pt")
    with pytest.warns(DamagedCheckpoint, match="checkpoint_4.pt is passed over"):
        resumed = run(tmp_path / "cut", 5, resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_scores_are_listed_in_full(tmp_path):
    run(tmp_path, 3, losses=True, n_saved=3)
    listing = listing_of(tmp_path)
    assert [entry.step for entry in listing.entries] == [1, 2, 3]
    assert all(entry.stored.metrics["neg_loss"] < 0 for entry in listing.entries)
    assert listing.name_of(listing.entries[0]).startswith("checkpoint_1_neg_loss=-")
    cut(listing.entries[0].path)
    assert listing_of(tmp_path).entries[0].problem


def test_the_old_one_goes_when_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    """Ignite asks for its removal before; DiskSaver would leave nothing for a moment."""
    go, seen = threading.Event(), []
    real = torch_saver.write

    def slowly(tree, path, **options):
        go.wait(10)
        seen.append(sorted(one.name for one in tmp_path.glob("*.pt")))
        real(tree, path, **options)

    with DotptSaver(tmp_path) as saver:
        saver({"w": torch.ones(3)}, "checkpoint_1.pt")
        saver.wait()
        monkeypatch.setattr(torch_saver, "write", slowly)
        saver.remove("checkpoint_1.pt")
        value = torch.zeros(3)
        saver({"w": value}, "checkpoint_2.pt")
        value += 7  # training goes on in place
        assert (tmp_path / "checkpoint_1.pt").exists()
        go.set()
    assert seen == [["checkpoint_1.pt"]]
    assert [path.name for path in tmp_path.glob("*.pt")] == ["checkpoint_2.pt"]
    assert torch.equal(dotpt.load(tmp_path / "checkpoint_2.pt")["w"], torch.zeros(3))


@pytest.mark.parametrize("background", [True, False])
def test_a_save_that_fails_is_raised_and_removes_nothing(tmp_path, monkeypatch, background):
    saver = DotptSaver(tmp_path, background=background)
    saver({"w": torch.ones(3)}, "checkpoint_1.pt")
    saver.wait()
    real = torch_saver.write

    def full(*_, **__):
        raise WriteError("The disk is full.")

    monkeypatch.setattr(torch_saver, "write", full)
    saver.remove("checkpoint_1.pt")
    with pytest.raises(WriteError, match="full"):  # noqa: PT012 - in the background at the next call
        saver({"w": torch.ones(3)}, "checkpoint_2.pt")
        saver.wait()
    assert [path.name for path in tmp_path.glob("*.pt")] == ["checkpoint_1.pt"]
    monkeypatch.setattr(torch_saver, "write", real)
    saver({"w": torch.ones(3)}, "checkpoint_3.pt")
    saver.close()
    assert latest_whole(tmp_path).name == "checkpoint_3.pt"


def test_a_folder_with_checkpoints_is_refused_unless_it_is_to_go_on(tmp_path):
    dotpt.save({"w": 1}, tmp_path / "checkpoint_1.pt")
    with pytest.raises(UsageError, match="checkpoints already"):
        DotptSaver(tmp_path)
    DotptSaver(tmp_path, require_empty=False).close()


def test_other_files_are_no_run_of_ignite(tmp_path):
    dotpt.save({"w": 1}, tmp_path / "resnet_18.pt")
    assert latest_whole(tmp_path) is None
