"""What crosses this boundary: what a stream asks for, step by step, noted while the machine decodes it.

A tree shows what a pickle leaves behind. A call whose result is thrown away, a name that is never used, a pickle that
breaks off after its payload are not in any tree; they are here. Invariant: entries are only appended, in the order
of the stream, and outlive the error that ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dotpt.pickling.values import GlobalName, InertObject

SHORTEST_HIDDEN = 8  # bytes of the shortest pickle that names and calls something


class NameEntry(NamedTuple):
    """A name that a stream asks for, where it is first met.

    Attributes:
        record: the record that the stream is in.
        name: module, name and offset.
        opcode: the opcode.
    """

    record: str
    name: GlobalName
    opcode: int


class CallEntry(NamedTuple):
    """A call of something that dotpt does not know.

    Attributes:
        record: the record that the stream is in.
        offset: byte of the opcode.
        opcode: the opcode.
        made: what stands for the result.
    """

    record: str
    offset: int
    opcode: int
    made: InertObject


@dataclass(slots=True)
class Journal:
    """Notes on the streams of one file.

    Attributes:
        names: what they name, each once a stream.
        calls: what they call, by record and offset (a stream that had to be read again is noted once).
        texts: strings and bytes that are long enough to be a pickle themselves, likewise.
        changes: (record, offset, name) of each class or function whose own attributes a stream sets.
    """

    names: list[NameEntry] = field(default_factory=list)
    calls: dict[tuple[str, int], CallEntry] = field(default_factory=dict)
    texts: dict[tuple[str, int], Any] = field(default_factory=dict)
    changes: list[tuple[str, int, str]] = field(default_factory=list)
    _within: str = ""
    _files: int = 0

    def name(self, record: str | None, name: GlobalName, opcode: int) -> None:
        """Note a name."""
        self.names.append(NameEntry(self._within + (record or ""), name, opcode))

    def call(self, record: str | None, offset: int, opcode: int, made: InertObject) -> None:
        """Note a call."""
        record = self._within + (record or "")
        self.calls[record, offset] = CallEntry(record, offset, opcode, made)

    def change(self, record: str | None, offset: int, name: str) -> None:
        """Note that attributes of a class or function are set."""
        self.changes.append((self._within + (record or ""), offset, name))

    def text(self, record: str | None, offset: int, value: Any) -> None:
        """Keep a text to be looked into. The machine has charged for it, so all together are bounded as it is."""
        self.texts[self._within + (record or ""), offset] = value

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What is noted meanwhile is of a file that is embedded in a pickle."""
        outer, self._files = self._within, self._files + 1
        self._within = f"{outer}embedded file {self._files}!"
        try:
            yield
        finally:
            self._within = outer
