"""``dotpt ls FILE...``: the tensors, one row each."""

from __future__ import annotations

import argparse
from typing import Any

from dotpt.cli import words
from dotpt.cli.job import Job
from dotpt.cli.options import add_files, add_shared, describe
from dotpt.cli.select import Row, chooser, in_order
from dotpt.cli.tensors import draw_table, notes_on, totals

_DESCRIPTION = "List the tensors of files: name, shape, type, size, notes. Reads no tensor."
_EXAMPLES = """
dotpt ls model.pt
dotpt ls model.pt --sort size:desc --limit 10      the ten largest
dotpt ls model.pt --filter 'encoder.*' --filter 'ndim>1'
dotpt ls 'shards/*.pt' --filter dtype=float32 --json
dotpt ls model.pt -q | grep bias                   names only
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt ls`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser)
    add_shared(parser, limit=None)


def run(args: argparse.Namespace) -> int:
    """List the tensors."""
    job = Job(args, "dotpt.ls/1")
    wanted, limit = chooser(args), job.limit(None)
    in_order([], args.sort)  # a wrong --sort is refused before a file is opened
    rows: list[Row] = []
    notes: dict[int, list[str]] = {}
    found: list[tuple[str, str, list[Row]]] = []
    for given in job.given:
        with job.handling(given), job.open(given) as archive:
            notes |= notes_on(archive.tensors)
            chosen = [Row(given.name, ref) for ref in archive.tensors.values() if wanted(ref)]
            found.append((given.name, archive.format, chosen))
            rows += chosen
    shown = in_order(rows, args.sort)
    keep = shown if limit is None else shown[:limit]
    if args.json:
        _fill(job, found, keep, notes)
    elif args.quiet:
        for row in keep:
            print(words.one_line(row.ref.name))
    elif found:
        _draw(job, shown, keep, notes)
    return job.finish()


def _draw(job: Job, rows: list[Row], keep: list[Row], notes: dict[int, list[str]]) -> None:
    screen = job.screen
    if keep:
        draw_table(screen, keep, notes, files=job.many)
    if len(keep) < len(rows):
        screen.line((f"{screen.ellipsis} and {len(rows) - len(keep):,} more (--limit 0 shows all)", "dim"))
    summary = totals(row.ref for row in rows)
    if not rows and job.args.filter:
        summary = "no tensor passes the filter"
    if keep:
        screen.line()
    screen.line((summary, "bold"))


def _fill(job: Job, found: list[tuple[str, str, list[Row]]], keep: list[Row], notes: dict[int, list[str]]) -> None:
    kept: dict[int, int] = {id(row.ref): place for place, row in enumerate(keep)}
    for name, kind, rows in found:
        shown = sorted((row.ref for row in rows if id(row.ref) in kept), key=lambda ref: kept[id(ref)])
        tensors: list[dict[str, Any]] = [ref.describe() | {"notes": notes.get(id(ref), [])} for ref in shown]
        job.add({"file": name, "format": kind, "count": len(rows), "tensors": tensors})
