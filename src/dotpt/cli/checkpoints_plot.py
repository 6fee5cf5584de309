"""``dotpt checkpoints plot``: metrics over steps, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotpt.errors import UsageError
from dotpt.training.measures import chosen, matters, metrics_of
from dotpt.training.plotting import plot as draw_picture

if TYPE_CHECKING:
    from dotpt.cli.checkpoints import Work

_MOST = 4


def plot(work: Work) -> None:
    """Write the picture, and say where."""
    listing = work.listing()
    telling = [name for name in metrics_of(listing) if matters(name)][:_MOST]
    names = work.args.metric or telling or [chosen(listing, None, None).metric]
    policies = [chosen(listing, name, work.args.mode) for name in names]
    if not any(listing.curves.get(name) for name in names):
        raise UsageError("There is nothing to plot.", path=work.run)
    draw_picture(listing, policies, work.args.output)
    work.document |= {
        "output": work.args.output,
        "metrics": {name: [step for step, _ in listing.curves.get(name, ())] for name in names},
        "restarts": list(listing.restarts),
    }
    if not (work.args.json or work.args.quiet):
        work.screen.line(f"{', '.join(names)} over {len(listing.curves[names[0]]):,} steps: {work.args.output}")
