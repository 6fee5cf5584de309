"""A loaded object as a list of plain facts: two lists are equal exactly when the two objects are. Needs no torch."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from dotpt.pickling.values import InertGlobal, InertObject


def image(root: Any, *, values: bool = True) -> list[Any]:
    """Types, keys, shapes, sharing and, unless ``values`` is off, every byte of every array."""
    facts: list[Any] = []
    seen: dict[int, int] = {}
    kept: list[Any] = []
    todo = [root]
    while todo:
        value = todo.pop()
        kind = type(value)
        if value is None or isinstance(value, (str, bytes, int, float, complex, range, PurePath, np.dtype, type)):
            facts.append((kind.__name__, repr(value)))
            continue
        if id(value) in seen and not isinstance(value, (tuple, frozenset)):
            facts.append(("again", seen[id(value)]))
            continue
        seen[id(value)] = len(seen)
        kept.append(value)
        if isinstance(value, (np.ndarray, np.generic)):
            array = np.asarray(value)
            facts.append((kind.__name__, str(array.dtype), array.shape))
            if array.dtype.hasobject:
                todo += array.ravel().tolist()
            elif values:
                facts.append(array.tobytes())
        elif isinstance(value, dict):
            facts.append((kind.__name__, len(value), getattr(value, "default_factory", None)))
            todo += [part for pair in value.items() for part in pair]
            todo.append(getattr(value, "__dict__", None))
        elif isinstance(value, (list, tuple)):
            facts.append((kind.__name__, len(value)))
            todo += value
        elif isinstance(value, (set, frozenset)):
            facts.append((kind.__name__, len(value)))
            todo += sorted(value, key=repr)
        elif isinstance(value, InertObject):
            facts.append(("inert", value.how))
            todo += [getattr(value, slot) for slot in InertObject.__slots__ if slot != "how"]
        elif isinstance(value, InertGlobal):
            facts.append(("inert", value.qualified))
        elif isinstance(value, Namespace):
            facts.append("namespace")
            todo.append(vars(value))
        elif isinstance(value, slice):
            todo += [value.start, value.stop, value.step]
        elif is_dataclass(value):
            facts.append(kind.__name__)
            todo += [getattr(value, field.name) for field in fields(value)]
        else:
            facts.append((kind.__name__, str(value)))
    return facts
