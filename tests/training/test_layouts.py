"""Which checkpoints lie in a folder, whichever library wrote it, and what was measured at them."""

from __future__ import annotations

import json
import math
import os

import pytest

import dotpt
from dotpt.errors import NoCheckpoint, SourceNotFound, UsageError
from dotpt.training import layout_dotpt, layouts
from dotpt.training.history import JOURNAL, History
from dotpt.training.layouts import entry_at, listing_of
from dotpt.training.listing import why_not_whole
from dotpt.training.measures import chosen, metrics_of, mode_of, ranked
from tests.training.runs import accelerate, cut, damage, is_nan, lightning, names, ours, save, trainer


def best_name(listing, metric=None, mode=None):
    return listing.name_of(ranked(listing, chosen(listing, metric, mode))[0])


# -- ours -------------------------------------------------------------------------------------------------------------


def test_our_own_run(tmp_path):
    listing = listing_of(ours(tmp_path / "run"))
    assert listing.layout == "dotpt"
    assert listing.run
    assert not listing.notes
    assert [entry.step for entry in listing.entries] == [100, 200, 300, 400, 500]
    assert listing.curves["val_loss"] == [(100, 0.9), (200, 0.5), (300, 0.3), (400, 0.4), (500, 0.6)]
    assert metrics_of(listing) == ["val_loss", "loss"]
    assert best_name(listing) == "step-00000300.pt"
    assert best_name(listing, "loss", "max") == "step-00000100.pt"


def test_the_order_is_that_of_saving_not_of_the_names(tmp_path):
    ours(tmp_path)
    save(tmp_path, 250, 6, {"val_loss": 0.2})  # the run went back to step 200
    assert [entry.step for entry in listing_of(tmp_path).entries] == [100, 200, 300, 400, 500, 250]


def test_curves_remember_checkpoints_that_are_gone_and_forget_what_was_undone(tmp_path):
    ours(tmp_path)
    (tmp_path / "step-00000100.pt").unlink()
    history = History(tmp_path)
    history.note("load", path="step-00000200.pt", step=200, seconds=0.1)
    assert listing_of(tmp_path).restarts == []  # it was loaded to be looked at, as far as is known
    save(tmp_path, 250, 6, {"val_loss": 0.2})
    listing = listing_of(tmp_path)
    assert listing.restarts == [200]
    told = dict(listing.curves["val_loss"])
    assert told[100] == 0.9
    assert told[250] == 0.2
    assert [step for step in told if step <= 250] == [100, 200, 250]


def test_without_a_journal_the_files_tell(tmp_path):
    ours(tmp_path)
    (tmp_path / JOURNAL).unlink()
    listing = listing_of(tmp_path)
    assert listing.curves["val_loss"][2] == (300, 0.3)
    assert listing.run == ""


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path):
    ours(tmp_path)
    with (tmp_path / JOURNAL).open("ab") as lines:
        lines.write(b'{"event": "save", "st\xff')
    assert len(listing_of(tmp_path).curves["val_loss"]) == 5


def test_a_cut_off_file_is_seen_at_once_and_stands_where_its_step_would(tmp_path):
    ours(tmp_path)
    cut(tmp_path / "step-00000300.pt")
    listing = listing_of(tmp_path)
    assert [entry.step for entry in listing.entries] == [100, 200, 300, 400, 500]
    assert [bool(entry.problem) for entry in listing.entries] == [False, False, True, False, False]
    assert best_name(listing) == "step-00000400.pt"


def test_a_changed_byte_is_seen_by_verifying(tmp_path):
    ours(tmp_path)
    damage(tmp_path / "step-00000300.pt")
    listing = listing_of(tmp_path)
    assert not any(entry.problem for entry in listing.entries)
    assert [bool(why_not_whole(entry)) for entry in listing.entries] == [False, False, True, False, False]


def test_a_file_without_a_note_is_one_of_another_run(tmp_path):
    ours(tmp_path)
    dotpt.save({"step": 50}, tmp_path / "step-00000050.pt")
    listing = listing_of(tmp_path)
    assert listing.entries[0].step == 50
    assert listing.notes == ["1 of these were written by another run, and are never deleted by this one."]


def test_nan_is_never_the_best(tmp_path):
    ours(tmp_path / "some", [0.5, math.nan, 0.4])
    assert best_name(listing_of(tmp_path / "some")) == "step-00000300.pt"
    ours(tmp_path / "all", [math.nan, math.nan])
    listing = listing_of(tmp_path / "all")
    assert is_nan(listing.entries[0].stored.metrics["val_loss"])
    with pytest.raises(NoCheckpoint, match="val_loss is NaN in every checkpoint"):
        best_name(listing)


# -- the others' ------------------------------------------------------------------------------------------------------


def test_the_trainers_folder(tmp_path):
    listing = listing_of(trainer(tmp_path))
    assert listing.layout == "Trainer"
    assert names(listing) == ["checkpoint-10", "checkpoint-20", "checkpoint-30"]
    assert [entry.step for entry in listing.entries] == [10, 20, 30]
    assert listing.entries[1].stored.metrics["eval_loss"] == 0.1
    assert listing.curves["loss"] == [(10, 2.0), (20, 1.0), (30, 0.0)]
    assert listing.best == ("eval_loss", "min")
    assert best_name(listing) == "checkpoint-20"
    assert not any(why_not_whole(entry) for entry in listing.entries)
    total = sum(path.stat().st_size for path in (tmp_path / "checkpoint-10").iterdir())
    assert listing.entries[0].size == total


def test_the_trainer_says_itself_what_is_best(tmp_path):
    trainer(tmp_path, best=30, metric="eval_whatever")
    for path in tmp_path.iterdir():  # more of it is better: 0.1 is not, 7.5 is
        state = path / "trainer_state.json"
        state.write_text(state.read_text().replace('"eval_whatever": 0.1', '"eval_whatever": 7.5').replace(
            '"best_metric": 0.1', '"best_metric": 7.5'))  # fmt: skip
    listing = listing_of(tmp_path)
    assert listing.best == ("eval_whatever", "max")
    assert best_name(listing) == "checkpoint-30"


def test_one_checkpoint_of_the_trainer(tmp_path):
    trainer(tmp_path)
    listing = listing_of(tmp_path / "checkpoint-20")
    assert [entry.step for entry in listing.entries] == [20]
    assert names(listing) == ["checkpoint-20"]


def test_a_save_of_the_trainer_that_was_cut_off(tmp_path):
    trainer(tmp_path)
    (tmp_path / "checkpoint-30/trainer_state.json").unlink()
    cut(tmp_path / "checkpoint-20/model.safetensors")
    (tmp_path / "checkpoint-10/trainer_state.json").write_text("{")
    problems = [entry.problem for entry in listing_of(tmp_path).entries]
    assert "not what the Trainer writes" in problems[0]
    assert problems[1].startswith("model.safetensors: ")
    assert "the save was cut off" in problems[2]


def test_a_trainer_that_was_resumed_needs_the_older_states_only_for_what_the_newest_lacks(tmp_path):
    trainer(tmp_path)
    newest = tmp_path / "checkpoint-30/trainer_state.json"
    state = json.loads(newest.read_text())
    state["log_history"] = [one for one in state["log_history"] if one["step"] != 10]
    newest.write_text(json.dumps(state))
    assert listing_of(tmp_path).entries[0].stored.metrics["eval_loss"] == 0.5


def test_accelerates_projects(tmp_path):
    listing = listing_of(accelerate(tmp_path / "a"))
    assert listing.layout == "Accelerate"
    assert names(listing) == ["checkpoint_0", "checkpoint_1", "checkpoint_10"]
    assert [entry.step for entry in listing.entries] == [0, 1, 10]
    assert not metrics_of(listing)
    assert names(listing_of(tmp_path / "a/checkpoints")) == names(listing)
    assert names(listing_of(tmp_path / "a/checkpoints/checkpoint_1")) == ["checkpoint_1"]
    named = listing_of(accelerate(tmp_path / "b", ["step_500", "epoch_1", "step_700"]))
    assert names(named) == ["step_500", "epoch_1", "step_700"]  # by time: their numbers count different things
    with pytest.raises(UsageError, match="No metric was noted"):
        chosen(named, None, None)


def test_an_accelerate_save_that_was_cut_off(tmp_path):
    accelerate(tmp_path)
    (tmp_path / "checkpoints/checkpoint_10/random_states_0.pkl").unlink()
    assert "the save was cut off" in listing_of(tmp_path).entries[2].problem


def test_lightnings_default_names(tmp_path):
    rows = ["0,3,1.5,", "0,7,,1.10", "1,11,1.2,", "1,15,,1.01", "2,23,,0.96"]
    place = lightning(tmp_path, [(0, "epoch=0-step=8.ckpt"), (1, "epoch=1-step=16.ckpt")], rows=rows)
    for given in (tmp_path, tmp_path / "lightning_logs", place, place / "checkpoints"):
        listing = listing_of(given)
        assert listing.layout == "Lightning"
        assert names(listing) == ["epoch=0-step=8.ckpt", "epoch=1-step=16.ckpt"]
        # a row of step 7 was measured before the checkpoint of step 8: the table counts from 0
        assert [entry.stored.metrics for entry in listing.entries] == [
            {"train_loss": 1.5, "val_loss": 1.10},
            {"train_loss": 1.2, "val_loss": 1.01},
        ]
        assert [entry.stored.epoch for entry in listing.entries] == [0, 1]
        assert listing.curves["val_loss"] == [(8, 1.10), (16, 1.01), (24, 0.96)]


def test_lightnings_names_with_metrics(tmp_path):
    given = [(1, "m-epoch=01-val_loss=0.948.ckpt"), (2, "m-epoch=02-val_loss=0.919-v1.ckpt"), (3, "last.ckpt")]
    given += [(0, "epoch=0-val/acc=0.50.ckpt"), (4, "x-val_loss=-1.5e-03.ckpt")]
    listing = listing_of(lightning(tmp_path, given))
    assert [(entry.step, entry.stored.epoch, dict(entry.stored.metrics)) for entry in listing.entries] == [
        (8, 0, {"val/acc": 0.5}),
        (16, 1, {"val_loss": 0.948}),
        (24, 2, {"val_loss": 0.919}),
        (32, 3, {}),
        (40, 4, {"val_loss": -0.0015}),
    ]


def test_the_table_has_in_full_what_names_round(tmp_path):
    rows = ["0,7,,0.94801", "1,15,,0.7"]
    given = [(0, "epoch=0-val_loss=0.948.ckpt"), (1, "epoch=1-val_loss=0.919.ckpt")]
    listing = listing_of(lightning(tmp_path, given, rows=rows))
    assert [entry.stored.metrics["val_loss"] for entry in listing.entries] == [0.94801, 0.919]


def test_the_newest_version_and_a_word_on_the_others(tmp_path):
    for version in (2, 10):
        lightning(tmp_path, [(0, "epoch=0-step=8.ckpt")], version=version)
    listing = listing_of(tmp_path)
    assert listing.folder.parts[-2] == "version_10"
    assert listing.notes == ["This is version_10; there are also version_2."]


def test_links_and_damage_in_a_lightning_folder(tmp_path):
    place = lightning(tmp_path, [(0, "epoch=0-step=8.ckpt"), (1, "x.ckpt")]) / "checkpoints"
    os.symlink("epoch=0-step=8.ckpt", place / "last.ckpt")
    cut(place / "x.ckpt")
    listing = listing_of(place)
    assert sorted(names(listing)) == ["epoch=0-step=8.ckpt", "x.ckpt"]
    assert [name for name, entry in zip(names(listing), listing.entries, strict=True) if entry.problem] == ["x.ckpt"]


def test_numbers_of_strangers(tmp_path):
    trainer(tmp_path / "t", (10,))
    state = tmp_path / "t/checkpoint-10/trainer_state.json"
    odd = {"step": 10, "epoch": math.nan, "huge": 10**400, "text": "x", "eval_loss": -math.inf, "true": True}
    state.write_text(json.dumps({"global_step": "x", "log_history": [odd, 7, None], "best_metric": [1]}))
    (entry,) = listing_of(tmp_path / "t").entries
    assert (entry.stored.epoch, dict(entry.stored.metrics)) == (0, {"eval_loss": -math.inf})
    state.write_text("[" * 100_000)
    assert "not what the Trainer writes" in listing_of(tmp_path / "t").entries[0].problem
    rows = ["0,nan,1,", "0,inf,1,", "x,7,y,0.5,6,7,8", "0"]
    lightning(tmp_path / "l", [(0, "epoch=nan-step=inf-val_loss=nan.ckpt"), (1, "x.ckpt")], rows=rows)
    first, second = listing_of(tmp_path / "l").entries
    assert (first.step, first.stored.epoch) == (0, 0)
    assert is_nan(first.stored.metrics["val_loss"])
    assert dict(second.stored.metrics) == {"val_loss": 0.5}
    (tmp_path / "l/lightning_logs/version_0/metrics.csv").write_text('step,x\n1,"' + "y" * 200_000 + '"\n')
    assert not listing_of(tmp_path / "l").entries[1].stored.metrics
    ours(tmp_path / "o")
    with (tmp_path / "o" / JOURNAL).open("a") as lines:
        lines.write("[" * 100_000 + '\n{"event": "save", "step": 1, "metrics": [1]}\n{"event": "load", "step": "x"}\n')
    assert len(listing_of(tmp_path / "o").curves["val_loss"]) == 5


def test_a_run_may_delete_while_it_is_listed(tmp_path, monkeypatch):
    ours(tmp_path)
    tries = []

    def sometimes(folder):
        tries.append(folder)
        if len(tries) < 3:
            raise FileNotFoundError(2, "No such file", "step-00000100.pt")
        return layout_dotpt.read(folder)

    monkeypatch.setattr(layouts, "READERS", (sometimes,))
    assert len(listing_of(tmp_path).entries) == 5


# -- what is no run ---------------------------------------------------------------------------------------------------


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(SourceNotFound, match="no such folder"):
        listing_of(tmp_path / "nowhere")
    with pytest.raises(NoCheckpoint, match="empty"):
        listing_of(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(NoCheckpoint, match=r"No checkpoint lies in this folder, only notes\.txt"):
        listing_of(tmp_path)
    with pytest.raises(UsageError, match="This is a file"):
        listing_of(tmp_path / "notes.txt")
    History(tmp_path / ".")
    with pytest.raises(NoCheckpoint, match="has not saved a checkpoint yet"):
        listing_of(tmp_path)


def test_a_checkpoint_is_named_by_step_by_name_or_by_rank(tmp_path):
    listing = listing_of(ours(tmp_path))
    for which in ("300", "best", "step-00000300.pt", str(tmp_path / "step-00000300.pt")):
        assert entry_at(listing, which).step == 300
    assert entry_at(listing, "latest").step == 500
    with pytest.raises(NoCheckpoint, match="no checkpoint of step 310") as caught:
        entry_at(listing, "310")
    assert "100, 200, 300, 400, 500" in str(caught.value)
    with pytest.raises(NoCheckpoint, match="called 'nothing'"):
        entry_at(listing, "nothing")
    cut(tmp_path / "step-00000300.pt")
    with pytest.raises(NoCheckpoint, match="is damaged"):
        entry_at(listing_of(tmp_path), "300")


def test_a_metric_that_nobody_measured(tmp_path):
    listing = listing_of(ours(tmp_path))
    with pytest.raises(UsageError, match="Nobody has measured 'vall_loss'") as caught:
        chosen(listing, "vall_loss", None)
    assert caught.value.hint == "--metric val_loss"
    with pytest.raises(UsageError) as caught:
        chosen(listing, "bleu", None)
    assert caught.value.hint == "one of val_loss, loss"


@pytest.mark.parametrize(
    ("name", "mode"),
    [("val_loss", "min"), ("eval/accuracy", "max"), ("valAcc", "max"), ("wer", "min"), ("top1", "max"),
     ("val_f1", "max"), ("macc_loss", "min"), ("accuracy_loss", "min"), ("perplexity", "min"), ("something", "min")],
)  # fmt: skip
def test_what_is_better_by_its_name(name, mode):
    assert mode_of(name) == mode


def test_the_metric_of_validation_comes_first(tmp_path):
    names = ["eval_runtime", "loss", "lr", "eval_accuracy", "eval_loss", "acc"]
    save(tmp_path, 1, 1, dict.fromkeys(names, 1.0))
    listing = listing_of(tmp_path)
    assert metrics_of(listing) == ["eval_loss", "eval_accuracy", "loss", "acc", "eval_runtime", "lr"]
