"""Which of a run's metrics is the one to go by, whether less of it is better, and which checkpoint is the best."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from difflib import get_close_matches

from dotpt.errors import NoCheckpoint, UsageError
from dotpt.training.folder import Entry
from dotpt.training.listing import Listing
from dotpt.training.policies import Best

_WORD = re.compile(r"[a-z]+\d*")
_VALIDATION = frozenset("val valid validation eval test dev".split())
_LOSS = frozenset("loss nll ce mse mae rmse perplexity ppl error err wer cer fid".split())
_MORE = frozenset(
    "acc acc1 acc5 accuracy top1 top5 f1 auc auroc auprc ap map map50 precision recall iou miou dice bleu rouge rouge1 "
    "rouge2 rougel meteor psnr ssim r2 score reward return em mcc kappa correlation spearman pearson success".split()
)
_BESIDES = frozenset(
    "runtime second seconds samples steps flos lr rate grad norm memory time tokens throughput".split()
)


def metrics_of(listing: Listing) -> list[str]:
    """What was measured, by name: what a run is judged by comes first, times and rates last."""
    names = dict.fromkeys(name for entry in listing.entries for name in entry.stored.metrics)
    names |= dict.fromkeys(listing.curves)
    return sorted(names, key=_weight)


def matters(name: str) -> bool:
    """Whether a metric says how good a model is, not how fast it was trained and with what."""
    return not _words(name) & _BESIDES


def mode_of(name: str) -> str:
    """``max`` for what is known to be better when there is more of it, such as an accuracy; else ``min``.

    Example:
        >>> mode_of("val_loss"), mode_of("eval/top1_accuracy"), mode_of("valAcc")
        ('min', 'max', 'max')
    """
    words = _words(name)
    return "max" if words & _MORE and not words & _LOSS else "min"


def chosen(listing: Listing, metric: str | None, mode: str | None) -> Best:
    """What ranks the checkpoints: the metric that was asked for, or the one that the run most likely goes by.

    Raises:
        UsageError: nobody measured it.
        NoCheckpoint: it was never a number.
    """
    names = metrics_of(listing)
    if metric is None:
        metric, told = listing.best or (names[0] if names else None, None)
        if metric is None:
            hint = "ckpt.save(step, metrics={'val_loss': ...}) notes them" if listing.run else None
            raise UsageError("No metric was noted with these checkpoints.", path=str(listing.folder), hint=hint)
        mode = mode or told
    elif metric not in names:
        raise _not_measured(listing, metric, names)
    return Best(1, metric, mode or mode_of(metric))


def ranked(listing: Listing, policy: Best) -> list[Entry]:
    """The checkpoints that have the metric, best first.

    Raises:
        NoCheckpoint: none has it, or only NaN.
    """
    by_sequence = {entry.stored.sequence: entry for entry in listing.entries if not entry.problem}
    found = [by_sequence[stored.sequence] for stored in policy.ranked([one.stored for one in by_sequence.values()])]
    if not found:
        measured = any(policy.metric in entry.stored.metrics for entry in listing.entries)
        what = f"{policy.metric} is NaN in every checkpoint" if measured else f"No checkpoint has {policy.metric}"
        raise NoCheckpoint(f"{what}, so none is the best.", path=str(listing.folder), hint=_others(listing, policy))
    return found


def newest(listing: Listing) -> list[Entry]:
    """Newest first."""
    return list(reversed(listing.entries))


def _weight(name: str) -> tuple[bool, bool, bool]:
    words = _words(name)
    return bool(words & _BESIDES), not words & _VALIDATION, not words & _LOSS


def _words(name: str) -> frozenset[str]:
    return frozenset(_WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()))


def _not_measured(listing: Listing, metric: str, names: Sequence[str]) -> UsageError:
    near = get_close_matches(metric, names, 1, 0.5)
    hint = f"--metric {near[0]}" if near else f"one of {', '.join(names[:12])}" if names else None
    return UsageError(f"Nobody has measured {metric!r} in this run.", path=str(listing.folder), hint=hint)


def _others(listing: Listing, policy: Best) -> str | None:
    usable = [
        name
        for name in metrics_of(listing)
        if name != policy.metric
        and any(not math.isnan(one.stored.metrics.get(name, math.nan)) for one in listing.entries)
    ]
    return f"--metric {usable[0]}" if usable else None
