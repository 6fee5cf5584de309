"""Timing side by side: the contenders take turns, round after round, so that a slow minute hits them all."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass(frozen=True)
class Job:
    """One line of the table: our way, a peer's way to the same result, and the ratio we promise."""

    name: str
    peer_name: str
    ours: Work
    peer: Work
    bar: float
    aim: float
    rounds: int = 15
    setup: Work = field(default=lambda: None)


@dataclass(frozen=True)
class Result:
    """Medians in seconds, and the median of the rounds' ratios (peer over ours: higher is better for us)."""

    job: Job
    ours: float
    peer: float
    ratio: float
    low: float
    high: float


def run(job: Job) -> Result:
    """Time a job: one uncounted round, then ``rounds`` in turn; ``setup`` goes before each and at the end, untimed."""
    job.setup()
    job.ours()
    job.peer()
    gc.collect()  # once: a collection before each round would leave cold caches that no user has
    pairs = []
    for number in range(job.rounds):
        # who goes first alternates too
        order = (job.ours, job.peer) if number % 2 else (job.peer, job.ours)
        seconds = {}
        for work in order:
            job.setup()
            seconds[work] = _seconds(work)
        pairs.append((seconds[job.ours], seconds[job.peer]))
    job.setup()
    ratios = sorted(peer / ours for ours, peer in pairs)
    return Result(
        job,
        statistics.median(ours for ours, _ in pairs),
        statistics.median(peer for _, peer in pairs),
        statistics.median(ratios),
        ratios[len(ratios) // 10],
        ratios[-1 - len(ratios) // 10],
    )


def _seconds(work: Work) -> float:
    begin = time.perf_counter()
    kept = work()
    seconds = time.perf_counter() - begin
    del kept  # freeing the memory is not timed: it is the same for everyone
    return seconds


def process(*code: str) -> Work:
    """A whole Python process: ``process("-m", "dotpt", ...)`` or ``process("-c", "...")``."""
    command = [sys.executable, *code]

    def work() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return work


def peak_over(path: str, code: str) -> float:
    """How much more memory than the file's size a process holds at its peak while it runs ``code``, as a share.

    The child imports everything and notes its peak before; ``code`` then loads the file named ``path``.
    """
    script = f"""
import os, torch, numpy, dotpt
dotpt.load, dotpt.open
def peak():
    for line in open("/proc/self/status"):  # not ru_maxrss, which a child inherits from its parent
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
path = {path!r}
{code.replace("path", repr(path + ".tiny"))}
before = peak()
kept = {code}
after = peak()
print((after - before) / os.path.getsize(path) - 1)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout)
