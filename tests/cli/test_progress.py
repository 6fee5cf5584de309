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
    """Have a terminal watch (called in the test: between its phases, pytest puts its own stderr back)."""

    def watch(patience=0.05):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(progress, "_PATIENCE", patience)
        stream = Terminal()
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return watch


def work(seconds, label="verifying [red]a.pt", **options):
    with progress.Watch(label, **options) as watch:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            watch(50_000_000, 100_000_000)
            time.sleep(0.01)


def test_a_bar_for_long_work(terminal):
    stream = terminal()
    work(1.0)
    assert "verifying [red]a.pt" in stream.getvalue()
    assert "50.0 MB of 100 MB" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[2K")  # and it is wiped away


def test_no_bar_for_short_work(terminal):
    stream = terminal(patience=5)
    work(0.02)
    assert stream.getvalue() == ""


def test_no_bar_when_nobody_watches(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    work(0.1)
    assert stream.getvalue() == ""


def test_no_bar_when_quiet(terminal):
    stream = terminal()
    work(0.3, wanted=False)
    assert stream.getvalue() == ""


def test_a_bar_before_anything_is_known(terminal):
    stream = terminal()
    with progress.Watch("reading a.pt"):
        time.sleep(0.6)
    assert "reading a.pt" in stream.getvalue()
    assert "?" not in stream.getvalue().replace("[?25", "")


def test_the_bar_ends_with_an_error(terminal):
    stream = terminal()

    def fail():
        with progress.Watch("reading"):
            time.sleep(0.4)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    before = stream.getvalue()
    time.sleep(0.3)
    assert stream.getvalue() == before
