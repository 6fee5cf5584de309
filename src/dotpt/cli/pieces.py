"""What crosses this boundary: a tensor in a file in; its values, in pieces of bounded size, out.

A tensor that fits into `WHOLE` is read at once and its checksum verified. A larger one is read piece by piece, in
the order of the file, and its checksum is added up on the way where the tensor is all of its record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from dotpt.container.record import STORED
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    import numpy as np

    from dotpt.cli.progress import Watch

WHOLE = 64 << 20  # bytes of a storage that is read at once
PIECE = 1 << 20  # elements of a piece

Block = tuple[slice, ...]


def blocks(shape: Sequence[int], strides: Sequence[int], most: int = PIECE) -> Iterator[Block]:
    """Indices that cut a tensor into pieces of at most ``most`` elements, and as many between their ends in memory.

    Example:
        >>> list(blocks((4, 3), (3, 1), 6))
        [(slice(0, 2, None), slice(0, 3, None)), (slice(2, 4, None), slice(0, 3, None))]
    """
    if 0 in shape:
        return
    waiting: list[Block] = [tuple(slice(0, size) for size in shape)]
    while waiting:
        block = waiting.pop()
        sizes = [part.stop - part.start for part in block]
        span = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        count = 1
        for size in sizes:
            count *= size
        if max(span, count) <= most or count == 1:
            yield block
            continue
        if span > most:
            axis = max((d for d, size in enumerate(sizes) if size > 1), key=lambda d: strides[d])
            inner = span - (sizes[axis] - 1) * strides[axis]
            step = max(1, (most - inner) // strides[axis] + 1)
        else:
            axis = max(range(len(sizes)), key=lambda d: sizes[d])
            step = sizes[axis]
        step = max(1, min(step, most // (count // sizes[axis])))
        part = block[axis]
        cuts = [slice(at, min(at + step, part.stop)) for at in range(part.start, part.stop, step)]
        waiting += [(*block[:axis], cut, *block[axis + 1 :]) for cut in reversed(cuts)]


class Streamed:
    """A plain tensor that is too large to be read at once.

    Attributes:
        verified: once all pieces were read: whether they gave the record's checksum; None where there is none, or
            where the tensor is only a part of its record.
    """

    def __init__(self, ref: TensorRef, watch: Watch | None = None) -> None:
        self.ref = ref
        self.verified: bool | None = None
        self._watch = watch

    def __iter__(self) -> Iterator[np.ndarray[Any, Any]]:
        from dotpt.container.crc import crc32

        ref, done, found = self.ref, 0, 0
        record = ref.storage.record if ref.storage is not None and self._is_whole_record() else None
        for block in blocks(ref.shape, ref.strides):
            piece = ref[block]
            if record is not None and record.crc is not None:
                found = crc32(piece.reshape(-1).view("uint8"), found)
            done += piece.size
            if self._watch is not None:
                self._watch(done * ref.dtype.itemsize, ref.nbytes)
            yield piece
        if record is not None and record.crc is not None:
            self.verified = found == record.crc

    def _is_whole_record(self) -> bool:
        ref, storage = self.ref, self.ref.storage
        plain = storage is not None and not storage.swap and storage.view_of is None
        if not plain or ref.dtype.name == "complex32" or ref.extra:
            return False
        return ref.is_contiguous and ref.offset == 0 and storage is not None and ref.nbytes == storage.nbytes

    def corners(self, edge: int) -> np.ndarray[Any, Any]:
        """A small array that prints as the whole would: first and last ``edge`` of each long axis, rubbish between."""
        import numpy as np

        ref = self.ref
        shown = tuple(min(size, 2 * edge + 1) for size in ref.shape)
        small = np.zeros(shown, ref[tuple(slice(0, 1) for _ in ref.shape)].dtype)
        halves = [[(0, size)] if size <= 2 * edge + 1 else [(0, edge), (size - edge, size)] for size in ref.shape]
        for corner in product(*halves):
            extent = [stop - start for start, stop in corner]
            for block in blocks(extent, ref.strides):
                pairs = list(zip(block, corner, ref.shape, shown, strict=True))
                source = tuple(slice(cut.start + low, cut.stop + low) for cut, (low, _), _, _ in pairs)
                target = tuple(
                    slice(cut.start + at, cut.stop + at)
                    for cut, (low, _), size, kept in pairs
                    for at in (low if low == 0 else low - size + kept,)
                )
                small[target] = ref[source]
        return small


def streams(ref: TensorRef, *, part: bool = False) -> bool:
    """Whether a tensor is so large that it is read in pieces (and so plain that it can be).

    Args:
        part: only the bytes that ``ref`` spans would be read, not all of its storage.
    """
    storage = ref.storage
    if storage is None or ref.layout != "strided" or ref.dtype.bits or "scheme" in (ref.extra or {}):
        return False
    base = storage.view_of[0] if storage.view_of else storage
    record = base.record
    if record is None or record.method != STORED:
        return False
    read = ref.extent * ref.dtype.itemsize if part else base.nbytes
    return max(read, ref.numel * ref.dtype.itemsize) > WHOLE
