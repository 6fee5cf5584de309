"""The frame around the verbs: help, exit codes, pipes, what is imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import dotpt
from dotpt.cli import main
from dotpt.cli.verbs import VERBS
from tests.cli.conftest import SOURCES, run_process, start
from tests.corpus.stored import FIXTURES

STATE_DICT = FIXTURES / "zip/state_dict.pt"


def imported_by(*arguments: object) -> set[str]:
    """Which of the heavy packages a command imports."""
    code = (
        "import sys; from dotpt.cli import main; main(sys.argv[1:]);"
        "print(*({'torch', 'numpy', 'rich', 'ml_dtypes', 'dotpt.archive', 'dotpt.cli.ls'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return set(
        subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
        .stdout.splitlines()[-1]
        .split()
    )


def test_version(cli):
    assert cli("--version").out == f"dotpt {dotpt.__version__}\n"


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_names_every_verb(cli, word):
    ran = cli(word)
    assert ran.code == 0
    assert all(f"\n  {verb} " in ran.out for verb in VERBS)
    assert all(len(line) <= 80 for line in ran.out.splitlines())


def test_help_of_a_verb(cli):
    assert cli("help", "ls").out == cli("ls", "--help").out


def test_no_arguments_is_a_usage_error_that_helps(cli):
    ran = cli()
    assert ran.code == 2
    assert "Verbs:" in ran.out


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (["lss"], "no verb lss", "dotpt ls"),
        (["--json", "ls", "a.pt"], "options come after the verb", "dotpt ls --json"),
        (["model.pt"], "no verb model.pt", "dotpt inspect model.pt"),
        ([str(STATE_DICT)], "is a file", "dotpt inspect"),
        (["https://example.com/a.pt"], "is a file", "dotpt inspect https"),
        (["ls"], "required: FILE", "dotpt ls --help"),
        (["ls", "a.pt", "--frobnicate"], "unrecognized arguments: --frobnicate", "dotpt ls --help"),
        (["ls", "a.pt", "--limit", "x"], "'x' is not a number", "dotpt ls --help"),
        (["ls", "a.pt", "--sort", "foo"], "no order 'foo'", "one of name, size"),
        (["verify", "a.pt", "--sort", "dtype"], "no order 'dtype'", "one of name, name:asc"),
    ],
)
def test_usage_errors(cli, arguments, problem, hint):
    ran = cli(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    first, second = ran.err.strip().split("\n")[-2:]
    assert problem in first
    assert second.startswith("  Try: ")
    assert hint in second
    assert "Traceback" not in ran.err


def test_nothing_is_imported_for_help_and_version():
    assert imported_by("--help") == imported_by("--version") == set()


def test_inspect_and_ls_import_no_array_library():
    assert imported_by("inspect", STATE_DICT) <= {"dotpt.archive"}
    assert imported_by("inspect", FIXTURES / "legacy/checkpoint_tutorial.pt") <= {"dotpt.archive"}
    assert imported_by("ls", STATE_DICT, "--sort", "size") <= {"dotpt.archive", "dotpt.cli.ls"}


def test_show_imports_no_torch():
    assert "torch" not in imported_by("show", STATE_DICT, "0.weight")


def test_exit_codes_of_a_process(tmp_path):
    assert run_process("ls", STATE_DICT).code == 0
    assert run_process("ls", tmp_path / "gone.pt").code == 2
    assert run_process("nope").code == 2


def test_the_worst_of_several_files_counts_and_the_others_are_handled(cli, tmp_path):
    (tmp_path / "empty.pt").touch()
    ran = cli("ls", tmp_path / "empty.pt", STATE_DICT, tmp_path / "gone.pt")
    assert ran.code == 2
    assert "0.weight" in ran.out
    assert [line for line in ran.err.splitlines() if line.startswith("dotpt: ")] == [
        f"dotpt: {tmp_path / 'empty.pt'}: The file is empty.",
        f"dotpt: {tmp_path / 'gone.pt'}: There is no such file.",
    ]


def test_broken_pipe_is_quiet():
    process = start("ls", *[STATE_DICT] * 400)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(100)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert error == b""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing there")
def test_interrupt_is_quiet(monkeypatch, capsys):
    def interrupted(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    monkeypatch.setattr("dotpt.cli.ls.run", interrupted)
    assert main(["ls", "a.pt"]) == 130
    assert capsys.readouterr().err == ""


def test_debug_shows_the_traceback(cli, tmp_path):
    assert "Traceback" not in cli("ls", tmp_path / "gone.pt").err
    assert "SourceNotFound" in cli("ls", tmp_path / "gone.pt", "--debug").err


def test_a_mistake_of_ours_is_an_error_of_one_file(cli, monkeypatch):
    monkeypatch.setattr("dotpt.cli.ls.notes_on", lambda tensors: 1 / 0)
    ran = cli("ls", STATE_DICT)
    assert ran.code == 2
    assert "mistake in dotpt: ZeroDivisionError" in ran.err
    assert "--debug" in ran.err
    assert "Traceback" not in ran.err


def test_too_little_memory_is_an_error_of_one_file(cli, monkeypatch):
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("dotpt.archive.archive.open", exhausted)
    assert "not enough memory" in cli("ls", STATE_DICT).err


def test_json_has_errors_in_the_order_of_the_files(cli, tmp_path):
    ran = cli("ls", "--json", STATE_DICT, tmp_path / "gone.pt", FIXTURES / "zip/buffer.pt")
    assert ran.code == 2
    assert [entry["file"] for entry in ran.document["files"]] == [
        str(STATE_DICT),
        str(tmp_path / "gone.pt"),
        str(FIXTURES / "zip/buffer.pt"),
    ]
    error = ran.document["files"][1]["error"]
    assert error["error"] == "SourceNotFound"
    assert error["problem"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_of_stdout_will_do(encoding):
    ran = run_process(
        "inspect",
        FIXTURES / "zip/keys.pt",
        FIXTURES / "zip/strings.pt",
        env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert ran.err == ""
    assert ran.code == 0


def test_python_m_dotpt_is_the_command(cli):
    assert run_process("--version").out == cli("--version").out
    assert (Path(SOURCES) / "dotpt/__main__.py").exists()
