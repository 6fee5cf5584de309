"""`dotpt clean`: what was kept, changed and dropped is said; nothing is replaced unasked."""

from __future__ import annotations

import dotpt
from tests.corpus import pickles as s
from tests.corpus import torch_zip as tz
from tests.corpus.stored import FIXTURES

ULTRALYTICS = FIXTURES / "zip/checkpoint_ultralytics.pt"
NUMPY = FIXTURES / "zip/numpy_kinds.pt"


def test_it_is_written_and_said(cli, tmp_path):
    out = tmp_path / "out.pt"
    ran = cli("clean", ULTRALYTICS, "-o", out)
    assert (ran.code, ran.err) == (0, "")
    assert "cleaned: 15 tensors the same (656 B), 27 values kept, 1 changed, 2 dropped" in ran.out
    assert "dropped  ema.stride: a tensor, float32 [3] was dropped" in ran.out
    assert "changed  ema: a module, tests.corpus.classes.Detector became its state dict" in ran.out
    assert dotpt.scan(out).verdict == "clean"


def test_a_call_is_shown_as_written(cli, tmp_path):
    call = s.call("os", "system", s.text("echo \x1b[31mpwned"))
    pickle = s.pickled(s.empty_dict(), s.mark(), s.text("n"), s.number(1), s.text("x"), call, s.setitems())
    path, out = tmp_path / "evil.pt", tmp_path / "out.pt"
    path.write_bytes(tz.write([("data.pkl", pickle), ("version", b"3\n")]))
    ran = cli("clean", path, "-o", out)
    assert ran.code == 0
    assert "x: the call os.system('echo \\x1b[31mpwned') was dropped (runs programs" in ran.out
    assert dotpt.load(out, backend="numpy") == {"n": 1}
    path.write_bytes(tz.write([("data.pkl", s.pickled(call)), ("version", b"3\n")]))
    ran = cli("clean", path, "-o", out, "--overwrite")
    assert ran.code == 2
    assert "Nothing of the file is left" in ran.err
    assert dotpt.load(out, backend="numpy") == {"n": 1}


def test_the_list_is_limited_filtered_and_sorted(cli, tmp_path):
    out = tmp_path / "out.pt"
    assert cli("clean", NUMPY, "-o", out).out.count("changed  ") == 20
    ran = cli("clean", NUMPY, "-o", out, "--overwrite", "--limit", 3, "--sort", "name:desc")
    assert [line.split()[1] for line in ran.out.splitlines() if line.startswith("  changed")] == [
        "void:", "unicode:", "timedelta:",
    ]  # fmt: skip
    assert "and 22 more (--limit 0 shows all)" in ran.out
    ran = cli("clean", NUMPY, "-o", out, "--overwrite", "--filter", "number_*", "--limit", 0)
    assert ran.out.count("changed  number_") == ran.out.count("changed  ") > 10


def test_json(cli, tmp_path):
    (entry,) = cli("clean", ULTRALYTICS, "-o", tmp_path / "out.pt", "--json").document["files"]
    assert entry["file"] == str(ULTRALYTICS)
    assert (entry["tensors"], entry["values"], entry["changed"], entry["dropped"]) == (15, 27, 1, 2)
    assert {change["kind"] for change in entry["changes"]} == {"changed", "dropped"}
    assert entry["output"] == str(tmp_path / "out.pt")


def test_nothing_is_replaced_unasked(cli, tmp_path):
    out = tmp_path / "out.pt"
    out.write_bytes(b"mine")
    ran = cli("clean", ULTRALYTICS, "-o", out)
    assert ran.code == 2
    assert "is there already" in ran.err
    assert "--overwrite" in ran.err
    assert out.read_bytes() == b"mine"
    assert cli("clean", ULTRALYTICS, "-o", out, "--overwrite", "-q").out == ""
    ran = cli("clean", out, "-o", f"{tmp_path}/../{tmp_path.name}/out.pt", "--overwrite")
    assert ran.code == 2
    assert "--in-place" in ran.err


def test_in_place_takes_several(cli, tmp_path):
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(ULTRALYTICS.read_bytes())
    ran = cli("clean", tmp_path / "a.pt", tmp_path / "b.pt", "--in-place")
    assert ran.code == 0
    assert ran.out.count("cleaned: 15 tensors") == 2
    assert all(dotpt.scan(tmp_path / name).verdict == "clean" for name in ("a.pt", "b.pt"))


def test_what_makes_no_sense_is_a_usage_error(cli, tmp_path):
    for arguments in (
        [ULTRALYTICS], [ULTRALYTICS, NUMPY, "-o", tmp_path / "x"], [ULTRALYTICS, "-o", "x", "--in-place"],
        [ULTRALYTICS, "-o", tmp_path], [ULTRALYTICS, "-o", tmp_path / "x", "--sort", "size"],
        [FIXTURES / "other/packaged.pt", "-o", tmp_path / "x"],
    ):  # fmt: skip
        ran = cli("clean", *arguments)
        assert ran.code == 2, arguments
        assert "Try: " in ran.err
    assert list(tmp_path.iterdir()) == []
