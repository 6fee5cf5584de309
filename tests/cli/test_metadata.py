"""`dotpt metadata`: what is noted in files is shown and changed."""

from __future__ import annotations

import numpy as np
import pytest

import dotpt
from tests.corpus.stored import FIXTURES


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.pt"
    dotpt.save({"w": np.ones(3, np.float32)}, path, metadata={"epoch": 3, "license": "mit", "tags": ["a", {"b": None}]})
    return path


def test_it_is_shown(cli, path):
    ran = cli("metadata", path)
    assert (ran.code, ran.err) == (0, "")
    assert [line.split(maxsplit=1) for line in ran.out.splitlines()] == [
        ["Key", "Value"],
        ["epoch", "3"],
        ["license", "mit"],
        ["tags", '["a", {"b": null}]'],
    ]
    assert cli("metadata", path, "-q").out == "epoch\nlicense\ntags\n"
    assert cli("metadata", path, "--filter", "[et]*", "--sort", "name:desc", "-q").out == "tags\nepoch\n"
    assert "… and 2 more (--limit 0 shows all)" in cli("metadata", path, "--limit", 1).out
    assert cli("metadata", FIXTURES / "zip/state_dict.pt").out == "no metadata\n"
    safetensors = FIXTURES / "other/hf_safetensors/model-00001-of-00002.safetensors"
    assert "format  pt" in cli("metadata", safetensors).out


def test_texts_and_values_are_noted(cli, path):
    ran = cli("metadata", path, "run=17", "epoch:=4", "x:=[1.5, null]", "equation=a=b", "empty=")
    assert (ran.code, ran.err) == (0, "")
    wanted = {"epoch": 4, "license": "mit", "tags": ["a", {"b": None}]}
    wanted |= {"run": "17", "x": [1.5, None], "equation": "a=b", "empty": ""}
    assert dotpt.read_metadata(path) == wanted
    assert "run       17" in ran.out
    assert cli("metadata", path, "run=18", "-q").out == ""


def test_keys_are_forgotten(cli, path):
    assert cli("metadata", path, "--unset", "epoch", "--unset", "tags", "a=b").code == 0
    assert dotpt.read_metadata(path) == {"license": "mit", "a": "b"}
    ran = cli("metadata", path, "--unset", "licence", "a=c")
    assert ran.code == 2
    assert "no 'licence'; nothing was changed" in ran.err
    assert "Try: --unset license" in ran.err
    assert dotpt.read_metadata(path)["a"] == "b"
    assert cli("metadata", path, "--clear", "only=this").code == 0
    assert dotpt.read_metadata(path) == {"only": "this"}
    assert cli("metadata", path, "--clear").out == "no metadata\n"


@pytest.mark.parametrize(
    ("given", "problem", "hint"),
    [
        (["other.pt"], "'other.pt' is not KEY=VALUE", "dotpt metadata 'runs/*.pt'"),
        (["=3"], "'=3' is not KEY=VALUE", "KEY=VALUE"),
        ([":=3"], "':=3' is not KEY=VALUE", "KEY=VALUE"),
        (["a:=mit"], "'mit' is not JSON", "a=mit notes it as a text"),
        (["a:=NaN"], "nan, which JSON does not have", "metadata is what JSON has"),
        (["--sort", "size"], "no order 'size'", "one of name"),
    ],
)
def test_what_makes_no_sense(cli, path, given, problem, hint):
    before = path.read_bytes()
    ran = cli("metadata", path, *given)
    assert ran.code == 2
    assert problem in ran.err
    assert hint in ran.err
    assert path.read_bytes() == before


def test_several_files(cli, path, tmp_path):
    dotpt.save({"w": np.ones(3, np.float32)}, tmp_path / "z.pt")
    ran = cli("metadata", tmp_path / "*.pt", "run=17")
    assert ran.code == 0
    assert dotpt.read_metadata(tmp_path / "z.pt") == {"run": "17"}
    assert ran.out.splitlines()[0] == str(path)
    assert f"\n\n{tmp_path / 'z.pt'}\n" in ran.out
    (tmp_path / "broken.pt").write_bytes(path.read_bytes()[:-10])
    ran = cli("metadata", tmp_path / "*.pt", "run=18", "--json")
    assert ran.code == 2
    assert [("error" in entry, entry.get("metadata", {}).get("run")) for entry in ran.document["files"]] == [
        (True, None),
        (False, "18"),
        (False, "18"),
    ]


def test_json(cli, path):
    document = cli("metadata", path, "--json").document
    assert document == {
        "schema": "dotpt.metadata/1",
        "files": [{"file": str(path), "metadata": dotpt.read_metadata(path)}],
    }


def test_names_from_a_file_obey_nobody(cli, path):
    dotpt.set_metadata(path, {"a\x1b[31m": "b\x1b[0m\nc"})
    out = cli("metadata", path).out
    assert "\x1b" not in out
    assert "b\\x1b[0m\\nc" in out
    assert "\x1b" not in cli("metadata", path, "-q").out
    assert "\x1b" not in cli("inspect", path).out


def test_other_formats(cli, tmp_path):
    path = tmp_path / "old.pt"
    path.write_bytes((FIXTURES / "legacy/state_dict.pt").read_bytes())
    ran = cli("metadata", path, "a=b")
    assert ran.code == 2
    assert "Only files of the zip format" in ran.err
    assert "Try: save it as zip" in ran.err


def test_inspect_shows_it(cli, path):
    out = cli("inspect", path).out
    assert "Metadata    epoch: 3\n" in out
    assert 'Metadata    tags: ["a", {"b": null}]\n' in out
    assert f"Written by  dotpt {dotpt.__version__}\n" in out
    dotpt.set_metadata(path, {f"key{n}": n for n in range(8)})
    assert "and 3 more" in cli("inspect", path).out
    (entry,) = cli("inspect", path, "--json").document["files"]
    assert entry["metadata"]["key7"] == 7
    assert entry["writer"]["certainty"] == "CONFIRMED"


def test_verify_says_what_the_hashes_tell(cli, path):
    out = cli("verify", path).out
    assert f"1 tensor checked against 1 hash of dotpt {dotpt.__version__}" in out
    data = path.read_bytes()
    at = data.index(np.ones(3, np.float32).tobytes())
    path.write_bytes(data[:at] + b"\1" + data[at + 1 :])
    ran = cli("verify", path)
    assert ran.code == 1
    assert "data/0, 12 B: w" in ran.out
