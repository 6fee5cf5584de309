"""The table of verbs, and how one of them is run. Adding a verb is a line here and a module beside this one."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Verb:
    """One command.

    Attributes:
        module: where its ``configure`` and ``run`` are.
        summary: what it does, one line.
        program: whether it runs a program, whose arguments follow its name and are not the verb's. Its module has
            ``own(arguments)``: how many are the verb's.
    """

    module: str
    summary: str
    program: bool = False


VERBS = {
    "inspect": Verb("dotpt.cli.inspect", "what a file is, whether it is whole and safe, how to load it"),
    "ls": Verb("dotpt.cli.ls", "list the tensors: name, shape, type, size"),
    "show": Verb("dotpt.cli.show", "values, statistics, histograms of tensors; any other value"),
    "metadata": Verb("dotpt.cli.metadata", "what is noted in a file: show it, change it in place"),
    "rescue": Verb("dotpt.cli.rescue", "weights, module tree and values of a file without its classes"),
    "clean": Verb("dotpt.cli.clean", "the same tensors and values in a file in which nothing can run"),
    "fit": Verb("dotpt.cli.fit", "whether weights fit a model, tensor by tensor; loads nothing"),
    "scan": Verb("dotpt.cli.scan", "what files may do to whoever loads them; also of whole folders"),
    "verify": Verb("dotpt.cli.verify", "check every checksum, the structure and the signature of files"),
    "sign": Verb("dotpt.cli.sign", "sign files and folders with a private key"),
    "checkpoints": Verb("dotpt.cli.checkpoints", "the checkpoints of a training run: list, verify, prune, compare"),
    "run": Verb("dotpt.cli.run", "run a Python program whose torch.save and load are dotpt's", program=True),
}

_OVERVIEW = """\
usage: dotpt VERB FILE... [options]

The one tool for PyTorch's .pt and .pth files. It never runs what is in a file.

Verbs:
{verbs}

FILE is a path, a folder of shards, a glob, an address (https://, s3://, ...)
or - for standard input.

Examples:
  dotpt inspect model.pt
  dotpt ls model.pt --sort size:desc --limit 10
  dotpt show model.pt conv1.weight
  dotpt metadata model.pt license=mit
  dotpt rescue yolo.pt -o weights.pt
  dotpt clean stranger.pt -o clean.pt
  dotpt fit net.pt --model my_package.nets:Net
  dotpt scan downloads/
  dotpt verify checkpoints/*.pt
  dotpt checkpoints ls runs/exp1

Exit codes: 0 fine; 1 a finding or damage; 2 a usage error, or a file that
could not be read (scan: 3).

  dotpt VERB --help   all about one verb
  dotpt --version     the version\
"""


class Parser(argparse.ArgumentParser):
    """argparse, with errors that say where to look."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments and leave with 2."""
        from dotpt.errors import readable

        self.exit(2, f"{self.prog}: {readable(message)}\n  Try: {self.prog} --help\n")


def overview() -> str:
    """The help of `dotpt` itself, made without importing a verb."""
    return _OVERVIEW.format(verbs="\n".join(f"  {name:13}{verb.summary}" for name, verb in VERBS.items()))


def parser_of(name: str, verb: Verb) -> Parser:
    """The argument parser of one verb."""
    parser = Parser(
        prog=f"dotpt {name}", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, add_help=False
    )
    import_module(verb.module).configure(parser)
    return parser


def parse(name: str, verb: Verb, arguments: list[str]) -> argparse.Namespace:
    """A verb's arguments; ``rest`` are those of the program that it runs."""
    own = import_module(verb.module).own(arguments) if verb.program else len(arguments)
    # options may stand anywhere: `dotpt show a.pt --limit 3 "conv*"`
    args = parser_of(name, verb).parse_intermixed_args(arguments[:own])
    args.verb, args.rest = name, arguments[own:]
    return args


def run(name: str, verb: Verb, arguments: list[str]) -> int:
    """Parse a verb's arguments and run it."""
    from dotpt.cli.options import ArgumentError

    try:
        outcome = import_module(verb.module).run(parse(name, verb, arguments))
    except ArgumentError as rejected:
        hint = rejected.hint or f"dotpt {name} --help"
        print(f"dotpt {name}: {rejected}\n  Try: {hint}", file=sys.stderr)
        return 2
    except SystemExit as done:  # argparse's way of ending after --help and after an error
        return done.code if isinstance(done.code, int) else 2
    # A program is run out here: what it raises is its own.
    return int((outcome() if callable(outcome) else outcome) or 0)


def no_such_verb(word: str, arguments: list[str]) -> str:
    """What to say when the first argument is no verb."""
    from dotpt.errors import readable

    later = next((argument for argument in arguments if argument in VERBS), None)
    if word.startswith("-") and word != "-" and later:
        problem, hint = f"options come after the verb, and {word} stands before it", f"dotpt {later} {word} ..."
    elif word == "-" or "://" in word or Path(word).exists():
        problem, hint = f"{word} is a file; say what to do with it", f"dotpt inspect {word}"
    else:
        from difflib import get_close_matches

        near = get_close_matches(word, VERBS, 1, 0.5)
        file = "." in word or "/" in word
        hint = f"dotpt {near[0]} ..." if near else f"dotpt inspect {word}" if file else "dotpt --help"
        problem = f"there is no verb {word}"
    return f"dotpt: {readable(problem)}\n  Try: {readable(hint)}"
