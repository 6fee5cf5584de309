"""What crosses this boundary: live tensors in, copies in memory that is used again for every snapshot out.

A snapshot is consistent: it is complete before training goes on (of a GPU: before the next kernel that training queues
may run), so what training changes in place afterwards is not in it. Sharing and strides are kept.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from dotpt.tensors.memory import allocate

_LARGE = 1 << 20  # bytes from which on memory is taken in huge pages


class Staging:
    """Memory for one snapshot at a time: `begin`, `stage` each tensor, `finish`; then it rests until it is written."""

    def __init__(self) -> None:
        self._memories: list[torch.Tensor] = []  # one for each storage, in the order of the walk
        self._staged: dict[int, torch.Tensor] = {}
        self._sources: list[torch.Tensor] = []
        self._targets: list[torch.Tensor] = []
        self._events: list[Any] = []
        self._left: Collection[int] = ()
        self.nbytes = 0

    def begin(self, left: Collection[int] = ()) -> None:
        """Forget the snapshot before; its memory is overwritten by this one.

        Args:
            left: addresses of storages that are not copied, for nobody will read their bytes.
        """
        self._left = left
        self._staged.clear()
        self._sources.clear()
        self._targets.clear()
        self._events.clear()
        self.nbytes = 0

    def stage(self, tensor: torch.Tensor) -> torch.Tensor:
        """The copy of a tensor; its content is there after `finish`."""
        tensor = tensor.detach()
        if type(tensor) is not torch.Tensor or tensor.layout is not torch.strided or _is_special(tensor):
            return _clone(tensor)
        storage = tensor.untyped_storage()
        if self._left and storage.device.type == "cpu" and storage.data_ptr() in self._left:
            return tensor
        memory = self._staged.get(storage._cdata)
        if memory is None:
            memory = self._staged[storage._cdata] = self._copy_of(storage)
        return torch.empty(0, dtype=tensor.dtype).set_(
            memory.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride()
        )

    def finish(self) -> None:
        """Copy everything that was staged."""
        on_cuda = [n for n, source in enumerate(self._sources) if source.device.type == "cuda"]
        if on_cuda:
            self._copy_from_cuda(on_cuda)
        rest = sorted(set(range(len(self._sources))).difference(on_cuda))
        if rest:
            torch._foreach_copy_([self._targets[n] for n in rest], [self._sources[n] for n in rest])
        self._sources.clear()  # the live tensors are not kept alive by us
        del self._memories[len(self._staged) :]

    def wait(self) -> None:
        """Return when the content is there; to be called by who reads it."""
        for event in self._events:
            event.synchronize()

    def _copy_of(self, storage: Any) -> torch.Tensor:
        number, size, device = len(self._staged), storage.nbytes(), storage.device
        pinned = device.type == "cuda"
        if number < len(self._memories):
            memory = self._memories[number]
            if memory.numel() != size or memory.is_pinned() != pinned:
                memory = self._memories[number] = _memory(size, pinned)
        else:
            memory = _memory(size, pinned)
            self._memories.append(memory)
        if size:
            self._sources.append(torch.empty(0, dtype=torch.uint8, device=device).set_(storage, 0, (size,), (1,)))
            self._targets.append(memory)
        self.nbytes += size
        return memory

    def _copy_from_cuda(self, numbers: list[int]) -> None:
        """Queue the copies beside training's own work; training's next kernels wait for them, the host does not."""
        devices = {self._sources[n].device for n in numbers}
        for device in devices:
            here = [n for n in numbers if self._sources[n].device == device]
            current = torch.cuda.current_stream(device)
            side: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for n in here:
                    self._targets[n].copy_(self._sources[n], non_blocking=True)
                    self._sources[n].record_stream(side)
            event = side.record_event()
            current.wait_event(event)
            self._events.append(event)


def _memory(size: int, pinned: bool) -> torch.Tensor:
    if pinned or size < _LARGE:
        return torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
    return torch.frombuffer(allocate(size).view, dtype=torch.uint8)


def _is_special(tensor: torch.Tensor) -> bool:
    return tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.is_meta


def _clone(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of a tensor that is more than a window on a storage: sparse, quantized, a subclass."""
    return tensor if tensor.is_meta else tensor.clone()
