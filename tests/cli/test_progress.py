"""A progress bar appears when something takes long and a terminal watches, and at no other time."""

from __future__ import annotations

import io
import time

import pytest

from dotpt.cli import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_PATIENCE", 0.05)
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    return stream


def work(seconds, label="verifying [red]a.pt", **options):
    with progress.Watch(label, **options) as watch:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            watch(50_000_000, 100_000_000)
            time.sleep(0.01)


def test_a_bar_for_long_work(terminal):
    work(1.0)
    assert "verifying [red]a.pt" in terminal.getvalue()
    assert "50.0/100.0 MB" in terminal.getvalue()
    assert terminal.getvalue().rstrip().endswith("\x1b[2K")  # and it is wiped away


def test_no_bar_for_short_work(terminal, monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 5)
    work(0.02)
    assert terminal.getvalue() == ""


def test_no_bar_when_nobody_watches(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    work(0.1)
    assert stream.getvalue() == ""


def test_no_bar_when_quiet(terminal):
    work(0.3, wanted=False)
    assert terminal.getvalue() == ""


def test_a_bar_before_anything_is_known(terminal):
    with progress.Watch("reading a.pt"):
        time.sleep(0.6)
    assert "reading a.pt" in terminal.getvalue()


def test_the_bar_ends_with_an_error(terminal):
    with pytest.raises(ValueError, match="x"), progress.Watch("reading"):
        time.sleep(0.4)
        raise ValueError("x")
    before = terminal.getvalue()
    time.sleep(0.3)
    assert terminal.getvalue() == before
