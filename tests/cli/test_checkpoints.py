"""`dotpt checkpoints`: what there is, what to go on from, what may go, what changed, what the mean of weights is."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

import dotpt
from dotpt.cli import checkpoints
from dotpt.cli.sparkline import sparkline
from tests.cli.conftest import SOURCES, run_process, start
from tests.training.runs import accelerate, cut, damage, files_in, lightning, ours, save, trainer


@pytest.fixture
def run(tmp_path):
    return ours(tmp_path / "run")


@pytest.fixture
def act(cli):
    return lambda *arguments: cli("checkpoints", *arguments)


# -- ls ---------------------------------------------------------------------------------------------------------------


def test_the_table(act, run):
    ran = act("ls", run)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].split() == ["Step", "Epoch", "Saved", "Size", "val_loss", "loss", "State"]
    assert [line.split()[0] for line in lines[1:6]] == ["100", "200", "300", "400", "500"]
    assert [line.split()[-1] for line in lines[1:6]] == ["complete"] * 5
    assert ["0.3*" in line for line in lines[1:6]] == [False, False, True, False, False]
    assert lines[6].startswith("5 checkpoints of dotpt, ")
    assert lines[7:] == ["val_loss  █▃▁▂▄  0.9 to 0.6", "* the best: step 300, with the least val_loss, 0.3"]


def test_the_metric_and_what_is_better(act, run):
    lines = act("ls", run, "--metric", "loss", "--mode", "max").out.splitlines()
    assert lines[0].split()[4:6] == ["loss", "State"]
    assert "0.45*" in lines[1]
    assert lines[-1] == "* the best: step 100, with the most loss, 0.45"
    ran = act("ls", run, "--metric", "accuracy")
    assert ran.code == 2
    assert ran.out == ""
    assert "Nobody has measured 'accuracy' in this run." in ran.err
    assert "one of val_loss, loss" in ran.err


def test_damage_is_seen_or_looked_for(act, run):
    cut(run / "step-00000300.pt")
    damage(run / "step-00000500.pt")
    ran = act("ls", run)
    assert ran.code == 0
    assert ran.out.count("DAMAGED") == 1
    assert "step-00000300.pt: " in ran.out
    assert "* the best: step 400" in ran.out
    ran = act("ls", run, "--verify")
    assert ran.code == 1
    assert ran.out.count("DAMAGED") == 2
    assert ran.out.count(" whole\n") == 3
    assert "step-00000500.pt: data/0 is damaged (model_state_dict.w)." in ran.out


def test_only_the_newest_rows_and_the_best(act, run):
    lines = act("ls", run, "--limit", 2).out.splitlines()
    assert lines[0] == "… 3 more (--limit 0 shows all)"
    assert [line.split()[0] for line in lines[2:4]] == ["300", "500"]
    assert len(act("ls", run, "--limit", 0).out.splitlines()) == 9
    assert len(act("ls", run, "-q").out.splitlines()) == 5


def test_nan_and_runs_without_metrics(act, tmp_path):
    ours(tmp_path / "nan", [math.nan, math.nan])
    ran = act("ls", tmp_path / "nan")
    assert ran.code == 0
    assert "nan" in ran.out
    assert "the best" not in ran.out
    assert act("ls", tmp_path / "nan", "--json").document["checkpoints"][0]["metrics"]["val_loss"] == "nan"
    (tmp_path / "none").mkdir()
    save(tmp_path / "none", 1, 1, {})
    assert act("ls", tmp_path / "none").out.splitlines()[1].split()[-1] == "complete"


def test_the_document(act, run):
    document = act("ls", run, "--json").document
    assert document["schema"] == checkpoints.SCHEMA
    assert document["layout"] == "dotpt"
    assert document["best_by"] == {"metric": "val_loss", "mode": "min"}
    third = document["checkpoints"][2]
    assert third == {
        "path": str(run / "step-00000300.pt"), "step": 300, "epoch": 1, "saved": "2026-11-22T20:03:00Z",
        "bytes": (run / "step-00000300.pt").stat().st_size, "metrics": {"loss": 0.15, "val_loss": 0.3},
        "state": "complete", "problem": None, "best": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (trainer, "3 checkpoints of Trainer"),
        (accelerate, "3 checkpoints of Accelerate"),
        (lambda folder: lightning(folder, [(0, "epoch=0-val_loss=0.50.ckpt")]), "1 checkpoint of Lightning"),
    ],
)
def test_the_folders_of_others(act, tmp_path, monkeypatch, make, word):
    make(tmp_path)
    for width in (80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        ran = act("ls", tmp_path, "--verify")
        assert ran.code == 0
        assert word in ran.out
        assert max(map(len, ran.out.splitlines())) <= width


def test_it_fits_the_screen(act, tmp_path, monkeypatch):
    tmp_path.joinpath("run").mkdir()
    for step in range(1, 40):
        metrics = {f"a_rather_long_metric_{name}": step / 7 for name in range(5)}
        save(tmp_path / "run", step, step, {"val_loss": 1 / step, **metrics})
    monkeypatch.setenv("COLUMNS", "80")
    ran = act("ls", tmp_path / "run")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "No room for a_rather_long_metric_0, a_rather_long_metric_1" in ran.out
    assert "… 19 more" in ran.out


def test_names_of_strangers_do_nothing_to_the_terminal(act, tmp_path, monkeypatch):
    lightning(tmp_path, [(0, "x\x1b[31m-epoch=0-val\x1b]0;x\x07=1.0.ckpt")])
    for ran in (act("ls", tmp_path), act("verify", tmp_path)):
        assert "\x1b" not in ran.out + ran.err
        assert "\\x1b" in ran.out
    ran = act("latest", tmp_path)
    assert os.path.isfile(ran.out.removesuffix("\n"))  # a script gets the name as it is
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "\x1b" not in act("latest", tmp_path).out


# -- best and latest --------------------------------------------------------------------------------------------------


def test_only_the_path(act, run):
    ran = act("latest", run)
    assert (ran.code, ran.out, ran.err) == (0, f"{run}/step-00000500.pt\n", "")
    ran = act("best", run)
    assert (ran.code, ran.out) == (0, f"{run}/step-00000300.pt\n")
    assert ran.err == "The best by val_loss (min); --metric names another.\n"
    assert act("best", run, "--metric", "loss", "--mode", "max").out == f"{run}/step-00000100.pt\n"
    assert act("best", run, "-q").err == ""
    assert act("best", run, "--json").document["checkpoint"]["step"] == 300


def test_what_is_damaged_is_passed_over_and_named(act, run):
    damage(run / "step-00000500.pt")
    cut(run / "step-00000400.pt")
    damage(run / "step-00000300.pt")
    ran = act("latest", run)
    assert (ran.code, ran.out) == (0, f"{run}/step-00000200.pt\n")
    assert [line.split()[1] for line in ran.err.splitlines()] == [f"step-00000{step}.pt" for step in (500, 400, 300)]
    ran = act("best", run)
    assert (ran.code, ran.out) == (0, f"{run}/step-00000200.pt\n")
    for path in run.glob("*.pt"):
        cut(path)
    for action in ("latest", "best"):
        ran = act(action, run, "--metric", "val_loss") if action == "best" else act(action, run)
        assert (ran.code, ran.out) == (1, ""), ran


def test_scripts_can_tell_nothing_yet_from_a_mistake(act, tmp_path):
    ran = act("latest", tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "The folder is empty" in ran.err
    ran = act("latest", tmp_path / "nowhere")
    assert (ran.code, ran.out) == (2, "")
    assert "There is no such folder" in ran.err
    ours(tmp_path / "run", [math.nan])
    assert act("best", tmp_path / "run", "--metric", "val_loss").code == 1
    assert act("best", tmp_path / "run", "--metric", "acc").code == 2
    assert act("latest", tmp_path / "nowhere", "--json").document["error"]["error"] == "SourceNotFound"


@pytest.mark.parametrize("action", ["ls", "best", "latest", "verify"])
def test_folders_without_a_run(act, tmp_path, action):
    (tmp_path / "model.pt").write_bytes(b"x")
    assert "No checkpoint lies in this folder, only model.pt" in act(action, tmp_path).err
    ran = act(action, tmp_path / "model.pt")
    assert ran.code == 2
    assert "This is a file, and a run is a folder." in ran.err


# -- verify -----------------------------------------------------------------------------------------------------------


def test_each_is_verified(act, run):
    ran = act("verify", run)
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "5 checkpoints, all whole"
    damage(run / "step-00000200.pt")
    ran = act("verify", run)
    assert ran.code == 1
    assert ran.out.splitlines()[-1] == "1 of 5 checkpoints damaged"
    ran = act("verify", run, "-q")
    assert ran.out == "step-00000200.pt: data/0 is damaged (model_state_dict.w).\n"
    states = [one["state"] for one in act("verify", run, "--json").document["checkpoints"]]
    assert states == ["whole", "damaged", "whole", "whole", "whole"]


# -- prune ------------------------------------------------------------------------------------------------------------

KEEP = "Latest(2) | Best(1, 'val_loss')"


def test_a_dry_run_touches_nothing(act, run):
    before = {name: (run / name).stat().st_mtime_ns for name in files_in(run)}
    ran = act("prune", run, "--keep", KEEP, "--dry-run")
    assert ran.code == 0
    rows = [line.split()[:2] for line in ran.out.splitlines()[1:6]]
    assert rows == [["goes", "100"], ["goes", "200"], ["stays", "300"], ["stays", "400"], ["stays", "500"]]
    assert ran.out.splitlines()[-1].startswith("2 checkpoints (")
    assert "Nothing was deleted." in ran.out
    assert {name: (run / name).stat().st_mtime_ns for name in files_in(run)} == before


def test_it_deletes_when_told_to(act, run):
    ran = act("prune", run, "--keep", KEEP, "--yes")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].startswith("2 checkpoints deleted, ")
    assert sorted(path.name for path in run.glob("*.pt")) == [f"step-00000{step}.pt" for step in (300, 400, 500)]
    ran = act("prune", run, "--keep", KEEP, "--yes", "--json")
    assert ran.document["delete"] == []
    assert ran.document["deleted"] == []
    assert len(ran.document["stay"]) == 3


def test_where_nobody_can_be_asked_nothing_goes(run):
    ran = run_process("checkpoints", "prune", run, "--keep", KEEP)
    assert ran.code == 2
    assert "--yes deletes without asking" in ran.err
    assert len(list(run.glob("*.pt"))) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudoterminal")
@pytest.mark.parametrize(("answer", "left"), [(b"y\n", 3), (b"n\n", 5), (b"\n", 5)])
def test_it_asks(run, answer, left):
    import pty

    master, terminal = pty.openpty()
    process = start("checkpoints", "prune", run, "--keep", KEEP, stdin=terminal)
    os.close(terminal)
    os.write(master, answer)
    out, err = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0
    assert b"Delete 2 checkpoints" in err
    assert len(list(run.glob("*.pt"))) == left
    assert (left == 3) == (b"deleted, " in out)


def test_policies_that_are_none(act, run):
    ran = act("prune", run, "--keep", "Newest(3)", "--yes")
    assert ran.code == 2
    assert "is no policy" in ran.err
    ran = act("prune", run, "--keep", "OnSignal('SIGTERM')", "--yes")
    assert ran.code == 2
    assert "says when to save, not what to keep" in ran.err
    assert act("prune", run).code == 2
    assert len(list(run.glob("*.pt"))) == 5


# -- plot, diff, average ----------------------------------------------------------------------------------------------


def test_a_picture(act, run, tmp_path):
    pytest.importorskip("matplotlib")
    ran = act("plot", run, "-o", tmp_path / "loss.png")
    assert (ran.code, ran.out) == (0, f"val_loss, loss over 5 steps: {tmp_path}/loss.png\n")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    document = act("plot", run, "-o", tmp_path / "l.svg", "--metric", "loss", "--json").document
    assert document["metrics"] == {"loss": [100, 200, 300, 400, 500]}
    assert act("plot", run, "-o", tmp_path / "l.svg", "--metric", "x").code == 2


def test_differences(act, run):
    ran = act("diff", run, 100, 300)
    assert ran.code == 1
    assert ran.out.splitlines()[1].split() == ["model_state_dict.w", "100", "%", "200", "2.00e+00", "float32", "[4]"]
    assert ["step", "100", "300"] in [line.split() for line in ran.out.splitlines()]
    last = "1 tensor differs, 0 are the same, 3 other values differ"
    assert ran.out.splitlines()[-1] == last
    ran = act("diff", run, "best", "step-00000300.pt")
    assert (ran.code, ran.out) == (0, "0 tensors differ, 1 is the same (1 by their hashes), 0 other values differ\n")
    document = act("diff", run, 100, "latest", "--json").document
    assert document["tensors"][0]["largest"] == 400.0
    ran = act("diff", run, 100, 150)
    assert ran.code == 2
    assert "There is no checkpoint of step 150" in ran.err
    assert "100, 200" in ran.err


def test_differences_of_checkpoints_that_are_folders(act, tmp_path):
    trainer(tmp_path)
    (tmp_path / "checkpoint-30/optimizer.pt").unlink()
    document = act("diff", tmp_path, 10, 30, "--json").document
    assert [one["name"] for one in document["tensors"]] == ["model.safetensors: net.weight"]
    values = {one["address"]: (one["before"], one["after"]) for one in document["values"]}
    assert values == {"scheduler.pt: last_epoch": ("10", "30"), "optimizer.pt": ("a file", "")}


def test_of_many_differences_the_largest_are_shown(act, tmp_path):
    for number in (1, 2):
        tree = {"model_state_dict": {f"w{at}": np.full(2, 1 + number * at, np.float32) for at in range(30)}}
        save(tmp_path, number, number, {}, tree=tree)
    lines = act("diff", tmp_path, 1, 2, "--limit", "3").out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == [f"model_state_dict.w{at}" for at in (29, 28, 27)]
    assert lines[4] == "… and 26 more (--limit 0 shows all)"


def test_averages(act, run, tmp_path):
    out = tmp_path / "mean.pt"
    ran = act("average", run, 100, 200, 300, "-o", out)
    assert (ran.code, ran.out) == (0, f"The mean of model_state_dict of the steps 100, 200, 300: {out}\n")
    assert dotpt.load(out, backend="numpy")["w"].tolist() == [200.0] * 4
    ran = act("average", run, 100, 500, "-o", out, "--ema", "0.75", "--weights-of", "model_state_dict", "--json")
    assert ran.document["shares"] == [0.75, 0.25]
    np.testing.assert_allclose(dotpt.load(out, backend="numpy")["w"], [200.0] * 4)
    ran = act("average", run, 100, 500, "-o", out, "--weights-of", "ema")
    assert ran.code == 2
    assert "no state dict under 'ema'" in ran.err
    assert "from 0 to below 1" in act("average", run, 100, 500, "-o", out, "--ema", "2").err
    assert "would replace" in act("average", run, 100, 500, "-o", run / "step-00000100.pt").err
    damage(run / "step-00000100.pt")
    assert "is damaged" in act("average", run, 100, 500, "-o", out).err


def test_averages_of_the_trainers_weights(act, tmp_path):
    trainer(tmp_path / "t")
    assert act("average", tmp_path / "t", "checkpoint-10", "30", "-o", tmp_path / "out.pt").code == 0
    assert dotpt.load(tmp_path / "out.pt", backend="numpy")["net.weight"].tolist() == [[20.0] * 4]


# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ls"], "required: RUN"),
        (["list", "run"], "invalid choice: 'list'"),
        (["ls", "run", "--keep", "All"], "ls has no --keep"),
        (["latest", "run", "--metric", "loss"], "latest has no --metric"),
        (["ls", "run", "100"], "ls takes one run, and 100 is more"),
        (["diff", "run", "100"], "diff compares two checkpoints, not 1"),
        (["average", "run", "100", "-o", "x.pt"], "average needs two checkpoints or more"),
        (["average", "run", "100", "200"], "average needs -o"),
        (["plot", "run"], "plot needs -o"),
        (["prune", "run"], "prune needs --keep"),
        (["best", "run", "--mode", "least"], "invalid choice: 'least'"),
    ],
)
def test_arguments_that_make_no_sense(act, arguments, words):
    ran = act(*arguments)
    assert ran.code == 2
    assert words in ran.err
    assert ran.err.splitlines()[-1].startswith("  Try: ")


def test_a_mistake_of_ours_is_said_to_be_one(act, run, monkeypatch):
    def broken(work):
        raise ZeroDivisionError("x")

    monkeypatch.setattr("dotpt.cli.checkpoints_list.ls", broken)
    ran = act("ls", run)
    assert ran.code == 2
    assert "This is a mistake in dotpt: ZeroDivisionError: x" in ran.err
    assert "Traceback" in act("ls", run, "--debug").err


def test_it_needs_no_torch(run, tmp_path):
    code = """
import sys
from dotpt.cli import main
run, out = sys.argv[1:]
for action in (["ls", run, "--verify"], ["average", run, "100", "200", "-o", out], ["diff", run, "100", "100"]):
    assert main(["checkpoints", *action]) == 0
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(run), str(tmp_path / "out.pt")]
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_curve_in_a_line():
    assert sparkline([1, 2, 3], 10, unicode=False) == "_=#"
    assert sparkline([5.0, 5.0], 10) == "▅▅"
    assert sparkline([math.nan], 10) == " "
    assert sparkline([], 10) == ""
    assert sparkline([0, math.inf, -math.inf, 1], 10) == "▁█▁█"
    assert len(sparkline(list(range(1000)), 60)) == 60
    assert sparkline([-1.7e308, 1.7e308], 10) == "▁█"
