"""What crosses this boundary: a `FitReport` in; a line, a table of 80 columns, or HTML out.

Names are written by strangers: everything a terminal or a browser would obey is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING

from dotpt.errors import readable

if TYPE_CHECKING:
    from dotpt.models.report import FitReport

WIDTH = 80
ROWS = 12
_NEAREST = 3  # closest names that are shown beside a rule that renames them all
_ERRORS = 3  # sentences of torch that are shown
_GAP = "  "
HEADINGS = ("", "name", "in the file", "in the model")
Row = tuple[str, str, str, str]


def summary_of(report: FitReport) -> str:
    """The report in one line: what met what, how much of it fits, and what does not."""
    verb = "loaded" if report.loaded else "fit" if report.ok else "would fit"
    facts = [f"{len(report.matched):,} of {report.total:,} tensors {verb}"]
    for count, word in (
        (len(report.missing), "missing"), (len(report.unexpected), "unexpected"),
        (len(report.mismatched), "of another shape"), (len(report.errors), "refused by the model"),
        (len(report.skipped), "skipped"), (len(report.sliced), "sliced"), (len(report.padded), "padded"),
        (len(report.renamed), "renamed"), (len(report.cast), "cast"), (len(report.converted), "converted"),
        (len(report.left), "left as they were"), (len(report.dropped), "dropped"), (len(report.frozen), "frozen"),
    ):  # fmt: skip
        if count:
            facts.append(f"{count:,} {word}")
    return readable(f"{report.model} <- {source_of(report)}: {', '.join(facts)}").replace("\n", "\\n")


def source_of(report: FitReport) -> str:
    """The file and the address in it, in words."""
    place = f"{report.source or 'a state dict'}"
    if report.address:
        place += f" ({report.address})"
    return f"{place}, EMA weights" if report.role == "ema" else place


def as_text(report: FitReport, width: int = WIDTH, rows: int | None = ROWS) -> str:
    """The report as a table. At most ``rows`` rows of each kind; None for all."""
    return "\n".join(lines_of(report, width, rows))


def lines_of(report: FitReport, width: int = WIDTH, rows: int | None = ROWS) -> list[str]:
    """The lines of the report: the summary, the table, the notes, the next step."""
    lines = wrap(report.summary, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    lines += table(rows_of(report), width, rows)
    lines += nearest(report, width)
    lines += refusals(report, width)
    for note in report.notes:
        lines += _prose(f"note: {readable(note)}", width)
    if not report.ok:
        lines += advice(report, width)
    return lines


def table(rows: Iterable[Row], width: int = WIDTH, most: int | None = ROWS, headings: Row = HEADINGS) -> list[str]:
    """Rows under their headings, fitted to the width; of each kind at most ``most``."""
    shown = list(_limited(rows, most))
    if not shown:
        return []
    cells = [headings, *(tuple(_one_line(cell) for cell in row) for row in shown)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    room = width - 2 - len(_GAP) * 3
    while sum(widths) > room:  # the widest gives way
        widths[max((1, 2, 3), key=widths.__getitem__)] -= 1
    return [_line(row, widths) for row in cells]


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = (f"{shorten(cell, width):{width}}" for cell, width in zip(row, widths, strict=True))
    return ("  " + _GAP.join(cells)).rstrip()


def _limited(rows: Iterable[Row], most: int | None) -> Iterator[Row]:
    for kind, group in groupby(rows, key=lambda row: row[0]):
        found = list(group)
        # a line that says "and 1 more" takes the place of that one
        kept = found if most is None or len(found) <= most + 1 else found[:most]
        yield from kept
        if len(kept) < len(found):
            yield kind, f"... and {len(found) - len(kept):,} more", "", ""


def shorten(text: str, room: int) -> str:
    """``text`` in at most ``room`` columns, without its middle: a tensor's name tells most at its end.

    Example:
        >>> shorten("encoder.layers.0.attention.weight", 22)
        'enc...attention.weight'
    """
    if len(text) <= room:
        return text
    room = max(room - 3, 1)
    return f"{text[: room // 6]}...{text[-(room - room // 6) :]}"


def rows_of(report: FitReport) -> Iterator[Row]:
    """One row for everything that is not as it was, what is wrong first."""
    yield from wrong_rows(report)
    for skipped in report.skipped:
        yield "skipped", skipped.name, _shape(skipped.file), _shape(skipped.model)
    for resized in report.resized:
        yield resized.how, resized.name, _shape(resized.file), _shape(resized.model)
    for cast in report.cast:
        yield "cast", cast.name, cast.file, cast.model
    for made in report.converted:
        yield "converted", made.name, ", ".join(made.inputs), made.words
    for old, new in _renamed(report):
        yield "renamed", new, old, ""
    for name, why in report.dropped.items():
        yield "dropped", name, _facts(report, name), why
    for first, *others in report.tied:
        yield "tied", first, "", f"= {', '.join(others)}"
    for name in report.own_code:
        yield "own code", name, _facts(report, name), "taken by the model"
    for kind, names in (("left", report.left), ("frozen", report.frozen)):
        for name in names:
            yield kind, name, "", _wanted(report, name)


def wrong_rows(report: FitReport) -> Iterator[Row]:
    """The rows of what does not fit."""
    for unfit in report.mismatched:
        yield "mismatch", unfit.name, _shape(unfit.file) or unfit.why, _shape(unfit.model)
    for name in report.missing:
        yield "missing", name, "", _wanted(report, name)
    for name in report.unexpected:
        yield "unexpected", name, _facts(report, name), ""


def nearest(report: FitReport, width: int = WIDTH) -> list[str]:
    """What each missing name is likely called in the file, as lines of prose: both names are needed whole."""
    most = _NEAREST if report.rules else ROWS
    most += len(report.closest) == most + 1
    lines = []
    for name, near in list(report.closest.items())[:most]:
        shape = ", of the same shape" if _same_shape(report, name, near) else ""
        lines += _prose(f"closest: {_one_line(name)} may be {_one_line(near)}{shape}", width)
    more = len(report.closest) - most
    return [*lines, f"  closest: ... and {more:,} more"] if more > 0 else lines


def refusals(report: FitReport, width: int = WIDTH) -> list[str]:
    """What torch or the model's own code would not take, as lines of prose."""
    lines = [line for error in report.errors[:_ERRORS] for line in _prose(f"refused: {_one_line(error)}", width)]
    more = len(report.errors) - _ERRORS
    return [*lines, f"  refused: ... and {more:,} more"] if more > 0 else lines


def _renamed(report: FitReport) -> Iterator[tuple[str, str]]:
    """Renamed tensors one by one, except for a prefix that a note tells of once for all."""
    for old, new in report.renamed.items():
        if not (report.unwrapped and (old.endswith(new) or new.endswith(old))):
            yield old, new


def _same_shape(report: FitReport, name: str, near: str) -> bool:
    wanted, had = report.in_model.get(name), report.in_file.get(near)
    return wanted is not None and had is not None and wanted.shape == had.shape


def problem_of(report: FitReport) -> str:
    """What does not fit, in one sentence."""
    facts = [
        f"{count:,} {word}"
        for count, word in (
            (len(report.missing), "missing from the file"),
            (len(report.unexpected), "unexpected"),
            (len(report.mismatched), "of another shape"),
            (len(report.errors), "refused"),
        )
        if count
    ]
    fitting = f"{len(report.matched):,} of {report.total:,} tensors fit"
    return f"The weights do not fit {report.model}: {fitting}; {', '.join(facts)}."


def hint_of(report: FitReport) -> str:
    """The next step: the argument or the command that would fix it."""
    if report.rules:
        source = repr(report.source) if report.source else "state"
        call = f"dotpt.load_into(model, {source}, rules={report.rules!r})"
        return f"{call}, or `{report.command}`" if report.command else call
    if report.errors and not (report.missing or report.unexpected or report.mismatched):
        return 'strict="report" takes the rest without an error; exclude= leaves these tensors out'
    if report.mismatched and not (report.missing or report.unexpected):
        return 'mismatched="skip" keeps the model\'s own values there; "slice" and "pad" take what there is'
    if report.matched and not report.mismatched:
        return "strict=False leaves the missing ones as they are; only= and exclude= say which are meant"
    if report.matched:
        return 'strict="report" loads what fits; mismatched="skip", only= and exclude= say what is meant'
    return "rules={...} renames; weights= says where in the file the weights lie; `dotpt ls FILE` lists its names"


def advice(report: FitReport, width: int = WIDTH) -> list[str]:
    """The next step, as lines of prose."""
    return wrap(f"Try: {_one_line(hint_of(report))}", max(width, 40), subsequent_indent="     ", break_long_words=False,
                break_on_hyphens=False)  # fmt: skip


def _prose(text: str, width: int) -> list[str]:
    return wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _one_line(text: str) -> str:
    return readable(text).replace("\n", "\\n")


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else str(list(shape))


def _facts(report: FitReport, name: str) -> str:
    return str(report.in_file.get(name, ""))


def _wanted(report: FitReport, name: str) -> str:
    return str(report.in_model.get(name, ""))


def as_html(report: FitReport) -> str:
    """The report for a notebook."""
    rows = [*_limited(rows_of(report), ROWS)]
    head = "".join(f"<th>{title}</th>" for title in HEADINGS)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(_one_line(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    said = [*nearest(report), *refusals(report), *report.notes, *([] if report.ok else advice(report))]
    notes = "".join(f"<p>{escape(_one_line(text))}</p>" for text in said)
    grid = f"<table><tr>{head}</tr>{body}</table>" if rows else ""
    return f"<p><b>{escape(report.summary)}</b></p>{grid}{notes}"
