"""One scan at work: what was found so far, how deep it is in files within files, what it may still spend.

Invariant: whatever a member holds, it ends in findings; a `DotptError` of a reader becomes one (`report`), and no other
exception is caught.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dotpt.container.ziprules import EncryptedRecord, UnsupportedMethod, ZipError
from dotpt.errors import (
    ChecksumMismatch,
    ContainerError,
    DotptError,
    LimitExceeded,
    NotATorchFile,
    PickleError,
    SourceError,
    TensorError,
    TruncatedFile,
    UnsupportedError,
    readable,
)
from dotpt.limits import Limits
from dotpt.pickling.machine import PickleCut
from dotpt.scan.findings import UNREADABLE, Finding, Findings
from dotpt.scan.policy import Policy

DEEPEST = 8  # files within files
_FREE = 64 << 20  # bytes that any file may unpack to, all its members together
_USUAL_RATIO = 20  # and so many times its own size
_LOOKED = 50  # of so many records that a container may have, one is looked into as a file of its own
_DOUBTED, _EACH, _TIMES = 32 << 20, 1 << 12, 4  # the same for what members of broken archives claim
_BARE = "pickle of the magic number"  # what the legacy reader calls the one pickle of a file that has no other
_MOST_FINDINGS = 10_000
_NOT_READ = (TruncatedFile, EncryptedRecord, UnsupportedMethod)  # whose content stays unknown
_BY_ERROR: tuple[tuple[type[DotptError], str], ...] = (
    (PickleCut, "truncated"),
    (TruncatedFile, "truncated"),
    (LimitExceeded, "limit-exceeded"),
    (SourceError, "cannot-read"),
    (ChecksumMismatch, "checksum-mismatch"),
    (TensorError, "bad-tensor"),
    (NotATorchFile, "unknown-kind"),
    (PickleError, "malformed-pickle"),
    (UnsupportedError, "not-supported"),
    (ContainerError, "malformed-container"),
)


@dataclass(slots=True)
class Session:
    """What one scan has done.

    Attributes:
        findings: what it gives in the end.
        policy: what the user allows.
        member: the part that is being examined.
        depth: how many files it lies in.
        size: bytes of the file as it came.
        unpacked: bytes that were unpacked of it.
        searched: bytes that were searched for names without being decoded.
        looked: members that were looked into as files of their own.
        doubted: bytes of broken archives in it that were looked into, once for each member that claims them.
    """

    findings: Findings
    policy: Policy
    member: str = ""
    depth: int = 0
    size: int = 0
    unpacked: int = 0
    doubted: int = 0
    looked: int = 0
    searched: int = 0
    _said: set[tuple[str, str, str]] = field(default_factory=set)
    _severities: set[str] = field(default_factory=set)

    @property
    def limits(self) -> Limits:
        """What a file may ask for."""
        return self.policy.limits

    def may_unpack(self, size: int) -> bool:
        """Account for bytes that were unpacked; False where they are more than an honest file of this size has."""
        self.unpacked += size
        return self.unpacked <= min(self.limits.inflated_bytes, max(_FREE, _USUAL_RATIO * self.size))

    def may_look(self) -> bool:
        """Account for a member that is a file of its own; False, and a finding, where there are too many."""
        self.looked += 1
        most = self.limits.records // _LOOKED
        if self.looked > most:
            self.add("limit-exceeded", f"It holds more than {most:,} files; the others were not looked into.",
                     hint=f"if you trust the file, raise the limit records above {self.limits.records:,}")  # fmt: skip
        return self.looked <= most

    def may_doubt(self, size: int) -> bool:
        """Account for a member of a broken archive; False where such members claim the same bytes again and again."""
        self.doubted += size + _EACH
        return self.doubted <= max(_DOUBTED, _TIMES * self.size)

    @contextmanager
    def inside(self, name: str) -> Iterator[bool]:
        """Examine a part of the member; gives False where that is too deep."""
        outer = self.member
        self.member = f"{outer}!{readable(name)}" if outer else readable(name)
        self.depth += 1
        self.findings.members += 1
        try:
            if self.depth > DEEPEST:
                self.add("nested-too-deep", f"It lies in {self.depth:,} files within each other.")
            yield self.depth <= DEEPEST
        finally:
            self.member, self.depth = outer, self.depth - 1

    def add(
        self,
        rule: str,
        text: str,
        *,
        severity: str | None = None,
        why: str | None = None,
        hint: str | None = None,
        record: str = "",
        offset: int | None = None,
        opcode: str | None = None,
        name: str | None = None,
        call: str | None = None,
    ) -> None:
        """Report something. The same rule on the same name in the same member is reported once."""
        from dotpt.scan.rules import RULES

        known = RULES.get(rule)
        severity = severity or (known.severity if known else "suspicious")
        severity = self.policy.severity(rule, severity)
        if severity == "off":
            return
        member = self.place(record)
        key = (rule, member, name or text)
        if key in self._said:
            return
        self._said.add(key)
        if len(self.findings.findings) >= _MOST_FINDINGS and severity in self._severities:
            self.findings.omitted += 1
            return
        self._severities.add(severity)
        why = (known.why if known else "") if why is None else why
        hint = (known.hint if known else "") if hint is None else hint
        self.findings.findings.append(
            Finding(severity, rule, readable(text), why, hint, member, offset, opcode, name and readable(name), call)
        )

    def place(self, record: str) -> str:
        """The name of a record of the member that is being examined."""
        record = self.short(record)
        return f"{self.member}!{record}" if self.member and record else self.member or record

    def short(self, record: str) -> str:
        """The name of a record, for people."""
        return readable(record.removeprefix(_BARE).strip())

    def report(self, error: DotptError) -> str:
        """Make a finding of what a reader says; gives its rule."""
        rule = rule_of(error)
        severity, why, hint = None, None, error.hint
        if isinstance(error, ZipError):
            severity = UNREADABLE if isinstance(error, _NOT_READ) else "suspicious"
            why = (type(error).__doc__ or "").strip()
            why = f"{why} Readers can take such a file for different things, and attacks live in the difference."
        elif isinstance(error, LimitExceeded):
            hint = f"if you trust the file, raise the limit {error.limit} above {error.actual:,}"
        self.add(
            rule, error.problem, severity=severity, why=why, hint=hint, record=error.record or "", offset=error.offset
        )
        return rule


def rule_of(error: DotptError) -> str:
    """The rule that an error of a reader stands for."""
    if isinstance(error, ZipError):
        return error.rule
    return next((rule for kind, rule in _BY_ERROR if isinstance(error, kind)), "cannot-read")
