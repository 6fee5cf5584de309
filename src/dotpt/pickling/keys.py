"""Dictionary keys and set members, checked before Python hashes them.

``hash()`` of a deeply nested tuple recurses in C until the process dies (gh-154318), and thousands of numbers
with one hash make a dictionary quadratic. Neither may reach a dict.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import PurePath
from typing import Any

from dotpt.errors import LimitExceeded, PickleError
from dotpt.limits import Limits
from dotpt.pickling.values import Device, InertGlobal, InertObject, Size, StorageClass, Symbol
from dotpt.pickling.vocabulary import Known
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import StorageRef, TensorRef

_NESTED = (tuple, frozenset, Size)
_SPREAD = (
    str, bytes, bool, type(None), type, InertGlobal, InertObject, Known, DType, Device, Symbol, StorageClass, TensorRef,
    StorageRef,
)  # fmt: skip
_COUNTED = (int, float, complex, range, date, datetime, time, timedelta)
_HASH_PRIME = (1 << 61) - 1  # integers below it have a hash of their own
_LONG = 1 << 10  # bytes of a text that is cheap to compare
_REMEMBERED = 120  # bytes that remembering one hash takes, about


class _Hashes:
    """The hashes of one container's keys. The container is held, so that its id stays its own."""

    __slots__ = ("container", "counts", "seen")

    def __init__(self, container: object) -> None:
        self.container = container
        self.seen: set[int] = set()
        self.counts: dict[int, int] = {}  # of those seen more than once


class KeyGuard:
    """Checks the keys of one stream's containers."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._hashes: dict[int, _Hashes] = {}
        self._comparisons = 0
        self._parts = 0

    def check(self, container: object | None, keys: Iterable[Any]) -> int:
        """Raise unless every key can be hashed, and found again, in bounded time.

        Args:
            container: what the keys are put into; None for one that they are all the keys of.

        Returns:
            Bytes that remembering them takes, about.

        Raises:
            PickleError: a key that Python cannot hash.
            LimitExceeded: `Limits.key_nesting` or `Limits.colliding_keys`.
        """
        hashes = None if container is None else self._hashes.get(id(container))
        cost = 0
        for key in keys:
            kind = type(key)
            if kind is str or (kind is int and -_HASH_PRIME < key < _HASH_PRIME):
                if kind is str and len(key) > _LONG:
                    self._spend(len(key) // 64)
                continue
            if kind is bytes and len(key) > _LONG:
                self._spend(len(key) // 64)
            if kind in _NESTED:
                self._check_nesting(key)
            elif (
                kind not in _SPREAD
                and kind not in _COUNTED
                and not isinstance(key, PurePath)
                and not is_numpy_scalar(kind)
            ):
                raise PickleError(f"A {kind.__name__} is used as a dictionary key or set member; it cannot be hashed.")
            if kind not in _SPREAD:
                if hashes is None:
                    hashes = _Hashes(container)
                    if container is not None:
                        self._hashes[id(container)] = hashes
                    cost += 4 * _REMEMBERED
                self._count(hashes, hash(key))
                cost += _REMEMBERED
        return cost

    def _check_nesting(self, key: Any) -> None:
        level, depth, seen = [key], 0, 0
        while level:
            depth += 1
            if depth > self._limits.key_nesting:
                raise LimitExceeded("key_nesting", depth, self._limits.key_nesting)
            deeper: list[Any] = []
            for item in level:
                self._spend(len(item))
                for part in item:
                    if type(part) in _NESTED:
                        deeper.append(part)
                    elif type(part) not in _SPREAD and type(part) not in _COUNTED and not is_numpy_scalar(type(part)):
                        raise PickleError(f"A {type(part).__name__} lies in a dictionary key; it cannot be hashed.")
            seen += len(deeper)
            if seen > 1 << 12:  # one tuple, met over and over: hashing visits every path
                raise LimitExceeded("key_nesting", seen, 1 << 12)
            level = deeper

    def _spend(self, parts: int) -> None:
        """Account for the members that hashing or comparing a key visits."""
        self._parts += parts
        if self._parts > self._limits.key_parts:
            raise LimitExceeded("key_parts", self._parts, self._limits.key_parts)

    def _count(self, hashes: _Hashes, hashed: int) -> None:
        if hashed not in hashes.seen:
            hashes.seen.add(hashed)
            return
        count = hashes.counts[hashed] = hashes.counts.get(hashed, 1) + 1
        # A dictionary compares a new key with all of its hash: many middling heaps cost as much as one large one.
        self._comparisons += count
        allowed = self._limits.colliding_keys
        if count > allowed or self._comparisons > 4 * allowed * allowed:
            raise LimitExceeded("colliding_keys", max(count, allowed + 1), allowed)


def is_numpy_scalar(kind: type) -> bool:
    """Whether it is a class of numpy's numbers and texts, which can be hashed."""
    return (
        kind.__module__ == "numpy"
        and hasattr(kind, "dtype")
        and kind.__name__ not in ("ndarray", "void")
        and kind.__hash__ is not None
    )
