"""FILE arguments: globs, standard input, and what is not a file of torch."""

from __future__ import annotations

import gzip
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from dotpt.cli.inputs import expand
from tests.cli.conftest import run_process
from tests.corpus.stored import FIXTURES

STATE_DICT = FIXTURES / "zip/state_dict.pt"


def test_globs_that_the_shell_did_not_expand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("b.pt", "a.pt", "c.bin", "sub/d.pt"):
        (tmp_path / name).touch()
    assert [given.name for given in expand(["*.pt", "c.bin"])] == ["a.pt", "b.pt", "c.bin"]
    assert len(expand(["**/*.pt"])) == 3


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    odd = tmp_path / "a[1].pt"
    odd.touch()
    assert [given.name for given in expand([str(odd)])] == [str(odd)]


@pytest.mark.parametrize("name", ["https://example.com/a*.pt?x=[1]", "s3://bucket/*.pt", "-"])
def test_addresses_are_no_globs(name):
    assert [(given.name, given.error) for given in expand([name])] == [(name, None)]


def test_a_glob_without_a_match_is_an_error_of_its_own(cli, tmp_path):
    ran = cli("ls", tmp_path / "*.pt", STATE_DICT)
    assert ran.code == 2
    assert "No file matches" in ran.err
    assert "0.weight" in ran.out


@pytest.mark.parametrize("verb", ["ls", "show", "inspect"])
def test_standard_input(verb):
    ran = run_process(verb, "-", stdin=STATE_DICT.read_bytes())
    assert (ran.code, ran.err) == (0, "")
    assert "0.weight" in ran.out


def test_compressed_standard_input():
    assert run_process("ls", "-", "-q", stdin=gzip.compress(STATE_DICT.read_bytes())).out.startswith("0.weight\n")


def test_empty_standard_input():
    ran = run_process("ls", "-", stdin=b"")
    assert ran.code == 2
    assert ran.err.startswith("dotpt: -: The file is empty.")


def test_a_terminal_is_no_file(cli, monkeypatch):
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    ran = cli("inspect", "-")
    assert ran.code == 2
    assert "Nothing is piped" in ran.err


@pytest.mark.parametrize("verb", ["inspect", "ls", "show", "verify"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 4000\n", "git-lfs pointer"),
        (b"<!DOCTYPE html><html><title>Sign in</title>", "HTML page (title: 'Sign in')"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"GGUF" + bytes(64), "GGUF"),
    ],
)
def test_what_is_not_a_torch_file_is_named(cli, tmp_path, verb, content, words):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    ran = cli(verb, path)
    assert ran.code == 2
    assert ran.err.startswith(f"dotpt: {path}: ")
    assert words in ran.err
    assert "\n  Try: " in ran.err
    assert str(path) not in ran.err.removeprefix(f"dotpt: {path}: ").split("\n")[0]


def test_a_name_with_escapes_cannot_forge_output(cli, tmp_path):
    path = tmp_path / "a\x1b[31m\nb[bold].pt"
    path.touch()
    ran = cli("ls", path)
    assert "\x1b" not in ran.err
    assert "a\\x1b[31m\\nb[bold].pt" in ran.err
    assert ran.err.count("\n") == 2


class Quiet(SimpleHTTPRequestHandler):
    """A server that cannot send parts of a file."""

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(FIXTURES))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("verb", ["inspect", "ls", "show", "verify"])
def test_a_server_that_sends_only_whole_files(cli, server, verb):
    address = f"{server}/zip/state_dict.pt"
    ran = cli(verb, address)
    assert ran.code == 2
    assert "--download" in ran.err
    ran = cli(verb, address, "--download")
    assert (ran.code, ran.err) == (0, "")
    assert cli(verb, f"{server}/gone.pt").code == 2


def test_the_same_file_twice(cli, tmp_path):
    shutil.copy(STATE_DICT, tmp_path / "a.pt")
    assert cli("ls", tmp_path / "a.pt", tmp_path / "a.pt", "-q").out.count("0.weight\n") == 2
