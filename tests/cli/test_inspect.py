"""`dotpt inspect`: the facts, the parts, the tensors, and how they fit the terminal."""

from __future__ import annotations

import pickle

import pytest

from tests.corpus.stored import FIXTURES

STATE_DICT = FIXTURES / "zip/state_dict.pt"
CHECKPOINT = FIXTURES / "zip/checkpoint_lightning.pt"


class Runs:
    """What a hostile pickle calls."""

    def __reduce__(self):
        import os

        return os.system, ("echo pwned",)


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / "hostile.pt"
    path.write_bytes(pickle.dumps({"a": Runs()}))
    return path


@pytest.fixture
def cut(tmp_path):
    path = tmp_path / "cut.pt"
    data = STATE_DICT.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    return path


def labels(out):
    """The label of each line that has one."""
    return [line[2:14].strip() for line in out.splitlines() if line.startswith("  ") and line[2:3] != " "]


def test_the_first_lines_say_what_it_is(cli):
    ran = cli("inspect", STATE_DICT)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{STATE_DICT}  ")
    assert labels(ran.out)[:6] == ["What", "Written by", "Whole", "Safe", "Holds", "Load"]
    assert "state dict" in ran.out
    assert "torch 2.7 or newer" in ran.out
    assert "weights_only=True" in ran.out
    assert "0.weight" in ran.out


def test_parts_of_a_checkpoint(cli):
    out = cli("inspect", CHECKPOINT).out
    assert "AdamW" in out
    rows = {tuple(line.split()[:2]) for line in out.splitlines()}
    assert {("progress", "epoch"), ("weights", "state_dict"), ("optimizer", "optimizer_states")} <= rows


def test_the_table_is_cut_with_a_count_of_what_is_left(cli):
    assert "… and 14 more (dotpt ls " in cli("inspect", CHECKPOINT).out
    assert "… and 31 more" in cli("inspect", CHECKPOINT, "--limit", 3).out
    assert " more (" not in cli("inspect", CHECKPOINT, "--limit", 0).out


def test_filter_and_sort(cli):
    out = cli("inspect", STATE_DICT, "--filter", "ndim>1", "--sort", "size").out
    assert out.index("4.weight") < out.index("0.weight")
    assert "running_mean" not in out
    assert "no tensor passes" in cli("inspect", STATE_DICT, "--filter", "zzz").out


@pytest.mark.parametrize("columns", [80, 120, 200])
@pytest.mark.parametrize(
    "name", ["zip/checkpoint_lightning", "zip/module_custom", "legacy/state_dict", "other/script", "zip/shared_views"]
)
def test_everything_fits_the_terminal_but_code(cli, monkeypatch, columns, name):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(FIXTURES)
    lines = cli("inspect", f"{name}.pt", "--tree").out.splitlines() + cli("inspect", f"{name}.pt").out.splitlines()
    for line in lines:
        code = line.startswith(" " * 14) and any(mark in line for mark in "=#:")
        assert len(line) <= columns or code or "dotpt ls" in line, line


def test_a_long_path_gets_a_line_of_its_own(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = cli("inspect", STATE_DICT).out
    assert f"path = {str(STATE_DICT)!r}" in out
    assert "torch.load(path, weights_only=True)" in out


def test_tree(cli):
    out = cli("inspect", CHECKPOINT, "--tree", "--limit", 0).out
    assert "├─ 0" in out
    assert "│  ├─ weight" in out
    assert "exp_avg_sq" in out


def test_layers_that_are_alike_are_drawn_once(cli, monkeypatch):
    from dotpt.cli.tree import grow
    from dotpt.tensors.dtypes import DTYPES
    from dotpt.tensors.refs import TensorRef

    refs = []
    for layer in range(12):
        for name, shape in (("q.weight", (8, 8)), ("q.bias", (8,))):
            ref = TensorRef(None, DTYPES["float32"], 0, shape, (1,) * len(shape))
            ref.name = f"model.layers.{layer}.{name}"
            refs.append(ref)
    root = grow(refs)
    (layers,) = root.children
    assert (layers.name, layers.tensors, len(layers.children)) == ("model.layers", 24, 1)
    (layer,) = layers.children
    assert (layer.name, len(layer.alike), layer.alike[-1], layer.tensors) == ("0.q", 12, "11.q", 2)


def test_dots_without_end_do_not_recurse_without_end():
    from dotpt.cli.tree import grow
    from dotpt.tensors.dtypes import DTYPES
    from dotpt.tensors.refs import TensorRef

    ref = TensorRef(None, DTYPES["float32"], 0, (1,), (1,))
    ref.name = "a." * 100_000
    assert grow([ref]).tensors == 1


def test_quiet_is_one_line_a_file(cli, hostile):
    lines = cli("inspect", "-q", STATE_DICT, hostile).out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{STATE_DICT}: state dict, 214 parameters, ")
    assert lines[0].endswith(", whole, harmless")
    assert lines[1].endswith(", dangerous")


def test_what_can_do_harm_is_a_finding(cli, hostile):
    ran = cli("inspect", hostile)
    assert ran.code == 1
    assert "DANGEROUS" in ran.out
    assert "system: runs programs" in ran.out
    assert "pwned" not in ran.out


def test_a_whole_module_is_no_finding(cli):
    ran = cli("inspect", FIXTURES / "zip/module_custom.pt")
    assert ran.code == 0
    assert "tests.corpus.classes.Detector" in ran.out
    assert "model.0.conv.weight" in ran.out


def test_a_file_that_was_cut(cli, cut):
    ran = cli("inspect", cut)
    assert ran.code == 1
    assert "NO: cut short" in ran.out
    assert "7 of 9 tensors are whole" in " ".join(ran.out.split())
    assert "\n  Try         " in ran.out
    assert "not whole: 4.weight, 4.bias" in ran.out
    assert ran.err == ""


def test_json_is_the_report(cli, cut):
    import dotpt

    ran = cli("inspect", "--json", STATE_DICT, cut)
    assert ran.code == 1
    document = ran.document
    assert document["schema"] == "dotpt.inspect/1"
    whole, damaged = document["files"]
    assert whole == {"file": str(STATE_DICT)} | dotpt.inspect(STATE_DICT).to_dict()
    assert damaged["damaged"] is True


def test_hostile_names_are_neither_obeyed_nor_parsed(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    path = tmp_path / "names.pt"
    path.write_bytes(pickle.dumps({"\x1b]0;title\x07[red]\u202eepoch\nWhole  yes": 1, "epoch": "[blink]\x1b[2J"}))
    for verb in ("inspect", "show"):
        out = cli(verb, path).out
        assert "\x1b]" not in out
        assert "\x1b[2J" not in out
        assert "\u202e" not in out
        assert "\nWhole" not in out
    assert "[red]" in cli("show", path).out


def test_every_stored_fixture(cli):
    """Whatever the corpus holds is inspected, or refused in words."""
    for path in sorted(FIXTURES.glob("*/*")):
        ran = cli("inspect", path)
        assert ran.code in (0, 2) or "DANGEROUS" in ran.out or path.parent.name == "deflated", (path, ran)
        assert "mistake in dotpt" not in ran.err, (path, ran.err)
        assert all(character.isprintable() or character == "\n" for character in ran.out)
        if ran.code == 2:
            assert "\n  Try: " in ran.err, (path, ran.err)
