"""How the checkpoints of a run are drawn: the table, what is wrong with some, the course of a metric."""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.cli.screen import Screen, width_of
from dotpt.cli.sparkline import sparkline
from dotpt.training.layout_accelerate import LAYOUT as ACCELERATE
from dotpt.training.layout_trainer import LAYOUT as TRAINER
from dotpt.training.listing import OURS, Listing

if TYPE_CHECKING:
    from pathlib import Path

    from dotpt.training.folder import Entry
    from dotpt.training.moments import Stored
    from dotpt.training.policies import Best

LIMIT = 20
_LONGEST_CURVE = 60
_GAP = 2
_LEAST_NAME = 20


def draw_table(
    screen: Screen,
    listing: Listing,
    states: Mapping[Path, str],
    metrics: Sequence[str],
    best: Stored | None,
    limit: int | None,
) -> None:
    """A row each, the newest last; of many the newest, and the best.

    Args:
        states: what is known of each, by its path.
        metrics: the columns that are wanted, the most important first; as many as fit are drawn.
        best: the one to be marked, in the column of the first.
        limit: at most so many rows.
    """
    entries = list(listing.entries)
    shown = entries if limit is None else entries[-limit:]
    marked = next((entry for entry in entries if best is not None and entry.stored == best), None)
    if marked is not None and marked not in shown:
        shown = [marked, *shown[1:]]
    named = listing.layout not in (OURS, TRAINER)  # whose names say the step, and nothing else
    rows = [_fixed(listing, entry, states[entry.path], named) for entry in shown]
    columns = [
        Column("Name", "cyan", least=_LEAST_NAME, optional=True),
        Column("Step", right=True),
        Column("Epoch", right=True, optional=True),
        Column("Saved", "dim", optional=True),
        Column("Size", right=True),
        Column("State"),
    ]
    fitting = _fitting(screen, columns, rows, metrics, shown)
    for number, name in enumerate(fitting):
        columns.insert(-1, Column(words.one_line(name), right=True))
        for row, entry in zip(rows, shown, strict=True):
            star = "*" if entry is marked and not number else " " if marked is not None and not number else ""
            row.insert(-1, _value(entry, name) + star)
    hidden = len(entries) - len(shown)
    if hidden:
        screen.line((f"{screen.ellipsis} {hidden:,} more (--limit 0 shows all)", "dim"))
    draw(screen, columns, rows)
    if len(fitting) < len(metrics):
        left = [words.one_line(name) for name in metrics[len(fitting) :]]
        screen.fact("", (f"No room for {words.listed(left)} (--metric NAME, --json).", "dim"), column=0)
    total = sum(entry.size for entry in entries)
    screen.line((f"{words.plural(len(entries), 'checkpoint')} of {listing.layout}, {words.size(total)}", "bold"))


def draw_problems(screen: Screen, listing: Listing, problems: Mapping[Path, str]) -> None:
    """A line for each that is damaged."""
    for entry in listing.entries:
        problem = problems.get(entry.path)
        if problem:
            name = words.one_line(listing.name_of(entry))
            screen.fact("", (name, "bold red"), f": {words.one_line(problem)}", column=0)


def draw_curves(screen: Screen, listing: Listing, policy: Best, best: Stored | None, metrics: Sequence[str]) -> None:
    """The course of metrics over the steps, and which checkpoint is the best."""
    width = max(width_of(name) for name in metrics)
    room = min(_LONGEST_CURVE, (screen.width or 100) - width - 24)
    for name in metrics:
        values = [value for _, value in listing.curves.get(name, ())]
        if len(values) < 2:
            continue
        line = sparkline(values, max(room, 8), unicode=screen.unicode)
        ends = f"{words.number(_short(values[0]))} to {words.number(_short(values[-1]))}"
        screen.line(words.one_line(name).ljust(width), "  ", (line, "cyan"), "  ", (ends, "dim"))
    if best is not None:
        least = "least" if policy.mode == "min" else "most"
        value = words.number(_short(best.metrics[policy.metric]))
        screen.line(
            ("* ", "bold"), f"the best: step {best.step:,}, with the {least} {words.one_line(policy.metric)}, {value}"
        )


def _fixed(listing: Listing, entry: Entry, state: str, named: bool) -> list[str]:
    return [
        words.one_line(listing.name_of(entry)) if named else "",
        f"{entry.step:,}",
        f"{entry.stored.epoch:,}" if entry.stored.sequence >= 0 and listing.layout != ACCELERATE else "",
        _local(entry.saved),
        words.size(entry.size),
        state.upper() if state == "damaged" else state,
    ]


def _fitting(
    screen: Screen,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    metrics: Sequence[str],
    shown: Sequence[Entry],
) -> list[str]:
    """As many metrics as the screen has room for, at least one."""
    if screen.width is None:
        return list(metrics)
    used = 0
    for number, column in enumerate(columns):
        width = max([width_of(row[number]) for row in rows] or [0])
        if width or not column.optional:
            width = max(width, width_of(column.title))
            used += (min(width, _LEAST_NAME) if column.least else width) + _GAP
    fitting: list[str] = []
    for name in metrics:
        used += max([width_of(name), *(len(_value(entry, name)) for entry in shown)]) + 1 + _GAP
        if used - _GAP > screen.width and fitting:
            break
        fitting.append(name)
    return fitting


def _value(entry: Entry, name: str) -> str:
    value = entry.stored.metrics.get(name)
    return "" if value is None else f"{value:.5g}"


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _local(saved: str) -> str:
    """The time of a save on this machine's clock."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(timegm(time.strptime(saved, "%Y-%m-%dT%H:%M:%SZ"))))
    except (ValueError, OverflowError, OSError):  # a note of somebody else's: as it stands
        return words.one_line(saved)[:20]
