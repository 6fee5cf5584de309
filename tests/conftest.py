"""What holds for the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

# A shell starts a program in the background with Ctrl-C ignored, and its children inherit that: tests that interrupt
# something would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many points the fault sweeps have tried: a sweep that finds no calls any more would pass."""
    tried = list(_points(terminalreporter.stats))
    if tried:
        terminalreporter.write_line(f"{sum(tried):,} points of {len(tried)} fault sweeps were tried")


def _points(stats: dict[str, list[Any]]) -> Iterator[int]:
    for report in stats.get("passed", []):
        yield from (value for name, value in getattr(report, "user_properties", ()) if name == "points")
