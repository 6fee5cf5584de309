"""Objects of every way in which Python classes are pickled, for the tests of ``trust=``. Needs no torch."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import random
import re
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Plain:
    """A class of the usual kind."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def method(self) -> Plain:
        return self


class Slots:
    __slots__ = ("__dict__", "left", "right")

    def __init__(self) -> None:
        self.left, self.right, self.other = 1, [2], 3


class OnlySlots:
    __slots__ = ("left", "right")

    def __init__(self, right: Any = None) -> None:
        self.left, self.right = self, right


class OwnState:
    """Its `__setstate__` sees whole values, and counts how often it is called."""

    def __init__(self, value: Any) -> None:
        self.value, self.calls = value, 0

    def __getstate__(self) -> dict[str, Any]:
        return {"value": self.value, "calls": self.calls}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, calls=state["calls"] + 1)


class NewArguments:
    def __new__(cls, first: Any, second: Any = 2) -> NewArguments:
        made = super().__new__(cls)
        made.arguments = first, second
        return made

    def __getnewargs__(self) -> Any:
        return self.arguments


class NewKeywords:
    def __new__(cls, first: Any, *, second: Any) -> NewKeywords:
        made = super().__new__(cls)
        made.arguments = first, second
        return made

    def __getnewargs_ex__(self) -> Any:
        return self.arguments[:1], {"second": self.arguments[1]}


class Reduced:
    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce__(self) -> Any:
        return Reduced, (self.content,)


class ReducedWhole:
    """All that `__reduce__` can give: items, pairs and a state, in that order."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def append(self, item: Any) -> None:
        self.seen.append(item)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.seen.append((key, value))

    def __setstate__(self, state: Any) -> None:
        self.seen.append(state)

    def __reduce__(self) -> Any:
        return ReducedWhole, (), {"the": "state"}, iter([1, [2]]), iter([("a", 3), ("b", [4])])


def set_state(target: Any, state: Any) -> None:
    target.__dict__.update(state, by="a function")


class SetByFunction:
    def __reduce__(self) -> Any:
        return SetByFunction, (), {"a": [1]}, None, None, set_state


class Integer(int):
    pass


class Text(str):
    pass


class Real(float):
    pass


class Raw(bytes):
    pass


class Pair(tuple):
    pass


class Frozen(frozenset):
    pass


class Members(set):
    pass


class Items(list):
    pass


class Mapping(dict):
    """A dictionary whose `__setitem__` does more."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, [value] if type(value) is int else value)


class Ordered(collections.OrderedDict):
    pass


class Counted(collections.Counter):
    pass


class Defaults(collections.defaultdict):
    pass


class Outer:
    class Inner:
        class Deepest:
            pass

        def __init__(self) -> None:
            self.a = 1


class Color(enum.Enum):
    RED = 1


class Flags(enum.Flag):
    A = 1
    B = 2


class Number(enum.IntEnum):
    THREE = 3


@dataclasses.dataclass
class Data:
    x: int
    content: Any = None


@dataclasses.dataclass(frozen=True)
class Key:
    x: int


@dataclasses.dataclass(frozen=True, slots=True)
class SlottedKey:
    x: int
    content: Any = None


class Named(NamedTuple):
    a: Any
    b: Any


class OwnError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.extra = [code]


class Hashed:
    """Its hash needs its state: a dictionary must not be filled before its keys are whole."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and self.name == other.name


class Zone(datetime.tzinfo):
    def utcoffset(self, moment: Any) -> datetime.timedelta:
        return datetime.timedelta(hours=1)

    def dst(self, moment: Any) -> None:
        return None

    def tzname(self, moment: Any) -> str:
        return "one"

    def __eq__(self, other: object) -> bool:
        return type(other) is Zone

    __hash__ = None  # type: ignore[assignment]


class Vector(np.ndarray):
    """A subclass of numpy's arrays."""


def double(value: Any) -> Any:
    return 2 * value


def with_attribute(value: Any) -> Any:
    value.attribute = [1]
    return value


def parent_and_child() -> Any:
    parent = Plain(name="parent")
    parent.child = Plain(parent=parent, siblings=[parent])
    parent.by_state = OwnState({"parent": parent})
    return parent


def through_its_arguments() -> Any:
    """An object whose arguments hold a list that holds the object."""
    content: list[Any] = []
    content.append(Reduced(content))
    return content[0]


def through_a_tuple() -> Any:
    inner: list[Any] = []
    whole = (inner, Plain(of=inner))
    inner.append(whole)
    return whole


def in_its_own_items() -> Any:
    items = Items([1])
    items.append(items)
    mapping = Mapping()
    mapping["self"] = mapping
    return [items, mapping]


def keys() -> Any:
    key, frozen = Hashed("a"), Key(2)
    return {
        key: 1,
        (frozen, "x"): {frozen: key},
        "set": {key},  # of several, the order depends on how the set came to be
        "frozen": frozenset([key]),
        Color.RED: Color.RED,
        decimal.Decimal("1.5"): 2,
    }


def shared() -> Any:
    part = Plain(a=[1])
    return [part, part, {"again": part}, (part, part.a), Items([part])]


def many() -> Any:
    return [Items(Data(i) for i in range(1_500)), Mapping((str(i), Data(i)) for i in range(1_500))]


def nothing_but_names() -> Any:
    return [
        *(Plain, Outer.Inner, double, len, type(None), Ellipsis, NotImplemented, type(...), object, type),
        *(collections.OrderedDict, set, argparse.Namespace, datetime.datetime, np.ndarray, np.float32, np.dtype),
        *(pathlib.PurePosixPath, pathlib.Path, pathlib.PosixPath, Plain.method),
    ]


def numpy_values() -> Any:
    array = np.empty((2, 2), dtype=object)
    array[:] = [[Data(1), [2]], [None, Plain(a=3)]]
    record = np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)])
    return [
        *(np.array([1, 2]).view(Vector), np.ma.array([1, 2], mask=[0, 1]), record, record.view(np.ndarray), array),
        *(np.asfortranarray(array), slice(np.int64(1), None), np.add, np.random.default_rng(3), np.poly1d([1, 2])),
    ]


def files() -> Any:
    path = pathlib.Path("/tmp/best.pt")
    return [path, {path: 1}, {path}, pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("c:/a")]


OBJECTS: dict[str, Callable[[], Any]] = {
    "plain": lambda: Plain(a=1, b=[2]),
    "slots": Slots,
    "only slots": OnlySlots,
    "own state": lambda: OwnState([1]),
    "new arguments": lambda: [NewArguments([1]), NewArguments(1, second=[3])],
    "new keywords": lambda: NewKeywords(1, second=[2]),
    "reduced": lambda: Reduced([1]),
    "reduced whole": ReducedWhole,
    "set by a function": SetByFunction,
    "of builtin classes": lambda: [
        *(Integer(3), Text("a"), Real(1.5), Raw(b"ab"), Pair((1, [2])), Frozen({1}), Members({1}), Items([1, [2]])),
        *(Mapping(a=1, b=[2]), Ordered(b=1, a=2), Counted("aab"), Defaults(list, a=[1])),
    ],
    "with attributes": lambda: [
        with_attribute(value)
        for value in (Integer(3), Pair((1,)), Members({1}), Items([1]), Mapping(a=1), Ordered(b=1), Counted("a"))
    ],
    "classes in classes": lambda: [Outer.Inner(), Outer.Inner.Deepest(), Outer.Inner],
    "enumerations": lambda: [Color.RED, Flags.A | Flags.B, Number.THREE],
    "dataclasses": lambda: [Data(1, [2]), Key(1), SlottedKey(3, [4])],
    "named tuple": lambda: Named(1, [Named(2, 3)]),
    "errors": lambda: [OwnError(1, "x"), ValueError("y", 3), OSError(2, "no"), KeyError("k")],
    "parent and child": parent_and_child,
    "through its arguments": through_its_arguments,
    "through a tuple": through_a_tuple,
    "in its own items": in_its_own_items,
    "keys": keys,
    "shared": shared,
    "many": many,
    "names": nothing_but_names,
    "numpy": numpy_values,
    "paths": files,
    "default dictionaries": lambda: [
        *(collections.defaultdict(Data), collections.defaultdict(double, a=1), Defaults(Plain)),
        collections.defaultdict(functools.partial(list, [1])),
    ],
    "bound methods": lambda: [Plain(a=1).method, "x".join],
    "library": lambda: [
        *(decimal.Decimal("1.1"), fractions.Fraction(1, 3), functools.partial(int, base=2), uuid.UUID(int=5)),
        *(collections.deque([1, [2]], maxlen=4), types.SimpleNamespace(a=Data(1)), re.compile("a+"), random.Random(3)),
        *(argparse.Namespace(rate=Data(1)), operator.attrgetter("a"), operator.itemgetter(1, 2), slice(Data(1), None)),
        *(zoneinfo.ZoneInfo("UTC"), datetime.datetime(2020, 1, 1, tzinfo=Zone()), collections.ChainMap({"a": Data(1)})),
    ],
}
