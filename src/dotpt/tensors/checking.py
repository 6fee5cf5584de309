"""The checksums of all records of a file, each compared, in the memory of a few pieces.

Loading stops at the first damaged record; this goes on, and says what became of each. The file passes through
one small buffer a thread, which stays in the processor's cache: no memory is taken for what is read. Ranges of
records can be hashed in the same pass. Checksums of pieces can be put together afterwards, hashes cannot: so the
pieces of a large record are read and checksummed by any thread, and hashed one after the other.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dotpt.container.crc import crc32, crc32_combine
from dotpt.container.digest import Range, RangeHashes, hash_of
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
    """A range of the source, and the parts of records in it: record number, first and last byte in the range.

    Of a record in several pieces that is hashed, ``chain`` takes its pieces, and ``place`` is that of this one.
    """

    offset: int
    length: int
    parts: list[tuple[int, int, int]] = field(default_factory=list)
    chain: _Chain | None = None
    place: int = 0


class _Chain:
    """The hashes of a record in several pieces, which several threads read, each waiting for its turn here.

    Pieces are begun in their order, so the one that another waits for is always on its way.
    """

    def __init__(self, hashes: RangeHashes, pieces: int) -> None:
        self._hashes = hashes
        self._turns = [threading.Lock() for _ in range(pieces + 1)]
        for turn in self._turns[1:]:
            turn.acquire()
        self.broken = False

    def take(self, place: int, view: memoryview | None) -> None:
        """Hash a piece; None: it could not be read, so nothing can be said of the record."""
        self._turns[place].acquire()
        try:
            if view is None:
                self.broken = True
            elif not self.broken:
                self._hashes.update(view)
        finally:
            self._turns[place + 1].release()

    @property
    def found(self) -> dict[Range, str]:
        """The hash of each range."""
        return {} if self.broken else self._hashes.found


@dataclass(slots=True)
class Checked:
    """The outcome.

    Attributes:
        statuses: of each record, by its checksum: `OK`, `DAMAGED`, `NO_CHECKSUM` or `UNREADABLE`.
        bytes: how many were read and compared, or hashed (of compressed records: their content).
        hashes: of the ranges that were asked for, by the record's number; those of a record that could not be read
            are missing.
    """

    statuses: list[str]
    bytes: int
    hashes: dict[int, dict[Range, str]] = field(default_factory=dict)


def check_records(
    container: Container,
    records: Sequence[Record],
    *,
    hashed: Mapping[int, Sequence[Range]] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Compare every record with its checksum.

    Args:
        hashed: ranges to hash, by the number of the record; they lie in it.
        threads: how many to read with (default: two, if there are two processors).
        progress: called with (bytes done, bytes in all) as pieces are checked.

    Raises:
        SourceError: the source can no longer be read at all (a local file with unreadable places is no such case).
    """
    return _Checking(container, records, hashed or {}, progress).run(threads)


class _Checking:
    def __init__(
        self,
        container: Container,
        records: Sequence[Record],
        hashed: Mapping[int, Sequence[Range]],
        progress: Progress | None,
    ) -> None:
        self._source, self._limits = container.source, container.limits
        self._records = records
        self._hashed = hashed
        self._progress = progress
        self._statuses = [NO_CHECKSUM if record.crc is None else OK for record in records]
        self._wanted = [n for n, record in enumerate(records) if record.crc is not None or n in hashed]
        stored = sorted((n for n in self._wanted if records[n].method == STORED), key=lambda n: records[n].offset)
        self._packed = [number for number in self._wanted if records[number].method != STORED]
        self._piece_size = REMOTE_PIECE if self._source.remote else PIECE
        self._pieces = _plan(records, stored, self._piece_size)
        self._chains = self._chained() if hashed else {}
        self._hashes: dict[int, dict[Range, str]] = {}
        self._partial: dict[int, list[tuple[int, int, int]]] = {}
        self._total = sum(records[number].size for number in self._wanted)
        self._done = 0

    def _chained(self) -> dict[int, _Chain]:
        """Link the pieces of each record that is hashed and has several of them."""
        pieces: dict[int, list[_Piece]] = {}
        for piece in self._pieces:
            number, left, right = piece.parts[0]
            if right - left != self._records[number].size and number in self._hashed:
                pieces.setdefault(number, []).append(piece)
        chains = {}
        for number, parts in pieces.items():
            chains[number] = chain = _Chain(RangeHashes(self._hashed[number]), len(parts))
            for place, piece in enumerate(parts):
                piece.chain, piece.place = chain, place
        return chains

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
        read = [number for number in self._wanted if self._statuses[number] != UNREADABLE]
        hashes = self._hashes | {number: chain.found for number, chain in self._chains.items() if chain.found}
        return Checked(self._statuses, sum(self._records[number].size for number in read), hashes)

    def _check(self, task: _Piece | int, buffer: memoryview) -> None:
        """One piece, or one compressed record. Called from several threads, for different ones."""
        if isinstance(task, int):
            size = self._records[task].size
            self._statuses[task] = self._readable([task], lambda: self._check_packed(task)) or UNREADABLE
            self._done += size
            return
        view, read = buffer[: task.length], False
        try:
            numbers = [number for number, _, _ in task.parts]
            read = self._readable(numbers, lambda: self._fill(task.offset, view)) is not None
            if read:
                self._check_parts(task, view)
        finally:
            if task.chain is not None:
                task.chain.take(task.place, view[: task.parts[0][2]] if read else None)

    def _check_parts(self, task: _Piece, view: memoryview) -> None:
        for number, left, right in task.parts:
            record, content = self._records[number], view[left:right]
            found = crc32(content) if record.crc is not None else None
            if right - left == record.size:
                if found != record.crc:
                    self._statuses[number] = DAMAGED
                if number in self._hashed:
                    self._hash(number, content)
            elif found is not None:
                self._partial.setdefault(number, []).append((task.offset + left, found, right - left))
            self._done += right - left

    def _hash(self, number: int, content: memoryview) -> None:
        """The hashes of a record that is in memory as a whole."""
        self._hashes[number] = {(begin, end): hash_of(content[begin:end]) for begin, end in self._hashed[number]}

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
        found, size, hashes = 0, 0, RangeHashes(self._hashed.get(number, ()))
        try:
            while position < end and not decoder.eof:
                data = self._source.read(position, min(PIECE, end - position))
                position += len(data)
                while data and size <= record.size and not decoder.eof:
                    content = decoder.decompress(data, PIECE)
                    found, size = crc32(content, found), size + len(content)
                    hashes.update(memoryview(content))
                    data = decoder.unconsumed_tail
                if size > record.size:
                    return DAMAGED
            while not decoder.eof and size <= record.size:  # what the decoder still holds back
                content = decoder.decompress(decoder.unconsumed_tail, PIECE)
                if not content:
                    break
                found, size = crc32(content, found), size + len(content)
                hashes.update(memoryview(content))
        except zlib.error:
            return DAMAGED
        if not decoder.eof or decoder.unused_data or position != end or size != record.size:
            return DAMAGED
        if number in self._hashed:
            self._hashes[number] = hashes.found
        if record.crc is None:
            return NO_CHECKSUM
        return OK if found == record.crc else DAMAGED

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
