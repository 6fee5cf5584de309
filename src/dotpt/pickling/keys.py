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
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import StorageRef, TensorRef

_NESTED = (tuple, frozenset, Size)
_SPREAD = (str, bytes, bool, type(None), InertGlobal, InertObject, DType, Device, Symbol, StorageClass, TensorRef, StorageRef, type)
_COUNTED = (int, float, complex, range, date, datetime, time, timedelta)
_HASH_PRIME = (1 << 61) - 1  # integers below it have a hash of their own


class KeyGuard:
    """Checks the keys of one stream's containers."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._hashes: dict[tuple[int, int], int] = {}

    def check(self, container: object, keys: Iterable[Any]) -> None:
        """Raise unless every key can be hashed in bounded time.

        Raises:
            PickleError: a key that Python cannot hash.
            LimitExceeded: `Limits.key_nesting` or `Limits.colliding_keys`.
        """
        for key in keys:
            kind = type(key)
            if kind is str or kind is int and -_HASH_PRIME < key < _HASH_PRIME:
                continue
            if kind in _NESTED:
                self._check_nesting(key)
            elif kind not in _SPREAD and kind not in _COUNTED and not isinstance(key, PurePath) and not _numpy_scalar(kind):
                raise PickleError(f"A {kind.__name__} is used as a dictionary key or set member; it cannot be hashed.")
            if kind not in _SPREAD:
                self._count(id(container), hash(key))

    def _check_nesting(self, key: Any) -> None:
        level, depth, seen = [key], 0, 0
        while level:
            depth += 1
            if depth > self._limits.key_nesting:
                raise LimitExceeded("key_nesting", depth, self._limits.key_nesting)
            deeper: list[Any] = []
            for item in level:
                for part in item:
                    if type(part) in _NESTED:
                        deeper.append(part)
                    elif type(part) not in _SPREAD and type(part) not in _COUNTED and not _numpy_scalar(type(part)):
                        raise PickleError(f"A {type(part).__name__} lies in a dictionary key; it cannot be hashed.")
            seen += len(deeper)
            if seen > 1 << 12:  # one tuple, met over and over: hashing visits every path
                raise LimitExceeded("key_nesting", seen, 1 << 12)
            level = deeper

    def _count(self, container: int, hashed: int) -> None:
        bucket = container, hashed
        count = self._hashes[bucket] = self._hashes.get(bucket, 0) + 1
        if count > self._limits.colliding_keys:
            raise LimitExceeded("colliding_keys", count, self._limits.colliding_keys)


def _numpy_scalar(kind: type) -> bool:
    return kind.__module__ == "numpy" and hasattr(kind, "dtype") and kind.__name__ != "ndarray" and kind.__hash__ is not None
