"""``dotpt inspect FILE...``: what a file is, in the first lines; then its tensors."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dotpt.cli import FINDING
from dotpt.cli.job import Job
from dotpt.cli.options import add_files, add_shared, describe
from dotpt.cli.select import chooser, in_order

if TYPE_CHECKING:
    from dotpt.inspect.report import Report

_DESCRIPTION = """\
Say what a file is: who wrote it, whether it is whole, what its pickles name,
what is in it and how to load it; then list its tensors. Reads no tensor and
runs nothing. Exit code 1: it is damaged, or names something dangerous."""
_EXAMPLES = """
dotpt inspect model.pt
dotpt inspect model.pt --tree --limit 60     tensors by module
dotpt inspect https://example.com/model.pt   fetches directory and pickle only
dotpt inspect 'runs/**/*.pt' -q              one line a file
cat model.pt | dotpt inspect -
dotpt inspect model.pt --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt inspect`."""
    from dotpt.cli.draw_report import LIMIT

    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser)
    parser.add_argument("--tree", action="store_true", help="draw the tensors as a tree of modules")
    add_shared(parser, limit=LIMIT)


def run(args: argparse.Namespace) -> int:
    """Inspect files."""
    from dotpt.inspect.report import inspect

    job = Job(args, "dotpt.inspect/1")
    wanted = chooser(args)
    in_order([], args.sort)
    for number, given in enumerate(job.given):
        with job.handling(given):
            with job.watch(f"reading {given.name}"):
                report = inspect(given.source(), **job.reading)
            if is_finding(report):
                job.worse(FINDING)
            if args.json:
                job.add({"file": given.name} | report.to_dict())
                continue
            from dotpt.cli.draw_report import draw_report, one_line_on

            if args.quiet:
                job.screen.line(*one_line_on(given.name, report))
                continue
            if number:
                job.screen.line()
            draw_report(job, given.name, report, wanted)
    return job.finish()


def is_finding(report: Report) -> bool:
    """Whether a script should hear of it: the file is damaged, or what it names can do harm."""
    return report.damaged or report.safety.verdict == "dangerous"
