"""``dotpt run script.py ...``: a Python program, unchanged, with torch.save and torch.load being dotpt's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib.util import find_spec

from dotpt.cli import FAILED
from dotpt.cli.options import ArgumentError, describe
from dotpt.errors import DotptError

_DESCRIPTION = """\
Run a Python program as python runs it, with torch.save and torch.load being
dotpt's: checkpoints are replaced as a whole or not at all, and loading runs
nothing of a file unless the program says weights_only=False."""
_EXAMPLES = """
dotpt run train.py
dotpt run train.py --epochs 10                what follows is the program's
dotpt run --no-durable train.py --epochs 10
dotpt run -m my_package.train --epochs 10
dotpt run --guard evaluate.py downloaded.pt   only what scans clean is loaded
torchrun -m dotpt run train.py                in each of its processes
"""

_WITH_VALUE = ("--allow", "--policy")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt run`, up to the program."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    parser.usage = (
        "dotpt run [--no-durable] [--guard [--allow NAME] [--policy FILE]]\n"
        "                 (SCRIPT | -m MODULE) [ARGUMENT ...]"
    )
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="a script; or a folder or zip with a __main__.py")
    parser.add_argument("-m", dest="module", metavar="MODULE", help="a module instead, found as python -m finds it")
    parser.add_argument(
        "--no-durable", dest="durable", action="store_false",
        help="do not wait until the disk has what is saved: faster, and still atomic",
    )  # fmt: skip
    parser.add_argument(
        "--guard", action="store_true",
        help="refuse to load files that do not scan clean: with torch, pickle, joblib",
    )  # fmt: skip
    parser.add_argument(
        "--allow", metavar="NAME", action="append", default=[],
        help="with --guard: a class or function that is fine; globs: my_package.*",
    )  # fmt: skip
    parser.add_argument("--policy", metavar="FILE", help="with --guard: what else is allowed, as dotpt scan takes it")
    parser.add_argument("-h", "--help", action="help", help="show this help")


def own(arguments: list[str]) -> int:
    """How many of the arguments are not the program's: those up to its name."""
    place = 0
    while place < len(arguments):
        argument = arguments[place]
        if argument in ("-m", "--"):
            return place + 2
        if not argument.startswith("-") or argument.startswith("-m") or argument == "-":
            return place + 1
        place += 2 if argument in _WITH_VALUE else 1
    return len(arguments)


def run(args: argparse.Namespace) -> int | Callable[[], None]:
    """Find the program. What is returned runs it: from there on the process is the program's."""
    from dotpt.dropin.run import prepare

    name = args.module or args.script
    if not name:
        raise ArgumentError("no program is named", "dotpt run train.py")
    if name == "-":
        raise ArgumentError("a program on standard input cannot be run", "dotpt run train.py")
    if (args.allow or args.policy) and not args.guard:
        raise ArgumentError(
            "--allow and --policy say what --guard lets pass", "dotpt run --guard --allow NAME train.py"
        )
    try:
        patched = not args.guard or find_spec("torch") is not None  # a guard has work to do without torch, too
        program = prepare(name, args.rest, module=bool(args.module), durable=args.durable, patched=patched)
        if args.guard:
            from dotpt.guard.guard import guard_family
            from dotpt.scan.policy_files import read_policy

            guard_family(read_policy(args.policy) if args.policy else None, allow=args.allow)
        return program.run
    except DotptError as error:
        from dotpt.cli.job import error_lines

        print(*error_lines(name, error), sep="\n", file=sys.stderr)
        return FAILED
