"""What crosses this boundary: a source in; the hashes of its bytes, and a source that can only give those bytes, out.

A file can change between the moment it is hashed and the moment it is read. So the pass that hashes it also notes a
SHA-256 of every block (`Seal`), and what is read afterwards comes through a `SealedSource`, which compares each block
before it hands out a byte of it. Where the bytes come from then does not matter.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dotpt.errors import SourceChanged
from dotpt.limits import KIB, MIB
from dotpt.source.base import Source

BLOCK = 256 * KIB
_PIECE = 4 * MIB
_KEPT = 16  # blocks that small reads are served from
_SHA256 = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Seal:
    """What the bytes of a file were.

    Attributes:
        size: how many.
        blocks: the SHA-256 of every `BLOCK` bytes, one after the other.
    """

    size: int
    blocks: bytes


def hash_source(
    source: Source, algorithm: str, shard_size: int | None = None, progress: Progress | None = None
) -> tuple[list[bytes], Seal]:
    """The hash of a source, or of every ``shard_size`` bytes of it, and its seal.

    Args:
        algorithm: ``sha256`` or ``blake2b``.
        progress: called with (bytes done, bytes in all).

    Example:
        >>> from dotpt.source import open_source
        >>> hashes, seal = hash_source(open_source(b"abcdef"), "sha256", 4)
        >>> len(hashes), seal.size
        (2, 6)
    """
    make: Callable[[], Any] = getattr(hashlib, algorithm)
    size, step = source.size, shard_size or max(source.size, 1)
    digests: list[bytes] = []
    blocks: list[bytes] = []
    hasher, left = make(), step
    buffer = memoryview(bytearray(min(size, _PIECE)))
    # hashlib lets go of the interpreter, so the seal costs no time where there is a second core.
    with ThreadPoolExecutor(1) as beside:
        for start in range(0, size, _PIECE):
            piece = buffer[: size - start]
            source.read_into(start, piece)
            sealing = beside.submit(_block_digests, piece)
            done = 0
            while done < len(piece):
                part = piece[done : done + left]
                hasher.update(part)
                done, left = done + len(part), left - len(part)
                if not left:
                    digests.append(hasher.digest())
                    hasher, left = make(), step
            blocks += sealing.result()
            if progress is not None:
                progress(start + len(piece), size)
    if left != step or (not size and shard_size is None):
        digests.append(hasher.digest())
    return digests, Seal(size, b"".join(blocks))


def _block_digests(piece: memoryview) -> list[bytes]:
    return [hashlib.sha256(piece[start : start + BLOCK]).digest() for start in range(0, len(piece), BLOCK)]


class SealedSource(Source):
    """A source that gives the bytes that were hashed, or `SourceChanged`.

    Args:
        source: where to read. It is closed together with this one.
        seal: what its bytes were.
    """

    def __init__(self, source: Source, seal: Seal) -> None:
        self._source = source
        self._seal = seal
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.name, self.remote, self.local, self.wrapped = source.name, source.remote, source.local, source.wrapped
        self.size = seal.size
        if source.size != seal.size:
            raise self._changed(min(source.size, seal.size))

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with the bytes from ``offset`` on, as they were hashed."""
        self.check_range(offset, len(target))
        done = 0
        while done < len(target):
            number, start = divmod(offset + done, BLOCK)
            length = min(BLOCK, self.size - number * BLOCK)
            part = target[done : done + length - start]
            if len(part) == length:
                self._source.read_into(offset + done, part)
                self._compare(number, part)
            else:
                part[:] = self._block(number, length)[start : start + len(part)]
            done += len(part)

    def close(self) -> None:
        """Close what is underneath."""
        self._source.close()

    def _block(self, number: int, length: int) -> bytes:
        """A whole block, for reads of a part of it; the last ones are kept."""
        with self._lock:
            block = self._kept.get(number)
            if block is not None:
                self._kept.move_to_end(number)
                return block
        block = self._source.read(number * BLOCK, length)
        self._compare(number, block)
        with self._lock:
            self._kept[number] = block
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return block

    def _compare(self, number: int, block: bytes | memoryview) -> None:
        expected = self._seal.blocks[number * _SHA256 : (number + 1) * _SHA256]
        if hashlib.sha256(block).digest() != expected:
            raise self._changed(number * BLOCK)

    def _changed(self, offset: int) -> SourceChanged:
        return SourceChanged(
            "The file was changed after its signature was compared.",
            path=self.name,
            offset=offset,
            hint="wait until whoever writes it is done, and verify it again",
        )
