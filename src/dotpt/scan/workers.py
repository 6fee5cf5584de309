"""Several processes that scan: files out to them, `Findings` back, in order.

What crosses this boundary: numbers of files one way, findings the other. Invariants: a process that dies costs the
file that it was at and no other; none outlives the one that started it; order does not depend on who is faster.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from dotpt.scan.findings import Findings
from dotpt.scan.folders import scan_found, unread
from dotpt.scan.policy import Policy
from dotpt.scan.walk import Found

_MOST_FILES, _MOST_BYTES = 64, 64 << 20  # given to a process at once
_SHARE = 8  # pieces that each process gets at least, if there are enough files
_PATIENCE = 0.2  # seconds after which a process tells what it has so far


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    todo: list[int]


class Workers:
    """Processes that scan files of a list. They start at once, before the caller starts threads.

    Args:
        files: the list.
        policy: what is allowed.
        count: how many processes.
        debug: print tracebacks of mistakes in dotpt.
    """

    def __init__(self, files: Sequence[Found], policy: Policy, count: int, *, debug: bool = False) -> None:
        self._files, self._policy, self._debug = files, policy, debug
        # what the user named may be standard input or an address with options: that is done here
        here = [number for number, found in enumerate(files) if found.problem or (found.given and not _is_file(found))]
        self._here = set(here)
        self._waiting = deque(_pieces(files, self._here, count))
        self._workers: dict[Connection, _Worker] = {}
        _import_early()
        try:
            for _ in range(count):
                self._start()
        except BaseException:
            self.stop()
            raise

    def results(self, source: Callable[[str], Any] = str) -> Generator[Findings, None, None]:
        """The findings of each file, in order. Ending the iteration ends the processes."""
        ready: dict[int, Findings] = {}
        try:
            for number, found in enumerate(self._files):
                if number in self._here:
                    yield scan_found(found, self._policy, source, debug=self._debug)
                    continue
                while number not in ready:
                    self._receive(ready)
                yield ready.pop(number)
        finally:
            self.stop()

    def _receive(self, ready: dict[int, Findings]) -> None:
        for pipe in connection.wait(list(self._workers)):
            worker = self._workers[pipe]  # type: ignore[index]
            try:
                for number, findings in worker.pipe.recv():
                    ready[number] = findings
                    worker.todo.remove(number)
            except (EOFError, OSError):
                self._bury(worker, ready)
                continue
            if not worker.todo:
                self._assign(worker)

    def _bury(self, worker: _Worker, ready: dict[int, Findings]) -> None:
        """A process has died. What it still had is tried again, a file at a time, so that the culprit is found."""
        del self._workers[worker.pipe]
        worker.pipe.close()
        worker.process.join()
        if len(worker.todo) == 1:
            number = worker.todo[0]
            ready[number] = unread(
                self._files[number].path,
                f"The process that scanned it died ({_death(worker.process.exitcode)}).",
                "on a machine with more memory, or alone, without --jobs",
            )
        else:
            self._waiting.extendleft([number] for number in reversed(worker.todo))
        if self._waiting:
            self._start()

    def _start(self) -> None:
        # A fork copies one thread alone: with others, their locks would stay locked in the copy.
        forks = sys.platform == "linux" and threading.active_count() == 1
        context = get_context("fork" if forks else "spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._files, self._policy, os.getpid(), self._debug)
        process = context.Process(target=_work, args=arguments, daemon=True)  # type: ignore[attr-defined]
        with _uninterrupted():
            process.start()
            worker = _Worker(process, ours, [])
            self._workers[ours] = worker
        theirs.close()
        self._assign(worker)

    def _assign(self, worker: _Worker) -> None:
        worker.todo = self._waiting.popleft() if self._waiting else []
        try:
            worker.pipe.send(worker.todo)  # an empty piece: that was all
        except (BrokenPipeError, ConnectionResetError):
            return  # it died; reading from it says so, too
        if not worker.todo:
            del self._workers[worker.pipe]
            worker.pipe.close()
            worker.process.join()

    def stop(self) -> None:
        """End all processes now."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()


def _work(pipe: Connection, files: Sequence[Found], policy: Policy, parent: int, debug: bool) -> None:
    """What each process does, until it is told that there is no more, or nobody is left to tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    try:
        while todo := pipe.recv():
            found, told = [], perf_counter()
            for number in todo:
                found.append((number, scan_found(files[number], policy, debug=debug)))
                if perf_counter() - told > _PATIENCE:
                    pipe.send(found)
                    found, told = [], perf_counter()
                if os.getppid() != parent:
                    return
            if found:
                pipe.send(found)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _pieces(files: Sequence[Found], here: set[int], count: int) -> Iterator[list[int]]:
    """The work in pieces: of many files if they are small, and so many that the last ones end together."""
    most = max(1, min(_MOST_FILES, len(files) // (count * _SHARE)))
    piece: list[int] = []
    size = 0
    for number, found in enumerate(files):
        if number in here:
            continue
        piece.append(number)
        size += found.size
        if len(piece) >= most or size >= _MOST_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _is_file(found: Found) -> bool:
    return os.path.isfile(found.path)  # noqa: PTH113 - addresses and `-` are no paths


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until a process that is being started is known, and never reaches that process."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _import_early() -> None:
    """Import once, before the fork, what each process would import for itself."""
    from dotpt.formats import pt_legacy, pt_zip  # noqa: F401
    from dotpt.pickling import build_numpy, build_python, build_script, build_torch  # noqa: F401
    from dotpt.scan.containers import saved_zip  # noqa: F401
    from dotpt.source import gzip_, local, paths  # noqa: F401


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
