"""What is drawn fits, and a file's text stays text."""

from __future__ import annotations

import io

import pytest

from dotpt.cli.columns import Column, draw, fit
from dotpt.cli.screen import Screen, cut, shorten, width_of


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return Terminal()


def test_a_pipe_has_no_width_and_no_colors():
    stream = io.StringIO()
    screen = Screen(stream=stream)
    assert (screen.width, screen.colored) == (None, False)
    screen.line("plain ", ("styled", "bold red"), "  ")
    assert stream.getvalue() == "plain styled\n"


def test_columns_of_the_environment_hold_in_a_pipe(monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    assert Screen(stream=io.StringIO()).width == 72


def test_colors_in_a_terminal(terminal):
    Screen(stream=terminal).line(("red", "red"))
    assert terminal.getvalue() == "\x1b[31mred\x1b[0m\n"


def test_colors_can_be_refused(terminal, monkeypatch):
    assert not Screen(stream=terminal, color=False).colored
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Screen(stream=terminal).colored
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen(stream=terminal).colored


def test_colors_can_be_forced(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Screen(stream=io.StringIO()).colored


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", "[link=http://x]y", ":smile:", "a\\[b"])
def test_markup_stays_text(terminal, text):
    Screen(stream=terminal).line((text, "red"))
    assert terminal.getvalue() == f"\x1b[31m{text}\x1b[0m\n"


def test_lines_longer_than_the_terminal_are_not_broken(terminal):
    Screen(stream=terminal).line(("x" * 200, "red"))
    assert "x" * 200 in terminal.getvalue()


def test_facts_are_wrapped_in_their_column(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    Screen(stream=stream).fact("Label", "one two three ", ("four five six seven eight", "red"), " nine", column=10)
    assert stream.getvalue() == "Label     one two three four five six\n          seven eight nine\n"


def test_a_word_longer_than_its_column_stands_alone(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    Screen(stream=stream).fact("L", "a " + "x" * 50 + " b", column=4)
    assert stream.getvalue() == f"L   a\n    {'x' * 50}\n    b\n"


@pytest.mark.parametrize("text", ["abcdefghijklmnop", "模型编码器层权重偏置矩阵", "a" * 100, "e\u0301" * 30, ""])
@pytest.mark.parametrize("room", [1, 2, 5, 11, 40])
def test_what_is_shortened_fits(text, room):
    for shortened in (shorten(text, room), cut(text, room), shorten(text, room, "..."), cut(text, room, "...")):
        assert width_of(shortened) <= max(room, 3 if "..." in shortened else room)
    if width_of(text) <= room:
        assert shorten(text, room) == cut(text, room) == text


def test_columns_give_way_until_they_fit():
    columns = [Column("A", least=5), Column("B"), Column("C", least=3)]
    rows = [["a" * 30, "b" * 10, "c" * 12]]
    assert fit(columns, rows, None) == [30, 10, 12]
    assert fit(columns, rows, 44) == [18, 10, 12]
    assert fit(columns, rows, 30) == [8, 10, 8]
    assert fit(columns, rows, 10) == [5, 10, 3]


def test_wide_characters_stay_aligned():
    stream = io.StringIO()
    draw(Screen(stream=stream), [Column("N"), Column("S", right=True)], [["模型", "1"], ["abc", "22"]])
    assert stream.getvalue().splitlines() == ["N      S", "模型   1", "abc   22"]


def test_empty_optional_columns_vanish():
    stream = io.StringIO()
    draw(Screen(stream=stream), [Column("N"), Column("X", optional=True)], [["a", ""]])
    assert stream.getvalue() == "N\na\n"
