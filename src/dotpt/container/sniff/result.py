"""What crosses this boundary: the answer of a sniff, one small record.

Invariant: every string in it that was taken from the file has passed through `quote`, so it can be printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dotpt.errors import readable

QUOTE_LENGTH = 120


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What a file (or folder) looks like from outside.

    Attributes:
        kind: a machine word, such as "zip", "legacy" or "git-lfs".
        label: the same for people, with its article: "a git-lfs pointer".
        torch: whether it is one of the containers that hold PyTorch data (for a folder: whether it holds such files).
        details: facts by name; which ones depends on the kind.
        hint: the next step to take, without "Try:".

    Example:
        >>> Sniffed("empty", "an empty file").torch
        False
    """

    kind: str
    label: str
    torch: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    hint: str | None = None


def quote(text: str | bytes, length: int = QUOTE_LENGTH) -> str:
    """A stranger's words made fit for a message: one line, no control characters, at most ``length`` characters.

    Example:
        >>> quote(b"Sign   in" + bytes([10]) + b"here")
        'Sign in here'
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = readable(" ".join(text[: 8 * length].split()))
    return text if len(text) <= length else text[: length - 3] + "..."
