"""What is left of a file that was cut or broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dotpt.formats.contents import Contents


@dataclass(slots=True)
class Damage:
    """What is left.

    Attributes:
        reason: ``cut`` (the file ends too early) or ``broken`` (a rule of the container does not hold).
        words: one line for people: ``ends at 1.2 of about 4.0 GB: the download was cut; 17 of 60 tensors are whole``.
        size: bytes that are there.
        expected: bytes of the whole file, or None where that cannot be told.
        exact: whether ``expected`` is certain (else an estimate).
        whole: addresses of the tensors whose bytes are all there.
        missing: addresses of the others.
        records: names of the records that are whole.
        contents: the decoded file, its whole tensors readable; None if its pickle or header is not whole.
    """

    reason: str
    words: str
    size: int
    expected: int | None = None
    exact: bool = False
    whole: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    contents: Contents | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain values."""
        return {
            "reason": self.reason,
            "words": self.words,
            "size": self.size,
            "expected": self.expected,
            "exact": self.exact,
            "whole": list(self.whole),
            "missing": list(self.missing),
            "records": list(self.records),
        }
