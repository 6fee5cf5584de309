"""Storage bytes into memory: few large reads, on two threads, checksummed in the same pass.

Records that lie close together are read as one *slab*, headers and padding included, so that a file of ten
thousand small tensors costs a handful of calls. A large record is a slab of its own: the memory of a tensor
that is no longer used can be returned, whatever else was loaded with it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dotpt.container.crc import crc32, crc32_combine
from dotpt.container.record import STORED, Container, Record, checksum_mismatch
from dotpt.source.base import Source
from dotpt.tensors.memory import Memory, allocate

SLAB = 8 << 20  # small neighbours are gathered up to this
PIECE = 8 << 20  # one read, and the checksum of it while it is in the cache
GAP = 1 << 14  # neighbours further apart than this are not read together
ALIGNMENT = 64
_LEAST_THREADED = 4 << 20

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Piece:
    """A range of the source and its memory, to be read unless it is mapped, and the parts of records in it."""

    offset: int
    target: memoryview
    mapped: bool = False
    parts: list[tuple[int, int, int]] = field(default_factory=list)  # record number, first and last byte in target


def read_records(
    container: Container,
    records: Sequence[Record],
    *,
    verify: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Memory]:
    """The content of each record, in memory of its own.

    Args:
        verify: compare checksums where the records have them.
        threads: how many to read with (default: two, if there are two processors).
        progress: called with (bytes done, bytes in all) as pieces arrive.

    Raises:
        ChecksumMismatch: a record's bytes are damaged.
    """
    memories: list[Memory | None] = [None] * len(records)
    order = sorted((n for n, r in enumerate(records) if r.method == STORED), key=lambda n: records[n].offset)
    pieces: list[_Piece] = []
    for slab in _slabs(records, order):
        pieces += _plan(records, slab, memories)
    total = sum(len(piece.target) for piece in pieces)
    checks = _Checks(container.source, records) if verify else None
    _run(container.source, pieces, checks, threads, progress, total)
    if checks is not None:
        checks.finish()
    for number, record in enumerate(records):
        if record.method != STORED:
            content = container.content(record)
            if verify:
                container.check_crc(record, content)
            memory = memories[number] = allocate(len(content))
            memory.view[:] = content
    return memories  # type: ignore[return-value]


def verify_in_place(
    source: Source,
    view: memoryview,
    records: Sequence[Record],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Compare the checksums of records that lie in a mapping of the whole file."""
    pieces = []
    for number, record in enumerate(records):
        if record.crc is not None:
            for at in range(0, record.size, PIECE):
                begin = record.offset + at
                length = min(PIECE, record.size - at)
                pieces.append(_Piece(begin, view[begin : begin + length], True, [(number, 0, length)]))
    checks = _Checks(source, records)
    _run(source, pieces, checks, threads, progress, sum(len(piece.target) for piece in pieces))
    checks.finish()


def _slabs(records: Sequence[Record], order: list[int]) -> list[list[int]]:
    """Numbers of the records that are read together."""
    slabs: list[list[int]] = []
    begin, end = 0, -1 - GAP
    for number in order:
        offset, size = records[number].offset, records[number].size
        near = 0 <= offset - end <= GAP and offset + size - begin <= SLAB and (offset - begin) % ALIGNMENT == 0
        if near:
            slabs[-1].append(number)
        else:
            slabs.append([number])
            begin = offset
        end = offset + size
    return slabs


def _plan(records: Sequence[Record], slab: list[int], memories: list[Memory | None]) -> list[_Piece]:
    """The reads of a slab; its records' memories are windows of one allocation."""
    first, last = records[slab[0]], records[slab[-1]]
    begin, end = first.offset, last.offset + last.size
    memory = allocate(end - begin)
    for number in slab:
        memories[number] = memory.part(records[number].offset - begin, records[number].size)
    pieces = [
        _Piece(begin + at, memory.view[at : at + PIECE])
        for at in range(0, end - begin, PIECE)
    ]
    for number in slab:
        start = records[number].offset - begin
        stop = start + records[number].size
        for at in range(start // PIECE, -(-stop // PIECE)):
            left, right = max(start, at * PIECE) - at * PIECE, min(stop, (at + 1) * PIECE) - at * PIECE
            pieces[at].parts.append((number, left, right))
    return pieces


class _Checks:
    """Checksums of records, put together from those of their parts."""

    def __init__(self, source: Source, records: Sequence[Record]) -> None:
        self._source = source
        self._records = records
        self._partial: dict[int, list[tuple[int, int, int]]] = {}
        self._wrong: list[tuple[int, int]] = []

    def add(self, piece: _Piece) -> None:
        """Checksum what a piece holds. Called from several threads, for different pieces."""
        records, target = self._records, piece.target
        for number, left, right in piece.parts:
            record = records[number]
            if record.crc is None:
                continue
            found = crc32(target[left:right])
            if right - left == record.size:
                if found != record.crc:
                    self._wrong.append((number, found))
            else:
                offset = piece.offset + left
                self._partial.setdefault(number, []).append((offset, found, right - left))

    def finish(self) -> None:
        """Raise for the first record (in the order of the file) whose bytes are not those written."""
        for number, parts in self._partial.items():
            total = 0
            for _, found, length in sorted(parts):
                total = crc32_combine(total, found, length)
            if total != self._records[number].crc:
                self._wrong.append((number, total))
        if self._wrong:
            number, found = min(self._wrong, key=lambda wrong: self._records[wrong[0]].offset)
            raise checksum_mismatch(self._source, self._records[number], found)


def _run(
    source: Source,
    pieces: list[_Piece],
    checks: _Checks | None,
    threads: int | None,
    progress: Progress | None,
    total: int,
) -> None:
    """Read and check all pieces. The calling thread works too, and alone reports progress."""
    waiting = list(reversed(pieces))
    failures: list[BaseException] = []
    done = [0]

    def work(report: bool) -> None:
        while not failures:
            try:
                piece = waiting.pop()
            except IndexError:
                return
            try:
                if not piece.mapped:
                    source.read_into(piece.offset, piece.target)
                if checks is not None:
                    checks.add(piece)
                done[0] += len(piece.target)
                if report and progress is not None:
                    progress(min(done[0], total), total)
            except BaseException as failure:
                failures.append(failure)

    count = threads or min(2, os.cpu_count() or 1)
    helpers = [threading.Thread(target=work, args=(False,), daemon=True) for _ in range(count - 1)]
    if total >= _LEAST_THREADED:
        for helper in helpers:
            helper.start()
    work(True)
    for helper in helpers:
        if helper.ident is not None:
            helper.join()
    if failures:
        raise failures[0]
    if progress is not None:
        progress(total, total)
