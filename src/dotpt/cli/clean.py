"""``dotpt clean FILE -o OUT``: the same tensors and plain values in a file in which nothing can run."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.cli.job import Job
from dotpt.cli.options import ArgumentError, Rows, add_files, add_shared, describe
from dotpt.cli.select import natural

if TYPE_CHECKING:
    from dotpt.clean.report import Change, CleanReport
    from dotpt.cli.inputs import Given

LIMIT = 20
_CHANGES = Rows(
    "changes", "a glob on the address ('optimizer.*'); given several times, all must hold", "name, or name:desc"
)
_ORDERS = (None, "name", "name:asc", "name:desc")
_DESCRIPTION = """\
Write the same tensors and plain values to a file in which nothing can run:
torch.load(OUT, weights_only=True) opens it, without anybody's classes.
Modules become state dicts, other objects dictionaries of what they hold,
arrays of numpy tensors, paths and dates texts; calls that could do harm are
left out. It is said of each. The result is read back, compared with FILE's
tensors bit for bit, and scanned, before it takes its place."""
_EXAMPLES = """
dotpt clean stranger.pt -o clean.pt
dotpt clean stranger.pt -o clean.pt --limit 0     every change
dotpt clean 'downloads/*.pt' --in-place
dotpt clean stranger.pt -o clean.pt --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt clean`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="where the cleaned file goes")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    parser.add_argument("--in-place", action="store_true", help="replace FILE itself, in one step")
    add_shared(parser, limit=LIMIT, rows=_CHANGES)


def run(args: argparse.Namespace) -> int:
    """Clean files."""
    from dotpt.clean.clean import clean

    job = Job(args, "dotpt.clean/1")
    _check_output(job)
    for number, given in enumerate(job.given):
        with job.handling(given):
            with job.watch(f"cleaning {given.name}") as watch:
                report = clean(
                    given.source(), args.output, in_place=args.in_place, overwrite=args.overwrite, progress=watch,
                    **job.reading,
                )  # fmt: skip
            if args.json:
                job.add({"file": given.name} | report.to_dict())
            elif not args.quiet:
                _report(job, given, report, number)
    return job.finish()


def _check_output(job: Job) -> None:
    """Refuse what cannot be meant, before anything is read."""
    args = job.args
    if args.sort not in _ORDERS:
        raise ArgumentError(f"there is no order {args.sort!r}", "--sort name, or --sort name:desc")
    if args.in_place:
        if args.output is not None:
            raise ArgumentError("-o and --in-place do not go together", "leave one of them out")
        return
    if args.output is None:
        raise ArgumentError("it is not said where the cleaned file is to go", "dotpt clean FILE -o OUT, or --in-place")
    if job.many:
        raise ArgumentError("-o names one file, and there are several FILEs", "dotpt clean FILE -o OUT, one by one")
    # `clean` tells the file itself from another one that is there
    if Path(args.output).is_dir():
        raise ArgumentError(f"{args.output} is a folder", "-o names the file that is to be written")


def _report(job: Job, given: Given, report: CleanReport, number: int) -> None:
    """A summary, and what is not as it was."""
    screen = job.screen
    if number:
        screen.line()
    screen.line((words.one_line(given.name), "bold"))
    same = f"{words.plural(report.tensors, 'tensor')} the same ({words.size(report.bytes)})"
    screen.line(
        "  cleaned: ", (same, "green"), f", {words.plural(report.values, 'value')} kept, {report.changed:,} changed, ",
        (f"{report.dropped:,} dropped", "yellow" if report.dropped else ""),
    )  # fmt: skip
    screen.line("  wrote:   ", words.one_line(report.output))
    shown = _chosen(job, report.changes)
    for change in shown:
        screen.line((f"  {change.kind}  ", "dim"), words.one_line(str(change)))
    rest = report.changed + report.dropped - len(shown)
    if rest and not job.args.filter:
        screen.line((f"  {screen.ellipsis} and {rest:,} more (--limit 0 shows all)", "dim"))
    for note in report.notes[:LIMIT]:
        screen.line(("  note     ", "dim"), words.one_line(note))


def _chosen(job: Job, changes: list[Change]) -> list[Change]:
    """The changes that are to be shown, what was dropped before what became something else."""
    chosen = [change for change in changes if all(fnmatchcase(change.address, glob) for glob in job.args.filter)]
    if job.args.sort is None:
        chosen.sort(key=lambda change: change.kind != "dropped")
    else:
        chosen.sort(key=lambda change: natural(change.address), reverse=job.args.sort.endswith("desc"))
    return chosen[: job.limit(LIMIT)]
