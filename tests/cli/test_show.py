"""`dotpt show`: addresses, values, figures, and tensors that are read in pieces."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import dotpt
from dotpt.cli import pieces
from dotpt.cli.addresses import parse_index
from tests.corpus.stored import FIXTURES

STATE_DICT = FIXTURES / "zip/state_dict.pt"
CHECKPOINT = FIXTURES / "zip/checkpoint_lightning.pt"


def shown(ran):
    """The only tensor of a JSON document."""
    (entry,) = ran.document["files"]
    (tensor,) = entry["tensors"]
    return tensor


def test_a_tensor(cli):
    ran = cli("show", STATE_DICT, "0.weight")
    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert lines[0] == "0.weight"
    assert lines[1].split(maxsplit=1) == ["Tensor", "float32 [4, 3, 3, 3], 108 elements, 432 B"]
    assert any("Checksum" in line and line.endswith("right") for line in lines)
    assert any(line.split(maxsplit=1)[:1] == ["Range"] for line in lines)
    assert "no zeros, no NaN, no Inf" in ran.out
    assert "█" in ran.out


def test_figures_are_those_of_numpy(cli):
    with dotpt.open(STATE_DICT) as archive:
        array = archive["0.weight"].numpy().astype(np.float64)
    tensor = shown(cli("show", STATE_DICT, "0.weight", "--json"))
    figures = tensor["statistics"]
    assert figures["count"] == array.size
    assert (figures["min"], figures["max"]) == (array.min(), array.max())
    assert figures["mean"] == pytest.approx(array.mean(), rel=1e-12)
    assert figures["std"] == pytest.approx(array.std(), rel=1e-12)
    assert np.array_equal(np.array(tensor["values"]), array)
    assert sum(row["count"] for row in tensor["histogram"]) == array.size
    assert (tensor["address"], tensor["index"], tensor["checksum"], tensor["values_of"]) == (
        "0.weight",
        None,
        "right",
        None,
    )


def test_a_bare_tensor_needs_no_name(cli):
    assert cli("show", FIXTURES / "zip/shape_5d.pt").out.startswith("tensor\n  Tensor ")


def test_the_only_tensor_of_a_file_needs_no_name(cli):
    assert cli("show", FIXTURES / "zip/dtype_bool.pt").out.startswith("x\n  Tensor ")


def test_without_a_name_the_file_is_outlined(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ran = cli("show", CHECKPOINT)
    assert ran.code == 0
    assert ran.out.startswith("whole file  dict\n  epoch ")
    assert "hyper_parameters" in ran.out
    assert len(ran.out.splitlines()) <= 42
    assert max(map(len, ran.out.splitlines())) <= 80


def test_outline_is_limited_and_says_so(cli):
    lines = cli("show", CHECKPOINT, "--limit", 3).out.splitlines()
    assert len(lines) == 5
    assert "(--limit 0 shows all)" in lines[-1]
    assert "--limit 0" not in cli("show", CHECKPOINT, "--limit", 0).out


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("epoch", "epoch  1"),
        ("hyper_parameters.layers", "hyper_parameters.layers  list"),
        ("pytorch-lightning_version", "pytorch-lightning_version  '2.6.6'"),
        ("lr_schedulers.0.gamma", "lr_schedulers.0.gamma  0.1"),
    ],
)
def test_other_values(cli, address, line):
    ran = cli("show", CHECKPOINT, address)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0].startswith(line)


def test_other_values_in_json(cli):
    (entry,) = cli("show", CHECKPOINT, "epoch", "hyper_parameters", "--json").document["files"]
    assert entry["tensors"] == []
    assert entry["values"][0] == {"address": "epoch", "type": "int", "value": 1}
    assert entry["values"][1]["value"] == {"lr": 0.001, "layers": [4, 5]}


def test_the_end_of_an_address_will_do_if_it_is_the_only_one(cli):
    assert cli("show", CHECKPOINT, "model.0.weight").out.startswith("state_dict.model.0.weight\n")
    assert cli("show", CHECKPOINT, "exp_avg").code == 2


def test_keys_with_dots(cli):
    path = FIXTURES / "zip/keys_dotted.pt"
    names = cli("ls", "-q", path).out.splitlines()
    assert names
    for name in names:
        assert cli("show", path, name).code == 0


def test_globs_and_limit(cli):
    ran = cli("show", STATE_DICT, "*.bias", "--limit", 2)
    assert [line for line in ran.out.splitlines() if line and not line.startswith(" ")] == [
        "0.bias", "1.bias", "… and 1 more (--limit 0 shows all)",
    ]  # fmt: skip


def test_filter_and_sort(cli):
    ran = cli("show", STATE_DICT, "--filter", "ndim>1", "--sort", "size", "--json")
    assert [tensor["name"] for tensor in ran.document["files"][0]["tensors"]] == ["4.weight", "0.weight"]
    ran = cli("show", STATE_DICT, "--filter", "ndim>9")
    assert ran.code == 2
    assert "No tensor passes" in ran.err


def test_an_unknown_name_is_reported_with_what_comes_near(cli):
    ran = cli("show", STATE_DICT, "0.weigth", "1.bias")
    assert ran.code == 2
    assert "nothing called 0.weigth." in ran.err
    assert "Try: 0.weight or " in ran.err
    assert ran.out.startswith("1.bias\n")


def test_an_unknown_name_in_json(cli):
    ran = cli("show", STATE_DICT, "zzz", "--json")
    assert ran.code == 2
    assert [entry["error"]["error"] for entry in ran.document["files"]] == ["NoSuchTensor"]


@pytest.mark.parametrize(
    ("index", "numpy_index"),
    [
        ("0", (0,)),
        ("0,:2", (0, slice(None, 2))),
        ("..., -1", (Ellipsis, -1)),
        ("::2, 1", (slice(None, None, 2), 1)),
        ("3, ::-1", (3, slice(None, None, -1))),
        ("1,2,0,1", (1, 2, 0, 1)),
    ],
)
def test_an_index(cli, index, numpy_index):
    assert parse_index(index) == numpy_index
    with dotpt.open(STATE_DICT) as archive:
        expected = archive["0.weight"].numpy()[numpy_index]
    tensor = shown(cli("show", STATE_DICT, f"0.weight[{index}]", "--json"))
    assert np.array_equal(np.array(tensor["values"], np.float32), expected)
    assert (tensor["shape"], tensor["index"]) == (list(np.shape(expected)), f"[{index}]")
    assert cli("show", STATE_DICT, f"0.weight[{index}]").code == 0


@pytest.mark.parametrize("index", ["", "a", "1.5", "0;1", "0,,1"])
def test_what_is_no_index(index):
    assert parse_index(index) is None


@pytest.mark.parametrize("index", ["9", "0,0,0,0,0", "..., ..., 0"])
def test_an_index_that_does_not_fit(cli, index):
    ran = cli("show", STATE_DICT, f"0.weight[{index}]")
    assert ran.code == 2
    assert "does not fit the shape [4, 3, 3, 3]" in ran.err


def test_an_index_of_something_that_has_none(cli):
    assert "Only tensors and arrays" in cli("show", CHECKPOINT, "epoch[0]").err
    assert "strided tensor" in cli("show", FIXTURES / "zip/sparse_coo.pt", "tensor[0]").err


def test_quiet_prints_values_only(cli):
    assert cli("show", CHECKPOINT, "epoch", "-q").out == "1\n"
    assert cli("show", FIXTURES / "zip/dtype_bool.pt", "-q").out == "[ True, False,  True,  True, False]\n"


@pytest.mark.parametrize("path", sorted((FIXTURES / "zip").glob("*.pt")), ids=lambda path: path.stem)
def test_every_kind_of_value_and_tensor(cli, path):
    """Whatever torch can save can be shown, whole and every tensor, for people and as strict JSON."""
    for arguments in ([], ["*"]):
        plain = cli("show", path, *arguments, "--limit", "0")
        assert "mistake in dotpt" not in plain.err
        assert plain.code == 0 or "nothing called *" in plain.err
        assert all(character.isprintable() or character == "\n" for character in plain.out)
        ran = cli("show", path, *arguments, "--json")
        assert ran.code == plain.code
        assert ran.document["schema"] == "dotpt.show/1"


def test_not_a_number(cli):
    tensor = shown(cli("show", FIXTURES / "zip/dtype_float32.pt", "--json"))
    assert {"NaN", "Infinity", "-Infinity"} <= {value for value in tensor["values"] if isinstance(value, str)}
    assert tensor["statistics"]["nan"] > 0
    assert "1 NaN, 1 +Inf, 1 -Inf" in cli("show", FIXTURES / "zip/dtype_float32.pt").out


def test_layouts(cli):
    assert "3 channels along axis 0" in cli("show", FIXTURES / "zip/quantized_channel_qint8.pt").out
    assert "(dequantized)" in cli("show", FIXTURES / "zip/quantized_tensor_quint8.pt").out
    assert "values of 24" in cli("show", FIXTURES / "zip/sparse_csr.pt").out
    assert "2 components: [2, 3], [4, 3]" in cli("show", FIXTURES / "zip/nested_jagged.pt").out
    assert "meta device" in cli("show", FIXTURES / "zip/meta.pt", "w").out
    assert "3 true, 2 false" in cli("show", FIXTURES / "zip/dtype_bool.pt").out
    assert "(of the magnitudes)" in cli("show", FIXTURES / "zip/dtype_complex64.pt").out
    assert "raw bytes, 4 bits" in str(shown(cli("show", FIXTURES / "zip/dtype_bits4x2.pt", "--json"))["values_of"])


@pytest.fixture
def damaged(tmp_path):
    """A file one bit of whose first tensor was turned."""
    path = tmp_path / "damaged.pt"
    shutil.copy(STATE_DICT, path)
    with dotpt.open(path) as archive:
        at = archive["0.weight"].byte_range[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_damaged_tensor_is_shown_and_is_a_finding(cli, damaged, monkeypatch, in_pieces):
    if in_pieces:
        monkeypatch.setattr(pieces, "WHOLE", 0)
    ran = cli("show", damaged, "0.weight")
    assert (ran.code, ran.err) == (1, "")
    assert "WRONG" in ran.out
    assert shown(cli("show", damaged, "0.weight", "--json"))["checksum"] == "wrong"
    assert cli("show", damaged, "1.bias").code == 0


def test_a_part_of_a_large_tensor_is_printed_whole(cli, monkeypatch):
    expected = cli("show", STATE_DICT, "0.weight[0]").out
    monkeypatch.setattr(pieces, "WHOLE", 200)  # more than the part, less than the tensor
    assert cli("show", STATE_DICT, "0.weight[0]").out == expected


def test_a_part_is_not_verified_and_says_so(cli, damaged):
    ran = cli("show", damaged, "0.weight[0]")
    assert ran.code == 0
    assert "not checked" in ran.out


@pytest.mark.parametrize(
    "fixture",
    ["shape_5d", "shape_1d", "stride_permute", "stride_transpose", "stride_step", "stride_expand", "stride_overlap",
     "stride_channels_last", "dtype_bfloat16", "dtype_complex32", "conj_view", "neg_view", "shape_empty", "shape_0d"],
)  # fmt: skip
@pytest.mark.parametrize("variant", ["zip", "big_endian", "legacy"])
def test_pieces_give_what_the_whole_gives(cli, monkeypatch, variant, fixture):
    path = FIXTURES / variant / f"{fixture}.pt"
    if not path.exists():
        pytest.skip("not among the fixtures")
    whole = cli("show", path, "*", "--json").document
    monkeypatch.setattr(pieces, "WHOLE", 0)
    monkeypatch.setattr(pieces.blocks, "__defaults__", (5,))
    streamed = cli("show", path, "*", "--json").document
    for one, other in zip(whole["files"][0]["tensors"], streamed["files"][0]["tensors"], strict=True):
        for figure, value in one["statistics"].items():
            assert other["statistics"][figure] == (pytest.approx(value) if isinstance(value, float) else value)
        assert one["histogram"] == other["histogram"]
    assert cli("show", path, "*").code == 0


@pytest.mark.parametrize("shape", [(100,), (30, 40), (9, 9, 9), (3, 50), (8, 2, 7, 9)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_large_tensor_prints_as_numpy_would_print_it(monkeypatch, shape, turned):
    from dotpt.cli.pieces import Streamed

    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    array = array.T if turned else array

    class Ref:
        """As much of a reference as the reader of pieces uses."""

        strides = tuple(step // 4 for step in array.strides)

        def __init__(self) -> None:
            self.shape = array.shape

        def __getitem__(self, index):
            return array[index]

    monkeypatch.setattr(pieces.blocks, "__defaults__", (10,))
    corners = Streamed(Ref()).corners(2)  # type: ignore[arg-type]
    options = {"edgeitems": 2, "threshold": 0}
    assert np.array2string(corners, **options) == np.array2string(array, **options)


def test_numpy_arrays_in_a_pickle(cli):
    path = FIXTURES / "zip/numpy_kinds.pt"
    (entry,) = cli("show", path, "--json").document["files"]
    assert len(entry["values"][0]["value"]) > 10
    for name in entry["values"][0]["value"]:
        assert cli("show", path, name).code == 0
        assert shown(cli("show", path, name, "--json"))["layout"] == "numpy"
    assert shown(cli("show", FIXTURES / "zip/numpy_shapes.pt", "fortran[1,:2]", "--json"))["shape"] == [2]
