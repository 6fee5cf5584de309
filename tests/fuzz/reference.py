"""CPython's own pickle machine, disarmed: the second opinion on what a stream means.

It is the one in Python (`pickle._Unpickler`), so that its stack, memo and frames are all that is trusted. Every name
becomes an inert class of ours, made for that stream alone; extension codes, buffers and persistent ids never leave
this module. The few names that pickle itself writes for builtins are real: none of them does anything but hold
values.
"""

from __future__ import annotations

import codecs
import io
import pickle
from collections import Counter, OrderedDict, defaultdict
from typing import Any

from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.tensors.refs import StorageRef

_REAL: dict[str, Any] = {
    "set": set, "frozenset": frozenset, "bytearray": bytearray, "complex": complex, "range": range, "xrange": range,
    "slice": slice, "list": list, "tuple": tuple, "dict": dict, "int": int, "bytes": bytes,
}  # fmt: skip
REAL: dict[tuple[str, str], Any] = {
    **{(module, name): kind for name, kind in _REAL.items() for module in ("builtins", "__builtin__")},
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): codecs.encode,
}


class Refused(Exception):
    """The stream wants something that is no part of the comparison."""


class _Meta(type):
    """Calling an inert class makes a record of the call."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = object.__new__(cls)
        made.note("call", args, kwargs)
        return made


class Record(metaclass=_Meta):
    """What an unknown class's instance would be."""

    qualified = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = object.__new__(cls)
        made.note("new", args, kwargs)
        return made

    def note(self, how: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.how, self.args, self.kwargs = how, args, kwargs
        self.states: list[Any] = []
        self.items: list[Any] = []
        self.pairs: list[tuple[Any, Any]] = []

    def __setstate__(self, state: Any) -> None:
        self.states.append(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))

    def append(self, item: Any) -> None:
        self.items.append(item)

    add = append

    def extend(self, items: Any) -> None:
        self.items.extend(items)


def inert_class(module: str, name: str) -> Any:
    """A class of its own for a name."""
    return _Meta("Record", (Record,), {"qualified": f"{module}.{name}"})


class Reference(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """One stream, read with inert names."""

    def __init__(self, data: bytes, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(data), encoding=encoding)
        self._made: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in REAL:
            return REAL[module, name]
        if (module, name) not in self._made:
            self._made[module, name] = inert_class(module, name)
        return self._made[module, name]

    def get_extension(self, code: int) -> Any:
        raise Refused("an extension code")

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("a persistent id")


def picture(root: Any) -> list[Any]:
    """A graph as a flat list: two machines agree exactly when theirs are equal, order, sharing and cycles included."""
    seen: dict[int, int] = {}
    kept: list[Any] = []
    lines: list[Any] = []
    todo = [root]
    while todo:
        value = todo.pop()
        kind = type(value)
        if kind in (str, bytes, int, float, bool, complex, type(None), range):
            lines.append((kind.__name__, repr(value)))
            continue
        if isinstance(value, InertGlobal):
            lines.append(("name", value.qualified))
            continue
        if value is codecs.encode:
            lines.append(("name", "_codecs.encode"))
            continue
        if isinstance(value, type):
            lines.append(("name", value.qualified if issubclass(value, Record) else f"builtins.{value.__name__}"))
            continue
        if not isinstance(value, (tuple, frozenset)):  # either machine may share equal ones as it likes
            if id(value) in seen:
                lines.append(("again", seen[id(value)]))
                continue
            seen[id(value)] = len(seen)
        kept.append(value)
        todo += reversed(_parts(value, lines))
    return lines


def _parts(value: Any, lines: list[Any]) -> list[Any]:
    """What lies in a value; a line about itself is added."""
    kind = type(value)
    if isinstance(value, Record):
        lines.append(("object", value.how))
        return [kind, value.args, value.kwargs or None, value.states, value.items, [x for p in value.pairs for x in p]]
    if kind is InertObject:
        args = value.args if isinstance(value.args, tuple) else (value.args,)
        # INST and OBJ call a class that is given arguments, and only make an instance otherwise
        how = ("call" if args else "new") if value.how == "inst" else value.how
        lines.append(("object", how))
        # a state that a function sets is noted by dotpt on the object itself
        states = [s for s in value.states if not (type(s) is InertObject and s.how == "set")]
        return [value.callee, args, value.kwargs or None, states, value.items, [x for p in value.pairs for x in p]]
    if kind is StorageRef:
        lines.append(("storage", value.key))
        return []
    if isinstance(value, bytearray):
        lines.append(("bytearray", bytes(value)))
        return []
    if isinstance(value, dict):
        lines.append((kind.__name__, len(value)))
        attributes = getattr(value, "__dict__", None)
        factory = getattr(value, "default_factory", None)
        return [*(part for pair in value.items() for part in pair), attributes or None, factory]
    if isinstance(value, (list, tuple)):
        lines.append((kind.__name__, len(value)))
        return list(value)
    if isinstance(value, (set, frozenset)):
        # members in an order that does not depend on their addresses
        lines.append((kind.__name__, sorted(map(_plain, value))))
        return []
    if isinstance(value, slice):
        lines.append("slice")
        return [value.start, value.stop, value.step]
    lines.append((kind.__name__, str(value)))
    return []


def _plain(member: Any) -> str:
    """A set's member as a text; of a record, only that it is one."""
    if isinstance(member, (Record, InertObject)):
        return "object"
    if isinstance(member, InertGlobal) or (isinstance(member, type) and issubclass(member, Record)):
        return member.qualified
    if isinstance(member, (tuple, frozenset)):
        parts = map(_plain, member)
        return f"{type(member).__name__}({', '.join(parts if isinstance(member, tuple) else sorted(parts))})"
    return f"{type(member).__name__} {member!r}"
