"""What crosses this boundary: storages in memory and the file before in; those that the file has already out.

Unchanged means that the bytes are the same: the xxh3-128 of all of them is the one that the manifest of the file before
has. Neither a counter of torch's nor an address decides that.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dotpt.container.digest import hash_of
from dotpt.container.zip import ZipContainer
from dotpt.errors import DotptError
from dotpt.formats.delta import manifest_hash
from dotpt.formats.draft import Link
from dotpt.formats.manifest import read_manifest
from dotpt.formats.record_names import BASE
from dotpt.limits import DEFAULT_LIMITS
from dotpt.source.paths import open_path

LEAST = (1 << 16) + 1  # bytes of a storage that is looked for; smaller ones are written
_THREADS = 2

Place = tuple[int, int]  # address in memory, and bytes


@dataclass(slots=True)
class Base:
    """A file that the next ones can refer to.

    Attributes:
        path: where it lies.
        manifest: the hash of its manifest.
        identity: size, time of change and number of the file when it was read.
        records: its records by bytes and hash.
    """

    path: Path
    manifest: str
    identity: tuple[int, int, int]
    records: dict[tuple[int, str], list[str]] = field(default_factory=dict)

    def is_there(self) -> bool:
        """Whether it is still the same file."""
        return _identity(self.path) == self.identity

    def sizes(self) -> frozenset[int]:
        """The sizes of its records: a storage of another size is in none."""
        return frozenset(nbytes for nbytes, _ in self.records)

    def find(self, storages: Iterable[tuple[int, int, str]]) -> dict[int, Link]:
        """The storages that it has, of (number, bytes, hash) each; two of them never get one record."""
        free = {key: list(names) for key, names in self.records.items()}
        links: dict[int, Link] = {}
        for number, nbytes, found in storages:
            names = free.get((nbytes, found))
            if names:
                links[number] = Link(names.pop(0), nbytes, found)
        return links


def base_of(path: str | os.PathLike[str]) -> Base | None:
    """A file as a base; None if it cannot be one: a delta, or a file without dotpt's manifest."""
    path = Path(path)
    identity = _identity(path)
    try:
        with open_path(str(path)) as source:
            container = ZipContainer(source, DEFAULT_LIMITS)
            manifest = read_manifest(container)
            if manifest is None or BASE in container or identity is None:
                return None
            base = Base(path, manifest_hash(container), identity)
            seen: set[str] = set()
            for listed in manifest.tensors.values():
                if listed.range is None and listed.record not in seen and listed.record in container:
                    seen.add(listed.record)
                    nbytes = container.record(listed.record).size
                    if nbytes >= LEAST:
                        base.records.setdefault((nbytes, listed.hash), []).append(listed.record)
            return base
    except DotptError:  # what cannot be read is nobody's base
        return None


def hashes_of(places: Sequence[Place]) -> list[str]:
    """The hash of each run of bytes in memory, computed on two cores, the largest first."""
    order = sorted(range(len(places)), key=lambda number: -places[number][1])
    if len(order) < 2 or (os.cpu_count() or 1) < 2:
        return [_hash_at(place) for place in places]
    found = [""] * len(places)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="dotpt-hash") as pool:
        for number, digest in zip(order, pool.map(_hash_at, [places[number] for number in order]), strict=True):
            found[number] = digest
    return found


def _hash_at(place: Place) -> str:
    address, nbytes = place
    return hash_of((ctypes.c_ubyte * nbytes).from_address(address))


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
