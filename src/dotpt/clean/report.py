"""What a cleaning did: how much is the same, and each thing that is not, with its address and the reason.

Invariants: every text is readable (what a stranger wrote is escaped), and a hostile file cannot make it endless: of
too many entries only the number is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dotpt.errors import readable
from dotpt.pickling.tree import spelled

CHANGED, DROPPED = "changed", "dropped"
_MOST, _LONGEST = 10_000, 300


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not in the cleaned file as it was.

    Attributes:
        kind: ``changed``: something plain stands in its place; ``dropped``: nothing does (None in a list or tuple).
        address: the keys that lead to it, joined by dots; empty for the whole object, or what is no part of it.
        was: what it was.
        now: what it became; empty if it was dropped.
        why: the reason, where it needs one.

    Example:
        >>> print(Change("changed", "args", "an argparse.Namespace", "a dictionary"))
        args: an argparse.Namespace became a dictionary
    """

    kind: str
    address: str
    was: str
    now: str = ""
    why: str = ""

    def to_dict(self) -> dict[str, str]:
        """The change as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        place = f"{self.address}: " if self.address else ""
        why = f" ({self.why})" if self.why else ""
        return f"{place}{self.was} became {self.now}{why}" if self.now else f"{place}{self.was} was dropped{why}"


class ChangeLog:
    """Collects changes while a tree is walked; `path` is where the walk is."""

    def __init__(self) -> None:
        self.path: list[Any] = []
        self.entries: list[Change] = []
        self.changed = 0
        self.dropped = 0

    def change(self, was: str, now: str, why: str = "") -> None:
        """Something plain stands in the place of what is here."""
        self.changed += 1
        self._add(CHANGED, self._address(), was, now, why)

    def drop(self, was: str, why: str = "", *, address: str | None = None) -> None:
        """Nothing stands in its place."""
        self.dropped += 1
        self._add(DROPPED, self._address() if address is None else address, was, "", why)

    def _add(self, kind: str, *words: str) -> None:
        if sum(entry.kind == kind for entry in self.entries[:1]) + len(self.entries) <= _MOST:
            self.entries.append(Change(kind, *(short(text) for text in words)))

    def _address(self) -> str:
        return ".".join(spelled(key)[:_LONGEST] for key in self.path[:100])


def short(text: str) -> str:
    """A text on one line, without what a terminal would obey, and not too long."""
    text = readable(text).replace("\n", "\\n")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


@dataclass(slots=True)
class CleanReport:
    """What `dotpt.clean` did. A report exists only of a file that was verified and is in its place.

    Attributes:
        source, output: the files as the user named them.
        format: the container that the source was.
        tensors: how many addresses of the new file hold a tensor; each was compared with the original's, bit for bit.
        bytes: of these tensors.
        values: how many plain values were kept.
        changed, dropped: how many things were.
        changes: what was changed and dropped, in the order of the file; of very many the first 10,000.
        notes: what else is to be known, one sentence each.
    """

    source: str
    output: str
    format: str
    tensors: int = 0
    bytes: int = 0
    values: int = 0
    changed: int = 0
    dropped: int = 0
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether nothing was changed or dropped."""
        return not self.changed and not self.dropped

    def of_kind(self, kind: str) -> Iterator[Change]:
        """What was ``changed``, or ``dropped``."""
        return (change for change in self.changes if change.kind == kind)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values (docs/cli.md has the schema)."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return facts | {"changes": [change.to_dict() for change in self.changes], "notes": list(self.notes)}

    def __str__(self) -> str:
        many = "tensor" if self.tensors == 1 else "tensors"
        head = (
            f"{readable(self.output)}: {self.tensors:,} {many} the same, {self.values:,} values kept, "
            f"{self.changed:,} changed, {self.dropped:,} dropped"
        )
        lines = [*(str(change) for change in self.changes), *(readable(note) for note in self.notes)]
        return "\n  ".join([head, *lines])
