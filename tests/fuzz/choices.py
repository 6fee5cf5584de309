"""Where a generator's decisions come from: hypothesis (which shrinks them), atheris (which steers them), or a seed.

A generator takes a `Choices` and nothing else, so the three drive the same code. The smallest decision is always 0,
and every generator makes 0 the plain, short, well-formed one: shrinking leads there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices:
    """Decisions one after the other. Subclasses say where `below` and `blob` come from."""

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        raise NotImplementedError

    def blob(self, longest: int) -> bytes:
        """Up to `longest` bytes."""
        raise NotImplementedError

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[T]) -> T:
        """One of several, the first being the plainest."""
        return options[self.below(len(options))]

    def once_in(self, count: int) -> bool:
        """True once in `count` times, and never when everything is as plain as can be."""
        return self.below(count) == count - 1

    def some(self, options: Sequence[T], most: int) -> list[T]:
        """Up to `most` of several, with repetitions."""
        return [self.pick(options) for _ in range(self.below(most + 1))]


class Drawn(Choices):
    """From hypothesis."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self._draw = draw

    def below(self, limit: int) -> int:
        return 0 if limit <= 1 else int(self._draw(_number(limit)))

    def blob(self, longest: int) -> bytes:
        return bytes(self._draw(_bytes(longest)))


def cases(make: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    """A hypothesis strategy out of a generator."""
    return st.composite(lambda draw: make(Drawn(draw)))()


class Seeded(Choices):
    """From a random generator with a seed."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        return self._random.randrange(limit) if limit > 1 else 0

    def blob(self, longest: int) -> bytes:
        return self._random.randbytes(self._random.randint(0, longest))


class Provided(Choices):
    """From an ``atheris.FuzzedDataProvider``."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def below(self, limit: int) -> int:
        return int(self._provider.ConsumeIntInRange(0, limit - 1)) if limit > 1 else 0

    def blob(self, longest: int) -> bytes:
        return bytes(self._provider.ConsumeBytes(self.below(longest + 1)))


@cache
def _number(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, limit - 1)


@cache
def _bytes(longest: int) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=longest)
