"""The record ``.dotpt/base.json``: which storages of a file lie in another file, because they have not changed since.

::

    {"dotpt":1,"file":"step-00000100.pt","manifest":"<32 hex digits>","storages":{
        "data/5":{"bytes":4096,"hash":"<32 hex digits>","record":"data/3"}
    }}

The file is a *delta*, the other one its *base*. The base lies in the same folder, and is known by the hash of its
manifest, which names the content of each of its tensors; where another file has taken its name, it may lie beside it
as ``base-<its hash>.pt``. A base is no delta itself. The record of a storage that lies in the base is not in the
delta, and neither is ``.format_version``, by which torch would compute where it might be: so torch refuses a delta.

Reading trusts nothing: the name is that of a file in the folder, each record of the base is used once, and no byte is
taken from a base that is not the one that is meant.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dotpt.container.digest import hash_of
from dotpt.container.record import Container
from dotpt.container.zip import ZipContainer
from dotpt.errors import (
    BaseChanged,
    BaseMissing,
    DeltaError,
    DotptError,
    SourceError,
    TensorError,
    UnsupportedError,
)
from dotpt.formats.draft import Link, Unchanged
from dotpt.formats.json_records import facts_of, read_header, versioned
from dotpt.formats.record_names import BASE, MANIFEST
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source.addresses import path_of_url, scheme_of
from dotpt.source.paths import open_path
from dotpt.tensors.refs import StorageRef

VERSION = 1
_ZIP = b"PK\x03\x04"
_is_hash = re.compile(r"[0-9a-f]{32}").fullmatch
_is_record = re.compile(r"data/[0-9]{1,20}").fullmatch
_is_name = re.compile(r"[^/\\:\0]{1,255}").fullmatch


# -- the record -------------------------------------------------------------------------------------------------------


def base_bytes(unchanged: Unchanged) -> bytes:
    """The record, of a delta that is being written."""
    storages = {
        f"data/{key}": {"bytes": link.nbytes, "hash": link.hash, "record": link.record}
        for key, link in unchanged.links.items()
    }
    record = {"dotpt": VERSION, "file": unchanged.file, "manifest": unchanged.manifest, "storages": storages}
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def read_base_record(container: Container) -> Unchanged | None:
    """What a file needs of another one, its links by the names of the records; None if it is no delta.

    Raises:
        ChecksumMismatch: the record is damaged.
        DeltaError: it is not what dotpt writes.
        UnsupportedError: a later dotpt wrote it.
    """
    if container.kind != "zip" or BASE not in container:
        return None
    facts, what = facts_of(container, BASE), "What the file needs of another one"
    found = versioned(read_header(container, BASE), what, DeltaError, facts, container.limits)
    if found["dotpt"] != VERSION:
        raise UnsupportedError(
            f"{what} is noted in version {found['dotpt']}; version {VERSION} is known.",
            hint="a newer dotpt may read it: pip install -U dotpt",
            **facts,
        )
    file, manifest, storages = found.get("file"), found.get("manifest"), found.get("storages")
    if type(file) is not str or not _is_name(file) or file in (".", ".."):
        raise DeltaError("The name of the other file is none of a file in the same folder.", **facts)
    if type(manifest) is not str or not _is_hash(manifest) or type(storages) is not dict:
        raise DeltaError("The other file, or what is needed of it, is not described.", **facts)
    links = {name: _link(name, entry, facts) for name, entry in storages.items()}
    if len({link.record for link in links.values()}) < len(links):
        raise DeltaError("A record of the other file stands for two tensors.", **facts)
    if any(name in container for name in links):
        raise DeltaError("A tensor lies in this file and in the other one.", **facts)
    return Unchanged(file, manifest, links)


def _link(name: str, entry: Any, facts: Mapping[str, Any]) -> Link:
    values = entry if type(entry) is dict else {}
    record, nbytes, found = values.get("record"), values.get("bytes"), values.get("hash")
    if (
        type(record) is str
        and type(found) is str
        and type(nbytes) is int
        and nbytes >= 0
        and _is_record(name)
        and _is_record(record)
        and _is_hash(found)
    ):
        return Link(record, nbytes, found)
    raise DeltaError("It is not said where in the other file a tensor lies.", key=name[:100], **facts)


# -- joining ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Joined:
    """A delta's base, open.

    Attributes:
        file: the name by which the delta knows it.
        container: its records.
        links: what is taken from it, by the names of the records that the delta does not have.
    """

    file: str
    container: ZipContainer
    links: Mapping[str, Link]

    def attach(self, storage: StorageRef, name: str) -> None:
        """Point a storage at its record in the base."""
        link = self.links[name]
        if link.nbytes != storage.nbytes:
            raise TensorError(
                f"The record of the other file holds {link.nbytes:,} bytes, the pickle says {storage.nbytes:,}.",
                path=self.container.source.name,
                record=link.record,
                key=storage.key,
                found=link.nbytes,
                expected=storage.nbytes,
                hint="the file is damaged or made to mislead: go on from another checkpoint",
            )
        storage.container, storage.index = self.container, self.container.index(link.record)

    def note(self) -> str:
        """A sentence on what lies elsewhere."""
        total = sum(link.nbytes for link in self.links.values())
        return (
            f"What has not changed since {self.file} lies there: {len(self.links):,} storages, {total:,} bytes; dotpt "
            "joins the two files, torch.load cannot."
        )


def join(container: Container) -> Joined | None:
    """The base of a delta; None if the file is none.

    Raises:
        BaseMissing: it is not there.
        BaseChanged: the file of its name is another one.
        DeltaError: the delta does not say what it needs.
    """
    needed = read_base_record(container)
    if needed is None:
        return None
    source = container.source
    path = path_of_url(source.name) if scheme_of(source.name) == "file://" else source.name
    if not source.local or source.wrapped or not os.path.isfile(path):  # noqa: PTH113
        raise _missing(needed, source.name, "and only of a local file it is known what lies beside it")
    return Joined(needed.file, _find(needed, path, container.limits), needed.links)


def spare_name(manifest: str) -> str:
    """The name of a base whose own name was given to another file."""
    return f"base-{manifest}.pt"


def _find(needed: Unchanged, delta: str, limits: Limits) -> ZipContainer:
    folders = dict.fromkeys(os.path.dirname(path) for path in (delta, os.path.realpath(delta)))  # noqa: PTH120
    names = (needed.file, spare_name(needed.manifest))
    problem: DotptError | None = None
    for path in (os.path.join(folder, name) for folder in folders for name in names):  # noqa: PTH118
        if not os.path.lexists(path):
            continue
        try:
            return _opened(path, needed, delta, limits)
        except SourceError:
            raise
        except DotptError as error:
            problem = problem or error
    if problem is None:
        raise _missing(needed, delta, "which is not there")
    if isinstance(problem, BaseChanged):
        raise problem
    raise BaseChanged(
        f"The unchanged tensors of this checkpoint lie in {needed.file}, which is damaged: {problem.problem}",
        path=delta,
        expected=needed.file,
        hint="go on from another checkpoint",
    ) from problem


def _opened(path: str, needed: Unchanged, delta: str, limits: Limits) -> ZipContainer:
    container = ZipContainer(open_path(path), limits)
    try:
        container.check_layout()
        container.check_methods()
        if manifest_hash(container) != needed.manifest or BASE in container or not _fits(container, needed):
            raise BaseChanged(
                f"The unchanged tensors of this checkpoint lie in {needed.file}, and there is now another file of that "
                f"name, with other tensors.",
                path=delta,
                expected=f"{needed.file} with the manifest {needed.manifest}",
                hint=f"put that file beside it again, also as {spare_name(needed.manifest)}; or go on from another one",
            )
    except BaseException:
        container.close()
        raise
    return container


def _fits(container: ZipContainer, needed: Unchanged) -> bool:
    positions, sizes = container.positions, container.sizes
    links = needed.links.values()
    return all(link.record in positions and sizes[positions[link.record]] == link.nbytes for link in links)


def manifest_hash(container: Container) -> str:
    """The hash of a file's manifest, by which its tensors are known; "" if it has none."""
    if MANIFEST not in container or container.record(MANIFEST).size > container.limits.header_bytes:
        return ""
    return hash_of(container.read(MANIFEST))


def needs_of(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> Unchanged | None:
    """What a file needs of another one; None if nothing, or if it cannot be read."""
    try:
        with open_path(os.fspath(path)) as source:
            return read_base_record(ZipContainer(source, limits))
    except DotptError:
        return None


def check_base(path: str | os.PathLike[str]) -> None:
    """Raise as `join` if a file needs another one that is not there. No tensor is read."""
    with open_path(os.fspath(path)) as source:
        if source.size >= len(_ZIP) and source.read(0, len(_ZIP)) == _ZIP:
            joined = join(ZipContainer(source))
            if joined is not None:
                joined.container.close()


def _missing(needed: Unchanged, delta: str, why: str) -> BaseMissing:
    return BaseMissing(
        f"This checkpoint holds only what has changed since {needed.file}, {why}.",
        path=delta,
        expected=needed.file,
        hint=f"put {needed.file} beside it; `dotpt checkpoints pack` makes one plain file of the two",
    )
