"""A bar on stderr for whatever takes longer than a second, when somebody watches. Nothing otherwise."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Any

from dotpt.cli.words import size

_PATIENCE = 1.0  # seconds


class Watch:
    """Shows progress from the second second on. Call it with (done, total) as often as you like.

    Args:
        label: what is being done, such as ``verifying model.pt``.
        wanted: whether a bar is wanted at all.
    """

    def __init__(self, label: str, wanted: bool = True) -> None:
        self._label = label
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None
        self._state: tuple[int, int | None] = (0, None)
        self._timer = threading.Timer(_PATIENCE, self._start) if wanted and _watched() else None

    def __call__(self, done: int, total: int) -> None:
        """Take note of how far the work is."""
        self._state = done, total
        bar = self._bar
        if bar is not None:
            bar.update(self._task, completed=done, total=total or None, amount=_amount(done, total))

    def __enter__(self) -> Watch:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        with self._lock:  # a bar that is being made is finished first
            self._timer = None
            if self._bar is not None:
                self._bar.stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        with self._lock:
            if self._timer is None:
                return
            label, amount = (TextColumn(f"{{task.{what}}}", markup=False) for what in ("description", "fields[amount]"))
            columns = label, BarColumn(), amount, TimeRemainingColumn()
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            done, total = self._state
            self._task = bar.add_task(self._label, completed=done, total=total or None, amount=_amount(done, total))
            bar.start()
            self._bar = bar


def _amount(done: int, total: int | None) -> str:
    return f"{size(done)} of {size(total)}" if total else ""


def _watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
