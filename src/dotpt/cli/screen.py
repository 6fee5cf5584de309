"""What crosses this boundary: lines of styled text in, stdout out.

Styles are names of rich; text is never parsed for markup, so a file's names can neither color nor break the
output. On anything but a terminal the lines are plain and as wide as they need to be.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

Part = str | tuple[str, str]
_LEAST_WIDTH = 40
_PROSE = 100
_HEAD = 6  # the part of a shortened text that its beginning gets
_WORDS = re.compile(r"\n|[^\S\n]+|\S+")


class Screen:
    """Where results are drawn.

    Args:
        color: whether colors are wanted at all.
        stream: stdout by default.

    Attributes:
        width: columns to fit into, or None where there is no end to a line.
        height: lines of the terminal, or None.
        unicode: whether more than ASCII can be shown.
        lines: how many were written.
    """

    def __init__(self, *, color: bool = True, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        terminal = self._stream.isatty()
        self.width, self.height = _extent(terminal)
        self.unicode = (getattr(self._stream, "encoding", None) or "utf-8").lower().replace("-", "") in (
            "utf8",
            "utf16",
        )
        wanted = color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.colored = wanted and (terminal or bool(os.environ.get("FORCE_COLOR")))
        self.lines = 0
        self._console: Any = None

    @property
    def prose_width(self) -> int:
        """Columns for sentences, which are hard to read when lines are too long."""
        return min(self.width or _PROSE, _PROSE)

    @property
    def ellipsis(self) -> str:
        """The mark of something cut."""
        return "…" if self.unicode else "..."

    def line(self, *parts: Part) -> None:
        """Write one line, made of plain texts and (text, style) pairs."""
        self.lines += 1
        if not self.colored:
            self._stream.write("".join(_text(part) for part in parts).rstrip() + "\n")
            return
        from rich.text import Text

        text = Text.assemble(*parts)
        text.rstrip()
        self._rich().print(text, soft_wrap=True)

    def fact(self, label: str, *parts: Part, column: int = 10) -> None:
        """Write ``label``, and beside it a text that is wrapped within its own column."""
        room = self.prose_width - column
        for number, line in enumerate(_wrapped(parts, max(room, 20))):
            head = label if number == 0 else ""
            self.line((f"{head:{column}}", "dim"), *line)

    def _rich(self) -> Any:
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=self._stream, force_terminal=True, width=self.width or _PROSE, highlight=False, markup=False,
                emoji=False, legacy_windows=None,
            )  # fmt: skip
        return self._console


def width_of(text: str) -> int:
    """Columns that a text takes: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return int(cell_len(text))


def shorten(text: str, room: int, ellipsis: str = "…") -> str:
    """``text`` in at most ``room`` columns. It is cut behind its beginning: a tensor's name tells most at its end.

    Example:
        >>> shorten("encoder.layers.0.attention.weight", 20)
        'enc…attention.weight'
    """
    if width_of(text) <= room:
        return text
    room -= len(ellipsis)
    if room < 1:
        return ellipsis[: room + len(ellipsis)]
    head, tail = text[: room // _HEAD], text[-(room - room // _HEAD) :]
    while width_of(head) + width_of(tail) > room and (head or tail):
        head, tail = (head[:-1], tail) if width_of(head) > room // _HEAD or not tail else (head, tail[1:])
    return f"{head}{ellipsis}{tail}"


def cut(text: str, room: int, ellipsis: str = "…") -> str:
    """``text`` in at most ``room`` columns, without its end.

    Example:
        >>> cut("transposed, expanded", 12)
        'transposed,…'
    """
    if width_of(text) <= room:
        return text
    while text and width_of(text) > room - len(ellipsis):
        text = text[: -max(1, (width_of(text) - room) // 2)]
    return text + ellipsis


def _extent(terminal: bool) -> tuple[int | None, int | None]:
    columns = os.environ.get("COLUMNS", "")
    if not terminal:
        return (max(int(columns), _LEAST_WIDTH) if columns.isdigit() and int(columns) else None), None
    import shutil  # takes a while to import, and pipes have no size

    if columns.isdigit() and int(columns):
        return max(int(columns), _LEAST_WIDTH), shutil.get_terminal_size().lines
    found = shutil.get_terminal_size()
    return max(found.columns, _LEAST_WIDTH), found.lines


def _text(part: Part) -> str:
    return part if isinstance(part, str) else part[0]


def _wrapped(parts: tuple[Part, ...], room: int) -> Iterator[list[Part]]:
    """Lines of at most ``room`` columns, broken at spaces only (not where one style ends); styles go along."""
    line: list[Part] = []
    used = 0
    for space, word in _words(parts):
        width = sum(width_of(text) for text, _ in word)
        if space == "\n" or (used and used + len(space) + width > room):
            yield line
            line, used = [*word], width
        else:
            line += [space, *word]
            used += len(space) + width
    yield line


def _words(parts: tuple[Part, ...]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(the space before it, its pieces) of each word."""
    space = ""
    word: list[tuple[str, str]] = []
    for part in parts:
        style = "" if isinstance(part, str) else part[1]
        for text in _WORDS.findall(_text(part)):
            if not text.isspace():
                word.append((text, style))
            elif word or text == "\n" or space == "\n":
                if word or space:
                    yield space, word
                space, word = text, []
            else:
                space += text
    yield space, word
