"""What crosses this boundary: a checkpoint in; a file out that has only what has changed since a whole one.

Invariants: what a delta refers to is a whole file of the same folder, so there are no chains; a whole file is written
again when half of the bytes have changed; and a file that others need is never replaced without a second name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotpt.container.zip import ZipContainer
from dotpt.errors import BaseChanged, DotptError
from dotpt.formats.delta import manifest_hash, needs_of, spare_name
from dotpt.formats.draft import Link
from dotpt.limits import DEFAULT_LIMITS
from dotpt.saving.incremental import save_changed
from dotpt.saving.metadata import read_metadata
from dotpt.saving.unchanged import Base, base_of
from dotpt.source.paths import open_path
from dotpt.source.sink import open_sink
from dotpt.training.folder import NOTE, entries_of
from dotpt.training.retention import bases_of, delete

_SPARE = re.compile(r"base-([0-9a-f]{32})\.pt")


class Increments:
    """The whole file that the next checkpoints refer to.

    Args:
        folder: where they lie.

    Attributes:
        facts: of the last save, for the history.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._base: Base | None = None
        self.facts: dict[str, Any] = {}

    def base_for(self, path: Path) -> Base | None:
        """The file that a new one may refer to; None if there is none, or if it is the one to be replaced."""
        base = self._base
        return base if base is not None and base.path != path and base.is_there() else None

    def resumed(self, path: Path) -> None:
        """Go on from a checkpoint that was read: it, or the file that it refers to, is the one to refer to."""
        self._base = None
        if path.parent.resolve() == self._folder.resolve():
            needs = needs_of(path)
            self._base = base_of(self._folder / (path.name if needs is None else needs.file))

    def write(
        self,
        tree: Any,
        path: Path,
        base: Base | None,
        held: Mapping[int, Link],
        *,
        metadata: Mapping[str, Any],
        durable: bool,
        verify: bool,
    ) -> None:
        """Save a tree; arguments as of `save_changed`."""
        try:
            unchanged = save_changed(tree, path, base, held, metadata=metadata, durable=durable, verify=verify)
        except BaseChanged:
            self._base = None  # the next save depends on nothing
            raise
        self.facts = {"base": None, "unchanged": 0}
        if unchanged is not None:
            self.facts["unchanged"] = sum(link.nbytes for link in unchanged.links.values())
        if unchanged is not None and unchanged.shared is None:
            self.facts["base"] = unchanged.file
        else:
            self._base = base_of(path)


def keep_base(path: Path) -> None:
    """Give a file that is about to be replaced a second name, if others need it."""
    if not path.exists():
        return
    others = (entry.path for entry in entries_of(path.parent) if entry.path != path)
    wanted = bases_of(others)
    try:
        with open_path(str(path)) as source:
            found = manifest_hash(ZipContainer(source, DEFAULT_LIMITS))
    except DotptError:  # it is damaged already
        return
    spare = path.with_name(spare_name(found))
    if (path.name, found) not in wanted or spare.exists():
        return
    try:
        os.link(path, spare)
    except OSError:  # a file system without second names
        with open_path(str(path)) as source, open_sink(spare) as sink:
            sink.copy_from(source, 0, source.size)
            sink.commit()


def delete_spare_bases(folder: Path, run: str) -> list[str]:
    """Delete the bases under a second name that no checkpoint needs any more; returns their names."""
    spares = {name[1]: path for path in folder.glob("base-*.pt") if (name := _SPARE.fullmatch(path.name))}
    if not spares:
        return []
    needed = {manifest for _, manifest in bases_of(entry.path for entry in entries_of(folder))}
    return [
        path.name for manifest, path in spares.items() if manifest not in needed and _wrote(path, run) and delete(path)
    ]


def _wrote(path: Path, run: str) -> bool:
    try:
        note = read_metadata(path).get(NOTE)
    except DotptError:
        return False
    return isinstance(note, Mapping) and note.get("run") == run
