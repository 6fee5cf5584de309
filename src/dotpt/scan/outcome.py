"""What a scan of several files amounts to: how many of each verdict, and the exit code.

Invariant: 0 means that something was scanned, all of it could be read whole, and nothing was found at the level
at which a scan fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dotpt.scan.findings import Findings
from dotpt.scan.folders import left_alone
from dotpt.scan.walk import Found

CLEAN, FOUND, INCOMPLETE = 0, 1, 3
ALONE = "left alone"
WORDS = ("dangerous", "unreadable", "suspicious", "info", "clean", ALONE)


@dataclass(slots=True)
class Tally:
    """Files of one verdict: how many, their bytes, and the seconds that they took."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Outcome:
    """The sum of what was scanned.

    Attributes:
        fail_on: the lowest severity that counts.
        tallies: by verdict. A clean file is under ``info`` if that is enough to fail. ``left alone`` are texts and
            pictures that lay in a folder.
        failed: whether there is a finding that counts.
        incomplete: whether something could not be read whole.
    """

    fail_on: str = "suspicious"
    tallies: dict[str, Tally] = field(default_factory=dict)
    failed: bool = False
    incomplete: bool = False

    def add(self, found: Found, findings: Findings) -> str:
        """Count a file; gives its verdict, or ``left alone``."""
        word = self._word(found, findings)
        tally = self.tallies.setdefault(word, Tally())
        tally.files += 1
        tally.bytes += found.size
        tally.seconds += findings.seconds
        return word

    def _word(self, found: Found, findings: Findings) -> str:
        if not found.given and left_alone(findings):
            return ALONE
        fails = bool(findings.at_least(self.fail_on))
        self.failed |= fails
        self.incomplete |= not findings.complete
        verdict = findings.verdict
        return "info" if fails and verdict == "clean" else verdict

    @property
    def scanned(self) -> int:
        """How many files were looked into."""
        return sum(tally.files for word, tally in self.tallies.items() if word != ALONE)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """How many files of each verdict, their bytes and seconds."""
        return {
            word: {"files": tally.files, "bytes": tally.bytes, "seconds": round(tally.seconds, 4)}
            for word, tally in self.tallies.items()
        }

    @property
    def code(self) -> int:
        """The exit code."""
        if self.failed:
            return FOUND
        return INCOMPLETE if self.incomplete or not self.scanned else CLEAN
