"""Why a rule matched nothing: the words of `Renamed.idle`.

What crosses this boundary: a rule that found nothing and the names as they were for it in, one line out, with the part
of a name that was probably meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dotpt.models.nearest import Nearest
from dotpt.models.rules_base import Rule

_EXPLAINED = 20  # rules; the others are only named


class Idle:
    """Gathers the rules that matched nothing."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.lines: list[str] = []

    def add(self, rule: Rule, names: Iterable[str]) -> None:
        """Note a rule that matched none of these names."""
        self.rules.append(rule)
        why = _why(rule, list(names)) if len(self.lines) < _EXPLAINED else ""
        self.lines.append(f"{rule}{f' ({why})' if why else ''}")


def _why(rule: Rule, names: list[str]) -> str:
    for text in rule.globs():
        piece = max((part.strip(".") for part in text.split("*")), key=len)
        found = _why_not(piece, names)
        if found:
            return found
    return ""


def _why_not(piece: str, names: list[str]) -> str:
    """What the names have instead of a piece of a rule."""
    if not piece:
        return ""
    count = piece.count(".") + 1
    owner = {window: name for name in reversed(names) for window in _windows(name, count)}
    if piece in owner:
        return f"`{piece}` is a part of {owner[piece]}"
    near = Nearest(dict.fromkeys(owner)).to(piece)
    return f"no name has `{piece}`; the nearest is `{near[0]}`, in {owner[near[0]]}" if near else ""


def _windows(name: str, count: int) -> Iterator[str]:
    """Every run of so many parts of a name.

    Example:
        >>> list(_windows("layer1.0.conv", 2))
        ['layer1.0', '0.conv']
    """
    parts = name.split(".")
    for at in range(len(parts) - count + 1):
        yield ".".join(parts[at : at + count])
