"""What a rescue has to say, one sentence each; a hostile file does not make it say a million."""

from __future__ import annotations

_MOST = 100


class Notes:
    """Collects sentences: each once, and of too many only how many there are.

    Example:
        >>> notes = Notes()
        >>> notes.add("a was left out")
        >>> notes.add("a was left out")
        >>> notes.lines
        ['a was left out.']
    """

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._front: list[str] = []
        self._more = 0

    def add(self, words: str) -> None:
        """Say this, if it was not said."""
        if words in self._lines:
            return
        if len(self._lines) < _MOST:
            self._lines[words] = None
        else:
            self._more += 1

    def first(self, words: str) -> None:
        """Say this before all else."""
        self._front.append(words)

    @property
    def lines(self) -> list[str]:
        """The sentences."""
        rest = [f"and {self._more:,} more notes of this kind"] if self._more else []
        return [f"{words.rstrip('.')}." for words in (*self._front, *self._lines, *rest)]
