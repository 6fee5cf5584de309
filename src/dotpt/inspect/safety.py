"""What the pickles of a file name, and what that means for someone who wants to load it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Named:
    """A class or function that the file names.

    Attributes:
        name: module and name, joined by a dot.
        known: whether it is known to be harmless.
        harmful: whether calling it can do harm by itself.
        words: what it is.
        offset: byte of the pickle at which it is first named.
    """

    name: str
    known: bool
    harmful: bool
    words: str
    offset: int

    def to_dict(self) -> dict[str, Any]:
        """The name as plain values."""
        return {
            "name": self.name, "known": self.known, "harmful": self.harmful, "words": self.words, "offset": self.offset,
        }  # fmt: skip


@dataclass(slots=True)
class Safety:
    """The verdict on what a file names. dotpt runs none of it, whatever the verdict.

    Attributes:
        verdict: ``harmless`` (only known types), ``unknown`` (names others), ``dangerous`` (names something that runs
            code, programs or the like), ``code`` (TorchScript: holds a program, which dotpt does not run), ``undecided``
            (a damaged file whose pickle could not be read).
        words: one line for people.
        names: everything named, the worst first.
        weights_only: whether ``torch.load(weights_only=True)`` accepts what is named (False for containers it refuses).
    """

    verdict: str
    words: str
    names: list[Named] = field(default_factory=list)
    weights_only: bool = False

    @property
    def unknown(self) -> list[Named]:
        """The names that are not known to be harmless."""
        return [name for name in self.names if not name.known]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return {
            "verdict": self.verdict,
            "words": self.words,
            "weights_only": self.weights_only,
            "known": [name.to_dict() for name in self.names if name.known],
            "unknown": [name.to_dict() for name in self.unknown],
        }
