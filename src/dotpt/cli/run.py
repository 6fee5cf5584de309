"""``dotpt run script.py ...``: a Python program, unchanged, with torch.save and torch.load being dotpt's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

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
torchrun -m dotpt run train.py                in each of its processes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt run`, up to the program."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    parser.usage = "dotpt run [--no-durable] (SCRIPT | -m MODULE) [ARGUMENT ...]"
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="a script; or a folder or zip with a __main__.py")
    parser.add_argument("-m", dest="module", metavar="MODULE", help="a module instead, found as python -m finds it")
    parser.add_argument(
        "--no-durable", dest="durable", action="store_false",
        help="do not wait until the disk has what is saved: faster, and still atomic",
    )  # fmt: skip
    parser.add_argument("-h", "--help", action="help", help="show this help")


def own(arguments: list[str]) -> int:
    """How many of the arguments are not the program's: those up to its name."""
    for place, argument in enumerate(arguments):
        if argument in ("-m", "--"):
            return place + 2
        if not argument.startswith("-") or argument.startswith("-m") or argument == "-":
            return place + 1
    return len(arguments)


def run(args: argparse.Namespace) -> int | Callable[[], None]:
    """Find the program. What is returned runs it: from there on the process is the program's."""
    from dotpt.dropin.run import prepare

    name = args.module or args.script
    if not name:
        raise ArgumentError("no program is named", "dotpt run train.py")
    if name == "-":
        raise ArgumentError("a program on standard input cannot be run", "dotpt run train.py")
    try:
        return prepare(name, args.rest, module=bool(args.module), durable=args.durable).run
    except DotptError as error:
        from dotpt.cli.job import error_lines

        print(*error_lines(name, error), sep="\n", file=sys.stderr)
        return FAILED
