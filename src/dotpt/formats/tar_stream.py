"""A member of torch 0.1's tar, in which small pickles and raw numbers alternate: read a little at a time."""

from __future__ import annotations

import struct
from typing import Any

from dotpt.container.tar import TarContainer
from dotpt.errors import DotptError, LimitExceeded, TarError
from dotpt.formats.contents import ReadOptions
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine, PickleCut
from dotpt.pickling.values import GlobalName
from dotpt.source.windows import Windows

_FIRST_READ = 1 << 14


class TarStream:
    """Where in the member the reader is, and what comes next there.

    Attributes:
        position: the next byte, counted from the file's beginning.
    """

    def __init__(
        self, container: TarContainer, member: str, context: Context, options: ReadOptions, order: str
    ) -> None:
        record = container.record(member)
        self.position = self._start = record.offset
        self._end = record.offset + record.size
        self._limit = options.limits.records
        self._longest = options.limits.pickle_bytes
        self._order = order
        self._windows = Windows(container.source)
        self._member = member
        self._path = container.source.name
        self._last = b""
        self._window = record.offset  # where the machine's bytes lie
        self._machine = Machine(
            b"", context, encoding=options.encoding, errors=options.errors, path=self._path, record=member
        )
        self._machine.fast = False  # a shortcut for many tensors in one pickle: here it would cost more than it saves

    @property
    def globals(self) -> list[GlobalName]:
        """Every name met so far."""
        return list(self._machine.globals.values())

    @property
    def left(self) -> int:
        """Bytes of the member that have not been read."""
        return self._end - self.position

    @property
    def at_end(self) -> bool:
        """Whether all of the member has been read."""
        return self.left == 0

    def load(self) -> Any:
        """The next pickle's object, reading on as long as the pickle does not end."""
        machine, room, begin = self._machine, self._machine.room, self.position
        machine.position = begin - self._window
        if not 0 <= machine.position < len(machine.data):
            self._read_on(_FIRST_READ)
        while True:
            try:
                value = machine.load()
                break
            except PickleCut:
                known = len(machine.data) - machine.position
                if known >= self.left or known > self._longest:
                    raise
                machine.room = room
                self._read_on(max(4 * known, _FIRST_READ))
            except DotptError as error:
                if error.offset is not None and error.record == self._member:
                    error.offset += self._window - self._start
                raise
        self.position = self._window + machine.position
        self._last = machine.data[begin - self._window : machine.position]
        return value

    def _read_on(self, length: int) -> None:
        """Have the machine see the next ``length`` bytes, as far as the member has them."""
        self._window = self.position
        self._machine.data = bytes(self._windows.read(self.position, min(length, self.left)))
        self._machine.position = 0

    def last_mentions(self, word: bytes) -> bool:
        """Whether the last pickle spells ``word``."""
        return word in self._last

    def count(self) -> int:
        """How many entries follow: a pickle of its own."""
        count = self.load()
        if type(count) is not int or not 0 <= count <= self.left:
            raise self.broken("The number of entries is none.")
        if count > self._limit:
            raise LimitExceeded("records", count, self._limit, path=self._path, record=self._member)
        return count

    def integers(self, count: int) -> tuple[int, ...]:
        """The next 64-bit integers."""
        if 8 * count > self.left:
            raise self.broken("The member ends within a number.")
        values = struct.unpack(f"{self._order}{count}q", self._windows.read(self.position, 8 * count))
        self.position += 8 * count
        return values

    def finish(self) -> None:
        """Nothing may follow."""
        if self.left:
            raise self.broken(f"{self.left:,} bytes follow the last entry.")

    def broken(self, problem: str) -> TarError:
        """The error for this place."""
        return TarError(
            problem,
            path=self._path,
            record=self._member,
            offset=self.position - self._start,
            hint="the file is damaged or made to mislead: get it again from its author",
        )
