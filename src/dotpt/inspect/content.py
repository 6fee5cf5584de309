"""Looks into the tree of a file: named parts, tensors within them, short texts for plain values."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from dotpt.pickling.tree import ATOMS, named_children
from dotpt.pickling.values import InertObject
from dotpt.tensors.refs import StorageRef, TensorRef

Keys = tuple[Any, ...]


def children_of(value: Any) -> dict[Any, Any]:
    """The named parts of a dictionary, a namespace, or an object that dotpt does not know."""
    if isinstance(value, dict):
        return value
    if type(value) is Namespace:
        return vars(value)
    return value.attributes if type(value) is InertObject else {}


def value_at(tree: Any, keys: Keys) -> Any:
    """The value that keys lead to; None if they lead nowhere."""
    for key in keys:
        tree = children_of(tree).get(key)
    return tree


def references_in(value: Any, seen: set[int]) -> list[Any]:
    """The tensors and storages in a value, at every place that holds one.

    Args:
        seen: containers that were visited before (by their ids): they are not visited again, so that a stranger's
            dictionary, met under a thousand names, is walked once.
    """
    found: list[Any] = []
    level = [value]
    while level:
        value = level.pop()
        kind = type(value)
        if kind is TensorRef or kind is StorageRef:
            found.append(value)
        elif kind not in ATOMS and id(value) not in seen:
            seen.add(id(value))
            children = [child for _, child in named_children(value) if type(child) not in ATOMS]
            level.extend(reversed(children))
    return found


def short_value(value: Any) -> Any:
    """A scalar as it is, a value without tensors in a few words."""
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) in (str, bytes):
        return value[:200] if type(value) is str else f"{len(value):,} bytes"
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        scalar = value.item()
        return scalar if type(scalar) in (bool, int, float) else str(scalar)[:200]
    if isinstance(value, dict) or type(value) is Namespace:
        named = children_of(value)
        names = ", ".join(str(key)[:30] for key in list(named)[:4])
        noun = "entry" if len(named) == 1 else "entries"
        return f"{len(named):,} {noun}: {names}{', ...' if len(named) > 4 else ''}" if named else "empty"
    if isinstance(value, (list, tuple)):
        return f"{len(value):,} item{'s' if len(value) != 1 else ''}"
    return f"a {value.type_name}" if type(value) is InertObject else None
