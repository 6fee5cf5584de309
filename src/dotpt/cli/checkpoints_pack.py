"""``dotpt checkpoints pack``: a checkpoint whose unchanged tensors lie in another file, as one plain file."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.errors import UsageError
from dotpt.formats.delta import needs_of
from dotpt.saving.packing import pack as write_packed
from dotpt.training.layouts import entry_at
from dotpt.training.listing import OURS
from dotpt.training.pruning import locked

if TYPE_CHECKING:
    from dotpt.cli.checkpoints import Work


def pack(work: Work) -> None:
    """Write the file, in the place of the checkpoint if there is no other."""
    args = work.args
    listing = work.listing()
    entry = entry_at(listing, work.rest[0])
    if listing.layout != OURS:
        raise UsageError(
            f"These are {listing.layout}'s checkpoints, which are never in parts of this kind.",
            path=str(listing.folder),
            hint="only those of a dotpt run with incremental=True can be packed",
        )
    needs, output = needs_of(entry.path), args.output or str(entry.path)
    size = entry.size
    if needs is not None or args.output:
        with locked(listing) if not args.output else nullcontext(), work.watch(f"packing {entry.path.name}") as watch:
            size = write_packed(entry.path, output, progress=watch)
    work.document |= {
        "output": output,
        "of": [str(entry.path), *([str(entry.path.with_name(needs.file))] if needs is not None else [])],
        "bytes": size,
    }
    if args.json or args.quiet:
        return
    if needs is None and not args.output:
        work.screen.line(f"{words.one_line(entry.path.name)} is one plain file already.")
        return
    joined = f", with what lay in {words.one_line(needs.file)}" if needs is not None else ""
    work.screen.line(f"{words.one_line(output)}: {words.size(size)}{joined}. Any torch opens it.")
