"""What crosses this boundary: a run's folder and a policy in, what may go and what stays out; and the deletion itself.

Invariant: a file goes only if the run of this folder wrote it (the journal says which that is), the policy does not
want it, and a newer checkpoint was verified whole, byte by byte. Nothing is deleted while a run holds the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dotpt.errors import NoCheckpoint, RunInUse, UsageError
from dotpt.source.failures import from_write_error
from dotpt.training.folder import Entry
from dotpt.training.history import JOURNAL, History
from dotpt.training.listing import OURS, Listing, Progress, why_not_whole
from dotpt.training.lock import FolderLock
from dotpt.training.measures import metrics_of, newest
from dotpt.training.policies import Best, Either, Policy, parts_of
from dotpt.training.retention import bases_of, delete, superfluous


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy means for a run.

    Attributes:
        going: the checkpoints that may be deleted, oldest first.
        reasons: why each of the others stays, in the order of the listing.
        newest: the newest one that is whole.
    """

    going: Sequence[Entry]
    reasons: Sequence[tuple[Entry, str]]
    newest: Entry


@contextmanager
def locked(listing: Listing) -> Iterator[None]:
    """The right to delete in the folder.

    Raises:
        RunInUse: a run is writing into it.
    """
    try:
        lock = FolderLock(listing.folder)
    except RunInUse as error:
        error.hint = "let it finish first: it deletes by its own keep=..."
        raise
    try:
        yield
    finally:
        lock.release()


def plan(listing: Listing, keep: Policy, progress: Progress | None = None) -> Plan:
    """What may go. The newest checkpoint is verified, or, if it is damaged, the one before it, and so on.

    Raises:
        UsageError: another library wrote the checkpoints; or nobody measured what the policy asks for.
        NoCheckpoint: none is whole, so nothing may go.
    """
    if listing.layout != OURS:
        raise UsageError(
            f"These are {listing.layout}'s checkpoints, and only those of a dotpt run are deleted.",
            path=str(listing.folder),
            hint="its own settings say how many it keeps",
        )
    if not listing.run:
        raise UsageError(
            f"The folder has no {JOURNAL}, so nobody knows which files this run wrote.",
            path=str(listing.folder),
            hint="delete them by hand",
        )
    _check_metrics(listing, keep)
    damaged: set[Path] = set()
    for entry in newest(listing):
        if entry.run == listing.run and not why_not_whole(entry, progress):
            return _plan(listing, keep, entry, damaged)
        if entry.run == listing.run:
            damaged.add(entry.path)
    raise NoCheckpoint(
        "No checkpoint of this run is whole, so nothing may go.",
        path=str(listing.folder),
        hint=f"dotpt checkpoints verify {listing.folder}",
    )


def carry_out(listing: Listing, decided: Plan, keep: Policy) -> list[Entry]:
    """Delete what may go, and note it in the journal. Returns what was deleted.

    Raises:
        WriteError: the system does not let us; what was deleted before is noted.
    """
    deleted: list[Entry] = []
    try:
        deleted += (entry for entry in decided.going if delete(entry.path))
    except OSError as error:
        state = f"{len(deleted):,} of {len(decided.going):,} checkpoints were deleted"
        raise from_write_error(error, str(listing.folder), state=state) from error
    finally:
        if deleted:
            History(listing.folder).note("prune", keep=repr(keep), deleted=[entry.path.name for entry in deleted])
    return deleted


def _plan(listing: Listing, keep: Policy, whole: Entry, damaged: set[Path]) -> Plan:
    # one that is damaged takes nobody's place among those to keep
    sound = [entry for entry in listing.entries if entry.path not in damaged]
    going = superfluous(sound, keep, listing.run, whole.stored.sequence)
    paths = {entry.path for entry in going}
    needed = {file for file, _ in bases_of(entry.path for entry in listing.entries if entry.path not in paths)}
    ours = [entry.stored for entry in sound if entry.run == listing.run]
    wanted = [(policy, policy.kept(ours)) for policy in (keep.policies if isinstance(keep, Either) else (keep,))]
    reasons = [
        (entry, _reason(entry, listing, whole, damaged, wanted, needed))
        for entry in listing.entries
        if entry.path not in paths
    ]
    return Plan(going, reasons, whole)


def _reason(
    entry: Entry,
    listing: Listing,
    whole: Entry,
    damaged: set[Path],
    wanted: Sequence[tuple[Policy, set[int]]],
    needed: set[str],
) -> str:
    if entry.problem or entry.path in damaged:
        return "damaged"
    if entry.run != listing.run:
        return "not written by this run"
    kept = [_short(policy) for policy, sequences in wanted if entry.stored.sequence in sequences]
    if not kept and entry.path.name in needed:
        return "tensors of a later one lie in it"
    if not kept:
        return "the newest that is whole" if entry is whole else "newer than the newest that is whole"
    return ", ".join(kept)


def _short(policy: Policy) -> str:
    """A policy without the names of its values, as users write it."""
    return re.sub(r"\b[a-z_]+=", "", repr(policy))


def _check_metrics(listing: Listing, keep: Policy) -> None:
    """A policy by a metric that nobody measured would keep nothing."""
    measured = {name for entry in listing.entries for name in entry.stored.metrics}
    for policy in parts_of(keep):
        if isinstance(policy, Best) and policy.metric not in measured:
            known = [name for name in metrics_of(listing) if name in measured]
            raise UsageError(
                f"No checkpoint has the metric {policy.metric!r}.",
                path=str(listing.folder),
                hint=f"Best({policy.count}, {known[0]!r})" if known else "Latest(3)",
            )
