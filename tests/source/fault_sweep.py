"""Every system call of a piece of Python fails in turn, by a tracer: ``strace -e inject``.

A script is run once in a process of its own and defines ``run(folder)``. For each point that process forks; the child
waits until the tracer is attached, and then calls ``run`` between two markers. A first, undisturbed run tells which
system calls there are between them, from all threads of the child. Then each of them fails with each fault, counted
as the tracer counts: the n-th call of that name since it was attached. Imports thus happen once, and whatever the
script defines (classes, tensors, a warm cache) is there in each child.

Strace cannot make a write really short. What it can do (``retval=7``) is to let a call do nothing and report 7; only
a save that reads back what it wrote notices. `fault_seam` makes short writes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

ERRORS = ("error=EIO", "error=ENOSPC", "error=EINTR")
# The process dies when it makes the call, before the call does anything; so the next call's is "right after" this.
KILL = "signal=SIGKILL"
FAULTS = (*ERRORS, KILL)
NOT_REACHED = "not reached"

# Calls that cannot fail, or at whose failure the C library itself ends the process, whatever the program does.
_NEVER_FAIL = frozenset(
    {"exit", "exit_group", "rt_sigreturn", "restart_syscall", "futex", "gettid", "getpid", "clone3"}
)

_MARKERS = "/dotpt-sweep-begins", "/dotpt-sweep-ends"
_CALL = re.compile(r"(?:\d+ +)?(?P<name>\w+)\(")

_SERVER = """
import ctypes, os, select, sys

def line():
    text = b""
    while not text.endswith(b"\\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)
        text += byte
    return text.decode().rstrip("\\n")

def mark(path):
    try:
        os.stat(path)
    except OSError:
        pass

begins, ends = sys.argv[1:3]
space = {"__name__": "script"}
exec(compile(sys.argv[3], "<script>", "exec"), space)
tell = os.write
tell(1, b"ready\\n")
while True:
    folder = line()
    child = os.fork()
    if not child:
        ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1))  # PR_SET_PTRACER: whoever wants may trace us
        tell(1, b"%d\\n" % os.getpid())
        select.select([0], [], [])  # a call that nobody else makes: what the tracer sees of it counts for nothing
        mark(begins)
        try:
            space["run"](folder)
        except BaseException as error:
            mark(ends)
            tell(1, f"{type(error).__name__}: {error}\\n".replace("\\n", " ").encode() + b"\\n")
            os._exit(1)
        mark(ends)
        tell(1, b"\\n")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    line()
    tell(1, b"%d\\n" % os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Point:
    """A call that is made to fail: the ``number``-th one of this name since the tracer was attached."""

    call: str
    number: int
    fault: str

    def __str__(self) -> str:
        return f"{self.fault} at {self.call} {self.number}"


@dataclass(frozen=True)
class Outcome:
    """How the child ended.

    Attributes:
        ended: "saved" (``run`` returned), "failed" (it raised), or "killed".
        said: the type and the text of what it raised.
    """

    ended: str
    said: str


def strace_or_skip() -> str:
    """The path of strace, if this machine lets us use it; else the test is skipped with the reason."""
    found = shutil.which("strace")
    if sys.platform != "linux" or found is None:
        pytest.skip("strace is not installed")
    probe = [found, "-o", os.devnull, "-e", "inject=getppid:error=EIO", sys.executable, "-c", "pass"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"strace cannot be used here: {done.stderr.strip()[-200:]}")
    return found


def sweep(
    script: str,
    folder: Path,
    prepare: Callable[[], None],
    check: Callable[[Point, Outcome], None],
    faults: tuple[str, ...] = FAULTS,
) -> Counter[str]:
    """Make every system call of ``run(folder)`` fail in every way.

    Args:
        script: Python that defines ``run(folder: str)``.
        folder: is passed on to it.
        prepare: makes the files as they are before, for each point.
        check: is given each point and its outcome, and raises if the files are not what they should be.
        faults: what strace can inject: `FAULTS`, or such as ``error=EDQUOT`` and, for calls of the kind named before
            an arrow, ``write->retval=7``.

    Returns:
        How many points were tried with each fault. A point counts only if the tracer reports that it was reached;
        those that were not, in three attempts, are counted as `NOT_REACHED`.
    """
    strace = strace_or_skip()
    tried: Counter[str] = Counter()
    with _Server(script, strace) as server:
        prepare()
        outcome, trace = server.run(folder, None)
        assert outcome.ended == "saved", f"the undisturbed run failed: {outcome.said}"
        for point in _points(trace, faults):
            for _ in range(3):  # a run may make a call more or less than the first one did
                prepare()
                outcome, trace = server.run(folder, point)
                if _reached(trace, point, outcome):
                    break
            else:
                tried[NOT_REACHED] += 1
                continue
            tried[point.fault] += 1
            check(point, outcome)
    return tried


class _Server:
    """The process that has run the script, and forks for each point."""

    def __init__(self, script: str, strace: str) -> None:
        self._script, self._strace = script, strace

    def __enter__(self) -> _Server:
        command = [sys.executable, "-c", _SERVER, *_MARKERS, self._script]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, bufsize=0)
        assert self._process.stdin
        assert self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        assert self._line() == "ready"
        return self

    def __exit__(self, *facts: object) -> None:
        self._to.close()
        self._process.wait(timeout=60)
        self._from.close()

    def _line(self) -> str:
        return _line_of(self._from)

    def run(self, folder: Path, point: Point | None) -> tuple[Outcome, list[str]]:
        """One child: how it ended, and what the tracer saw."""
        self._to.write(f"{folder}\n".encode())
        child = self._line()
        with _traced(self._strace, child, point) as trace:
            self._to.write(b"go\n")
            said = self._line()
            # A killed child says nothing: the next line is then the server's, how it ended.
            code = said if re.fullmatch(r"-\d+", said) else self._line()
        ended = {"0": "saved", "1": "failed"}.get(code, "killed")
        return Outcome(ended, said), trace


@contextmanager
def _traced(strace: str, child: str, point: Point | None) -> Iterator[list[str]]:
    """Attach the tracer; after the block, the list has the lines of the trace."""
    report = tempfile.NamedTemporaryFile(suffix=".strace")
    command = [strace, "-f", "-o", report.name, "-p", child]
    if point is not None:
        command += ["-e", f"inject={point.call}:{point.fault.rpartition('->')[2]}:when={point.number}"]
    trace: list[str] = []
    with report, subprocess.Popen(command, stderr=subprocess.PIPE, bufsize=0) as tracer:
        assert tracer.stderr
        first = _line_of(tracer.stderr)
        if "attached" not in first:
            tracer.wait()
            os.kill(int(child), 9)
            pytest.skip(f"strace may not attach to a process here: {first}")
        yield trace
        tracer.wait(timeout=60)
        trace += Path(report.name).read_text(errors="replace").splitlines()


def _line_of(pipe: IO[bytes]) -> str:
    text = b""
    while not text.endswith(b"\n"):
        byte = pipe.read(1)
        if not byte:
            raise EOFError(f"the process ended early: {text!r}")
        text += byte
    return text.decode(errors="replace").rstrip("\n")


def _points(trace: list[str], faults: tuple[str, ...]) -> Iterator[Point]:
    """Each call between the markers with each fault that suits it."""
    counts: Counter[str] = Counter()
    inside = False
    for line in trace:
        found = _CALL.match(line)
        if not found:
            continue
        name = found["name"]
        counts[name] += 1
        if _MARKERS[0] in line:
            inside = True
            continue
        over = _MARKERS[1] in line
        for fault in faults:
            only, _, what = fault.rpartition("->")
            can_fail = name not in _NEVER_FAIL and not over
            if inside and only in ("", name) and (what == KILL or can_fail):
                yield Point(name, counts[name], fault)
        if over:
            return


def _reached(trace: list[str], point: Point, outcome: Outcome) -> bool:
    """Whether the fault struck between the markers."""
    begins, ends = ([i for i, line in enumerate(trace) if marker in line] for marker in _MARKERS)
    if point.fault == KILL:
        return bool(begins) and outcome.ended == "killed"
    struck = [i for i, line in enumerate(trace) if "(INJECTED)" in line]
    return bool(begins and struck) and begins[0] < struck[0] and (not ends or struck[0] < ends[0])
