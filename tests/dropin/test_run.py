"""``python -m dotpt run``: a program runs as under python itself, and torch's functions are ours in its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import dotpt
from dotpt.cli.run import own

pytest.importorskip("torch")
pytestmark = pytest.mark.torch
SOURCES = Path(dotpt.__file__).parents[1]
OURS = ("-m", "dotpt", "run")
# As the installed command calls it: no module is named on Python's command line.
COMMAND = ("-c", "import sys; from dotpt.cli import main; sys.argv[0] = 'dotpt'; sys.exit(main())", "run")


def python(*arguments: object, folder: Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a Python process."""
    variables = os.environ | {"PYTHONPATH": str(SOURCES)} | environment
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, input="typed", timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


def script(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(textwrap.dedent(text).encode("latin-1"))
    return path


# -- as python runs it ------------------------------------------------------------------------------------------------

FACTS = '''
"""What a program sees of itself."""
import os, pickle, sys

class Own:
    pass

seen = {name: value for name, value in globals().items() if name.startswith("__") and name != "__annotations__"}
for name, value in sorted(seen.items()):
    print(name, value if isinstance(value, (str, type(None))) else (type(value).__name__, getattr(value, "name", "")))
print(sys.argv, sys.path, os.getcwd(), sys.stdin.read(), sys.stdout.errors)
print(sys.modules["__main__"].__dict__ is globals(), type(pickle.loads(pickle.dumps(Own()))) is Own)
print("torch" in sys.modules, "numpy" in sys.modules)
'''


@pytest.mark.parametrize(
    "arguments",
    [
        ["script.py", "a", "--no-durable", "-m", "-h", "--", "b"],
        ["sub/../script.py"],
        ["link/linked.py"],
        ["folder", "x"],
        ["app.zip", "-x"],
        ["-m", "script", "--help"],
        ["-m", "package", "-m"],
        ["-mpackage.inner", "x"],
    ],
    ids=" ".join,
)
def test_what_a_program_sees_of_itself(tmp_path, arguments):
    for name in ("script.py", "sub/nothing.py", "folder/__main__.py", "package/__main__.py", "package/inner.py"):
        script(tmp_path, FACTS, name)
    script(tmp_path, "", "package/__init__.py")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/linked.py").symlink_to("../script.py")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(tmp_path / "script.py", "__main__.py")
    expected = python(*arguments, folder=tmp_path)
    assert expected[0] == 0
    for way in (OURS, COMMAND):
        assert python(*way, *arguments, folder=tmp_path) == expected


ENDS = {
    "exit code": "import sys; sys.exit(3)",
    "exit text": "import sys; sys.exit('sorry')",
    "exit nothing": "import sys; sys.exit()",
    "at once": "import os; os._exit(9)",
    "error": "def f():\n    1 / 0\nf()",
    "errors": "try:\n    1 / 0\nexcept Exception as error:\n    raise ValueError('x') from error",
    "broken pipe": "raise BrokenPipeError(32, 'x')",
    "no exception": "class Own(BaseException): pass\nraise Own('q')",
    "syntax": "print(1\nx = = 3",
    "coding": "# -*- coding: latin-1 -*-\nprint(len('\xe9'))",
    "annotations": "def f(x: undefined): pass",
    "hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, a[2].tb_next)\n1 / 0",
    "ctrl-c": "import atexit, os\natexit.register(print, 'bye')\nos.kill(os.getpid(), 2)\nwhile True: 0",
    "at exit": "import atexit, pickle\nclass Own: pass\natexit.register(lambda: print(len(pickle.dumps(Own()))))",
    "thread": """
        import threading, time
        class Own: pass
        def work():
            time.sleep(0.2)
            import __main__
            print(__main__.Own)
        threading.Thread(target=work).start()
        """,
}


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing there")
@pytest.mark.parametrize("name", ENDS)
def test_how_a_program_ends(tmp_path, name):
    path = script(tmp_path, ENDS[name])
    expected = python(path, folder=tmp_path)
    assert python(*OURS, path, folder=tmp_path) == expected
    if name == "ctrl-c":
        assert expected[0] == -signal.SIGINT


def test_torch_is_imported_when_the_program_does_it(tmp_path):
    path = script(
        tmp_path,
        """
        import os, sys
        assert "torch" not in sys.modules
        os.environ["OMP_NUM_THREADS"] = "1"
        from importlib.util import find_spec
        assert find_spec("torch").loader.get_source("torch")
        finders = [type(finder).__name__ for finder in sys.meta_path if not isinstance(finder, type)]
        from torch import get_num_threads, load
        import torch
        assert torch.load is load
        left = [type(finder).__name__ for finder in sys.meta_path if not isinstance(finder, type)]
        print(get_num_threads(), torch.save.__code__.co_filename, set(finders) - set(left))
        """,
    )
    code, out, err = python(*OURS, path, folder=tmp_path)
    assert code == 0, err
    assert out == f"1 {SOURCES / 'dotpt/dropin/bindings.py'} {{'_Watch'}}\n"


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ([], 0),
        (["a.py"], 1),
        (["a.py", "--no-durable"], 1),
        (["--no-durable", "a.py", "-m", "x"], 2),
        (["-m", "a", "-m", "b"], 2),
        (["-ma", "b"], 1),
        (["--", "-strange.py", "b"], 2),
        (["-", "a"], 1),
        (["-m"], 2),
        (["--help", "a.py"], 2),
    ],
)
def test_what_follows_the_program_is_its_own(arguments, count):
    assert own(arguments) == count


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        ([], "no program is named", "dotpt run train.py"),
        (["-"], "on standard input", "dotpt run train.py"),
        (["gone.py"], "gone.py: The file could not be read: No such file", None),
        (["empty"], "no __main__.py", "the script itself"),
        (["-m", "no_such_module"], "no module no_such_module", "python -m"),
        (["-m", "no_such.module"], "no module no_such.module", "python -m"),
        (["-m", "empty"], "no module empty.__main__", "python -m"),
        (["-m", ".a"], ".a cannot be run", "python -m"),
        (["-m"], "expected one argument", "dotpt run --help"),
        (["--durable", "a.py"], "unrecognized arguments: --durable", "dotpt run --help"),
    ],
)
def test_usage_errors(tmp_path, arguments, problem, hint):
    (tmp_path / "empty").mkdir()
    code, out, err = python(*OURS, *arguments, folder=tmp_path)
    assert code == 2
    assert out == ""
    assert problem in err
    assert hint is None or hint in err.splitlines()[-1]
    assert "Traceback" not in err


def test_without_torch_it_says_so(tmp_path):
    path = script(tmp_path, "print('not reached')")
    code = (
        "import sys, importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'torch' else found(name, package)\n"
        "from dotpt.cli import main; sys.exit(main())"
    )
    assert python("-c", code, "run", path, folder=tmp_path) == (
        2, "", f"dotpt: {path}: torch is not installed, so there is nothing to patch.\n  Try: pip install torch\n",
    )  # fmt: skip


# -- whose processes --------------------------------------------------------------------------------------------------

FAMILY = """
import multiprocessing, sys

def child(path):
    import torch
    torch.save({"a": torch.ones(2)}, path)

def parent(method, path):
    process = multiprocessing.get_context(method).Process(target=child, args=(path,))
    process.start()
    process.join()
    sys.exit(process.exitcode)

if __name__ == "__main__":
    for method, of in (("fork", child), ("spawn", child), ("forkserver", child), ("spawn", parent)):
        path = f"{of.__name__}-{method}.pt"
        arguments = (path,) if of is child else (method, path)
        process = multiprocessing.get_context(method).Process(target=of, args=arguments)
        process.start()
        process.join()
        print(path, process.exitcode)
"""


@pytest.mark.skipif(os.name == "nt", reason="no fork there")
def test_processes_of_multiprocessing_are_patched_too(tmp_path):
    path = script(tmp_path, FAMILY)
    code, out, err = python(*OURS, "--no-durable", path, folder=tmp_path)
    assert (code, err) == (0, "")
    written = [line.split() for line in out.splitlines()]
    assert [exitcode for _, exitcode in written] == ["0"] * 4
    for name, _ in written:
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert any(record.endswith(".dotpt/manifest.json") for record in archive.namelist()), name


@pytest.mark.parametrize("durable", [True, False])
def test_no_durable_reaches_the_program(tmp_path, durable):
    path = script(
        tmp_path,
        """
        import os
        calls = []
        os.fsync = calls.append
        import torch
        torch.save([1], "a.pt")
        print(bool(calls))
        """,
    )
    assert python(*OURS, *([] if durable else ["--no-durable"]), path, folder=tmp_path) == (0, f"{durable}\n", "")
