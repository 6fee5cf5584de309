"""What crosses this boundary: another library's checkpoint, an object with live tensors, into a file by `dotpt.save`.

Invariants: what is written is what the object was when `Saver.save` returned; a file is removed only after every save
that was asked for before that is on the disk, and not if the last of them failed.
"""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from dotpt.errors import CannotPickle
from dotpt.saving.save import save as write
from dotpt.training.torch_snapshot import Staging

_DEEPEST = 400  # levels; what is nested deeper contains itself


class Saver:
    """Saves one file at a time, in a thread, and removes what the library no longer wants.

    Args:
        background: whether in a thread. If not, `save` returns when the disk has the file.
        durable: each save ends when the disk has it.
        verify: read each file back from the disk before it takes its place.

    Attributes:
        history: of each save its path and, in seconds, how long it ``waited`` for the one before, how long training
            ``stalled`` with that, and how long the write took (``seconds``), once it is done.
    """

    def __init__(self, *, background: bool, durable: bool, verify: bool) -> None:
        self.history: list[dict[str, Any]] = []
        self._background, self._durable, self._verify = background, durable, verify
        self._staging = Staging()
        self._pool: ThreadPoolExecutor | None = None
        self._save: Future[None] | None = None
        self._failed = False
        self._removals: list[Future[None]] = []

    def save(self, tree: Any, path: Any, *, metadata: Mapping[str, Any] | None = None) -> None:
        """Save, or take a snapshot that is saved in the thread.

        Raises:
            DotptError: the save before this one has failed; this one is done nevertheless where it can be.
        """
        began = time.perf_counter()
        failure = self._settled()
        waited = time.perf_counter() - began
        self._failed = True  # until it is written
        facts: dict[str, Any] = {"path": str(path), "waited": waited}
        self.history.append(facts)
        if self._background:
            self._staging.begin()
            tree = frozen(tree, self._staging.stage)
            self._staging.finish()
        facts["stalled"] = time.perf_counter() - began
        self._save = self._do(self._write, tree, path, metadata, facts)
        if not self._background:
            self.wait()
        if failure is not None:
            raise failure

    def remove(self, remove: Callable[[], Any]) -> None:
        """Remove a file by a call, after the save that replaces it."""
        self._removals.append(self._do(self._remove, remove))
        if not self._background:
            self.wait()

    def wait(self) -> None:
        """Return when everything is done; raise what went wrong, once."""
        failure = self._settled()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Wait, and end the thread. A later save begins a new one."""
        try:
            self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown()
                self._pool = None
            self._staging = Staging()  # the memory of the snapshots is given back

    def _settled(self) -> BaseException | None:
        jobs = [*([self._save] if self._save else []), *self._removals]
        self._save, self._removals = None, []
        failures = [failure for job in jobs if (failure := job.exception()) is not None]
        return failures[0] if failures else None

    def _do(self, job: Callable[..., None], *arguments: Any) -> Future[None]:
        if self._background:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="dotpt-checkpoint")
            return self._pool.submit(job, *arguments)
        done: Future[None] = Future()
        try:
            job(*arguments)
            done.set_result(None)
        except BaseException as error:  # `wait` raises it, a line later
            done.set_exception(error)
        return done

    def _write(self, tree: Any, path: Any, metadata: Mapping[str, Any] | None, facts: dict[str, Any]) -> None:
        began = time.perf_counter()
        self._staging.wait()
        write(tree, path, metadata=metadata, durable=self._durable, verify=self._verify)
        self._failed = False
        facts["seconds"] = time.perf_counter() - began

    def _remove(self, remove: Callable[[], Any]) -> None:
        if not self._failed:  # else it may be the last whole one
            remove()


def frozen(value: Any, stage: Callable[[torch.Tensor], torch.Tensor], address: str = "", depth: int = 0) -> Any:
    """``value`` with containers of its own, and with what ``stage`` gives for each tensor; types stay what they are.

    Raises:
        CannotPickle: an object that cannot be copied, and thus not be saved while training goes on.
    """
    kind = type(value)
    if kind is torch.Tensor:
        return stage(value)
    if depth > _DEEPEST:
        raise CannotPickle("It is nested more than 400 levels deep, or contains itself.", key=address)
    if kind is dict:
        return {key: frozen(one, stage, _below(address, key), depth + 1) for key, one in value.items()}
    if kind is OrderedDict:
        pairs = ((key, frozen(one, stage, _below(address, key), depth + 1)) for key, one in value.items())
        ordered: Any = OrderedDict(pairs)
        for name, one in vars(value).items():  # the versions of the modules, `_metadata`
            setattr(ordered, name, copy.deepcopy(one))
        return ordered
    if kind is list or kind is tuple:
        return kind(frozen(one, stage, _below(address, number), depth + 1) for number, one in enumerate(value))
    try:
        return copy.deepcopy(value)
    except Exception as error:  # whatever the object's own code raises
        raise CannotPickle(
            f"A {kind.__qualname__} cannot be copied, so it cannot be saved in the background: {error}",
            key=address,
            hint="background=False",
        ) from error


def _below(address: str, key: Any) -> str:
    return f"{address}.{key}" if address else str(key)
