"""What crosses this boundary: the curves of a run in, a picture out. matplotlib is imported here and nowhere else."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from dotpt.errors import MissingDependency, UsageError
from dotpt.source.sink import open_sink
from dotpt.training.listing import Listing
from dotpt.training.policies import Best

_SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
_LINE, _BEST, _RESTART = "#3572b0", "#c8501e", "#888888"
_MANY = 60  # checkpoints, beyond which each is no longer marked


def plot(listing: Listing, policies: Sequence[Best], out: str | os.PathLike[str]) -> None:
    """Draw metrics over steps, one below the other, with the best checkpoint and the restarts marked.

    Args:
        listing: the run.
        policies: the metrics, and what is best of each.
        out: the picture; its suffix says of which kind.

    Raises:
        MissingDependency: matplotlib is not installed.
        UsageError: the suffix is of no picture.
        WriteError: it cannot be written.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"{suffix or 'No suffix'} says of no kind of picture.", path=str(out), hint="-o loss.png")
    try:
        figures = import_module("matplotlib.figure")
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise MissingDependency("matplotlib is not installed.", hint="pip install 'dotpt[plot]'") from None
    figure = figures.Figure(figsize=(8, 1.2 + 2.4 * len(policies)), layout="constrained")
    panels = figure.subplots(len(policies), 1, sharex=True, squeeze=False)[:, 0]
    for panel, policy in zip(panels, policies, strict=True):
        _draw(panel, listing, policy)
    panels[-1].set_xlabel("step")
    panels[0].set_title(listing.folder.resolve().name.replace("$", r"\$"), loc="left", fontsize=11)
    picture = io.BytesIO()
    figure.savefig(picture, format=suffix[1:], dpi=150)
    with open_sink(os.fspath(out), durable=False) as sink:
        sink.write(picture.getvalue())
        sink.commit()


def _draw(panel: Any, listing: Listing, policy: Best) -> None:
    curve = listing.curves.get(policy.metric, ())
    points = [(step, value if math.isfinite(value) else math.nan) for step, value in curve]  # NaN leaves a gap
    kept = [(entry.step, entry.stored.metrics[policy.metric]) for entry in listing.entries
            if math.isfinite(entry.stored.metrics.get(policy.metric, math.nan))]  # fmt: skip
    panel.plot(*_columns(points), color=_LINE, linewidth=1.2, zorder=2)
    for number, step in enumerate(dict.fromkeys(listing.restarts)):
        panel.axvline(
            step, color=_RESTART, linestyle="--", linewidth=0.9, label=None if number else "resumed", zorder=1
        )
    if kept and (len(kept) <= _MANY or len(points) < 2):
        panel.plot(*_columns(kept), "o", color=_LINE, markersize=4, label="checkpoint", zorder=3)
    ranked = policy.ranked([entry.stored for entry in listing.entries if not entry.problem])
    if ranked and math.isfinite(ranked[0].metrics[policy.metric]):
        best, value = ranked[0].step, ranked[0].metrics[policy.metric]
        label = f"best: {value:.4g} at step {best:,}"
        panel.plot([best], [value], "*", color=_BEST, markersize=13, label=label, zorder=4)
    panel.set_ylabel(policy.metric.replace("$", r"\$"))
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.02)
    panel.xaxis.get_major_locator().set_params(integer=True)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=8, frameon=False)


def _columns(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]
