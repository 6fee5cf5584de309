"""`dotpt.Checkpointer`: everything a run goes on from, saved when a policy says so, restored with one call.

What crosses this boundary: the live objects of a training loop. Invariants: training waits for the snapshot only; the
newest whole checkpoint is never deleted; an error of a save in the background is raised at the next call.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from dotpt.errors import UsageError
from dotpt.formats.draft import Link
from dotpt.saving.save import save as write
from dotpt.saving.unchanged import Base
from dotpt.training.finding import choose
from dotpt.training.folder import Entry, elapsed_of, entries_of, make_folder, name_of, note_of
from dotpt.training.history import History, save_line, speed
from dotpt.training.increments import Increments, delete_spare_bases, keep_base
from dotpt.training.lock import FolderLock
from dotpt.training.moments import Moment, Stored
from dotpt.training.policies import All, EverySteps, Latest, Never, Policy
from dotpt.training.restored import Restored
from dotpt.training.retention import delete, superfluous
from dotpt.training.signals import SignalNotes, stopping
from dotpt.training.writer import Writer

if TYPE_CHECKING:
    from typing_extensions import Self

_EVERY_1000, _LATEST_3 = EverySteps(1000), Latest(3)


class SaveFailed(UserWarning):
    """A save failed in the background, and the loop has ended with an error of its own."""


class Checkpointer:
    """Saves a training run, and restores it.

    Args:
        folder: where the checkpoints lie, as ``step-00001000.pt``; it is made if it is not there.
        model, optimizer, scheduler, scaler, ema: what has a ``state_dict``; each is optional.
        loader: the data loader, or several by name, whose position is saved. `batches` notes others by itself.
        save: when `step` saves: a policy, or None: only `save` does.
        keep: which checkpoints stay.
        background: write in a thread, while training goes on.
        incremental: do not write again what has not changed (frozen layers, embeddings). Where the file system cannot
            share blocks, a file then refers to another one, and only dotpt opens it: see the guide on training.
        generators: random generators of one's own, by name.
        config: plain values that are saved, too.
        metadata: what is noted in each file, for `dotpt.read_metadata`.
        signals: at which signals (numbers) the run is saved and stopped; default SIGTERM, SIGINT and SIGUSR1.
        durable: each save ends when the disk has it.
        verify: read each checkpoint back from the disk before it counts.
        wait: seconds to wait for another process that writes into the folder.
        quiet: print nothing. Without it, a line for each save if the standard error is a terminal.
        writer: a TensorBoard ``SummaryWriter`` that is told what saves take.
        parts: any other objects with a ``state_dict``, by the names that they are to have in the file.

    Raises:
        RunInUse: another process saves into the folder.

    Example:
        >>> import torch, dotpt
        >>> from dotpt.training import Best, EverySteps, Latest
        >>> model = torch.nn.Linear(2, 1)
        >>> ckpt = dotpt.Checkpointer("runs/exp1", model=model, save=EverySteps(500), keep=Latest(3) | Best(2))
        >>> ckpt.restore() is None
        True
        >>> ckpt.close()
    """

    watcher: ClassVar[Callable[[Checkpointer], None] | None] = None  # told of every step; for `check_resume`

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        model: Any = None,
        optimizer: Any = None,
        scheduler: Any = None,
        scaler: Any = None,
        ema: Any = None,
        loader: Any = None,
        save: Policy | None = _EVERY_1000,
        keep: Policy | None = _LATEST_3,
        background: bool = True,
        incremental: bool = False,
        generators: Mapping[str, Any] | None = None,
        config: Any = None,
        metadata: Mapping[str, Any] | None = None,
        signals: Any = None,
        durable: bool = True,
        verify: bool = True,
        wait: float = 0.0,
        quiet: bool = False,
        writer: Any = None,
        **parts: Any,
    ) -> None:
        self.folder = Path(folder)
        self._save, self._keep = save or Never(), keep or All()
        self._save.due(Moment(0))  # a policy that only says the other thing says so now, not at the first save
        self._keep.kept([])
        from dotpt.training import torch_ranks, torch_run

        self._ranks = torch_ranks
        given = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler, "ema": ema, **parts}
        loaders = loader if isinstance(loader, Mapping) else {} if loader is None else {"loader": loader}
        self._run = torch_run.Run(given, loaders, generators or {}, config, staged=background)
        self._first = torch_ranks.rank() == 0
        self._lock: FolderLock | None = None
        torch_ranks.asked_of_first(partial(self._take_folder, wait))
        self.history = History(self.folder if self._first else None)
        self._writer = Writer(background=background)
        self._increments = Increments(self.folder) if incremental and self._first else None
        self._stop_at = stopping() if signals is None else frozenset(signals)
        self._signals = SignalNotes(self._stop_at | self._save.signals)
        self._metadata, self._durable, self._verify = dict(metadata or {}), durable, verify
        self._board, self._loud = writer, not quiet and self._first and sys.stderr.isatty()
        self._quiet = quiet or not self._first
        self.global_step = self.epoch = 0
        self._sequence = 1 + max((entry.stored.sequence for entry in self.entries()), default=0)
        self._elapsed, self._began = 0.0, time.monotonic()
        self._saved_at = self._began
        self._looked = False
        self._metrics: dict[str, Any] = {}
        self.history.note("start", save=repr(self._save), keep=repr(self._keep))
        self._signals.open()
        self._closed = False
        owned = (self._writer, self._signals, self._lock)
        self._finalizer = weakref.finalize(self, _forgotten, os.getpid(), *owned)

    def _take_folder(self, wait: float) -> None:
        make_folder(self.folder)
        self._lock = FolderLock(self.folder, wait)

    # -- the loop -----------------------------------------------------------------------------------------------

    def epochs(self, count: int) -> Iterator[int]:
        """The epochs up to ``count`` that are still to come, from the newest whole checkpoint on."""
        self._start()
        self._run.again()
        while self.epoch < count:
            self._run.positions.begin_epoch(self.epoch)
            yield self.epoch
            self._run.positions.end_epoch()
            self.epoch += 1
            self._save_if_due(ended=self.epoch - 1)

    def steps(self, count: int) -> Iterator[int]:
        """For a loop without epochs: the steps up to ``count`` that are still to come, counted from 0."""
        self._start()
        self._run.again()
        self._run.positions.count_steps()
        while self.global_step < count:
            before = self.global_step
            yield before
            if self.global_step == before:
                raise UsageError("The loop did not call step().", hint="ckpt.step(loss=loss) at the end of each round")

    def batches(self, loader: Any) -> Iterator[Any]:
        """The batches of a loader; of one that was in the middle when the checkpoint was saved, those that are left."""
        self._start()
        return self._run.positions.batches(loader)

    def step(self, **metrics: Any) -> None:
        """Count a step of training, and save if the policy says so.

        Args:
            metrics: what was measured, as numbers or tensors of one element. They are only read when there is a save.

        Raises:
            SystemExit: a signal asked the run to stop, and it is saved. The code is 128 + its number.
            DotptError: the save before this one has failed.
        """
        self._start()
        self.global_step += 1
        self._run.positions.step()
        self._metrics = {name: _metric(name, value) for name, value in metrics.items()}
        self._save_if_due()
        if Checkpointer.watcher is not None:
            Checkpointer.watcher(self)

    def _save_if_due(self, ended: int | None = None) -> None:
        now = time.monotonic()
        came = self._ranks.in_any(self._signals.came)
        moment = Moment(
            self.global_step, self.epoch if ended is None else ended, now - self._saved_at, came, ended is not None
        )
        stop = came & self._stop_at
        if self._ranks.from_first(self._save.due(moment)) or stop:
            self.save()
        self._signals.came -= came  # one that came since is answered at the next step
        if stop:
            self.close()
            self._say(f"Stopped by {signal.Signals(min(stop)).name} after step {self.global_step}, which is saved.")
            raise SystemExit(128 + min(stop))

    # -- saving ---------------------------------------------------------------------------------------------------

    def save(self, step: int | None = None, metrics: Mapping[str, Any] | None = None) -> Path:
        """Save now. With ``background`` it returns when the snapshot is taken; `wait` waits for the rest.

        Args:
            step: the number of the step, if `step` does not count them.
            metrics: what was measured; default: what `step` was told last.

        Returns:
            The path that the checkpoint will have.
        """
        if self._closed:
            raise UsageError("This Checkpointer is closed.", path=str(self.folder), hint="save before close()")
        self._looked = True  # what is saved now is the run; nothing is restored over it
        if step is not None:
            self.global_step = step
        if metrics is not None:
            self._metrics = {name: _metric(name, value) for name, value in metrics.items()}
        began = time.perf_counter()
        self._ranks.asked_of_first(self._writer.wait)
        waited = time.perf_counter() - began
        measured, epoch = self._measured(), self._epoch_to_go_on
        path = self.folder / name_of(self.global_step)
        base, held = self._increments.base_for(path) if self._increments is not None else None, dict[int, Link]()
        tree = self._run.capture(self.global_step, epoch, measured, base, held)
        now = time.monotonic()
        self._elapsed, self._began, self._saved_at = self._elapsed + now - self._began, now, now
        stored = Stored(self.global_step, self._sequence, epoch, self._elapsed, measured)
        self._sequence += 1
        stalled = time.perf_counter() - began
        if self._first:
            self._writer.start(partial(self._write, path, tree, stored, waited, stalled, base, held))
        return path

    def _write(
        self,
        path: Path,
        tree: Any,
        stored: Stored,
        waited: float,
        stalled: float,
        base: Base | None,
        held: Mapping[int, Link],
    ) -> None:
        """In the thread: the file, then what it replaces, then the record of it."""
        began = time.perf_counter()
        self._run.settle()
        saved = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        note = note_of(stored, self.history.run, saved)
        metadata = {**self._metadata, **note}
        keep_base(path)
        if self._increments is None:
            write(tree, path, metadata=metadata, durable=self._durable, verify=self._verify)
        else:
            self._increments.write(
                tree, path, base, held, metadata=metadata, durable=self._durable, verify=self._verify
            )
        seconds = time.perf_counter() - began
        size = path.stat().st_size
        deleted = self._prune(stored.sequence)
        facts = {"step": stored.step, "epoch": stored.epoch, "metrics": stored.metrics, "bytes": size}
        if self._increments is not None:
            facts |= self._increments.facts
        facts |= {"waited": waited, "stalled": stalled, "seconds": seconds, "GB/s": speed(size, seconds)}
        self.history.note("save", path=path.name, saved=saved, sequence=stored.sequence, deleted=deleted, **facts)
        if self._board is not None:
            for name in ("waited", "stalled", "seconds", "GB/s"):
                self._board.add_scalar(f"checkpoint/{name}", facts[name], stored.step)
        if self._loud:
            self._say(save_line(facts))

    def _prune(self, whole: int) -> list[str]:
        """Delete what the policy no longer wants; ``whole`` is the checkpoint that was just written."""
        if isinstance(self._keep, All):
            return []
        going = superfluous(self.entries(), self._keep, self.history.run, whole)
        deleted = [entry.path.name for entry in going if delete(entry.path)]
        return deleted + delete_spare_bases(self.folder, self.history.run)

    def wait(self) -> None:
        """Return when the last save is on the disk.

        Raises:
            DotptError: it has failed.
        """
        self._writer.wait()

    # -- restoring ------------------------------------------------------------------------------------------------

    def restore(self, which: str | int | os.PathLike[str] = "latest") -> Restored | None:
        """Give everything back to the objects of this run.

        Args:
            which: ``"latest"`` (the newest that is whole), ``"best"`` (by the ``Best`` of ``keep``), a step, or the
                path of any checkpoint.

        Returns:
            What was restored, and what was not; None if the folder has no checkpoint.

        Raises:
            NoCheckpoint: it has, but not that one, or none is whole.
            FitError: it is of another model, which is left as it was.
        """
        self._looked = True
        self._writer.wait()
        began = time.perf_counter()
        path = self._ranks.asked_of_first(partial(choose, self.folder, which, self._keep))
        if path is None:
            return None
        restored = Restored(path, 0, 0)
        self._run.restore(path, restored)
        if self._increments is not None:
            self._increments.resumed(path)
        self.global_step, self.epoch = restored.step, restored.epoch
        self._elapsed, self._began, self._saved_at = elapsed_of(path), time.monotonic(), time.monotonic()
        restored.seconds = time.perf_counter() - began
        if self._first:
            self.history.note("load", path=path.name, step=restored.step, seconds=restored.seconds)
        self._say(str(restored))
        return restored

    def _start(self) -> None:
        if not self._looked:
            self.restore()

    # -- what there is --------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint of this moment would hold: plain values and live tensors."""
        return self._run.tree(self.global_step, self._epoch_to_go_on, self._measured())

    def objects(self) -> Iterable[Any]:
        """The objects that are saved: parts, loaders, generators."""
        return self._run.objects()

    @property
    def _epoch_to_go_on(self) -> int:
        """The epoch that a checkpoint of this moment goes on with: the next one, where the data of this are done."""
        return self.epoch + self._run.positions.epoch_is_done

    def _measured(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._metrics.items()}

    def entries(self) -> list[Entry]:
        """The checkpoints of the folder, in the order of saving."""
        return entries_of(self.folder) if self.folder.is_dir() else []

    def close(self) -> None:
        """Wait for the last save, and let go of the folder and the signals."""
        self._closed = True
        self._finalizer.detach()
        _let_go(self._writer, self._signals, self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except Exception as failure:  # the loop's own error goes on its way, and this one is told beside it
            warnings.warn(f"The last save failed, too: {failure}", SaveFailed, stacklevel=2)

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)


def _metric(name: str, value: Any) -> Any:
    """A number, or a tensor of one element without the graph that it was computed by: its value is not waited for."""
    try:
        if not hasattr(value, "detach"):
            return _number(value)
        if value.numel() == 1:
            return value.detach()
    except (TypeError, ValueError):
        value = f"{type(value).__name__} {value!r:.60}"
    else:
        value = f"a tensor of the shape {list(value.shape)}"
    raise UsageError(f"The metric {name} is no number, but {value}.", hint=f"{name}=loss.mean(), for example")


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError
    return float(value)


def _let_go(writer: Writer, signals: SignalNotes, lock: FolderLock | None) -> None:
    """Wait for the last save, and let go of the folder and the signals."""
    try:
        writer.close()
    finally:
        signals.close()
        if lock is not None:
            lock.release()


def _forgotten(process: int, writer: Writer, signals: SignalNotes, lock: FolderLock | None) -> None:
    """What `Checkpointer.close` does, for one that nobody closed: a failure can only be told."""
    if os.getpid() != process:
        return
    try:
        _let_go(writer, signals, lock)
    except Exception as error:
        print(f"dotpt: the last save failed: {error}", file=sys.stderr, flush=True)
