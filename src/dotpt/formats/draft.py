"""What crosses this boundary: an object, encoded, on its way into a file of any format."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from dotpt.tensors.outgoing import Outgoing


class NamedRange(NamedTuple):
    """A tensor in the file: its address, its storage's key, and its first byte and the one behind its last there."""

    name: str
    key: str
    begin: int
    end: int


@dataclass
class Draft:
    """An object whose bytes are known, except those of its tensors.

    Attributes:
        pickle: the object.
        storages: what its tensors look at, in the order in which the pickle names them.
        tensors: where each tensor lies.
        keep: what must stay alive until the storages are written.
    """

    pickle: bytes
    storages: list[Outgoing] = field(default_factory=list)
    tensors: list[NamedRange] = field(default_factory=list)
    keep: object = None

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all storages, as they are written."""
        return sum([storage.written for storage in self.storages])
