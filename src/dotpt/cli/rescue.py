"""``dotpt rescue FILE -o OUT``: weights, module tree and plain values of a file whose classes are gone."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from dotpt.cli import values, words
from dotpt.cli.columns import Column, draw
from dotpt.cli.job import Job
from dotpt.cli.modules import draw_modules
from dotpt.cli.options import ArgumentError, add_files, add_shared, describe
from dotpt.cli.select import Row, chooser, in_order
from dotpt.cli.tensors import draw_table, notes_on
from dotpt.errors import DotptError

if TYPE_CHECKING:
    from dotpt.cli.inputs import Given
    from dotpt.cli.screen import Screen
    from dotpt.rescue.rescue import Rescued

LIMIT = 20
_LABEL = 14
_VALUES = (Column("Value", "cyan", least=10), Column("", least=20, tail=True))
_DESCRIPTION = """\
Take the weights out of a file whose classes are not there: a whole pickled
model, a checkpoint with one in it (Ultralytics, ...), a checkpoint among
objects of a library (Lightning, fairseq, ...), a TorchScript archive. The
names are those that model.state_dict() gave. Nothing of the file is run and
torch is not needed. Without -o it is shown what would be kept."""
_EXAMPLES = """
dotpt rescue yolo.pt -o weights.pt
dotpt rescue yolo.pt --tree                  the modules, as print(model)
dotpt rescue yolo.pt --where ema -o ema.pt   the averaged weights
dotpt rescue gan.pt --where generator -o generator.pt
dotpt rescue model.pt --filter 'backbone.*' -o backbone.pt
dotpt rescue model.pt --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt rescue`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="where the state dict goes, a plain .pt")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    parser.add_argument(
        "--where", default="auto", metavar="ADDRESS",
        help="which weights: ema, or an address (default: averaged ones only if there are no others)",
    )  # fmt: skip
    parser.add_argument("--tree", action="store_true", help="print the module tree and nothing else")
    add_shared(parser, limit=LIMIT)


def run(args: argparse.Namespace) -> int:
    """Rescue files."""
    from dotpt.rescue.rescue import rescue

    job = Job(args, "dotpt.rescue/1")
    wanted = chooser(args)
    in_order([], args.sort)
    _check_output(job)
    for number, given in enumerate(job.given):
        with job.handling(given):
            with job.watch(f"reading {given.name}"):
                rescued = rescue(given.source(), where=args.where, **job.reading)
            with rescued:
                if args.filter:
                    rescued.keep_only(wanted)
                    if not rescued.tensors:
                        raise DotptError("No tensor passes the filter.", hint=f"dotpt rescue {given.name}")
                if args.output is not None:
                    with job.watch(f"writing {args.output}") as watch:
                        rescued.save(args.output, progress=watch)
                _report(job, given, rescued, number)
    return job.finish()


def _check_output(job: Job) -> None:
    """Refuse what would replace a file that nobody wants replaced, before anything is read."""
    output = job.args.output
    if output is None:
        return
    if job.many:
        raise ArgumentError("-o names one file, and there are several FILEs", "dotpt rescue FILE -o OUT, one by one")
    if Path(output).exists() and not job.args.overwrite:
        raise ArgumentError(f"{output} is there already", "--overwrite replaces it")


def _report(job: Job, given: Given, rescued: Rescued, number: int) -> None:
    """Say what was found, kept and lost."""
    if job.args.json:
        job.add({"file": given.name, "output": job.args.output} | _document(rescued))
        return
    screen = job.screen
    if job.args.tree:
        _draw_head(job, given, number)
        _draw_tree(job, rescued)
        return
    if job.args.quiet:
        for name in rescued.entries:
            screen.line(words.one_line(name))
        return
    _draw_head(job, given, number, always=True)
    _draw_facts(screen, rescued)
    _draw_next(job, given, rescued)
    if rescued.values:
        rows = [(words.one_line(key), words.one_line(values.short(value, 200))) for key, value in _some(rescued.values)]
        screen.line()
        draw(screen, _VALUES, rows, indent="  ")
        _draw_rest(screen, len(rescued.values) - len(rows), "--json shows all")
    _draw_tensors(job, given, rescued)


def _draw_head(job: Job, given: Given, number: int, *, always: bool = False) -> None:
    if not (always or job.many):
        return
    if number:
        job.screen.line()
    job.screen.line((words.one_line(given.name), "bold"))


def _draw_facts(screen: Screen, rescued: Rescued) -> None:
    what = f"a pickled {rescued.tree.name}" if rescued.tree is not None else "a state dict"
    if rescued.archive.format == "torchscript" and rescued.tree is not None:
        what = f"a TorchScript module ({rescued.tree.words})"
    place = f" at {words.one_line(rescued.address)}" if rescued.address else ""
    ema = ", averaged weights" if rescued.role == "ema" else ""
    screen.fact("  Found", words.one_line(what), place, ema, column=_LABEL)
    size = words.size(sum({id(ref.storage): ref.nbytes for ref in rescued.tensors.values()}.values()))
    others = len(rescued.entries) - len(rescued.tensors)
    more = f" and {words.plural(others, 'other entry', 'other entries')}" if others else ""
    screen.fact("  Kept", (f"{words.plural(len(rescued.tensors), 'tensor')}, {size}", "bold"), more, column=_LABEL)
    lost = [words.one_line(needed.name) for needed in rescued.unknown]
    if lost:
        text = f"{words.plural(len(lost), 'class', 'classes')}, with the code: {words.listed(lost, 5)}"
        screen.fact("  Lost", (text, "yellow"), column=_LABEL)
    for needed in [needed for needed in rescued.classes if needed.source and needed.unknown][:5]:
        text = f"the file has the source text of {words.one_line(needed.name)} (--json shows it)"
        screen.fact("  Note", text, column=_LABEL)
    for note in rescued.notes:
        screen.fact("  Note", words.one_line(note), column=_LABEL)


def _draw_next(job: Job, given: Given, rescued: Rescued) -> None:
    """The next step to take."""
    screen, output = job.screen, job.args.output
    if output is None:
        _draw_command(screen, f"dotpt rescue {quote(given.name)} -o weights.pt")
        return
    screen.fact("  Wrote", (words.one_line(output), "green"), column=_LABEL)
    _draw_command(screen, f"model.load_state_dict(torch.load({output!r}, weights_only=True))")


def _draw_command(screen: Screen, command: str) -> None:
    """On one line, however long, for it is to be copied."""
    screen.line((f"{'  Next':{_LABEL}}", "dim"), (words.one_line(command), "cyan"))


def _draw_tensors(job: Job, given: Given, rescued: Rescued) -> None:
    rows = in_order((Row(given.name, ref) for ref in rescued.tensors.values()), job.args.sort)
    limit = job.limit(LIMIT)
    keep = rows if limit is None else rows[:limit]
    job.screen.line()
    draw_table(job.screen, keep, notes_on(rescued.tensors), files=False, indent="  ")
    _draw_rest(job.screen, len(rows) - len(keep), "--limit 0 shows all")


def _draw_tree(job: Job, rescued: Rescued) -> None:
    if rescued.tree is None:
        raise DotptError(
            "The weights are a state dict, which has no module tree.",
            hint="`dotpt inspect FILE --tree` draws its names",
        )
    draw_modules(job.screen, rescued.tree, job.limit(None))


def _draw_rest(screen: Screen, count: int, hint: str) -> None:
    if count > 0:
        screen.line("  ", (f"{screen.ellipsis} and {count:,} more ({hint})", "dim"))


def _some(named: dict[Any, Any]) -> list[tuple[Any, Any]]:
    return list(named.items())[:LIMIT]


def _document(rescued: Rescued) -> dict[str, Any]:
    """The entry of the JSON document."""
    facts = rescued.to_dict()
    facts["values"] = values.plain(facts["values"])
    facts["tree"] = values.plain(facts["tree"])
    return facts
