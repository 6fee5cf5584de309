"""Damage done to small files, thousands of times: a typed error or the right data, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import dotpt
from dotpt.errors import DotptError

Read = Callable[[bytes], Any]


def load(data: bytes) -> Any:
    """The values in a file of bytes, without torch and without knowing its classes."""
    return dotpt.load(data, backend="numpy", unknown="inert")


def check_cuts(data: bytes, read: Read = load, step: int = 1) -> None:
    """A file that was cut short, at every byte, is a typed error; or all there is to it was read."""
    whole = repr(read(data))
    for length in range(0, len(data), step):
        try:
            found = read(data[:length])
        except DotptError:
            continue
        assert repr(found) == whole, f"cut at {length}"


def check_changes(data: bytes, read: Read = load, count: int = 3000, seed: int = 0) -> None:
    """A file in which one to three bytes were changed is a typed error, or is read; nothing else is raised."""
    rng = random.Random(seed)
    for number in range(count):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            changed[rng.randrange(len(changed))] = rng.choice((rng.randrange(256), 0, 255))
        try:
            read(bytes(changed))
        except DotptError:
            continue
        except BaseException as error:
            raise AssertionError(f"change {number} raised {error!r}") from error
