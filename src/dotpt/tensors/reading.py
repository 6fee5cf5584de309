"""Storage bytes into memory: few large reads, on two threads, checksummed in the same pass.

Records that lie close together are read as one *slab*, headers and padding included, so that a file of ten
thousand small tensors costs a handful of calls. A large record is a slab of its own: the memory of a tensor
that is no longer used can be returned, whatever else was loaded with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dotpt.container.crc import crc32, crc32_combine
from dotpt.container.record import Container, Extents, checksum_mismatch
from dotpt.source.base import Source
from dotpt.tensors.memory import Memory, allocate
from dotpt.tensors.together import together

SLAB = 4 << 20  # small neighbours are gathered up to this
PIECE = 4 << 20  # one read, and the checksum of it while it is in the cache
GAP = 1 << 14  # neighbours further apart than this are not read together
ALIGNMENT = 64

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
    extents: Extents,
    *,
    verify: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
    targets: Mapping[int, memoryview] | None = None,
) -> list[Memory]:
    """The content of each record, in memory of its own.

    Args:
        verify: compare checksums where the records have them.
        threads: how many to read with (default: two, if there are two processors).
        progress: called with (bytes done, bytes in all) as pieces arrive.
        targets: memory that is there already, as long as the record, by the record's number. What lies in it when
            a checksum is found to be wrong is the damaged content.

    Raises:
        ChecksumMismatch: a record's bytes are damaged.
    """
    targets = targets or {}
    memories: list[Any] = [None] * len(extents)
    packed = set(extents.packed)
    alone = packed.union(targets)
    order = sorted((n for n in range(len(extents)) if n not in alone), key=extents.offsets.__getitem__)
    pieces: list[_Piece] = []
    for number, target in targets.items():
        memories[number] = Memory(target, 0, len(target))
        if number not in packed:
            pieces += _in_place(number, extents.offsets[number], target)
    for slab in _slabs(extents, order):
        pieces += _plan(extents, slab, memories)
    checks = _Checks(container.source, extents) if verify else None
    _run(container.source, pieces, checks, threads, progress)
    if checks is not None:
        checks.finish()
    for number in extents.packed:
        record = extents.record(number)
        content = container.content(record)
        if verify:
            container.check_crc(record, content)
        memories[number] = memories[number] or allocate(len(content))
        memories[number].view[:] = content
    return memories


def verify_in_place(
    source: Source,
    view: memoryview,
    extents: Extents,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Compare the checksums of records that lie in a mapping of the whole file."""
    pieces = []
    for number, (offset, size, crc) in enumerate(zip(extents.offsets, extents.sizes, extents.crcs, strict=True)):
        if crc is not None:
            for begin in range(offset, offset + size, PIECE):
                length = min(PIECE, offset + size - begin)
                pieces.append(_Piece(begin, view[begin : begin + length], True, [(number, 0, length)]))
    checks = _Checks(source, extents)
    _run(source, pieces, checks, threads, progress)
    checks.finish()


def _slabs(extents: Extents, order: list[int]) -> list[list[int]]:
    """Numbers of the records that are read together."""
    slabs: list[list[int]] = []
    begin, end = 0, -1 - GAP
    offsets, sizes = extents.offsets, extents.sizes
    for number in order:
        offset = offsets[number]
        stop = offset + sizes[number]
        if 0 <= offset - end <= GAP and stop - begin <= SLAB and (offset - begin) % ALIGNMENT == 0:
            slabs[-1].append(number)
        else:
            slabs.append([number])
            begin = offset
        end = stop
    return slabs


def _plan(extents: Extents, slab: list[int], memories: list[Any]) -> list[_Piece]:
    """The reads of a slab; its records' memories are windows of one allocation."""
    offsets, sizes = extents.offsets, extents.sizes
    begin = offsets[slab[0]]
    end = offsets[slab[-1]] + sizes[slab[-1]]
    memory = allocate(end - begin)
    buffer, base, view = memory.buffer, memory.start - begin, memory.view
    for number in slab:
        memories[number] = Memory(buffer, base + offsets[number], sizes[number])
    if len(view) <= PIECE:
        parts = [(number, offsets[number] - begin, offsets[number] - begin + sizes[number]) for number in slab]
        return [_Piece(begin, view, False, parts)]
    pieces = [_Piece(begin + at, view[at : at + PIECE]) for at in range(0, len(view), PIECE)]
    for number in slab:
        start, stop = offsets[number] - begin, offsets[number] - begin + sizes[number]
        while start < stop:
            at = start // PIECE
            right = min(stop, (at + 1) * PIECE)
            pieces[at].parts.append((number, start - at * PIECE, right - at * PIECE))
            start = right
    return pieces


def _in_place(number: int, offset: int, target: memoryview) -> list[_Piece]:
    """The reads of one record into given memory."""
    cuts = ((at, target[at : at + PIECE]) for at in range(0, len(target), PIECE))
    return [_Piece(offset + at, part, False, [(number, 0, len(part))]) for at, part in cuts]


class _Checks:
    """Checksums of records, put together from those of their parts."""

    def __init__(self, source: Source, extents: Extents) -> None:
        self._source = source
        self._extents = extents
        self._partial: dict[int, list[tuple[int, int, int]]] = {}
        self._wrong: list[tuple[int, int]] = []

    def add(self, piece: _Piece) -> None:
        """Checksum what a piece holds. Called from several threads, for different pieces."""
        sizes, crcs, target = self._extents.sizes, self._extents.crcs, piece.target
        for number, left, right in piece.parts:
            crc = crcs[number]
            if crc is None:
                continue
            found = crc32(target[left:right])
            if right - left != sizes[number]:
                self._partial.setdefault(number, []).append((piece.offset + left, found, right - left))
            elif found != crc:
                self._wrong.append((number, found))

    def finish(self) -> None:
        """Raise for the first record (in the order of the file) whose bytes are not those written."""
        for number, parts in self._partial.items():
            total = 0
            for _, found, length in sorted(parts):
                total = crc32_combine(total, found, length)
            if total != self._extents.crcs[number]:
                self._wrong.append((number, total))
        if self._wrong:
            number, found = min(self._wrong, key=lambda wrong: self._extents.offsets[wrong[0]])
            raise checksum_mismatch(self._source, self._extents.record(number), found)


def _run(
    source: Source,
    pieces: list[_Piece],
    checks: _Checks | None,
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Read and check all pieces. The calling thread works too, and alone reports progress."""
    total = sum(len(piece.target) for piece in pieces)
    waiting = list(reversed(pieces))
    done = [0]

    def take(calling: bool) -> bool:
        try:
            piece = waiting.pop()
        except IndexError:
            return False
        if not piece.mapped:
            source.read_into(piece.offset, piece.target)
        if checks is not None:
            checks.add(piece)
        done[0] += len(piece.target)
        if calling and progress is not None:
            progress(min(done[0], total), total)
        return True

    together(take, total, threads)
    if progress is not None:
        progress(total, total)
