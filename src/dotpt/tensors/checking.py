"""The checksums of all records of a file, each compared, in the memory of a few pieces.

Loading stops at the first damaged record; this goes on, and says what became of each. The file passes through
one small buffer a thread, which stays in the processor's cache: no memory is taken for what is read.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dotpt.container.crc import crc32, crc32_combine
from dotpt.container.record import STORED, Container, Record
from dotpt.errors import SourceChanged, SourceError, TruncatedFile
from dotpt.limits import MIB
from dotpt.tensors.together import together

OK, DAMAGED, NO_CHECKSUM, UNREADABLE = "ok", "damaged", "no checksum", "unreadable"
PIECE = MIB  # of a local file: what a core's cache holds
REMOTE_PIECE = 8 * MIB  # where each piece is a round trip
_GAP = 1 << 14

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Piece:
    """A range of the source, and the parts of records in it: record number, first and last byte in the range."""

    offset: int
    length: int
    parts: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Checked:
    """The outcome.

    Attributes:
        statuses: of each record: `OK`, `DAMAGED`, `NO_CHECKSUM` or `UNREADABLE`.
        bytes: how many were read and compared (of compressed records: their content).
    """

    statuses: list[str]
    bytes: int


def check_records(
    container: Container, records: Sequence[Record], *, threads: int | None = None, progress: Progress | None = None
) -> Checked:
    """Compare every record with its checksum.

    Args:
        threads: how many to read with (default: two, if there are two processors).
        progress: called with (bytes done, bytes in all) as pieces are checked.

    Raises:
        SourceError: the source can no longer be read at all (a local file with unreadable places is no such case).
    """
    return _Checking(container, records, progress).run(threads)


class _Checking:
    def __init__(self, container: Container, records: Sequence[Record], progress: Progress | None) -> None:
        self._source, self._limits = container.source, container.limits
        self._records = records
        self._progress = progress
        self._statuses = [NO_CHECKSUM if record.crc is None else OK for record in records]
        known = [number for number, record in enumerate(records) if record.crc is not None]
        stored = sorted((n for n in known if records[n].method == STORED), key=lambda n: records[n].offset)
        self._packed = [number for number in known if records[number].method != STORED]
        self._piece_size = REMOTE_PIECE if self._source.remote else PIECE
        self._pieces = _plan(records, stored, self._piece_size)
        self._partial: dict[int, list[tuple[int, int, int]]] = {}
        self._total = sum(records[number].size for number in known)
        self._done = 0

    def run(self, threads: int | None) -> Checked:
        waiting: list[_Piece | int] = [*self._packed, *reversed(self._pieces)]
        buffers = threading.local()  # one for each thread, used again and again

        def take(calling: bool) -> bool:
            try:
                task = waiting.pop()
            except IndexError:
                return False
            if not hasattr(buffers, "view"):
                buffers.view = memoryview(bytearray(self._piece_size))
            self._check(task, buffers.view)
            if calling and self._progress is not None:
                self._progress(min(self._done, self._total), self._total)
            return True

        together(take, self._total, threads)
        self._join()
        if self._progress is not None:
            self._progress(self._total, self._total)
        read = sum(self._records[n].size for n, status in enumerate(self._statuses) if status in (OK, DAMAGED))
        return Checked(self._statuses, read)

    def _check(self, task: _Piece | int, buffer: memoryview) -> None:
        """One piece, or one compressed record. Called from several threads, for different ones."""
        if isinstance(task, int):
            size = self._records[task].size
            self._statuses[task] = self._readable([task], lambda: self._check_packed(task)) or UNREADABLE
            self._done += size
            return
        view = buffer[: task.length]
        numbers = [number for number, _, _ in task.parts]
        if self._readable(numbers, lambda: self._fill(task.offset, view)) is None:
            return
        for number, left, right in task.parts:
            record, found = self._records[number], crc32(view[left:right])
            if right - left != record.size:
                self._partial.setdefault(number, []).append((task.offset + left, found, right - left))
            elif found != record.crc:
                self._statuses[number] = DAMAGED
            self._done += right - left

    def _fill(self, offset: int, view: memoryview) -> str:
        self._source.read_into(offset, view)
        return OK

    def _readable(self, numbers: list[int], read: Callable[[], str]) -> str | None:
        """What ``read`` gives; where the disk or the record's own extent fails, the records are unreadable."""
        try:
            return read()
        except SourceChanged:
            raise
        except (SourceError, TruncatedFile) as error:
            if isinstance(error, SourceError) and self._source.remote:
                raise  # the connection is gone, and would be for every other piece
            for number in numbers:
                self._statuses[number] = UNREADABLE
            return None

    def _check_packed(self, number: int) -> str:
        """Inflate a record piece by piece, and never more of it than the directory states."""
        record = self._records[number]
        too_large = record.size > self._limits.inflated_bytes
        if too_large or (record.size > MIB and record.size > record.stored * self._limits.inflate_ratio):
            return UNREADABLE
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        position, end = record.offset, record.offset + record.stored
        found, size = 0, 0
        try:
            while position < end and not decoder.eof:
                data = self._source.read(position, min(PIECE, end - position))
                position += len(data)
                while data and size <= record.size and not decoder.eof:
                    content = decoder.decompress(data, PIECE)
                    found, size = crc32(content, found), size + len(content)
                    data = decoder.unconsumed_tail
                if size > record.size:
                    return DAMAGED
            while not decoder.eof and size <= record.size:  # what the decoder still holds back
                content = decoder.decompress(decoder.unconsumed_tail, PIECE)
                if not content:
                    break
                found, size = crc32(content, found), size + len(content)
        except zlib.error:
            return DAMAGED
        whole = decoder.eof and not decoder.unused_data and position == end and size == record.size
        return OK if whole and found == record.crc else DAMAGED

    def _join(self) -> None:
        """Put the checksums of records in several pieces together from those of their parts."""
        for number, parts in self._partial.items():
            total = 0
            for _, found, length in sorted(parts):
                total = crc32_combine(total, found, length)
            if total != self._records[number].crc and self._statuses[number] == OK:
                self._statuses[number] = DAMAGED


def _plan(records: Sequence[Record], order: list[int], size: int) -> list[_Piece]:
    """Pieces of at most ``size`` bytes: small neighbours together, a large record cut into several."""
    pieces: list[_Piece] = []
    for number in order:
        record = records[number]
        last = pieces[-1] if pieces else None
        end = last.offset + last.length if last is not None else 0
        if last is not None and 0 <= record.offset - end <= _GAP and record.offset + record.size - last.offset <= size:
            last.length = record.offset + record.size - last.offset
            last.parts.append((number, record.offset - last.offset, last.length))
            continue
        for at in range(0, max(record.size, 1), size):
            length = min(size, record.size - at)
            pieces.append(_Piece(record.offset + at, length, [(number, 0, length)]))
    return pieces
