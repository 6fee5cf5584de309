"""The checks of `zip` for thousands of records at once, by numpy. It only ever accepts.

A record that is exactly what torch writes is accepted here, column by column; any other is left to the checks
of `zip`, one record at a time, which know what to say about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dotpt.container.record import STORED

if TYPE_CHECKING:
    from dotpt.container.zip import ZipContainer

Array = np.ndarray[Any, Any]
WINDOW = 4 << 20
_CENTRAL, _LOCAL, _DESCRIPTOR = 46, 30, 16
_MAX32 = 0xFFFFFFFF


def entry_offsets(directory: bytes, count: int) -> Array | None:
    """Where each entry of a central directory begins, or None unless the signatures in it chain up exactly.

    Every occurrence of the signature is taken for an entry; that is right when each entry then ends where the
    next one begins, there are ``count`` of them, and the last one ends with the directory.
    """
    content = np.frombuffer(directory, np.uint8)
    if len(content) < _CENTRAL:
        return None
    signature = (content[:-3] == 0x50) & (content[1:-2] == 0x4B) & (content[2:-1] == 0x01) & (content[3:] == 0x02)
    offsets = np.flatnonzero(signature)
    if len(offsets) != count or offsets[0] != 0 or offsets[-1] + _CENTRAL > len(content):
        return None
    lengths = rows_of(content, offsets + 28, 6).view("<u2").sum(axis=1, dtype=np.int64)
    ends = offsets + _CENTRAL + lengths
    return offsets if ends[-1] == len(content) and (ends[:-1] == offsets[1:]).all() else None


class Directory:
    """The fixed parts of all central headers as a table.

    Args:
        directory: the central directory.
        entries: where each entry begins in it.
    """

    def __init__(self, directory: bytes, entries: Array) -> None:
        self._bytes = np.frombuffer(directory, np.uint8)
        self._entries = entries
        self.table = rows_of(self._bytes, self._entries, _CENTRAL)
        self.flags = self._column(8, "<u2")
        self.methods = self._column(10, "<u2")
        self.crcs = self._column(16, "<u4")
        self.stored = self._column(20, "<u4")
        self.sizes = self._column(24, "<u4")
        self.name_lengths = self._column(28, "<u2")
        self.headers = self._column(42, "<u4")

    def _column(self, at: int, kind: str) -> Array:
        width = np.dtype(kind).itemsize
        return np.ascontiguousarray(self.table[:, at : at + width]).view(kind)[:, 0]

    def unusual(self, known_flags: int, folder: int) -> list[int]:
        """Entries that are not plainly stored ones with 32-bit sizes and no extra field."""
        plain = (
            (self.flags & np.uint16(~known_flags & 0xFFFF) == 0)
            & (self.methods == STORED)
            & (self.stored == self.sizes)
            & (self.stored != _MAX32)
            & (self.headers != _MAX32)
            & (self._column(30, "<u2") == 0)
            & (self._column(34, "<u2") == 0)
            & (self._column(38, "<u4") & np.uint32(folder) == 0)
        )
        return np.flatnonzero(~plain).tolist()  # type: ignore[no-any-return]

    def follow_each_other(self, end: int) -> bool:
        """Whether the records stand in the directory's order, from byte 0 to ``end``, none reaching into the next."""
        headers = np.append(self.headers.astype(np.int64), end)
        return headers[0] == 0 and bool((headers[:-1] + _LOCAL + self.stored <= headers[1:]).all())

    def names(self, rows: Array, length: int) -> Array:
        """The names of some entries that are all ``length`` bytes long, one a row."""
        return rows_of(self._bytes, self._entries[rows] + _CENTRAL, length)


def accept(container: ZipContainer, directory: Directory, order: list[int], payloads: list[int]) -> None:
    """Fill in the payload offset of every record whose local header and descriptor are what torch writes.

    The file is read in windows, so this is for containers whose records are small.
    """
    rows = np.array(order, np.int64)
    spans = np.array(container.spans, np.int64).T[rows]
    buffer = memoryview(bytearray(min(WINDOW, container.source.size)))
    at, count = 0, len(order)
    while at < count:
        begin = int(spans[at, 0])
        stop = int(np.searchsorted(spans[:, 1], begin + len(buffer), side="right"))
        if stop <= at:  # a record larger than the window
            at += 1
            continue
        window = buffer[: int(spans[stop - 1, 1]) - begin]
        container.source.read_into(begin, window)
        _accept_window(np.frombuffer(window, np.uint8), begin, directory, rows[at:stop], spans[at:stop], payloads)
        at = stop


def _accept_window(
    window: Array, begin: int, directory: Directory, rows: Array, spans: Array, payloads: list[int]
) -> None:
    lengths = directory.name_lengths[rows]
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length)
        some = rows[chosen]
        starts, ends = spans[chosen, 0] - begin, spans[chosen, 1] - begin
        fits = starts + _LOCAL + length + 4 <= ends
        some, starts, ends = some[fits], starts[fits], ends[fits]
        if not len(some):
            continue
        local = rows_of(window, starts, _LOCAL + length + 4)
        table = directory.table[some]
        extra = _u16(local, 28).astype(np.int64)
        payload = starts + _LOCAL + length + extra
        descriptor = payload + directory.sizes[some]
        good = (
            (local[:, :4] == np.frombuffer(b"PK\x03\x04", np.uint8)).all(axis=1)
            & (local[:, 6:10] == table[:, 8:12]).all(axis=1)  # flags and method
            & (local[:, 14:26] == 0).all(axis=1)  # checksum and sizes stand in the descriptor
            & (local[:, 26:28] == table[:, 28:30]).all(axis=1)
            & (local[:, 30 : 30 + length] == directory.names(some, length)).all(axis=1)
            & (local[:, 30 + length : 32 + length] == np.frombuffer(b"FB", np.uint8)).all(axis=1)
            & (_u16(local, 32 + length).astype(np.int64) == extra - 4)  # one padding field, nothing else
            & (directory.flags[some] & 8 != 0)
            & (descriptor + _DESCRIPTOR == ends)
        )
        some, payload, descriptor, table = some[good], payload[good], descriptor[good], table[good]
        found = rows_of(window, descriptor, _DESCRIPTOR)
        same = (found[:, :4] == np.frombuffer(b"PK\x07\x08", np.uint8)).all(axis=1) & (
            found[:, 4:] == table[:, 16:28]
        ).all(axis=1)
        for index, offset in zip(some[same].tolist(), (payload[same] + begin).tolist(), strict=True):
            payloads[index] = offset


def rows_of(content: Array, starts: Array, width: int) -> Array:
    """``width`` bytes from each of ``starts`` on, one a row. All must lie within ``content``."""
    if width > len(content):
        return np.empty((0, width), np.uint8)  # then there are no starts either
    overlapping = np.lib.stride_tricks.as_strided(content, (len(content) - width + 1, width), (1, 1))
    return overlapping[starts]


def _u16(rows: Array, at: int) -> Array:
    return np.ascontiguousarray(rows[:, at : at + 2]).view("<u2")[:, 0]
