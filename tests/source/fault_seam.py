"""A seam between a save and the system: every call of `os` and `fcntl` fails in turn, in this process.

It needs nothing but Python, so it runs everywhere, and it can do what a tracer cannot: a write that is really short,
and a call that succeeds and reports a failure all the same. `fault_sweep` does the same with the system's own calls.
"""

from __future__ import annotations

import errno
import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_OS = (
    "access chmod close copy_file_range dup fchmod fchown fdatasync fstat fsync ftruncate getxattr link listxattr "
    "lseek lstat open posix_fadvise posix_fallocate pread preadv read readlink removexattr rename replace scandir "
    "setxattr stat statvfs unlink urandom write"
)
_FCNTL = "fcntl flock"

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EINTR", "EACCES", "ENOENT")
FAULTS = (*ERRORS, "late EIO", "short", "kill", "kill after")


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Outcome:
    """How a save ended.

    Attributes:
        call: the call that failed, or "" if there were fewer calls.
        ended: "saved", "failed" or "killed".
        error: what was raised.
    """

    call: str
    ended: str
    error: BaseException | None = None


class Seam:
    """Counts the calls of a save, and makes the n-th of them fail."""

    def __init__(self, number: int, fault: str) -> None:
        self.number, self.fault = number, fault
        self.count, self.call, self.dead = 0, "", False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The functions of the system are replaced within this block."""
        before: list[tuple[Any, str, Any]] = []
        close = os.close
        for module_name, names in (("os", _OS), ("fcntl", _FCNTL)):
            try:
                module = importlib.import_module(module_name)
            except ImportError:
                continue
            for name in names.split():
                if hasattr(module, name):
                    before.append((module, name, getattr(module, name)))
        try:
            for module, name, function in before:
                setattr(module, name, self._wrapped(name, function, close))
            yield
        finally:
            for module, name, function in before:
                setattr(module, name, function)

    def _wrapped(self, name: str, function: Callable[..., Any], close: Callable[[int], None]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.dead and name != "close":  # the end of a process closes everything, and does nothing else
                raise OSError(errno.ESRCH, "the process is dead")
            counts = self.fault != "short" or name == "write"
            self.count += counts
            if not counts or self.count != self.number or self.dead:
                return function(*arguments, **options)
            self.call = name
            if self.fault == "short":
                return function(arguments[0], arguments[1][: max(len(arguments[1]) // 3, 1)])
            if self.fault in ("late EIO", "kill after") or name == "close":
                result = function(*arguments, **options)
                if name in ("open", "dup"):
                    close(result)
            if self.fault.startswith("kill"):
                self.dead = True
                raise Killed
            code = getattr(errno, self.fault.removeprefix("late "))
            raise OSError(code, os.strerror(code))

        return call


def outcome_of(save: Callable[[], None], number: int, fault: str) -> Outcome:
    """Run a save whose n-th call fails."""
    seam = Seam(number, fault)
    ended, error = "saved", None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a killed process closes nothing
        with seam.installed():
            try:
                save()
            except BaseException as raised:
                ended, error = "failed", raised.with_traceback(None)
                raised.__context__ = raised.__cause__ = None
    return Outcome(seam.call, "killed" if seam.dead else ended, error)


def sweep(
    prepare: Callable[[], None],
    save: Callable[[], None],
    check: Callable[[Outcome, str], None],
    faults: tuple[str, ...] = FAULTS,
) -> dict[str, int]:
    """Make every call of ``save`` fail in every way.

    Args:
        prepare: makes the files as they are before the save.
        save: what is tried.
        check: is given each outcome and the fault, and raises if the files are not what they should be.
        faults: of `FAULTS`.

    Returns:
        How many points were tried with each fault.
    """
    tried = dict.fromkeys(faults, 0)
    for fault in faults:
        reached = True
        while reached:
            prepare()
            outcome = outcome_of(save, tried[fault] + 1, fault)
            check(outcome, fault)
            reached = bool(outcome.call)
            tried[fault] += reached
    return tried
