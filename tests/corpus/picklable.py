"""Objects of every way in which Python pickles one, with names that a reader can find. Needs no torch."""

from __future__ import annotations

import copyreg
import datetime
import decimal
import enum
import fractions
import pathlib
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple


class Node:
    """Attributes in a ``__dict__``."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    """Attributes in slots."""

    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right


class SlottedNode(Slotted):
    """Slots and a ``__dict__``."""


class Hashed:
    """Equal by content, as members of sets should be."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and other.word == self.word

    def __hash__(self) -> int:
        return hash(self.word)


class WithState:
    """``__getstate__`` and ``__setstate__``."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getstate__(self) -> tuple[str, Any]:
        return "state of", self.value

    def __setstate__(self, state: tuple[str, Any]) -> None:
        self.value = state[1]


class FalseState(WithState):
    """A state that is false is a state."""

    def __getstate__(self) -> Any:
        return 0

    def __setstate__(self, state: Any) -> None:
        self.value = state


class NewArguments(int):
    """``__getnewargs__``: arguments of ``__new__``."""

    def __new__(cls, number: int, label: str) -> NewArguments:
        made = super().__new__(cls, number)
        made.label = label  # type: ignore[attr-defined]
        return made

    def __getnewargs__(self) -> tuple[int, str]:
        return int(self), self.label  # type: ignore[attr-defined]


class NewKeywords:
    """``__getnewargs_ex__``: arguments that can only be named."""

    def __new__(cls, *args: Any, **keywords: Any) -> NewKeywords:
        made = super().__new__(cls)
        made.made_of = args, keywords  # type: ignore[attr-defined]
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self.made_of  # type: ignore[attr-defined, no-any-return]

    def __getstate__(self) -> None:
        return None


class Reduced:
    """``__reduce__`` as it is given."""

    def __init__(self, reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


class ListWithState(list[Any]):
    """A list with attributes: items and state."""


class DictWithState(dict[Any, Any]):
    """A dictionary with attributes: pairs and state."""


class SetInState:
    """Written by a state setter, as the sixth part of what ``__reduce__`` gives says."""

    def __init__(self) -> None:
        self.value: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return SetInState, (), {"value": self.value}, None, None, set_value


def set_value(target: SetInState, state: dict[str, Any]) -> None:
    """The state setter of `SetInState`."""
    target.value = state["value"]


class Registered:
    """Known to `copyreg` only."""

    def __init__(self, value: Any) -> None:
        self.value = value


copyreg.pickle(Registered, lambda registered: (Registered, (registered.value,)))


class Meta(type):
    """A metaclass of one's own."""


class Made(metaclass=Meta):
    """A class of that metaclass."""


class Outer:
    """A class with one in it."""

    class Inner:
        """A class whose name has a dot."""

        class Innermost:
            """And one with two."""

    def method(self) -> str:
        """A bound method is saved by its object and name."""
        return "method"


class Colour(enum.Enum):
    """An enumeration."""

    RED = 1
    BLUE = "b"


class Flags(enum.IntFlag):
    """Flags, combined or not."""

    ONE = 1
    TWO = 2


class Pair(NamedTuple):
    """A named tuple."""

    first: Any
    second: Any


@dataclass
class Record:
    """A data class."""

    name: str
    values: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    """A frozen one, which can be a key."""

    name: str
    number: int


class _Constant:
    def __reduce__(self) -> str:
        return "CONSTANT"


CONSTANT = _Constant()


def function() -> int:
    """A function at the top level."""
    return 1


def counted_dict(count: int) -> dict[int, None]:
    """A dictionary of so many items."""
    return dict.fromkeys(range(count))


def filled(target: Any, /, **attributes: Any) -> Any:
    """``target`` with these attributes."""
    for name, attribute in attributes.items():
        setattr(target, name, attribute)
    return target


def nested(depth: int) -> Node:
    """A node in a node in a node ..."""
    value: Any = None
    for _ in range(depth):
        value = Node(inner=value)
    return value


def values() -> dict[str, Any]:
    """One of each: values that a fresh copy equals, or whose attributes it equals."""
    shared = ["shared"]
    return {
        "None": None,
        "bools": [True, False],
        "small ints": [0, 1, 255, 256, 65535, 65536, -1, -(2**31), 2**31 - 1],
        "ints": [2**31, -(2**31) - 1, 2**63, -(2**63), -128, 2**2039 - 1, -(2**2039), 255**100, -(256**5)],
        "huge ints": [2**2039, 2**2040, -(2**2040), 1 << 40_000],
        "floats": [0.0, -0.0, 1.5, float("inf"), -float("inf"), 1e-310],
        "complex": [1 + 2j, complex(-0.0, float("inf"))],
        "texts": ["", "a", "é", "中文", "\U0001f600", "a\nb\x00", "lone \udc80", "x" * 255, "x" * 256, "é" * 128],
        "bytes": [b"", b"a", b"\x00\xff", bytes(range(256)), b"x" * 300],
        "bytearrays": [bytearray(), bytearray(b"\x00\xff"), bytearray(b"y" * 300)],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((), ((),))],
        "lists": [[], [1], [1, 2], list(range(999)), list(range(1000)), list(range(1001)), list(range(2000))],
        "dicts": [{}, {1: 2}, {1: 2, 3: 4}, *map(counted_dict, (999, 1000, 1001, 2000))],
        "sets": [set(), {1}, {"a", "b"}, frozenset(), frozenset((1, 2)), {frozenset(("x", "y")), (1, "z")}],
        "large sets": [set(range(1000)), set(map(str, range(2500))), frozenset(range(1001))],
        "shared": [shared, shared, {"again": shared}, (shared,)],
        "classes": [int, dict, OrderedDict, Node, Made, Meta, type, object, datetime.datetime],
        "nested classes": [Outer.Inner, Outer.Inner.Innermost, Outer.Inner],
        "nameless types": [type(None), type(NotImplemented), type(...)],
        "constants": [..., NotImplemented, CONSTANT, CONSTANT],
        "functions": [function, len, print, pathlib.Path.cwd, str.upper, OrderedDict.fromkeys],
        "ordered": [OrderedDict(), OrderedDict(a=1), OrderedDict(b=1, a=2), OrderedDict.fromkeys(range(1001))],
        "ordered with state": filled(OrderedDict(a=1), _metadata=OrderedDict(version=1)),
        "collections": [Counter("abca"), defaultdict(list, {1: [2]}), deque([1, 2], maxlen=5), deque(range(1001))],
        "enums": [Colour.RED, Colour.BLUE, Flags.ONE | Flags.TWO, Flags.ONE],
        "named tuples": [Pair(1, [2]), Pair(None, Pair(1, 2))],
        "data classes": [Record("r", [1, 2]), Frozen("f", 2)],
        "node": Node(a=1, b=[Node(), Node(c=2)]),
        "slots": [Slotted(1, [2]), filled(SlottedNode(1, 2), more=3)],
        "states": [WithState([1]), FalseState(0)],
        "new arguments": NewArguments(7, "seven"),
        "new keywords": NewKeywords(1, [2], word=3),
        "with items": [filled(ListWithState([1, 2]), note="n"), filled(DictWithState(a=1), note="n")],
        "state setter": filled(SetInState(), value=[1]),
        "registered": Registered((1, 2)),
        "library": [
            datetime.datetime(2024, 2, 3, tzinfo=datetime.timezone.utc), datetime.timedelta(1, 2, 3),
            decimal.Decimal("1.5"), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.PurePosixPath("a/b"),
            range(3), range(1, 10, 2), slice(1, None, 2), partial(int, "11", base=2), ValueError("bad", 3),
        ],
    }  # fmt: skip


def unordered() -> list[Any]:
    """Sets whose order in memory depends on hashes, of texts or of addresses, plain and not."""
    words = [f"word {n}" for n in range(50)]
    return [
        set(words),
        frozenset(words),
        {(word, n, None, 1.5) for n, word in enumerate(words)},
        {*words, *range(5), b"bytes", 1.5, None, (1, "x"), frozenset(words), 2j},
        {Hashed(word) for word in words},
        {Colour.RED, Colour.BLUE, int, Node, function, "word"},
        {pathlib.PurePosixPath(word) for word in words},
        {Node(name=word, friends={Hashed(word), Hashed("x"), "y"}) for word in words},
        {frozenset((Hashed(word), Hashed("x"))) for word in words},
        {"key": {Frozen(word, 1) for word in words}},
        ring(words),
    ]


def ring(words: list[str]) -> set[Node]:
    """A set whose members lead back to it."""
    members = {Node(name=word) for word in words}
    for member in members:
        member.of = members  # type: ignore[attr-defined]
    return members
