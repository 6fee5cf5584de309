"""The guards that are active in this process, and what they say of a file: nothing, or a refusal.

Invariant: whoever is about to load something calls `check` with a way to scan it, and loads it only if that returns;
every active guard scans by its own policy. While something that has passed is being loaded (`passed`), the loader's own
steps on its parts are not asked about again, in this thread.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dotpt.errors import RefusedByGuard, UsageError, readable
from dotpt.scan.findings import UNREADABLE, Finding, Findings
from dotpt.scan.policy import Policy

if TYPE_CHECKING:
    from types import TracebackType

ACTIONS = ("refuse", "warn")
_active: list[Guard] = []
_within: ContextVar[bool] = ContextVar("dotpt_loads_what_has_passed", default=False)
_OURS = f"{Path(__file__).parents[1]}{os.sep}"


class Replaced(Protocol):
    """Something of a library that is ours as long as anybody wants it."""

    def add(self, user: object, function: Callable[..., Any], *, around: bool = False) -> None:
        """Put ours in place."""

    def remove(self, user: object) -> None:
        """Put back what was there, if nobody else wants ours."""


class Guard:
    """Files that do not scan clean are not loaded until `undo`, or until the ``with`` block ends.

    Attributes:
        policy: how files are judged.
        action: what is done about a file that is not clean: ``refuse`` or ``warn``.
    """

    def __init__(self, policy: Policy, action: str) -> None:
        self.policy = policy
        self.action = action
        self._replaced: list[Replaced] = []
        _active.append(self)

    @property
    def active(self) -> bool:
        """Whether it has not been undone yet."""
        return self in _active

    def put(self, replaced: Replaced, function: Callable[..., Any]) -> None:
        """Do ``function`` around what a library does, as long as this guard is active."""
        if self.active and replaced not in self._replaced:
            self._replaced.append(replaced)
            replaced.add(self, function, around=True)

    def undo(self) -> None:
        """Put back exactly what was there. Other guards that are active stay. A second call does nothing."""
        if self.active:
            _active.remove(self)
        while self._replaced:
            self._replaced.pop().remove(self)

    def judge(self, findings: Findings) -> None:
        """Refuse what is not clean, or warn of it."""
        if findings.clean:
            return
        error = refusal(findings)
        if self.action == "refuse":
            raise error
        warnings.warn(str(error), UserWarning, stacklevel=_callers_level())

    def __enter__(self) -> Guard:
        if not self.active:
            raise UsageError("This guard has been undone.", hint="call dotpt.guard() again")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.undo()


def check(scanned: Callable[[Policy], Findings]) -> None:
    """Return if every active guard lets the file pass.

    Raises:
        RefusedByGuard: one of them does not.
    """
    for guard in list(_active):
        guard.judge(scanned(guard.policy))


def on_guard() -> bool:
    """Whether any guard is active."""
    return bool(_active)


def on_duty() -> bool:
    """Whether a file that is about to be loaded has to be checked."""
    return on_guard() and not _within.get()


@contextmanager
def passed() -> Iterator[None]:
    """Meanwhile, what has passed is loaded."""
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)


def most_bytes() -> int:
    """The largest pickle that any active guard would scan."""
    return max((guard.policy.limits.pickle_bytes for guard in list(_active)), default=0)


def most_copied() -> int:
    """The largest stream of unknown length that any active guard would scan."""
    return max((guard.policy.limits.inflated_bytes for guard in list(_active)), default=0)


# -- in words ---------------------------------------------------------------------------------------------------------

_VERDICTS = {
    "dangerous": "it scans as dangerous",
    UNREADABLE: "not all of it can be scanned",
    "suspicious": "it scans as suspicious",
}
_SHOWN = 3


def refusal(findings: Findings) -> RefusedByGuard:
    """The error that says what a scan found."""
    told = [finding for finding in findings.findings if finding.severity != "info"]
    said = " ".join(_in_words(finding) for finding in told[:_SHOWN])
    more = f" And {len(told) - _SHOWN:,} more." if len(told) > _SHOWN else ""
    error = RefusedByGuard(
        f"The file was not loaded: {_VERDICTS[findings.verdict]}. {said}{more}",
        path=findings.path or None,
        hint=_hint(findings, told),
    )
    error.findings = findings
    return error


def _in_words(finding: Finding) -> str:
    place = f" ({finding.place})" if finding.place else ""
    return f"{finding.severity}: {finding.text.removesuffix('.')}{place}."


def _hint(findings: Findings, told: list[Finding]) -> str:
    file = "FILE" if findings.path.startswith("<") else readable(findings.path) or "FILE"
    steps = f"`dotpt scan {file}` shows all of it, `dotpt clean {file} -o OUT` makes a file that can run nothing"
    names = sorted({finding.name for finding in told if finding.name and finding.severity == "suspicious"})
    if names and findings.verdict == "suspicious":
        steps += f"; if you know these to be harmless: dotpt.guard(allow={names})"
    return steps


def _callers_level() -> int:
    """How many frames up the code is that called what we replace."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    return level
