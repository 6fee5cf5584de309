"""``dotpt checkpoints prune``: what a policy does not keep is shown, and deleted when the user says so."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.errors import UsageError
from dotpt.training.layouts import listing_of
from dotpt.training.policy_text import policy_of
from dotpt.training.pruning import Plan, carry_out, locked, plan

if TYPE_CHECKING:
    from dotpt.cli.checkpoints import Work

_COLUMNS = (
    Column(""),
    Column("Step", right=True),
    Column("Size", right=True),
    Column("Name", "cyan"),
    Column("Kept by", least=10, tail=True),
)


def prune(work: Work) -> None:
    """Show what goes and what stays, ask, delete."""
    keep = policy_of(work.args.keep)
    keep.kept([])  # a policy that only says when to save is refused before anything is read
    listing = work.listing()
    with nullcontext() if work.args.dry_run else locked(listing):
        listing = listing_of(listing.folder)  # as it is now that nobody writes
        with work.watch("verifying the newest") as watch:
            decided = plan(listing, keep, watch)
        if not work.args.json:
            _draw(work, decided)
        freed = sum(entry.size for entry in decided.going)
        work.document |= {
            "keep": repr(keep),
            "delete": [str(entry.path) for entry in decided.going],
            "bytes": freed,
            "stay": [{"path": str(entry.path), "because": reason} for entry, reason in decided.reasons],
            "deleted": [],
        }
        if work.args.dry_run or not decided.going or not _agreed(work, decided, freed):
            return
        deleted = carry_out(listing, decided, keep)
    work.document["deleted"] = [str(entry.path) for entry in deleted]
    if not work.args.json:
        size = words.size(sum(entry.size for entry in deleted))
        work.screen.line((f"{words.plural(len(deleted), 'checkpoint')} deleted, {size} freed.", "bold"))


def _draw(work: Work, decided: Plan) -> None:
    screen, going = work.screen, {entry.path for entry in decided.going}
    if not work.args.quiet:
        reasons = {entry.path: reason for entry, reason in decided.reasons}
        everyone = sorted([*decided.going, *(entry for entry, _ in decided.reasons)], key=lambda one: one.step)
        rows = [
            [
                "goes" if entry.path in going else "stays",
                f"{entry.step:,}",
                words.size(entry.size),
                words.one_line(entry.path.name),
                reasons.get(entry.path, ""),
            ]
            for entry in everyone
        ]
        draw(screen, _COLUMNS, rows)
    freed = words.size(sum(entry.size for entry in decided.going))
    kept = words.size(sum(entry.size for entry, _ in decided.reasons))
    goes = f"{words.plural(len(going), 'checkpoint')} ({freed}) {'goes' if len(going) == 1 else 'go'}"
    stays = f"{len(decided.reasons):,} ({kept}) {'stays' if len(decided.reasons) == 1 else 'stay'}"
    dry = " Nothing was deleted." if work.args.dry_run else ""
    screen.line((f"{goes if going else 'Nothing goes'}, {stays}.{dry}", "bold"))


def _agreed(work: Work, decided: Plan, freed: int) -> bool:
    """Whether the user wants it: by ``--yes``, or by an answer."""
    if work.args.yes:
        return True
    if work.args.json or not sys.stdin or not sys.stdin.isatty():
        raise UsageError(
            "Nothing was deleted, for nobody is here to be asked.",
            path=work.run,
            hint="--yes deletes without asking, --dry-run only shows what would go",
        )
    question = f"Delete {words.plural(len(decided.going), 'checkpoint')} ({words.size(freed)})? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in ("y", "yes"):
        print("Nothing was deleted.", file=sys.stderr)
    return answer in ("y", "yes")
