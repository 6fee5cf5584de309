"""`dotpt ls`, and the choice of tensors that all verbs share."""

from __future__ import annotations

import pytest

from dotpt.cli.select import natural
from dotpt.cli.tensors import short_names
from tests.corpus.stored import FIXTURES

STATE_DICT = FIXTURES / "zip/state_dict.pt"


def names(ran):
    assert ran.err == ""
    return ran.out.splitlines()


def test_rows(cli):
    lines = cli("ls", STATE_DICT).out.splitlines()
    assert lines[0].split() == ["Tensor", "Shape", "Type", "Size"]
    assert lines[1].split() == ["0.weight", "[4,", "3,", "3,", "3]", "float32", "432", "B"]
    assert lines[-2:] == ["", "9 tensors, 214 elements, 860 B"]


def test_quiet_prints_names_only(cli):
    assert names(cli("ls", STATE_DICT, "-q"))[:3] == ["0.weight", "0.bias", "1.weight"]


def test_limit_says_what_is_left(cli):
    lines = cli("ls", STATE_DICT, "--limit", 2).out.splitlines()
    assert lines[3] == "… and 7 more (--limit 0 shows all)"
    assert lines[-1] == "9 tensors, 214 elements, 860 B"
    assert len(names(cli("ls", STATE_DICT, "--limit", 0, "-q"))) == 9


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["*.bias"], ["0.bias", "1.bias", "4.bias"]),
        (["size>300B"], ["0.weight", "4.weight"]),
        (["size>0.3kB", "ndim>2"], ["0.weight"]),
        (["numel = 4", "name!=1.*"], ["0.bias"]),
        (["dtype=torch.int64"], ["1.num_batches_tracked"]),
        (["dtype!=float*"], ["1.num_batches_tracked"]),
        (["shape=4x3x3x3"], ["0.weight"]),
        (["shape=[*, 16]"], ["4.weight"]),
        (["ndim==0"], ["1.num_batches_tracked"]),
        (["name=4.*", "device=cpu", "layout=strided", "flavor=tensor", "ndim<=1"], ["4.bias"]),
    ],
)
def test_filters(cli, filters, expected):
    arguments = [part for text in filters for part in ("--filter", text)]
    assert names(cli("ls", STATE_DICT, "-q", *arguments)) == expected


def test_nothing_passes(cli):
    ran = cli("ls", STATE_DICT, "--filter", "zzz*")
    assert (ran.code, ran.out) == (0, "no tensor passes the filter\n")


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("sise>3", "no 'sise' to filter by", "'size>3'"),
        ("zzz>3", "no 'zzz' to filter by", "one of size"),
        ("size>big", "needs a number", "size>1MB"),
        ("dtype>float16", "dtype has no order", "'dtype=float16'"),
        ("shape=axb", "'axb' is not a shape", "shape="),
    ],
)
def test_wrong_filters(cli, text, problem, hint):
    ran = cli("ls", STATE_DICT, "--filter", text)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
    assert hint in ran.err


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("size:desc", ["0.weight", "4.weight", "4.bias"]),
        ("name:desc", ["4.weight", "4.bias", "1.weight"]),
        ("numel", ["1.num_batches_tracked", "0.bias", "1.weight"]),
        ("shape:desc", ["5x16", "5", "4x3x3x3"]),
        ("dtype:asc", ["0.weight", "0.bias", "1.weight"]),
        ("ndim:desc", ["0.weight", "4.weight", "0.bias"]),
    ],
)
def test_sort(cli, sort, expected):
    found = names(cli("ls", STATE_DICT, "-q", "--sort", sort, "--limit", 3))
    assert found == (expected if sort != "shape:desc" else ["4.weight", "4.bias", "0.weight"])


def test_numbers_in_names_are_numbers():
    assert sorted(["l.10.w", "l.9.w", "l.w", "10", "9"], key=natural) == ["9", "10", "l.9.w", "l.10.w", "l.w"]


def test_several_files_share_one_table(cli):
    ran = cli("ls", FIXTURES / "zip/buffer.pt", FIXTURES / "legacy/shape_1d.pt", "--sort", "file")
    lines = ran.out.splitlines()
    assert lines[0].startswith("File ")
    assert lines[1].startswith("legacy/shape_1d.pt ")
    assert lines[2].startswith("zip/buffer.pt ")


def test_short_names():
    assert short_names(["a.pt"]) == {"a.pt": "a.pt"}
    assert short_names(["/x/a.pt", "/x/b.pt"]) == {"/x/a.pt": "a.pt", "/x/b.pt": "b.pt"}
    assert short_names(["a.pt", "x/b.pt"]) == {"a.pt": "a.pt", "x/b.pt": "x/b.pt"}
    assert short_names(["x\\y\\a.pt", "x\\y\\b.pt"]) == {"x\\y\\a.pt": "a.pt", "x\\y\\b.pt": "b.pt"}


@pytest.mark.parametrize(
    ("fixture", "address", "note"),
    [
        ("state_dict_tied", "embed.weight", "tied to head.weight"),
        ("shared_views", "part", "shares memory with whole and 3 more"),
        ("shared_views", "transposed", "transposed"),
        ("stride_expand", "tensor", "expanded"),
        ("stride_channels_last", "tensor", "channels last"),
        ("stride_narrow", "tensor", "view of"),
        ("stride_step", "tensor", "strided"),
        ("stride_permute", "tensor", "permuted"),
        ("parameter", "tensor", "param"),
        ("requires_grad", "tensor", "requires grad"),
        ("sparse_csr", "tensor", "sparse_csr"),
        ("quantized_tensor_qint8", "tensor", "scale "),
        ("quantized_channel_qint8", "tensor", "scale per channel"),
        ("conj_view", "", "conj"),
        ("meta", "", "meta, no values"),
        ("nested_jagged", "tensor", "jagged"),
    ],
)
def test_notes(cli, fixture, address, note):
    tensors = cli("ls", "--json", FIXTURES / f"zip/{fixture}.pt").document["files"][0]["tensors"]
    notes = [text for tensor in tensors if address in ("", tensor["name"]) for text in tensor["notes"]]
    assert any(text.startswith(note) for text in notes), notes


def test_tensors_of_a_module_have_the_names_of_its_state_dict(cli):
    assert "model.0.conv.weight" in names(cli("ls", "-q", FIXTURES / "zip/module_custom.pt"))


def test_json(cli):
    ran = cli("ls", "--json", STATE_DICT, "--sort", "size:desc", "--limit", 1, "--filter", "ndim>1")
    document = ran.document
    assert ran.code == 0
    assert document["schema"] == "dotpt.ls/1"
    (entry,) = document["files"]
    assert (entry["file"], entry["format"], entry["count"]) == (str(STATE_DICT), "zip", 2)
    (tensor,) = entry["tensors"]
    assert (tensor["name"], tensor["shape"], tensor["dtype"], tensor["bytes"]) == (
        "0.weight",
        [4, 3, 3, 3],
        "float32",
        432,
    )


def test_every_stored_fixture_can_be_listed_or_says_why_not(cli):
    for path in sorted(FIXTURES.glob("*/*")):
        ran = cli("ls", "--json", path)
        assert ran.code in (0, 2), path
        assert "mistake in dotpt" not in ran.err, (path, ran.err)
        assert ran.document["files"][0]["file"] == str(path)


@pytest.mark.parametrize("columns", [72, 80, 120, 200])
def test_tables_fit_the_terminal(cli, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    files = [FIXTURES / f"zip/{name}.pt" for name in ("checkpoint_lightning", "shared_views", "module_custom")]
    lines = cli("ls", *files).out.splitlines()
    assert max(map(len, lines)) <= columns
    if columns == 200:
        assert not any("…" in line for line in lines)
