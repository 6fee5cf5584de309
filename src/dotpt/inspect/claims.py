"""What crosses this boundary: one statement about a file, and how dotpt came to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dotpt.errors import readable

Certainty = Literal["CONFIRMED", "INFERRED", "UNKNOWN"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement about a file.

    Attributes:
        value: the statement, short (``state dict``, ``torch 2.7 or newer``); ``unknown`` where nothing is known.
        certainty: ``CONFIRMED``: the file says so itself, or can be nothing else. ``INFERRED``: what is in the file
            makes it likely. ``UNKNOWN``: nothing in the file tells.
        because: what in the file the statement rests on.

    Example:
        >>> str(Claim("torch 2.7 or newer", "INFERRED", "it has the record .format_version"))
        'torch 2.7 or newer (inferred: it has the record .format_version)'
        >>> str(Claim("state dict", "CONFIRMED", "the file says so"))
        'state dict'
    """

    value: str
    certainty: Certainty
    because: str

    @property
    def known(self) -> bool:
        """Whether the file tells anything about it."""
        return self.certainty != "UNKNOWN"

    def __str__(self) -> str:
        value = readable(self.value)
        if self.certainty == "CONFIRMED":
            return value
        return f"{value} ({self.certainty.lower()}: {readable(self.because)})"

    def to_dict(self) -> dict[str, str]:
        """The claim as plain values."""
        return {"value": self.value, "certainty": self.certainty, "because": self.because}


def confirmed(value: str, because: str) -> Claim:
    """A claim that the file itself settles."""
    return Claim(value, "CONFIRMED", because)


def inferred(value: str, because: str) -> Claim:
    """A claim that the file makes likely."""
    return Claim(value, "INFERRED", because)


def unknown(because: str) -> Claim:
    """No claim: the file does not tell."""
    return Claim("unknown", "UNKNOWN", because)
