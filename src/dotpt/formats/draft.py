"""What crosses this boundary: an object, encoded, on its way into a file of any format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from dotpt.container.record import Container
from dotpt.tensors.outgoing import Outgoing


class NamedRange(NamedTuple):
    """A tensor in the file: its address, its storage's key, and its first byte and the one behind its last there."""

    name: str
    key: str
    begin: int
    end: int


class Link(NamedTuple):
    """A storage that another file has already.

    Attributes:
        record: where, in that file.
        nbytes: its bytes.
        hash: of all of them.
    """

    record: str
    nbytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What needs not be written, because the file before has it.

    Attributes:
        file: the name of that file, in the same folder.
        manifest: the hash of its manifest, which says what it holds.
        links: the storages, by their keys in the new file.
        shared: that file, if its blocks are to become the new file's, too; else the new file refers to it.
    """

    file: str
    manifest: str
    links: Mapping[str, Link]
    shared: Container | None = None


@dataclass
class Draft:
    """An object whose bytes are known, except those of its tensors.

    Attributes:
        pickle: the object.
        storages: what its tensors look at, in the order in which the pickle names them.
        tensors: where each tensor lies.
        keep: what must stay alive until the storages are written.
        unchanged: what is not to be written.
    """

    pickle: bytes
    storages: list[Outgoing] = field(default_factory=list)
    tensors: list[NamedRange] = field(default_factory=list)
    keep: object = None
    unchanged: Unchanged | None = None

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all storages, as they are written."""
        links = self.unchanged.links if self.unchanged is not None else ()
        return sum([storage.written for storage in self.storages if storage.key not in links])
