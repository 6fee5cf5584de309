"""`dotpt fit` shows what load_into would do, and does none of it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=10, trunk="backbone", device=None):
        super().__init__()
        setattr(self, trunk, nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
        self.head = nn.Linear(8, classes)
        where.append(str(self.head.weight.device))

class Looks(Net):
    def __init__(self):
        super().__init__()
        self.number = float(self.head.weight.sum())  # impossible on the meta device

def broken():
    raise RuntimeError("no luck")

where = []
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    (tmp_path / "fitted_nets.py").write_text(dedent(CODE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "fitted_nets", raising=False)
    import fitted_nets

    monkeypatch.setitem(sys.modules, "fitted_nets", fitted_nets)
    model = torch.nn.DataParallel(fitted_nets.Net())
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, tmp_path / "net.pt")
    fitted_nets.where.clear()
    return tmp_path


def test_it_fits_and_needs_no_memory(cli: Any, place: Path) -> None:
    import fitted_nets

    before = (place / "net.pt").read_bytes()
    ran = cli("fit", "net.pt", "--model", "fitted_nets:Net")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out.startswith("Net <- net.pt (state_dict): 9 of 9 tensors fit, 9 renamed\n")
    assert "module." in ran.out
    assert fitted_nets.where == ["meta"]
    assert (place / "net.pt").read_bytes() == before


def test_by_the_path_of_a_file(cli: Any, place: Path) -> None:
    assert cli("fit", place / "net.pt", "--model", f"{place}/fitted_nets.py:Net").code == 0


def test_a_model_that_cannot_be_built_without_memory(cli: Any, place: Path) -> None:
    assert cli("fit", "net.pt", "--model", "fitted_nets:Looks").code == 0


def test_another_head(cli: Any, place: Path) -> None:
    ran = cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", '{"classes": 3}')
    assert ran.code == 1
    assert "mismatch  head.weight  [10, 8]      [3, 8]" in ran.out
    assert "--mismatched skip" in ran.out
    for how, word in (("skip", "2 skipped"), ("slice", "2 sliced")):
        ran = cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", "[3]", "--mismatched", how)
        assert ran.code == 0
        assert word in ran.out
    ran = cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", "[12]", "--mismatched", "pad")
    assert ran.code == 0
    assert "2 padded" in ran.out
    assert cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", "[3]", "--only", "backbone.*").code == 0
    assert cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", "[3]", "--exclude", "head.*").code == 0


def test_the_command_that_it_suggests_works(cli: Any, place: Path) -> None:
    import shlex

    ran = cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", '{"trunk": "body"}')
    assert ran.code == 1
    assert "closest: body.0.weight may be module.backbone.0.weight, of the same shape" in ran.out
    command = ran.out.partition("Try: ")[2].strip()
    assert "--rules" in command
    ran = cli(*shlex.split(command)[1:])
    assert ran.code == 0, ran.out


def test_json(cli: Any, place: Path) -> None:
    ran = cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", "[3]", "--json")
    assert ran.code == 1
    assert ran.document["schema"] == "dotpt.fit/1"
    (entry,) = ran.document["files"]
    assert entry["file"] == "net.pt"
    assert not entry["ok"]
    assert len(entry["matched"]) == 7
    assert entry["mismatched"][0] == {
        "name": "head.weight",
        "file": [10, 8],
        "model": [3, 8],
        "why": "its shape is another one",
    }


def test_rows_are_chosen(cli: Any, place: Path) -> None:
    base = ("fit", "net.pt", "--model", "fitted_nets:Net", "--args", "[3]", "--mismatched", "skip")
    assert "head.weight" not in cli(*base, "--filter", "*.bias").out
    out = cli(*base, "--sort", "name").out
    assert out.index("head.bias") < out.index("head.weight")
    assert len(cli(*base, "-q").out.splitlines()) == 1
    assert cli(*base, "--sort", "size").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no model is named"),
        (["--model", "Net"], "PLACE:NAME"),
        (["--model", "fitted_nets:Nett"], "did you mean Net?"),
        (["--model", "no_such_package_here.nets:Net"], "cannot be imported"),
        (["--model", "gone.py:Net"], "no such file"),
        (["--model", "fitted_nets:broken"], "RuntimeError: no luck"),
        (["--model", "fitted_nets:where"], "cannot be built"),
        (["--model", "fitted_nets:Net", "--args", "{"], "no JSON"),
        (["--model", "fitted_nets:Net", "--args", "3"], "neither an object nor a list"),
        (["--model", "fitted_nets:Net", "--only", "x.*"], "matches no name"),
        (["--model", "fitted_nets:Net", "--weights", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_explained(cli: Any, place: Path, arguments: list[str], said: str) -> None:
    ran = cli("fit", "net.pt", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(cli: Any, place: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = cli("fit", "net.pt", "--model", "fitted_nets:Net", "--args", '{"trunk": "a_rather_long_name_of_a_part"}')
    table = [line for line in ran.out.splitlines() if line.startswith("  ") and "Try:" not in line]
    assert len(table) > 8
    assert max(map(len, table)) <= columns
