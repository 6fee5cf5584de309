"""`dotpt.training.check_resume`: whether a training loop that is stopped and resumed gives the same, to the bit."""

from __future__ import annotations

import gc
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

from dotpt.errors import UsageError
from dotpt.training.checkpointer import Checkpointer
from dotpt.training.resume_report import Difference, ResumeReport
from dotpt.training.torch_plain import plain
from dotpt.training.torch_random import random_states, restore_random

Digests = dict[str, str]


def check_resume(train: Callable[[Path], Any], *, stops: int | Sequence[int] = 3) -> ResumeReport:
    """Train undisturbed, and stopped and resumed, and compare every step.

    Args:
        train: the whole training. It takes the folder for its `Checkpointer`, makes all its objects anew, and may
            return something that is compared, too: a state dict, the losses.
        stops: after which steps to stop, or how many, spread over the run. Each stop is a run of its own.

    Returns:
        A `ResumeReport`; printed, it says what differs first, and what was not saved.

    Raises:
        UsageError: the function takes no steps with a `Checkpointer`.

    Example:
        >>> import torch, dotpt
        >>> def train(folder):
        ...     torch.manual_seed(0)
        ...     model = torch.nn.Linear(2, 1)
        ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        ...     with dotpt.Checkpointer(folder, model=model, optimizer=optimizer, quiet=True) as ckpt:
        ...         for step in ckpt.steps(3):
        ...             loss = model(torch.randn(4, 2)).square().mean()
        ...             optimizer.zero_grad()
        ...             loss.backward()
        ...             optimizer.step()
        ...             ckpt.step(loss=loss)
        >>> print(check_resume(train, stops=[2]))
        Exact: stopped after step 2 and resumed, each of 3 steps was the same to the bit.
    """
    start = random_states({})
    whole = _run(train, start)
    if not whole.steps:
        raise UsageError(
            "The function took no step with a Checkpointer, so there is nothing to compare.",
            hint="in it: ckpt = dotpt.Checkpointer(folder, ...), and ckpt.step(...) after each step",
        )
    last = max(whole.steps)
    report = ResumeReport(last, _spread(stops, last), unsaved=whole.unsaved)
    report.varies = _difference(whole, _run(train, start), 0)
    if report.varies is None:
        for stop in report.stops:
            difference = _difference(whole, _run(train, start, stop), stop)
            if difference is not None:
                report.differences.append(difference)
    restore_random(start, {})
    return report


class _Stopped(BaseException):
    """Stops a run as a kill would: no ``except Exception`` of the loop takes notice."""


class _Watched:
    """What was seen of one run."""

    def __init__(self, stop: int | None) -> None:
        self.steps: dict[int, Digests] = {}
        self.unsaved: list[str] = []
        self.result = ""
        self._stop = stop
        self._before = {id(one) for one in gc.get_objects()}

    def step(self, checkpointer: Checkpointer) -> None:
        """Called at the end of every `Checkpointer.step`."""
        step = checkpointer.global_step
        self.steps[step] = _digests(checkpointer.state())
        count = len(self.steps)
        if not self.unsaved and count & (count - 1) == 0:  # now and then: every object of the process is looked at
            self.unsaved = _unsaved(checkpointer, self._before)
        if step == self._stop:
            self._stop = None
            checkpointer.save()
            checkpointer.close()
            raise _Stopped


def _run(train: Callable[[Path], Any], start: Mapping[str, Any], stop: int | None = None) -> _Watched:
    with tempfile.TemporaryDirectory(prefix="dotpt-check-") as name:
        seen, folder = _Watched(stop), Path(name)
        with _watching(seen):
            restore_random(start, {})
            try:
                result = train(folder)
            except _Stopped:
                _disturb(seen)
                result = train(folder)
        seen.result = _digest(result)
    return seen


def _disturb(seen: _Watched) -> None:
    """Other random numbers: a new process has none of what came before the stop."""
    torch.manual_seed(len(seen.steps))
    np.random.seed(len(seen.steps))
    random.seed(len(seen.steps))


@contextmanager
def _watching(seen: _Watched) -> Iterator[None]:
    before, Checkpointer.watcher = Checkpointer.watcher, seen.step
    try:
        yield
    finally:
        Checkpointer.watcher = before


def _spread(stops: int | Sequence[int], last: int) -> tuple[int, ...]:
    if not isinstance(stops, int):
        return tuple(stops)
    return tuple(sorted({max(1, round(last * (n + 1) / (stops + 1))) for n in range(stops)}))


def _difference(whole: _Watched, other: _Watched, stopped: int) -> Difference | None:
    for step in sorted(whole.steps):
        ours, theirs = whole.steps[step], other.steps.get(step, {})
        parts = tuple(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
        if parts:
            return Difference(stopped, step, parts)
    return None if whole.result == other.result else Difference(stopped, None, ())


def _digests(tree: Mapping[str, Any]) -> Digests:
    """A digest for each part of a checkpoint, under the name that its user gave it."""
    digests: Digests = {}
    for key, value in tree.items():
        if key in ("metrics", "random_state") and isinstance(value, Mapping):
            head = "random" if key == "random_state" else key
            digests |= {f"{head}.{name}": _digest(one) for name, one in value.items()}
        elif key not in ("loss", "ranks", "config"):
            digests[key.removesuffix("_state_dict")] = _digest(value)
    return digests


def _digest(value: Any) -> str:
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    return xxhash.xxh3_128_hexdigest(repr(_ordered(plain(value, _told))).encode())


def _told(tensor: torch.Tensor) -> Any:
    """A tensor as text: its type, its shape, a hash of its bytes."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    content: Any = flat.view(torch.uint8).numpy() if flat.numel() else b""
    return f"{tensor.dtype} {tuple(tensor.shape)} {xxhash.xxh3_128_hexdigest(content)}"


def _ordered(value: Any) -> Any:
    """Dicts as lists of pairs in one order: in which order a state was filled says nothing of training."""
    if isinstance(value, Mapping):
        return sorted(((repr(key), _ordered(one)) for key, one in value.items()), key=lambda pair: pair[0])
    return [_ordered(one) for one in value] if isinstance(value, (list, tuple)) else value


def _unsaved(checkpointer: Checkpointer, before: set[int]) -> list[str]:
    """What the loop has made that has a state and no place in the checkpoint."""
    saved = {id(part) for part in checkpointer.objects()}
    for part in list(checkpointer.objects()):
        if isinstance(part, torch.nn.Module):
            saved |= {id(module) for module in part.modules()}
    kinds = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.amp.GradScaler, torch.nn.Module)
    generators = (torch.Generator, np.random.Generator, random.Random)
    found = []
    inner: set[int] = set()
    live = [one for one in gc.get_objects() if id(one) not in before and id(one) not in saved]
    for one in live:
        if isinstance(one, torch.nn.Module):
            inner |= {id(module) for module in one.modules() if module is not one}
    for one in live:
        if isinstance(one, kinds) and id(one) not in inner and one.state_dict():
            found.append(f"{type(one).__name__} is not saved: pass it to the Checkpointer.")
        elif isinstance(one, generators):
            found.append(f"{type(one).__module__}.{type(one).__name__} is not saved: Checkpointer(generators=...).")
        elif isinstance(one, torch.utils.data.DataLoader):
            found.append("DataLoader is not saved: iterate over ckpt.batches(loader), or pass loader=loader.")
    return sorted(set(found))
