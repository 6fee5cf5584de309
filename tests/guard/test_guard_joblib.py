"""`dotpt.guard` and `joblib.load`, imported before the guard or after it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import dotpt
from dotpt.errors import RefusedByGuard, SourceChanged
from dotpt.guard import files as guard_files

joblib = pytest.importorskip("joblib")

SENTINEL = "dotpt_guard_sentinel"
EVIL = f"c{SENTINEL}\nran\n(S'x'\ntR.".encode()
GOOD = {"a": [1, 2.5, "text"], "b": None}
# In a dictionary: a name of this module would be guarded, like that of any other.
JOBLIBS = {"load": joblib.load}


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert joblib.load is joblib.numpy_pickle.load is JOBLIBS["load"]


@pytest.fixture
def runs(monkeypatch):
    """What the attacks have called: to stay empty."""
    called = []
    module = ModuleType(SENTINEL)
    module.ran = called.append
    monkeypatch.setitem(sys.modules, SENTINEL, module)
    return called


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    good, bad = tmp_path / "good.joblib", tmp_path / "bad.joblib"
    joblib.dump(GOOD, good)
    bad.write_bytes(EVIL)
    return {"good": good, "bad": bad}


@pytest.mark.parametrize("given", [str, Path, lambda path: io.BytesIO(path.read_bytes())], ids=["str", "path", "file"])
def test_joblib_load(files, runs, given):
    with dotpt.guard():
        assert joblib.load(given(files["good"])) == GOOD
        with pytest.raises(RefusedByGuard, match=f"{SENTINEL}.ran"):
            joblib.load(given(files["bad"]))
    assert runs == []
    joblib.load(given(files["bad"]))
    assert runs == ["x"]


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz"])
def test_compressed(tmp_path, kind):
    joblib.dump(GOOD, tmp_path / "a.joblib", compress=(kind, 3))
    with dotpt.guard():
        assert joblib.load(tmp_path / "a.joblib") == GOOD


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced there")
def test_a_file_that_is_replaced_after_the_scan(files, runs, monkeypatch):
    scan = guard_files.scan

    def scan_and_swap(*arguments, **options):
        findings = scan(*arguments, **options)
        if files["bad"].exists():
            os.replace(files["bad"], files["good"])
        return findings

    monkeypatch.setattr(guard_files, "scan", scan_and_swap)
    with dotpt.guard():
        assert joblib.load(files["good"]) == GOOD
    files["good"].rename(files["bad"])
    joblib.dump(GOOD, files["good"])
    with dotpt.guard(), pytest.raises(SourceChanged):
        joblib.load(files["good"], mmap_mode="r")
    assert runs == []


@pytest.mark.parametrize("statement", ["import joblib; load = joblib.load", "from joblib import load"])
def test_joblib_that_is_imported_later(files, statement):
    code = (
        f"import dotpt\nguard = dotpt.guard()\n{statement}\nprint(load({str(files['good'])!r}))\n"
        f"try:\n    load({str(files['bad'])!r})\nexcept dotpt.DotptError as error:\n    print(type(error).__name__)\n"
        "guard.undo()\nimport joblib\nprint(joblib.load.__code__.co_filename.endswith('numpy_pickle.py'))"
    )
    variables = os.environ | {"PYTHONPATH": str(Path(dotpt.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=True)
    assert done.stdout == f"{GOOD}\nRefusedByGuard\nTrue\n"
