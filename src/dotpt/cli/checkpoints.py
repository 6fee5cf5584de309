"""``dotpt checkpoints ls|best|latest|verify|prune|plot|diff|average|pack RUN``: the checkpoints of a training run."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dotpt.cli import FAILED, FINDING
from dotpt.cli.job import error_lines, print_json
from dotpt.cli.options import ArgumentError, describe, whole_number
from dotpt.cli.progress import Watch
from dotpt.cli.screen import Screen
from dotpt.cli.words import one_line
from dotpt.errors import DotptError, NoCheckpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotpt.training.listing import Listing

SCHEMA = "dotpt.checkpoints/1"
# each action: the module that has it, and the options that are its own
_ACTIONS = {
    "ls": ("dotpt.cli.checkpoints_list", "metric mode verify limit"),
    "best": ("dotpt.cli.checkpoints_list", "metric mode"),
    "latest": ("dotpt.cli.checkpoints_list", ""),
    "verify": ("dotpt.cli.checkpoints_list", ""),
    "prune": ("dotpt.cli.checkpoints_prune", "keep dry_run yes"),
    "plot": ("dotpt.cli.checkpoints_plot", "metric mode output"),
    "diff": ("dotpt.cli.checkpoints_diff", "limit"),
    "average": ("dotpt.cli.checkpoints_average", "output weights_of ema"),
    "pack": ("dotpt.cli.checkpoints_pack", "output"),
}
_OWN = ("metric", "mode", "verify", "limit", "keep", "dry_run", "yes", "output", "weights_of", "ema")
_DESCRIPTION = """\
The checkpoints of a training run: what there is, which one to go on from, what
may go. RUN is a folder of dotpt.Checkpointer, a Lightning or Accelerate
project, or an output folder of the Hugging Face Trainer. No torch is needed.

  ls RUN                a table: step, epoch, time, size, metrics, the best one
  best RUN              the path of the best one, and nothing else, for scripts
  latest RUN            the path of the newest whole one
  verify RUN            compare every checksum and hash; exit code 1: damage
  prune RUN --keep ...  delete what a policy does not keep
  plot RUN -o FILE      metrics over steps, as a picture
  diff RUN STEP STEP    which tensors and values differ, and by how much
  average RUN STEP...   the average of weights, as a state dict of its own
  pack RUN STEP         an incremental checkpoint as one plain file"""
_EXAMPLES = """
dotpt checkpoints ls runs/exp1
dotpt checkpoints ls lightning_logs/version_3 --metric val_acc
dotpt checkpoints best runs/exp1              its path, for scripts
dotpt checkpoints prune runs/exp1 --keep "Latest(3)|Best(2, 'val_loss')"
dotpt checkpoints plot runs/exp1 -o loss.png
dotpt checkpoints diff runs/exp1 1000 2000
dotpt checkpoints average runs/exp1 1000 1500 2000 -o mean.pt
dotpt checkpoints pack runs/exp1 2000 -o final.pt
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt checkpoints`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    parser.usage = "dotpt checkpoints ACTION RUN [STEP ...] [options]"
    parser.add_argument("action", metavar="ACTION", choices=list(_ACTIONS), help="one of those above")
    parser.add_argument("files", metavar="RUN", nargs="+", help="the run; behind it steps, or names that ls shows")
    chosen = parser.add_argument_group("which metric (ls, best, plot)")
    chosen.add_argument(
        "--metric", action="append", metavar="NAME",
        help="the metric; of several, the first decides what is best (default: the one of validation)",
    )  # fmt: skip
    chosen.add_argument("--mode", choices=("min", "max"), help="whether less or more is better (default: by its name)")
    listing = parser.add_argument_group("ls and diff")
    listing.add_argument("--verify", action="store_true", help="ls: also compare every checksum and hash")
    listing.add_argument("--limit", type=whole_number, metavar="N", help="show at most N; 0 for all (default: 20)")
    prune = parser.add_argument_group("prune")
    prune.add_argument(
        "--keep", metavar="POLICY",
        help="what stays: Latest(3), Best(2, 'val_loss', 'min'), EverySteps(1000), joined by | and &",
    )  # fmt: skip
    prune.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
    prune.add_argument("--yes", action="store_true", help="delete without asking")
    made = parser.add_argument_group("plot, average and pack")
    made.add_argument("-o", "--output", metavar="FILE", help="the picture, the state dict, or the plain file, to write")
    made.add_argument("--weights-of", metavar="KEY", help="average: where the weights are in the files, if not found")
    made.add_argument(
        "--ema", type=float, metavar="DECAY",
        help="average: exponentially, with this decay from one checkpoint to the next",
    )  # fmt: skip
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON document (docs/cli.md has its schema)")
    output.add_argument("-q", "--quiet", action="store_true", help="ls: paths only; verify: only damaged ones")
    output.add_argument("--no-color", action="store_true", help="no colors (so does the environment's NO_COLOR)")
    output.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    output.add_argument("-h", "--help", action="help", help="show this help")


class Work:
    """One action on one run: where it writes, and what it gives back.

    Attributes:
        args: what the user asked for.
        run: the folder, as the user wrote it.
        rest: what stands behind it: steps.
        document: the JSON document, to be filled.
        code: the exit code.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.run, self.rest = args.files[0], args.files[1:]
        self.document: dict[str, Any] = {"schema": SCHEMA, "action": args.action, "run": self.run}
        self.code = 0

    @cached_property
    def screen(self) -> Screen:
        """Where results are drawn."""
        return Screen(color=not self.args.no_color)

    def listing(self) -> Listing:
        """The checkpoints of the run."""
        from dotpt.training.layouts import listing_of

        with self.watch(f"reading {self.run}"):
            listing = listing_of(self.run)
        self.document |= {"folder": str(listing.folder), "layout": listing.layout, "notes": list(listing.notes)}
        return listing

    def watch(self, label: str) -> Watch:
        """A progress bar for a step that may take long."""
        return Watch(one_line(label), wanted=not self.args.quiet)

    def worse(self, code: int) -> None:
        """Take note of a finding or a failure."""
        self.code = max(self.code, code)

    def limit(self, default: int) -> int | None:
        """How many rows to show; None for all."""
        return (default if self.args.limit is None else self.args.limit) or None

    @contextmanager
    def report_errors(self) -> Iterator[None]:
        """An error ends the action: a line on stderr, with the next step, and a key of the JSON document."""
        try:
            yield
        except (ArgumentError, BrokenPipeError):
            raise
        except MemoryError:
            self._failed(DotptError("There is not enough memory.", hint="a machine with more memory"))
        except DotptError as error:
            self._failed(error)
        except Exception as error:
            problem = f"This is a mistake in dotpt: {type(error).__name__}: {error}"
            self._failed(DotptError(problem, hint="again with --debug, and report what it prints"))

    def _failed(self, error: DotptError) -> None:
        """Called while an error is being handled."""
        none = isinstance(error, NoCheckpoint) and self.args.action in ("best", "latest")
        self.worse(FINDING if none else FAILED)  # a script that may begin anew can tell that from a mistake
        if self.args.debug:
            traceback.print_exc()
        self.document["error"] = error.to_dict()
        print(*error_lines(self.run, error), sep="\n", file=sys.stderr)


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    module, own = _ACTIONS[args.action]
    _check(args, own.split())
    work = Work(args)
    act: Callable[[Work], None] = getattr(import_module(module), args.action)
    with work.report_errors():
        act(work)
    if args.json:
        print_json(work.document)
    return work.code


def _check(args: argparse.Namespace, own: list[str]) -> None:
    """Refuse what the action does not know, before anything is read."""
    for name in _OWN:
        if getattr(args, name) not in (None, False) and name not in own:
            users = [action for action, (_, options) in _ACTIONS.items() if name in options.split()]
            option = f"--{name.replace('_', '-')}"
            raise ArgumentError(f"{args.action} has no {option}", f"{option} belongs to {' and '.join(users)}")
    steps = len(args.files) - 1
    if args.action == "diff" and steps != 2:
        raise ArgumentError(f"diff compares two checkpoints, not {steps}", "dotpt checkpoints diff RUN 1000 2000")
    if args.action == "average" and steps < 2:
        raise ArgumentError("average needs two checkpoints or more", "dotpt checkpoints average RUN 1 2 -o mean.pt")
    if args.action == "pack" and steps != 1:
        raise ArgumentError(f"pack takes one checkpoint, not {steps}", "dotpt checkpoints pack RUN 2000 -o final.pt")
    if args.action not in ("diff", "average", "pack") and steps:
        raise ArgumentError(f"{args.action} takes one run, and {args.files[1]} is more")
    needed = {"prune": "keep", "plot": "output", "average": "output"}.get(args.action)
    if needed and getattr(args, needed) is None:
        example = "--keep 'Latest(3)'" if needed == "keep" else "-o FILE"
        raise ArgumentError(
            f"{args.action} needs {example.partition(' ')[0]}", f"dotpt checkpoints {args.action} RUN {example}"
        )
