"""``dotpt checkpoints ls``, ``best``, ``latest``, ``verify``: which checkpoints there are, and which are whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dotpt.cli import FINDING, words
from dotpt.cli.checkpoints_table import LIMIT, draw_curves, draw_problems, draw_table
from dotpt.errors import NoCheckpoint
from dotpt.training.listing import Listing, why_not_whole
from dotpt.training.measures import chosen, matters, metrics_of, newest, ranked

if TYPE_CHECKING:
    from pathlib import Path

    from dotpt.cli.checkpoints import Work
    from dotpt.training.folder import Entry

COMPLETE, WHOLE, DAMAGED = "complete", "whole", "damaged"


def ls(work: Work) -> None:
    """The table."""
    listing = work.listing()
    problems = _verified(work, listing) if work.args.verify else _seen(listing)
    for name in work.args.metric or []:
        chosen(listing, name, None)  # refuses what nobody measured
    metrics = work.args.metric or metrics_of(listing)
    policy = chosen(listing, work.args.metric[0] if work.args.metric else None, work.args.mode) if metrics else None
    best = (
        next(iter(policy.ranked([one.stored for one in listing.entries if not problems[one.path]])), None)
        if policy
        else None
    )
    states = {path: _state(problem, work.args.verify) for path, problem in problems.items()}
    if work.args.json:
        chosen_by = {"metric": policy.metric, "mode": policy.mode} if policy else None
        work.document |= {"best_by": chosen_by, "restarts": list(listing.restarts)}
        work.document["checkpoints"] = [
            _facts(one, states[one.path], problems[one.path], best is not None and one.stored == best)
            for one in listing.entries
        ]
    elif work.args.quiet:
        for entry in listing.entries:
            _give(entry)
    else:
        shown = _ordered(metrics, policy.metric if policy else None, bool(work.args.metric))
        draw_table(work.screen, listing, states, shown, best, work.limit(LIMIT))
        draw_problems(work.screen, listing, problems)
        if policy is not None:
            draw_curves(work.screen, listing, policy, best, work.args.metric or [policy.metric])
        _draw_notes(work, listing)


def best(work: Work) -> None:
    """The path of the best whole one."""
    listing = work.listing()
    policy = chosen(listing, work.args.metric[0] if work.args.metric else None, work.args.mode)
    if not work.args.metric:
        _say(f"The best by {policy.metric} ({policy.mode}); --metric names another.", work)
    work.document["best_by"] = {"metric": policy.metric, "mode": policy.mode}
    _give_first_whole(work, listing, ranked(listing, policy))


def latest(work: Work) -> None:
    """The path of the newest whole one."""
    listing = work.listing()
    _give_first_whole(work, listing, newest(listing))


def verify(work: Work) -> None:
    """Each compared with its checksums and hashes."""
    listing = work.listing()
    problems = _verified(work, listing)
    damaged = sum(1 for problem in problems.values() if problem)
    states = {path: _state(problem, True) for path, problem in problems.items()}
    if work.args.json:
        work.document["checkpoints"] = [_facts(one, states[one.path], problems[one.path]) for one in listing.entries]
        return
    if not work.args.quiet:
        draw_table(work.screen, listing, states, [], None, None)
    draw_problems(work.screen, listing, problems)
    if not work.args.quiet:
        count = words.plural(len(problems), "checkpoint")
        text = f"{damaged:,} of {count} damaged" if damaged else f"{count}, all whole"
        work.screen.line((text, "bold red" if damaged else "green"))


# -- which are whole --------------------------------------------------------------------------------------------------


def _give_first_whole(work: Work, listing: Listing, entries: Iterable[Entry]) -> None:
    """Print the path of the first that is whole. Those that are passed over are named."""
    passed = []
    for entry in entries:
        name = listing.name_of(entry)
        with work.watch(f"verifying {name}") as watch:
            problem = why_not_whole(entry, watch)
        if not problem:
            work.document["checkpoint"] = _facts(entry, WHOLE, "")
            if not work.args.json:
                _give(entry)
            return
        passed.append(name)
        _say(f"dotpt: {words.one_line(name)} is passed over: {words.one_line(problem)}")
    raise NoCheckpoint(
        f"No checkpoint here is whole ({words.listed(passed)}).",
        path=str(listing.folder),
        hint=f"dotpt checkpoints verify {work.run}",
    )


def _give(entry: Entry) -> None:
    """A path for a script, as it is; for a terminal, with nothing in it that one obeys."""
    print(words.one_line(entry.path) if sys.stdout.isatty() else entry.path)


def _seen(listing: Listing) -> dict[Path, str]:
    return {entry.path: entry.problem for entry in listing.entries}


def _verified(work: Work, listing: Listing) -> dict[Path, str]:
    problems = {}
    for number, entry in enumerate(listing.entries, 1):
        with work.watch(f"verifying {listing.name_of(entry)} ({number} of {len(listing.entries)})") as watch:
            problems[entry.path] = why_not_whole(entry, watch)
    if any(problems.values()):
        work.worse(FINDING)
    return problems


def _state(problem: str, verified: bool) -> str:
    return DAMAGED if problem else WHOLE if verified else COMPLETE


# -- what is shown ----------------------------------------------------------------------------------------------------


def _ordered(metrics: Sequence[str], first: str | None, asked: bool) -> list[str]:
    """The metrics of the table: those that were asked for, or all that tell how good the model is."""
    shown = [name for name in metrics if asked or matters(name)]
    return sorted(shown, key=lambda name: name != first)


def _facts(entry: Entry, state: str, problem: str, is_best: bool | None = None) -> dict[str, Any]:
    """A checkpoint as plain values."""
    facts: dict[str, Any] = {
        "path": str(entry.path),
        "step": entry.step,
        "epoch": entry.stored.epoch,
        "saved": entry.saved or None,
        "bytes": entry.size,
        "metrics": {name: _number(value) for name, value in entry.stored.metrics.items()},
        "state": state,
        "problem": problem or None,
    }
    return facts if is_best is None else facts | {"best": is_best}


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _draw_notes(work: Work, listing: Listing) -> None:
    for note in listing.notes:
        work.screen.fact("", (words.one_line(note), "yellow"), column=0)


def _say(text: str, work: Work | None = None) -> None:
    if work is None or not work.args.quiet:
        print(text, file=sys.stderr)
