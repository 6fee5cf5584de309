"""What a policy lets go: only files of this run, never the newest that is whole, never while a run saves."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import dotpt
from dotpt.errors import NoCheckpoint, RunInUse, UsageError, WriteError
from dotpt.training import Best, EverySteps, Latest, Never, pruning
from dotpt.training.history import JOURNAL
from dotpt.training.layouts import listing_of
from dotpt.training.lock import LOCK
from dotpt.training.pruning import carry_out, locked, plan
from tests.training.runs import cut, damage, lightning, ours, save


def steps(entries):
    return [entry.step for entry in entries]


def reasons(decided):
    return {entry.step: reason for entry, reason in decided.reasons}


def test_a_policy_and_its_reasons(tmp_path):
    listing = listing_of(ours(tmp_path))
    decided = plan(listing, Latest(2) | Best(1, "val_loss"))
    assert steps(decided.going) == [100, 200]
    assert decided.newest.step == 500
    assert reasons(decided) == {300: "Best(1, 'val_loss', 'min')", 400: "Latest(2)", 500: "Latest(2)"}


def test_the_newest_whole_one_always_stays(tmp_path):
    ours(tmp_path)
    assert reasons(plan(listing_of(tmp_path), Never())) == {500: "the newest that is whole"}
    damage(tmp_path / "step-00000500.pt")
    cut(tmp_path / "step-00000200.pt")
    decided = plan(listing_of(tmp_path), Never())
    assert steps(decided.going) == [100, 300]
    assert reasons(decided) == {200: "damaged", 400: "the newest that is whole", 500: "damaged"}


def test_a_damaged_one_takes_nobodys_place(tmp_path):
    ours(tmp_path)
    damage(tmp_path / "step-00000500.pt")
    decided = plan(listing_of(tmp_path), Latest(2))
    assert steps(decided.going) == [100, 200]
    assert reasons(decided) == {300: "Latest(2)", 400: "Latest(2)", 500: "damaged"}


def test_when_none_is_whole_nothing_goes(tmp_path):
    ours(tmp_path, [0.5, 0.4])
    for path in tmp_path.glob("*.pt"):
        damage(path)
    with pytest.raises(NoCheckpoint, match="nothing may go"):
        plan(listing_of(tmp_path), Never())


def test_files_of_others_stay_whatever_they_are_called(tmp_path):
    ours(tmp_path)
    save(tmp_path, 50, 3, {"val_loss": 0.0}, run="another")  # with a number in the order that one of ours has, too
    save(tmp_path, 600, 9, {"val_loss": 0.0}, run="another")
    dotpt.save({"step": 70}, tmp_path / "step-00000070.pt")
    decided = plan(listing_of(tmp_path), Latest(1))
    assert steps(decided.going) == [100, 200, 300, 400]
    stay = reasons(decided)
    assert {step: stay[step] for step in (50, 70, 600)} == dict.fromkeys((50, 70, 600), "not written by this run")
    assert decided.newest.step == 500


def test_what_is_no_run_of_ours_is_refused(tmp_path):
    lightning(tmp_path / "l", [(0, "epoch=0-step=8.ckpt")])
    with pytest.raises(UsageError, match="Lightning's checkpoints"):
        plan(listing_of(tmp_path / "l"), Latest(1))
    ours(tmp_path / "run")
    (tmp_path / "run" / JOURNAL).unlink()
    with pytest.raises(UsageError, match=r"no checkpoints\.jsonl"):
        plan(listing_of(tmp_path / "run"), Latest(1))


def test_a_metric_that_was_not_measured_keeps_nothing_so_it_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No checkpoint has the metric 'acc'") as caught:
        plan(listing_of(ours(tmp_path)), Latest(1) | Best(2, "acc"))
    assert caught.value.hint == "Best(2, 'val_loss')"


def test_deleting_is_noted_in_the_journal(tmp_path):
    listing = listing_of(ours(tmp_path))
    keep = EverySteps(200)
    (tmp_path / "step-00000300.pt").unlink()  # gone since it was listed
    deleted = carry_out(listing, plan(listing, keep), keep)
    assert steps(deleted) == [100]
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [f"step-00000{step}.pt" for step in (200, 400, 500)]
    last = json.loads((tmp_path / JOURNAL).read_text().splitlines()[-1])
    assert last == {"event": "prune", "keep": "EverySteps(steps=200)", "deleted": ["step-00000100.pt"]}
    assert listing_of(tmp_path).curves["val_loss"][0] == (100, 0.9)


def test_what_the_system_does_not_let_us_delete(tmp_path, monkeypatch):
    listing = listing_of(ours(tmp_path))
    decided = plan(listing, Latest(1))

    def refuse(path):
        if path.name == "step-00000200.pt":
            raise PermissionError(13, "Permission denied", str(path))
        os.unlink(path)
        return True

    monkeypatch.setattr(pruning, "delete", refuse)
    with pytest.raises(WriteError, match="1 of 4 checkpoints were deleted"):
        carry_out(listing, decided, Latest(1))
    assert json.loads((tmp_path / JOURNAL).read_text().splitlines()[-1])["deleted"] == ["step-00000100.pt"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_not_while_a_run_holds_the_folder(tmp_path):
    listing = listing_of(ours(tmp_path))
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.readline()
    try:
        with pytest.raises(RunInUse) as caught, locked(listing):
            pass
        assert "let it finish first" in caught.value.hint
    finally:
        holder.communicate()
    with locked(listing):
        pass
