"""What a scan found, as records: one `Finding` each, and `Findings` with the verdict.

Invariant: every text that came from the file is readable: no control character, no mark of writing direction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("info", "suspicious", "dangerous")
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a scan found.

    Attributes:
        severity: ``info``, ``suspicious`` or ``dangerous``; ``unreadable`` for a part that could not be read.
        rule: the rule's id, as `dotpt.scan.rules` lists them.
        text: what was found, one sentence.
        why: why it matters.
        hint: what to do.
        member: where in the file: a record; within nested files, all of them, joined by ``!``. Empty: the file itself.
        offset: byte position in that member.
        opcode: name of the pickle's opcode there.
        name: the class or function concerned.
        call: the call, as readable code.

    Example:
        >>> Finding("suspicious", "trailing-data", "3 bytes follow the end record.").severity
        'suspicious'
    """

    severity: str
    rule: str
    text: str
    why: str = ""
    hint: str = ""
    member: str = ""
    offset: int | None = None
    opcode: str | None = None
    name: str | None = None
    call: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain values, without what it does not have."""
        facts = {key: getattr(self, key) for key in self.__slots__}
        return {key: value for key, value in facts.items() if value is not None and (value != "" or key == "member")}

    @property
    def place(self) -> str:
        """Where it is, in words: ``data.pkl, byte 42, REDUCE``."""
        parts = [self.member, "" if self.offset is None else f"byte {self.offset:,}", self.opcode or ""]
        return ", ".join(part for part in parts if part)


@dataclass(slots=True)
class Findings:
    """The result of `dotpt.scan`.

    Attributes:
        path: the file as the user named it.
        kind: what it is, in words.
        findings: everything found, the worst first.
        members: how many parts were examined.
        names: every class and function named, readable, by how often.
        code: the calls of everything unknown as readable code, a line each (`dotpt scan --explain`).
        compared: whether the bytes of the tensors were compared with their checksums (None: there are none).
        other: whether it is no file of a model at all, but a text or a picture.
        omitted: how many findings there are besides the first ten thousand.
        seconds: how long it took.

    Example:
        >>> import dotpt
        >>> dotpt.scan("tests/corpus/fixtures/zip/state_dict.pt").verdict
        'clean'
    """

    path: str
    kind: str = ""
    findings: list[Finding] = field(default_factory=list)
    members: int = 0
    names: dict[str, int] = field(default_factory=dict)
    code: list[str] = field(default_factory=list)
    compared: bool | None = None
    other: bool = False
    omitted: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every byte was accounted for."""
        return all(finding.severity != UNREADABLE for finding in self.findings)

    @property
    def verdict(self) -> str:
        """``dangerous``, ``unreadable`` (not all of it could be read), ``suspicious``, or ``clean``."""
        found = {finding.severity for finding in self.findings}
        return next((word for word in ("dangerous", UNREADABLE, "suspicious") if word in found), "clean")

    @property
    def clean(self) -> bool:
        """Whether the verdict is clean: every byte accounted for, every name on the list of harmless ones."""
        return self.verdict == "clean"

    def at_least(self, severity: str) -> list[Finding]:
        """The findings at or above a severity."""
        wanted = SEVERITIES[SEVERITIES.index(severity) :]
        return [finding for finding in self.findings if finding.severity in wanted]

    def sort(self) -> None:
        """Put the worst first, else in the order of the file."""
        order = {"dangerous": 0, UNREADABLE: 1, "suspicious": 2, "info": 3}
        self.findings.sort(key=lambda finding: order[finding.severity])

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "path": self.path, "verdict": self.verdict, "complete": self.complete, "kind": self.kind,
            "members": self.members, "tensor_bytes_compared": self.compared,
            "findings": [finding.to_dict() for finding in self.findings], "omitted": self.omitted,
            "names": dict(self.names), "code": list(self.code), "seconds": round(self.seconds, 4),
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.verdict}" + (f" ({self.kind})" if self.kind else "")]
        for finding in self.findings:
            place = f" ({finding.place})" if finding.place else ""
            lines.append(f"  {finding.severity}: {finding.text}{place}")
        return "\n".join(lines)
