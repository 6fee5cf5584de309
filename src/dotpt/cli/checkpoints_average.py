"""``dotpt checkpoints average``: the mean of weights, as a state dict of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.training.averaging import average as write_average
from dotpt.training.averaging import weights_file
from dotpt.training.layouts import entry_at

if TYPE_CHECKING:
    from dotpt.cli.checkpoints import Work


def average(work: Work) -> None:
    """Write the file, and say what is in it."""
    args = work.args
    listing = work.listing()
    entries = [entry_at(listing, which) for which in work.rest]
    paths = [weights_file(entry.path) for entry in entries]
    with work.watch(f"averaging {len(paths)} checkpoints") as watch:
        made = write_average(paths, args.output, weights=args.weights_of, ema=args.ema, progress=watch)
    work.document |= {
        "output": args.output,
        "of": [str(path) for path in paths],
        "weights": made.weights,
        "tensors": made.tensors,
        "from_last": made.last,
        "shares": list(made.shares),
    }
    if args.json or args.quiet:
        return
    where = f" of {words.one_line(made.weights)}" if made.weights else ""
    steps = ", ".join(f"{entry.step:,}" for entry in entries)
    kind = "The mean" if args.ema is None else f"The exponential mean (decay {args.ema:g})"
    work.screen.line(f"{kind}{where} of the steps {steps}: {words.one_line(args.output)}")
    if made.last:
        text = f"{words.plural(made.last, 'tensor')} of integers {'is' if made.last == 1 else 'are'} the last one's."
        work.screen.line((text, "dim"))
