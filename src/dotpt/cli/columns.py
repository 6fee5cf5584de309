"""What crosses this boundary: rows of texts in, aligned lines that fit the screen out.

A table of ten thousand tensors is drawn in a fraction of a second, which rich's own tables do not reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dotpt.cli.screen import Part, Screen, cut, shorten, width_of

_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """How one column looks.

    Attributes:
        title: its heading.
        style: of its cells, a style of rich.
        right: whether it is aligned to the right.
        least: columns of the screen that it may be narrowed to; 0: it is never cut.
        optional: whether it vanishes when all its cells are empty.
        tail: whether a cell that is too long loses its end, not its middle.
        early: whether it is narrowed before those that are not.
    """

    title: str
    style: str = ""
    right: bool = False
    least: int = 0
    optional: bool = False
    tail: bool = False
    early: bool = False


def draw(screen: Screen, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
    """Write a heading and the rows."""
    kept = [n for n, column in enumerate(columns) if not column.optional or any(row[n] for row in rows)]
    columns = [columns[n] for n in kept]
    cells = [[row[n] for n in kept] for row in rows]
    room = None if screen.width is None else screen.width - len(indent)
    widths = fit(columns, cells, room)
    headings = [replace(column, style="bold") for column in columns]
    _draw_row(screen, headings, widths, [column.title for column in columns], indent)
    for row in cells:
        _draw_row(screen, columns, widths, row, indent)


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None) -> list[int]:
    """The width of each column: as wide as its content, or narrowed so that all fit into ``room``."""
    widths = [max([width_of(column.title), *(width_of(row[n]) for row in rows)]) for n, column in enumerate(columns)]
    if room is None:
        return widths
    excess = sum(widths) + _GAP * (len(widths) - 1) - room
    while excess > 0:
        # the widest that may give way gives way, until it is as wide as the next one
        able = sorted((width, n) for n, width in enumerate(widths) if columns[n].least and width > columns[n].least)
        able = [pair for pair in able if columns[pair[1]].early] or able
        if not able:
            break
        width, widest = able[-1]
        level = max(able[-2][0] if len(able) > 1 else 0, columns[widest].least)
        step = max(1, min(excess, width - level))
        widths[widest] -= step
        excess -= step
    return widths


def _draw_row(
    screen: Screen, columns: Sequence[Column], widths: Sequence[int], cells: Sequence[str], indent: str
) -> None:
    parts: list[Part] = [indent] if indent else []
    for column, width, cell in zip(columns, widths, cells, strict=True):
        text = (cut if column.tail else shorten)(cell, width, screen.ellipsis)
        padding = " " * (width - width_of(text))
        parts += [padding, (text, column.style)] if column.right else [(text, column.style), padding]
        parts.append(" " * _GAP)
    screen.line(*parts)
