"""The table of objects: ``OBJECTS["dtype_bfloat16"]()`` builds one, with `tags` and `safe` as facts about it."""

from __future__ import annotations

from .arrays import ARRAYS
from .checkpoints import CHECKPOINTS
from .entry import Entry, Table, quiet
from .layouts import LAYOUTS
from .tensors import TENSORS
from .values import VALUES

__all__ = ["OBJECTS", "Entry", "quiet", "tagged"]

OBJECTS = Table()
for _table in (TENSORS, LAYOUTS, VALUES, ARRAYS, CHECKPOINTS):
    for _entry in _table.values():
        OBJECTS.add(_entry.name, _entry.make, *_entry.tags)


def tagged(*tags: str, without: tuple[str, ...] = ()) -> list[str]:
    """Names of the objects that have all of `tags` and none of `without`, in table order."""
    return [e.name for e in OBJECTS.values() if e.tags.issuperset(tags) and e.tags.isdisjoint(without)]
