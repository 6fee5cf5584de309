"""`dotpt rescue`: what is found is said, what is kept is written, nothing is replaced unasked."""

from __future__ import annotations

import pytest

import dotpt
from tests.corpus.stored import FIXTURES

ULTRALYTICS = FIXTURES / "zip/checkpoint_ultralytics.pt"


def test_what_would_be_kept_is_shown(cli):
    ran = cli("rescue", ULTRALYTICS)
    assert (ran.code, ran.err) == (0, "")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "Found a pickled Detector at ema, averaged weights" in lines
    assert "Kept 15 tensors, 656 B" in lines
    assert any(line.startswith("Lost 2 classes, with the code: tests.corpus.classes.Detector") for line in lines)
    assert f"Next dotpt rescue {ULTRALYTICS} -o weights.pt" in lines
    assert "train_args dict of 3: task, imgsz, lr0" in lines
    assert "model.2.weight [6, 4, 1, 1] float16 48 B" in lines


def test_it_is_written(cli, tmp_path):
    out = tmp_path / "out.pt"
    ran = cli("rescue", ULTRALYTICS, "-o", out)
    assert (ran.code, ran.err) == (0, "")
    assert "weights_only=True))" in ran.out
    with dotpt.open(out) as archive, dotpt.rescue(ULTRALYTICS) as rescued:
        assert list(archive.tree) == list(rescued.entries)
        assert archive.unknown_globals == []


def test_nothing_is_replaced_unasked(cli, tmp_path):
    out = tmp_path / "out.pt"
    out.write_bytes(b"mine")
    ran = cli("rescue", ULTRALYTICS, "-o", out)
    assert ran.code == 2
    assert "is there already" in ran.err
    assert "--overwrite" in ran.err
    assert out.read_bytes() == b"mine"
    assert cli("rescue", ULTRALYTICS, "-o", out, "--overwrite", "-q").code == 0
    assert dotpt.open(out).kind == "state dict"


def test_a_failure_leaves_no_file(cli, tmp_path):
    out = tmp_path / "out.pt"
    assert cli("rescue", FIXTURES / "zip/optimizer_sgd.pt", "-o", out).code == 2
    assert cli("rescue", ULTRALYTICS, "-o", out, "--where", "nowhere").code == 2
    assert cli("rescue", ULTRALYTICS, "-o", out, "--filter", "nothing.*").code == 2
    assert not out.exists()


def test_a_file_can_take_its_own_place(cli, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes((FIXTURES / "zip/module.pt").read_bytes())
    assert cli("rescue", path, "-o", path, "--overwrite", "-q").code == 0
    with dotpt.open(path) as archive:
        assert archive.kind == "state dict"
        assert len(archive.tensors) == 9


def test_the_tree_alone(cli):
    ran = cli("rescue", FIXTURES / "zip/module.pt", "--tree")
    assert ran.out.splitlines()[0] == "Sequential("
    assert ran.out.splitlines()[5] == "  (4): Linear(in_features=16, out_features=5, bias=True)"
    assert ran.out.splitlines()[-1] == ")"
    cut = cli("rescue", FIXTURES / "zip/module.pt", "--tree", "--limit", 2).out.splitlines()
    assert len(cut) == 3
    assert "--limit 0 shows all" in cut[-1]
    none = cli("rescue", FIXTURES / "zip/state_dict.pt", "--tree")
    assert none.code == 2
    assert "no module tree" in none.err


def test_names_alone_and_some_of_them(cli, tmp_path):
    out = tmp_path / "out.pt"
    assert cli("rescue", FIXTURES / "zip/module.pt", "-q").out.split()[:2] == ["0.weight", "0.bias"]
    ran = cli("rescue", FIXTURES / "zip/module.pt", "--filter", "4.*", "-o", out)
    assert "Of the tensors, 7 were not wanted." in ran.out
    assert list(dotpt.open(out).tree) == ["4.weight", "4.bias"]


def test_json(cli, tmp_path):
    (entry,) = cli("rescue", ULTRALYTICS, "--json").document["files"]
    assert entry["output"] is None
    assert (entry["address"], entry["role"]) == ("ema", "ema")
    assert entry["tensors"][0] == {"name": "anchors", "shape": [3, 2], "dtype": "float16", "bytes": 12}
    assert entry["values"]["epoch"] == -1
    assert entry["tree"][0]["class"] == "tests.corpus.classes.Detector"
    assert entry["classes"][0] == {"name": "tests.corpus.classes.Detector", "of_torch": False, "source": None}
    assert entry["metadata"]["model.0.bn"] == {"version": 2}


def test_several_files(cli, tmp_path):
    both = [FIXTURES / "zip/module.pt", FIXTURES / "zip/module_shared.pt"]
    assert cli("rescue", *both, "-q").out.count("0.weight") == 2
    ran = cli("rescue", *both, "-o", tmp_path / "out.pt")
    assert ran.code == 2
    assert "-o names one file" in ran.err


@pytest.mark.parametrize("name", ["zip/module_custom.pt", "other/script.pt"])
def test_inspect_shows_the_modules(cli, name):
    ran = cli("inspect", FIXTURES / name)
    tree = str(dotpt.rescue(FIXTURES / name).tree).splitlines()
    lines = ran.out.splitlines()
    start = lines.index(f"  {tree[0]}")
    assert lines[start : start + len(tree)] == [f"  {line}" for line in tree]
    report = dotpt.inspect(FIXTURES / name)
    assert str(report.modules).splitlines() == tree
    assert f"    {tree[-1]}" in str(report).splitlines()
    (entry,) = cli("inspect", FIXTURES / name, "--json").document["files"]
    assert entry["modules"][0]["name"] == ""
    assert dotpt.inspect(FIXTURES / "zip/state_dict.pt").modules is None
