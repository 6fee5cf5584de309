"""Bytes into memory: slabs, pieces, threads, checksums by parts, swaps. Needs no torch."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dotpt.container import crc
from dotpt.container.record import Container, Extents, Record
from dotpt.errors import ChecksumMismatch
from dotpt.source.base import Source
from dotpt.source.memory import BytesSource
from dotpt.tensors import reading, together
from dotpt.tensors.arrays import swap_bytes
from dotpt.tensors.memory import HUGE, Memory, allocate


class Counting(Source):
    """A source that counts its reads and can fail at one."""

    def __init__(self, content: bytes, fail_at: int = -1) -> None:
        self.content, self.size, self.name = content, len(content), "counted"
        self.reads: list[tuple[int, int]] = []
        self.fail_at, self.lock = fail_at, threading.Lock()

    def read_into(self, offset: int, target: memoryview) -> None:
        with self.lock:
            self.reads.append((offset, len(target)))
            number = len(self.reads)
        if number == self.fail_at:
            raise OSError("the disk is gone")
        target[:] = self.content[offset : offset + len(target)]


def records(content: bytes, spans: list[tuple[int, int]], checked: bool = True) -> list[Record]:
    return [
        Record(f"r{at}", at, size, size, 0, zlib.crc32(content[at : at + size]) if checked else None)
        for at, size in spans
    ]


def read(source: Source, chosen: list[Record], **options: Any) -> list[bytes]:
    memories = reading.read_records(Container(source), Extents.of(chosen), **options)
    return [bytes(held.view) for held in memories]


CONTENT = np.random.default_rng(1).integers(0, 256, 1 << 20, np.uint8).tobytes()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces and slabs of a few kilobytes, so that small data takes the ways of large data."""
    monkeypatch.setattr(together, "_LEAST_SHARED", 1)
    for name, value in {"PIECE": 4096, "SLAB": 16384, "GAP": 512}.items():
        monkeypatch.setattr(reading, name, value)


LAYOUTS: dict[str, list[tuple[int, int]]] = {
    "one": [(64, 1000)],
    "neighbours": [(64 * n, 60) for n in range(200)],
    "apart": [(0, 100), (100_032, 100), (900_032, 50_000)],
    "backwards": [(64 * n, 64) for n in reversed(range(100))],
    "empty ones": [(0, 0), (64, 10), (128, 0), (192, 0)],
    "unaligned": [(1, 7), (9, 100), (110, 5_000), (5_111, 13)],
    "larger than a piece": [(64, 5_000), (5_120, 20_001), (25_152, 3)],
    "exactly a piece": [(0, 4096), (4096, 4096), (8192, 8192)],
    "larger than a slab": [(0, 100_000), (100_032, 17_000)],
    "all": [(0, 1 << 20)],
    "none": [],
    "the same twice": [(64, 1000), (64, 1000)],
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", LAYOUTS)
def test_each_record_gets_its_bytes(name: str, threads: int) -> None:
    spans = LAYOUTS[name]
    found = read(Counting(CONTENT), records(CONTENT, spans), threads=threads)
    assert found == [CONTENT[at : at + size] for at, size in spans]


@pytest.mark.usefixtures("small")
@given(spans=st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 9_000)), max_size=20), threads=st.integers(1, 3))
def test_any_records_get_their_bytes(spans: list[tuple[int, int]], threads: int) -> None:
    """Overlaps too: the container refuses them, this does not rely on it."""
    assert read(Counting(CONTENT), records(CONTENT, spans), threads=threads) == [
        CONTENT[at : at + size] for at, size in spans
    ]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", LAYOUTS)
def test_records_are_read_into_memory_that_is_there(name: str, every: int) -> None:
    """All of them, or every other one; the rest gets memory of its own."""
    spans = LAYOUTS[name]
    chosen = records(CONTENT, spans)
    targets = {number: memoryview(bytearray(size)) for number, (_, size) in list(enumerate(spans))[::every]}
    found = read(Counting(CONTENT), chosen, targets=targets, threads=2)
    assert found == [CONTENT[at : at + size] for at, size in spans]
    assert all(bytes(target) == found[number] for number, target in targets.items())
    if any(size for _, size in spans[:1]):
        damaged = bytearray(CONTENT)
        damaged[spans[0][0]] ^= 1
        with pytest.raises(ChecksumMismatch):
            read(Counting(bytes(damaged)), chosen, targets=targets)


def test_many_small_neighbours_are_one_read() -> None:
    source = Counting(CONTENT)
    read(source, records(CONTENT, [(64 * n, 60) for n in range(5_000)]))
    assert len(source.reads) == 1


def test_records_far_apart_are_not_read_through() -> None:
    source = Counting(CONTENT)
    read(source, records(CONTENT, [(0, 100), (1_000_000, 100)]))
    assert sorted(source.reads) == [(0, 100), (1_000_000, 100)]


def test_every_memory_is_aligned_as_its_record_is() -> None:
    spans = [(64 * n, 60) for n in range(100)]
    for held, (at, _) in zip(
        reading.read_records(Container(Counting(CONTENT)), Extents.of(records(CONTENT, spans))), spans, strict=True
    ):
        address = np.frombuffer(held.view, np.uint8).__array_interface__["data"][0]
        assert address % 16 == 0, at


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", [n for n, spans in LAYOUTS.items() if any(size for _, size in spans)])
@pytest.mark.parametrize("threads", [1, 3])
def test_one_wrong_bit_anywhere_is_found_and_its_record_named(name: str, threads: int) -> None:
    spans = LAYOUTS[name]
    good = records(CONTENT, spans)
    for record in [r for r in good if r.size][:: max(len(good) // 10, 1)]:
        for at in {record.offset, record.offset + record.size // 2, record.offset + record.size - 1}:
            damaged = bytearray(CONTENT)
            damaged[at] ^= 4
            with pytest.raises(ChecksumMismatch) as caught:
                read(Counting(bytes(damaged)), good, threads=threads)
            assert caught.value.offset is not None
            assert caught.value.record in {r.name for r in good if r.offset <= at < r.offset + r.size}
            assert read(Counting(bytes(damaged)), good, threads=threads, verify=False)


@pytest.mark.usefixtures("small")
def test_the_first_damaged_record_of_the_file_is_the_one_reported() -> None:
    spans = [(64 * n, 64) for n in reversed(range(50))]
    damaged = bytearray(CONTENT)
    for at in (64 * 7, 64 * 30, 64 * 44):
        damaged[at] ^= 1
    with pytest.raises(ChecksumMismatch) as caught:
        read(Counting(bytes(damaged)), records(CONTENT, spans), threads=2)
    assert caught.value.offset == 64 * 7


@pytest.mark.usefixtures("small")
def test_records_without_a_checksum_are_read_unverified() -> None:
    assert read(Counting(CONTENT), records(CONTENT, [(0, 9_000)], checked=False)) == [CONTENT[:9_000]]


@pytest.mark.usefixtures("small")
def test_verification_in_place_is_the_same() -> None:
    view = memoryview(CONTENT)
    for spans in LAYOUTS.values():
        good = records(CONTENT, spans)
        reading.verify_in_place(BytesSource(CONTENT), view, Extents.of(good), threads=2)
        for record in [r for r in good if r.size][:3]:
            record.crc = (record.crc or 0) ^ 1
            with pytest.raises(ChecksumMismatch):
                reading.verify_in_place(BytesSource(CONTENT), view, Extents.of(good), threads=2)
            record.crc ^= 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("fail_at", [1, 2, 7])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_read_that_fails_in_any_thread_is_raised(fail_at: int, threads: int) -> None:
    with pytest.raises(OSError, match="disk is gone"):
        read(Counting(CONTENT, fail_at), records(CONTENT, [(0, 100_000)]), threads=threads)
    assert threading.active_count() < 10


@pytest.mark.usefixtures("small")
def test_no_thread_to_be_had_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert read(Counting(CONTENT), records(CONTENT, [(0, 100_000)]), threads=4) == [CONTENT[:100_000]]


@pytest.mark.usefixtures("small")
def test_progress_rises_to_the_end_and_can_stop_the_load() -> None:
    seen: list[tuple[int, int]] = []
    read(Counting(CONTENT), records(CONTENT, [(0, 100_000)]), threads=2, progress=lambda *now: seen.append(now))
    assert seen[-1] == (100_000, 100_000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    class EnoughError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        read(Counting(CONTENT), records(CONTENT, [(0, 100_000)]), threads=2, progress=stop)


# -- checksums ------------------------------------------------------------------------------------------------------


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_checksums_are_combined(first: bytes, second: bytes) -> None:
    whole = zlib.crc32(first + second)
    parts = zlib.crc32(first), zlib.crc32(second), len(second)
    assert crc.crc32(first + second) == whole
    assert crc.crc32_combine(*parts) == whole
    assert crc._combine_with_matrices(*parts) == whole


@pytest.mark.parametrize("length", [0, 1, 2, 255, 1 << 16, (1 << 20) - 3])
def test_checksums_of_long_runs_are_combined(length: int) -> None:
    first, second = CONTENT[: len(CONTENT) - length], CONTENT[len(CONTENT) - length :]
    parts = zlib.crc32(first), zlib.crc32(second), len(second)
    assert crc._combine_with_matrices(*parts) == crc.crc32_combine(*parts) == zlib.crc32(CONTENT)


# -- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 63, 65_535, 65_536, HUGE - 1, HUGE, HUGE + 1, 3 * HUGE + 12_345])
def test_memory_is_writable_zero_and_aligned(length: int) -> None:
    held = allocate(length)
    assert len(held.view) == held.length == length
    assert not any(held.view[:100])
    if length:
        array = np.frombuffer(held.view, np.uint8)
        array[-1] = 7
        assert held.view[-1] == 7
        address = array.__array_interface__["data"][0]
        assert address % (HUGE if length >= HUGE else 64 if length >= 1 << 16 else 16) == 0


def test_a_part_is_a_window_and_keeps_the_whole_alive() -> None:
    held = allocate(100)
    part = held.part(10, 20).part(5, 5)
    part.view[:] = b"abcde"
    assert bytes(held.view[15:20]) == b"abcde"
    array = np.frombuffer(part.buffer, np.uint8, 5, part.start)
    del held, part
    assert array.tobytes() == b"abcde"


def test_too_much_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        allocate(1 << 60)


# -- byte order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1, 2, 4, 8])
@pytest.mark.parametrize("start", [0, 1, 3, 8])
def test_bytes_are_turned_round_by_units(unit: int, start: int) -> None:
    data = bytearray(range(64))
    swap_bytes(Memory(data, start, 40), unit)
    wanted = bytearray(range(64))
    for at in range(start, start + 40, unit):
        wanted[at : at + unit] = bytes(reversed(wanted[at : at + unit]))
    assert data == wanted


def test_a_tail_shorter_than_a_unit_is_left() -> None:
    data = bytearray(range(7))
    swap_bytes(Memory(data, 0, 7), 4)
    assert data == bytes([3, 2, 1, 0, 4, 5, 6])
