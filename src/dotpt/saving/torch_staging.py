"""Bytes of a device's memory, brought to the CPU piece by piece while the piece before is being written.

Two buffers take turns: while the caller writes one, the next piece is copied into the other. On a CUDA device they
are pinned and the copies run on a stream of their own, so that writing and copying overlap; their 16 MiB are all
that a save of any size needs.
"""

from __future__ import annotations

from typing import Any

import torch

from dotpt.tensors.outgoing import PIECE, Fetch


class Stager:
    """Fetches pieces of device storages. The buffers are taken when first needed, and reused for every storage."""

    def __init__(self) -> None:
        self._lanes: dict[Any, list[_Lane]] = {}

    def fetcher(self, untyped: Any) -> Fetch:
        """The function that gives the bytes from ``begin`` to ``end`` of a storage."""
        reader: list[_Reader] = []

        def fetch(begin: int, end: int) -> memoryview:
            if not reader:
                reader.append(_Reader(untyped, self._lanes_of(untyped.device)))
            return reader[0].read(begin, end)

        return fetch

    def _lanes_of(self, device: Any) -> list[_Lane]:
        lanes = self._lanes.get(device)
        if lanes is None:
            lanes = self._lanes[device] = [_Lane(device), _Lane(device)]
        return lanes


class _Lane:
    """One buffer, and the copy that is filling it."""

    def __init__(self, device: Any) -> None:
        self._cuda = device.type == "cuda"
        self.buffer = torch.empty(PIECE, dtype=torch.uint8, pin_memory=self._cuda)
        stream: Any = torch.cuda.Stream
        self.stream: Any = stream(device) if self._cuda else None
        self.owner: Any = None
        self.range = (0, 0)

    def start(self, owner: Any, flat: Any, begin: int, end: int) -> None:
        """Begin to copy a range of ``flat`` here; on the CUDA device it goes on while the caller does other things."""
        self.owner, self.range = owner, (begin, end)
        if end - begin > len(self.buffer):
            self.buffer = torch.empty(end - begin, dtype=torch.uint8, pin_memory=self._cuda)
        target, source = self.buffer[: end - begin], flat[begin:end]
        if self._cuda:
            # what the training loop has queued for this memory comes first
            self.stream.wait_stream(torch.cuda.current_stream(flat.device))
            with torch.cuda.stream(self.stream):
                target.copy_(source, non_blocking=True)
        else:
            target.copy_(source)

    def finish(self) -> memoryview:
        """The bytes, the copy being complete."""
        if self._cuda:
            self.stream.synchronize()
        length = self.range[1] - self.range[0]
        filled: Any = self.buffer[:length].numpy()
        return memoryview(filled)


class _Reader:
    """One storage, read from front to back."""

    def __init__(self, untyped: Any, lanes: list[_Lane]) -> None:
        self._flat = torch.empty((0,), dtype=torch.uint8, device=untyped.device).set_(untyped)
        self._lanes = lanes

    def read(self, begin: int, end: int) -> memoryview:
        """The bytes of a range; the range behind it is fetched ahead."""
        lane, other = self._lanes
        if lane.owner is not self or lane.range != (begin, end):
            lane.start(self, self._flat, begin, end)
        ahead = min(end + PIECE, len(self._flat))
        if ahead > end:
            other.start(self, self._flat, end, ahead)
        self._lanes.reverse()
        return lane.finish()
