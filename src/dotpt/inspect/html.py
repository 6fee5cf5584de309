"""A report as one piece of HTML, for notebooks: nothing is loaded from elsewhere, and every name is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from dotpt.errors import readable
from dotpt.inspect.sizes import count_text, size_text
from dotpt.inspect.text import facts_of

if TYPE_CHECKING:
    from dotpt.inspect.report import Report
    from dotpt.tensors.refs import TensorRef

_MOST_TENSORS = 50
_MOST_PARTS = 30
_TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums;text-align:left"
_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
_NUMBER = "padding:2px 12px 2px 0;text-align:right"


def as_html(report: Report) -> str:
    """The report as HTML.

    File names, keys and metadata are a stranger's: each passes through `escape`, control characters are made
    visible, and none of them becomes an attribute.
    """
    rows = [_row((name, text)) for name, text in facts_of(report)]
    pieces = [f"<div><b>{_text(report.path)}</b>", _table(rows)]
    parts = [part for part in report.roles if part.role != "other" or part.tensors][:_MOST_PARTS]
    if parts:
        rows = [
            _row(
                (part.role, part.address or "(the whole object)", "" if part.tensors else _shown(part.value)),
                (count_text(part.params), size_text(part.bytes)) if part.tensors else ("", ""),
            )
            for part in parts
        ]
        pieces.append(_table([_head("part", "where", "value", "elements", "size"), *rows]))
    if report.archive is not None and report.archive.tensors:
        pieces.append(_tensors(report.archive.tensors))
    if report.usage:
        lines = "\n".join(_text(line) for line in report.usage)
        pieces.append(f"<pre style='margin:6px 0'>{lines}</pre>")
    pieces += [f"<div><i>{_text(note)}</i></div>" for note in report.notes]
    return "".join(pieces) + "</div>"


def _tensors(tensors: Mapping[str, TensorRef]) -> str:
    rows = [_head("tensor", "type", "shape", "size")]
    for name in list(tensors)[:_MOST_TENSORS]:
        ref = tensors[name]
        rows.append(_row((name, ref.dtype.name, str(list(ref.shape))), (size_text(ref.nbytes),)))
    more = len(tensors) - _MOST_TENSORS
    title = f"{len(tensors):,} tensors" + (f", the first {_MOST_TENSORS}" if more > 0 else "")
    return f"<details><summary>{title}</summary>{_table(rows)}</details>"


def _table(rows: list[str]) -> str:
    return f"<table style='{_TABLE}'>{''.join(rows)}</table>"


def _head(*names: str) -> str:
    return "<tr>" + "".join(f"<th style='{_CELL}'>{_text(name)}</th>" for name in names) + "</tr>"


def _row(texts: tuple[str, ...], numbers: tuple[str, ...] = ()) -> str:
    cells = "".join(f"<td style='{_CELL}'>{_text(text)}</td>" for text in texts)
    return f"<tr>{cells}{''.join(f'<td style={chr(39)}{_NUMBER}{chr(39)}>{_text(n)}</td>' for n in numbers)}</tr>"


def _shown(value: object) -> str:
    return "" if value is None else str(value)[:100]


def _text(text: str) -> str:
    return escape(readable(text[:1000]))
