"""Signals that ask a run to stop: they are noted, and answered at the next step, when a checkpoint can be saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any

_NAMES = ("SIGTERM", "SIGINT", "SIGUSR1")  # what schedulers and people send: preemption, Ctrl-C, "save and leave"


def stopping() -> frozenset[int]:
    """Those of the usual signals to stop that this system has."""
    return frozenset(int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name))


class SignalNotes:
    """Notes signals between `open` and `close`. The same signal a second time does what it did before.

    Args:
        numbers: which.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self.came: set[int] = set()
        self._numbers = tuple(numbers)
        self._before: dict[int, Any] = {}
        self._process, self._listening = os.getpid(), True

    def open(self) -> None:
        """Begin to listen. Only the main thread can; in another there is nothing to listen to."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._note)

    def close(self) -> None:
        """Put back what was there, unless somebody else has taken the signal since."""
        self._listening = False
        if threading.current_thread() is not threading.main_thread():
            return  # only that thread can; until then each signal does what it did before
        for number, before in list(self._before.items()):
            if signal.getsignal(number) == self._note and before is not None:
                signal.signal(number, before)
                del self._before[number]  # one that somebody else has taken may be given back to us

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A child that was forked ends at SIGTERM, as its parent expects; the workers of a loader live on at Ctrl-C,
        # which all get, so that the parent has batches up to the end of its step.
        if number in self.came or not self._listening or (os.getpid() != self._process and number == signal.SIGTERM):
            before = self._before.get(number, signal.SIG_DFL)
            signal.signal(number, before if before is not None else signal.SIG_DFL)
            signal.raise_signal(number)
        self.came.add(number)
