"""``dotpt fit FILE --model package.module:Class``: whether weights fit a model, without loading them.

The model's code is imported and run, because the user names it; nothing that the file names is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dotpt.cli import FINDING, words
from dotpt.cli.job import Job
from dotpt.cli.options import ArgumentError, Rows, add_files, add_shared, describe
from dotpt.cli.select import natural
from dotpt.errors import CannotBuild, DotptError, MissingDependency

if TYPE_CHECKING:
    from dotpt.models.report import FitReport
    from dotpt.models.report_table import Row

LIMIT = 12
ROWS = Rows(
    "rows",
    "a glob on a tensor's name ('encoder.*'); given several times, all must hold",
    "name, or name:desc; without it, what does not fit comes first",
)
_MISMATCHED = ("error", "skip", "slice", "pad")
_WIDEST = 120
_DESCRIPTION = """\
Show what dotpt.load_into would do with the weights of a file and a model: which
tensors match, which are renamed, cast, of another shape, missing, unexpected.
The model is built, where that can be done without memory; nothing is loaded
and nothing is written. Exit code 1: the weights do not fit."""
_EXAMPLES = """
dotpt fit net.pt --model my_package.nets:Net
dotpt fit net.pt --model nets.py:Net --args '{"classes": 10}'
dotpt fit net.pt --model nets.py:Net --rules backbone.=body.
dotpt fit net.pt --model nets.py:Net --rules rules.toml --only 'body.*'
dotpt fit net.pt --model nets.py:Net --mismatched skip --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt fit`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser)
    parser.add_argument(
        "--model", metavar="PLACE:NAME",
        help="the model's class, or a function that gives the model: package.module:Net or path/nets.py:Net",
    )  # fmt: skip
    parser.add_argument("--args", metavar="JSON", help="what it is called with: an object of names, or a list")
    parser.add_argument("--weights", default="auto", metavar="ADDRESS", help="where in the file they lie, or ema")
    parser.add_argument(
        "--rules", action="append", default=[], metavar="RULE",
        help="how the file's names become the model's: OLD=NEW ('backbone.=body.'), or a TOML, YAML or JSON file",
    )  # fmt: skip
    parser.add_argument(
        "--mismatched", default="error", choices=_MISMATCHED, help="what becomes of tensors of another size"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="only the model's tensors like this"
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="all but those like this")
    add_shared(parser, limit=LIMIT, rows=ROWS)


def run(args: argparse.Namespace) -> int:
    """Show whether files fit."""
    if not args.model:
        raise ArgumentError(
            "no model is named", f"dotpt fit {words.one_line(args.files[0])} --model package.module:Net"
        )
    if args.sort not in (None, "name", "name:asc", "name:desc"):
        raise ArgumentError(f"there is no order {args.sort!r}", "name, or name:desc")
    job = Job(args, "dotpt.fit/1")
    build = _builder(args)
    for given in job.given:
        with job.handling(given):
            with job.open(given) as archive:
                report = _report(args, archive, build())
            report.command = _command(args, given.name, report)
            if not report.ok:
                job.worse(FINDING)
            if args.json:
                job.add({"file": given.name} | report.to_dict())
            else:
                _draw(job, report)
    return job.finish()


def _report(args: argparse.Namespace, archive: Any, model: Any) -> FitReport:
    from dotpt.models import torch_fit
    from dotpt.models.load_into import fit_found
    from dotpt.models.rules import Rules
    from dotpt.models.selection import Selection

    rules = Rules()
    for rule in args.rules:
        old, equals, new = rule.partition("=")
        rules += Rules.of(rule if not equals or Path(rule).exists() else {old: new})
    wishes = torch_fit.Wishes(
        rules=rules,
        mismatched=args.mismatched,
        selection=Selection(args.only or None, args.exclude or None),
        dry=True,
    )
    return fit_found(torch_fit, model, archive, args.weights, wishes)


# -- the model --------------------------------------------------------------------------------------------------------


def _builder(args: argparse.Namespace) -> Callable[[], Any]:
    """Builds the model that the arguments name: on the meta device, or with memory if it cannot be built there."""
    place, name, positional, named = *_split(args.model), *_arguments(args.args)

    def build() -> Any:
        try:
            from dotpt.models import torch_building
        except ImportError as error:
            if error.name != "torch":
                raise
            raise MissingDependency(
                "torch is not installed, and models are made with it.", hint="pip install torch"
            ) from None
        factory = _find(place, name)
        try:
            return torch_building.build(lambda: factory(*positional, **named), args.model, device="meta", trial=True)
        except CannotBuild:
            try:
                return torch_building.build(lambda: factory(*positional, **named), args.model)
            except CannotBuild as error:
                error.hint = """--args '{"name": value}' gives it arguments; --debug shows where it fails"""
                raise

    return build


def _split(text: str) -> tuple[str, str]:
    place, colon, name = text.rpartition(":")
    if not (colon and place and all(part.isidentifier() for part in name.split("."))):
        raise ArgumentError(
            f"--model {text} is not of the form PLACE:NAME", "--model package.module:Net, or --model path/nets.py:Net"
        )
    return place, name


def _arguments(text: str | None) -> tuple[list[Any], dict[str, Any]]:
    """What the model is called with, without and with names."""
    if text is None:
        return [], {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"--args is no JSON: {error}", """--args '{"classes": 10}'""") from None
    if isinstance(found, dict):
        return [], found
    if isinstance(found, list):
        return found, {}
    raise ArgumentError("--args is neither an object nor a list", """--args '{"classes": 10}'""")


def _find(place: str, name: str) -> Any:
    """What a module that the user names has under a name."""
    try:
        found: Any = _imported(place)
    except DotptError:
        raise
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name is not None
        hint = f"pip install what has {error.name}" if missing else None  # type: ignore[attr-defined]
        hint = "give the path of its file: path/nets.py:Net" if missing and place.startswith(error.name) else hint  # type: ignore[attr-defined]
        raise CannotBuild(
            f"{place} cannot be imported ({type(error).__name__}: {error!s:.200}).", found=place, hint=hint
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            from difflib import get_close_matches

            near = get_close_matches(part, [each for each in vars(found) if each[0] != "_"], 3, 0.5)
            raise CannotBuild(
                f"{place} has no {name}.", found=name, hint=f"did you mean {' or '.join(near)}?" if near else None
            )
        found = getattr(found, part)
    return found


def _imported(place: str) -> ModuleType:
    """A module by its name, as ``python -m`` finds it, or by the path of its file."""
    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location

    if not place.endswith(".py"):
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return import_module(place)
    path = Path(place).resolve()
    if not path.is_file():
        raise CannotBuild("There is no such file.", path=place, hint="check it with `ls`")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # what it imports may lie beside it, as for a script
    name = path.stem if path.stem not in sys.modules else f"dotpt_fits_{path.stem}"  # nothing that is there is replaced
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotBuild("This is no Python file.", path=place)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# -- the outcome ------------------------------------------------------------------------------------------------------


def _command(args: argparse.Namespace, name: str, report: FitReport) -> str:
    """This command line, with the renames that are suggested."""
    if not report.rules:
        return ""
    parts = ["dotpt", "fit", name, "--model", args.model]
    parts += ["--args", args.args] if args.args else []
    parts += ["--weights", args.weights] if args.weights != "auto" else []
    parts += ["--mismatched", args.mismatched] if args.mismatched != "error" else []
    parts += [part for glob in args.only for part in ("--only", glob)]
    parts += [part for glob in args.exclude for part in ("--exclude", glob)]
    rules = [*args.rules, *(f"{old}={new}" for old, new in report.rules.items())]
    return " ".join(map(quote, parts + [part for rule in rules for part in ("--rules", rule)]))


def _draw(job: Job, report: FitReport) -> None:
    from dotpt.models.report_table import nearest, rows_of, table

    screen = job.screen
    head, _, rest = report.summary.partition(": ")
    screen.line((words.one_line(head), "bold"), ": ", (rest, "green" if report.ok else "bold red"))
    if job.args.quiet:
        return
    width = min(screen.width or _WIDEST, _WIDEST)
    for line in table(_chosen(job.args, list(rows_of(report))), width, job.limit(LIMIT)):
        wrong = line.split(maxsplit=1)[0] in ("mismatch", "missing", "unexpected")
        screen.line((line, "red") if wrong else line)
    for line in nearest(report, width):
        screen.line(line)
    for error in report.errors:
        screen.fact("", (f"refused: {words.one_line(error)}", "red"), column=2)
    for note in report.notes:
        screen.fact("", f"note: {words.one_line(note)}", column=2)
    if not report.ok:
        screen.line("  Try: ", words.one_line(_next(report)))


def _chosen(args: argparse.Namespace, rows: list[Row]) -> list[Row]:
    """The rows that pass ``--filter``, in the order of ``--sort``."""
    rows = [row for row in rows if all(fnmatchcase(row[1], glob) for glob in args.filter)]
    if args.sort:
        rows.sort(key=lambda row: natural(row[1]), reverse=args.sort.endswith(":desc"))
    return rows


def _next(report: FitReport) -> str:
    if report.command:
        return report.command
    if report.mismatched and not (report.missing or report.unexpected):
        return "--mismatched skip, slice or pad shows what becomes of tensors of another size"
    if report.matched:
        return "--only and --exclude say which tensors are meant; --rules OLD=NEW renames"
    return "--weights says where in the file the weights lie, --rules OLD=NEW renames; `dotpt ls FILE` lists the names"
