"""The walk of a cleaning: a file's tree in, what each of its values became out.

A container's steps give its children one by one and get back what they became, so nothing recurses; a value that is
met again becomes what it became the first time, so sharing stays, and so do lists and dictionaries that hold
themselves. Of what cannot be kept within itself the inner one is dropped. The file's own tree is not changed.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import PurePath
from typing import Any

from dotpt.clean.report import ChangeLog
from dotpt.pickling.tree import ATOMS
from dotpt.pickling.values import InertObject

Steps = Generator[tuple[Any, Any], Any, Any]
"""Gives (key, child) pairs, gets what each became, returns what the container became."""


class Dropped:
    """What became of a value of which nothing stays."""


DROPPED = Dropped()
_HERE = object()


class Walk:
    """Walks one tree; a subclass says what each kind of value becomes.

    Args:
        log: where everything is noted that does not stay as it is.
    """

    def __init__(self, log: ChangeLog) -> None:
        self._log = log
        self._done: dict[int, tuple[Any, Any]] = {}  # id -> (value, kept alive so that ids stay unique; what it became)
        self._open: set[int] = set()

    def _atom(self, value: Any) -> Any:
        """What a plain value becomes."""
        raise NotImplementedError

    def _leaf(self, value: Any) -> Any:
        """What any other value without parts becomes."""
        raise NotImplementedError

    def _steps(self, value: Any) -> Steps | None:
        """The steps that find out what a value with parts becomes; None if it has none."""
        raise NotImplementedError

    def of(self, tree: Any) -> Any:
        """What ``tree`` becomes; `DROPPED` if nothing of it stays."""
        answer, steps = self._begin(tree)
        if steps is None:
            return answer
        path, frames = self._log.path, [(tree, steps, 0)]
        given: Any = None
        while frames:
            container, steps, level = frames[-1]
            try:
                key, child = steps.send(given)
            except StopIteration as finished:
                given = self._remember(container, finished.value)
                self._open.discard(id(container))
                frames.pop()
                del path[level:]
                continue
            level = len(path)
            if key is not _HERE:
                path.append(key)
            given, inner = self._begin(child)
            if inner is None:
                del path[level:]
            else:
                frames.append((child, inner, level))
        return given

    def _begin(self, value: Any) -> tuple[Any, Steps | None]:
        """What a value becomes, or the steps that find out."""
        kind = type(value)
        if kind in ATOMS:
            return self._atom(value), None
        if id(value) in self._done:
            return self._done[id(value)][1], None
        if id(value) in self._open:
            self._log.drop(f"{a_or_an(value)} that lies within itself")
            return DROPPED, None
        steps = self._steps(value)
        if steps is None:
            return self._remember(value, self._leaf(value)), None
        self._open.add(id(value))
        return None, steps

    def _remember(self, value: Any, answer: Any) -> Any:
        self._done[id(value)] = value, answer
        return answer

    def _instead(self, other: Any) -> Steps:
        """Another value in the place of this one; the address stays."""
        return (yield _HERE, other)


def a_or_an(value: Any) -> str:
    """A value in a few words."""
    kind = type(value)
    if kind is InertObject:
        return f"a {value.type_name}"
    if isinstance(value, type):
        return f"the class {value.__module__}.{value.__qualname__}"
    module = kind.__module__
    if isinstance(value, PurePath):
        return "a path"
    name = kind.__name__ if module == "builtins" or module.startswith("dotpt.") else f"{module}.{kind.__qualname__}"
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
