"""Hashes of ranges of records, taken in the pass that compares the checksums."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dotpt.container.digest import hash_of
from dotpt.container.zip import ZipContainer
from dotpt.errors import SourceError
from dotpt.limits import Limits
from dotpt.source import open_source
from dotpt.source.base import Source
from dotpt.tensors import checking, together
from dotpt.tensors.checking import DAMAGED, NO_CHECKSUM, OK, PIECE, UNREADABLE, check_records
from tests.corpus.torch_zip import Style, write

RANDOM = random.Random(5)
LARGE = RANDOM.randbytes(3 * PIECE + 1234)
SMALL = [RANDOM.randbytes(size) for size in (0, 1, 100, 5000)]
RECORDS = [("data.pkl", b"N."), *((f"data/{n}", data) for n, data in enumerate([*SMALL, LARGE, SMALL[2], LARGE[::-1]]))]
SIZE = len(LARGE)
# ranges at, across and between the borders of pieces
WANTED = {
    2: [(0, 1)],
    3: [(0, 100), (10, 20), (15, 30)],
    5: [(0, SIZE), (0, PIECE), (PIECE, 2 * PIECE), (PIECE - 1, PIECE + 1), (5, SIZE - 5), (SIZE - 1, SIZE), (7, 7)],
    7: [(PIECE + 3, 3 * PIECE + 9)],
}


def opened(data: bytes | Source, **limits: Any) -> tuple[ZipContainer, list[Any]]:
    container = ZipContainer(open_source(data), Limits(**limits))
    return container, [container.record(name) for name in container.names]


def expected() -> dict[int, dict[tuple[int, int], str]]:
    return {number: {(a, b): hash_of(RECORDS[number][1][a:b]) for a, b in places} for number, places in WANTED.items()}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    "style", [Style(), Style(crc=False), Style(deflated=None), Style(deflated=None, crc=False)], ids=str
)
def test_hashes(threads: int, style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_LEAST_SHARED", 0)
    container, records = opened(write(RECORDS, style), deflated=True)
    checked = check_records(container, records, hashed=WANTED, threads=threads)
    assert checked.hashes == expected()
    assert set(checked.statuses) == ({OK} if style.crc else {NO_CHECKSUM, OK})
    sizes = [len(data) for _, data in RECORDS]
    # of records without a checksum, only what is hashed was read
    assert checked.bytes == (sum(sizes) if style.crc else sum(sizes[number] for number in WANTED))


def test_hashes_of_damaged_bytes_are_those_of_the_damaged_bytes() -> None:
    data = bytearray(write(RECORDS))
    at = data.index(LARGE) + PIECE + 50
    data[at] ^= 1
    container, records = opened(bytes(data))
    checked = check_records(container, records, hashed=WANTED)
    assert checked.statuses[5] == DAMAGED
    right = expected()
    wrong = {place for place, found in checked.hashes[5].items() if found != right[5][place]}
    assert wrong == {(0, SIZE), (PIECE, 2 * PIECE), (5, SIZE - 5)}
    assert checked.hashes[7] == right[7]


class _Scratched(Source):
    """A disk that cannot read some bytes."""

    def __init__(self, data: bytes, bad: int) -> None:
        self.name, self.size, self._data, self._bad = "disk", len(data), data, bad

    def read_into(self, offset: int, target: memoryview) -> None:
        self.check_range(offset, len(target))
        if offset <= self._bad < offset + len(target) and len(target) > 5000:
            raise SourceError("The bytes cannot be read.", path=self.name)
        target[:] = self._data[offset : offset + len(target)]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_record_that_cannot_be_read_has_no_hashes(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_LEAST_SHARED", 0)
    data = write(RECORDS)
    container, records = opened(_Scratched(data, data.index(LARGE) + PIECE + 50))
    checked = check_records(container, records, hashed=WANTED, threads=threads)
    right = expected()
    assert checked.statuses[5] == UNREADABLE
    assert checked.hashes == {number: found for number, found in right.items() if number != 5}


@pytest.mark.parametrize("threads", [2, 5])
def test_a_failure_in_one_thread_ends_all(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_LEAST_SHARED", 0)
    monkeypatch.setattr(checking, "REMOTE_PIECE", PIECE)
    data = write(RECORDS)
    disk = _Scratched(data, data.index(LARGE) + PIECE + 50)
    container, records = opened(disk)
    disk.remote = True  # then what cannot be read is raised
    with pytest.raises(SourceError):
        check_records(container, records, hashed={5: [(0, SIZE)]}, threads=threads)
