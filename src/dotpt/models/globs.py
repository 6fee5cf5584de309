"""Names with stars: `layers.*.weight` matches, and says what the stars stand for.

What crosses this boundary: names and globs in, the texts behind the stars out. Invariant: the time is linear in the
length of the name, whatever a stranger has called his tensors: nothing is tried twice.
"""

from __future__ import annotations

from dotpt.errors import RulesError


class Glob:
    """A pattern for names, in which ``*`` stands for any text, dots included.

    Of several ways to match, the first stars stand for as little as they can.

    Example:
        >>> Glob("*.attn.*").match("layers.0.attn.q.weight")
        ('layers.0', 'q.weight')
    """

    __slots__ = ("_first", "_last", "_middle", "text")

    def __init__(self, text: str) -> None:
        if "**" in text:
            raise RulesError("Two stars beside each other cannot be told apart.", found=text, hint="write one star")
        self.text = text
        self._first, *rest = text.split("*")
        self._last = rest.pop() if rest else None
        self._middle = tuple(rest)

    @property
    def stars(self) -> int:
        """How many stars it has."""
        return 0 if self._last is None else len(self._middle) + 1

    def match(self, name: str) -> tuple[str, ...] | None:
        """What the stars stand for in a name, None if it does not match."""
        if self._last is None:
            return () if name == self.text else None
        end = len(name) - len(self._last)
        at = len(self._first)
        if at > end or not (name.startswith(self._first) and name.endswith(self._last)):
            return None
        found = []
        for piece in self._middle:
            start = name.find(piece, at, end)
            if start < 0:
                return None
            found.append(name[at:start])
            at = start + len(piece)
        return (*found, name[at:end])

    def fill(self, stars: tuple[str, ...]) -> str:
        """The name that has these texts in place of its stars."""
        pieces = self.text.split("*")
        return "".join(piece + star for piece, star in zip(pieces, (*stars, ""), strict=True))
