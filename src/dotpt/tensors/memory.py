"""Large memory that is quick to fill: private anonymous mappings, of huge pages where the system has them.

The time to load a file that is in the page cache is mostly the time the kernel takes to hand out fresh 4 KiB
pages; pages of 2 MiB cost a fifth of it.
"""

from __future__ import annotations

import mmap

HUGE = 1 << 21
_WASTE = HUGE // 8
_LEAST_MAPPED = 1 << 16


class Memory:
    """Bytes at ``buffer[start:start + length]``. Arrays made on `buffer` keep it alive."""

    __slots__ = ("buffer", "length", "start")

    def __init__(self, buffer: mmap.mmap | bytearray | memoryview, start: int, length: int) -> None:
        self.buffer = buffer
        self.start = start
        self.length = length

    @property
    def view(self) -> memoryview:
        """The bytes, writable."""
        return memoryview(self.buffer)[self.start : self.start + self.length]

    def part(self, start: int, length: int) -> Memory:
        """A window of it."""
        return Memory(self.buffer, self.start + start, length)


def allocate(length: int) -> Memory:
    """``length`` writable bytes, aligned to 64 (small ones: to 16)."""
    if length < _LEAST_MAPPED:
        return Memory(bytearray(length), 0, length)
    if length < HUGE:
        return Memory(_map(length), 0, length)
    # Over-reserved (which costs nothing) so that the payload can begin on a huge page.
    buffer = _map(length + HUGE)
    start = -_address(buffer) % HUGE
    advise = getattr(mmap, "MADV_HUGEPAGE", None)
    if advise is not None and hasattr(buffer, "madvise"):
        # Whole huge pages: the tail must not round up to memory that nobody asked for, unless that is next to nothing.
        buffer.madvise(advise, start, (length + _WASTE) // HUGE * HUGE)
    return Memory(buffer, start, length)


def _map(length: int) -> mmap.mmap:
    try:
        if hasattr(mmap, "MAP_ANONYMOUS") and hasattr(mmap, "MAP_PRIVATE"):
            # The default would be shared memory, which has no huge pages and is several times slower.
            return mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return mmap.mmap(-1, length)
    except (OSError, OverflowError) as error:  # ENOMEM, for all that an anonymous mapping can fail for
        raise MemoryError(f"{length:,} bytes") from error


def _address(buffer: mmap.mmap) -> int:
    import ctypes

    view = (ctypes.c_char * 1).from_buffer(buffer)
    return ctypes.addressof(view)
