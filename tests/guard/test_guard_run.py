"""``python -m dotpt run --guard``: a program is guarded, in its processes too, with torch and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dotpt
from dotpt.cli.run import own

SOURCES = Path(dotpt.__file__).parents[1]
# What it calls does not exist: whoever runs it says so, and not that it was refused.
EVIL = b"cno_such_module_of_dotpt\nran\n(S'x'\ntR."
PROGRAM = """
import multiprocessing, pickle, sys

def attempt(path):
    try:
        with open(path, "rb") as file:
            print(pickle.load(file), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)

class Own:
    pass

def child(path, own):
    assert type(own).__name__ == "Own"
    attempt(path)

if __name__ == "__main__":
    for path in sys.argv[1:]:
        attempt(path)
    for method in multiprocessing.get_all_start_methods():
        process = multiprocessing.get_context(method).Process(target=child, args=(sys.argv[1], Own()))
        process.start()
        process.join()
        print(method, process.exitcode, flush=True)
"""
WITHOUT_TORCH = (
    "import sys, importlib.util as u; found = u.find_spec\n"
    "u.find_spec = lambda name, package=None: None if name == 'torch' else found(name, package)\n"
    "sys.modules['torch'] = None\n"
    "from dotpt.cli import main; sys.argv[0] = 'dotpt'; sys.exit(main())"
)


def run(folder: Path, *arguments: str, start: tuple[str, ...] = ("-m", "dotpt")) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM)
    (folder / "bad.pkl").write_bytes(EVIL)
    (folder / "good.pkl").write_bytes(b"K\x01.")
    return subprocess.run(
        [sys.executable, *start, "run", *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": str(SOURCES)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("start", [("-m", "dotpt"), ("-c", WITHOUT_TORCH)], ids=["as it is", "without torch"])
def test_a_program_and_its_processes(tmp_path, start):
    done = run(tmp_path, "--guard", "program.py", "bad.pkl", "good.pkl", start=start)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["RefusedByGuard", "1"]
    # A process that is started anew has torch again: what it does is the same.
    assert lines[2::2] == ["RefusedByGuard"] * (len(lines) // 2 - 1)
    assert [line.split()[1] for line in lines[3::2]] == ["0"] * (len(lines) // 2 - 1)


def test_names_that_are_allowed_reach_the_processes(tmp_path):
    (tmp_path / "policy.toml").write_text('allow = ["no_such_module_of_dotpt.*"]')
    allowed = ("--allow", "no_such_module_of_dotpt.ran"), ("--policy", "policy.toml")
    for arguments in allowed:
        done = run(tmp_path, "--guard", *arguments, "program.py", "bad.pkl")
        assert (done.returncode, done.stderr) == (0, "")
        assert set(done.stdout.split()) - {"0", "fork", "spawn", "forkserver"} == {"ModuleNotFoundError"}


def test_usage(tmp_path):
    done = run(tmp_path, "--allow", "os.system", "program.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--guard" in done.stderr
    done = run(tmp_path, "--guard", "--policy", "gone.toml", "program.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such policy" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--guard", "a.py", "--allow", "x"], 2),
        (["--guard", "--allow", "x", "a.py", "b"], 4),
        (["--allow=x", "--policy", "p", "-m", "a", "b"], 5),
        (["--allow"], 1),
    ],
)
def test_what_follows_the_program_is_its_own(arguments, count):
    assert own(arguments) == count
