"""`save_changed`: a checkpoint of which only what has changed since another one is written.

Where the file system shares blocks, the new file is a plain ``.pt`` that has the unchanged blocks in common with the
other one. Elsewhere it is a *delta*: it has no record for what is unchanged, and says where it lies (`formats.delta`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotpt.archive import collector, torch_settings
from dotpt.container.zip import ZipContainer
from dotpt.errors import BaseChanged
from dotpt.formats import pt_zip_writer
from dotpt.formats.draft import Draft, Link, Unchanged
from dotpt.limits import DEFAULT_LIMITS
from dotpt.saving.draft import draft_of
from dotpt.saving.read_back import ReadBack
from dotpt.saving.unchanged import LEAST, Base, hashes_of
from dotpt.source.paths import open_path
from dotpt.source.sharing import BLOCK, can_share
from dotpt.source.sink import open_sink

FULL_FROM = 0.5  # the share of a checkpoint's bytes from which on it is written as a whole


def save_changed(
    tree: Any,
    path: Path,
    base: Base | None,
    held: Mapping[int, Link],
    *,
    metadata: Mapping[str, Any],
    durable: bool,
    verify: bool,
) -> Unchanged | None:
    """Save a tree of torch's tensors; returns what was not written, or None for a whole file.

    Args:
        path: the new file; the base lies in the same folder.
        base: the file before.
        held: what the base has of the storages that may not be read any more, by their address in memory.
        metadata: what to note in the file.
        durable: wait until the disk has it.
        verify: read it back from the disk.

    Raises:
        BaseChanged: something is held by a base that is no longer there.
    """
    settings = torch_settings.for_saving()
    with collector.paused():
        draft = draft_of(tree, protocol=2, compacting=True, legacy=False, whole=held)
    sharing = can_share(str(path.parent))
    shared = None
    try:
        if base is not None and base.is_there() and base.path != path:
            links = _links(draft, base, held)
            if links and (held or not is_much(sum(link.nbytes for link in links.values()), draft.nbytes)):
                shared = ZipContainer(open_path(str(base.path)), DEFAULT_LIMITS) if sharing else None
                draft.unchanged = Unchanged(base.path.name, base.manifest, links, shared)
                vars(draft).pop("nbytes", None)
        if held and draft.unchanged is None:
            raise _gone(path)
        with open_sink(path, durable=durable) as sink:
            out = ReadBack(sink) if verify else sink
            alignment = max(settings.alignment, BLOCK) if sharing else settings.alignment
            pt_zip_writer.write(draft, out, metadata=metadata, alignment=alignment, checksums=settings.checksums)
            if isinstance(out, ReadBack):
                out.compare()
            sink.commit()
    finally:
        if shared is not None:
            shared.close()
    return draft.unchanged


def is_much(unchanged: int, total: int) -> bool:
    """Whether so much has changed that a whole file is to be written."""
    return total - unchanged >= FULL_FROM * total


def _links(draft: Draft, base: Base, held: Mapping[int, Link]) -> dict[str, Link]:
    """What the base has, by the keys of the storages in the new file."""
    links = {storage.key: held[storage.address] for storage in draft.storages if storage.address in held}
    used = {link.record for link in links.values()}
    sizes = base.sizes()
    asked = [
        storage
        for storage in draft.storages
        if storage.key not in links
        and storage.address
        and storage.ranges is None
        and storage.nbytes >= LEAST
        and storage.nbytes in sizes
    ]
    found = hashes_of([(storage.address, storage.nbytes) for storage in asked])
    more = base.find((number, asked[number].nbytes, digest) for number, digest in enumerate(found))
    links |= {asked[number].key: link for number, link in more.items() if link.record not in used}
    return links


def _gone(path: Path) -> BaseChanged:
    return BaseChanged(
        "The checkpoint before, which holds the unchanged tensors, was deleted or replaced while this one was saved.",
        path=str(path),
        hint="let nobody else write into the folder; the next save will be a whole one",
    )
