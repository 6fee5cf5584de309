"""What the source of a class says for certain about its objects, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from dotpt.errors import ClassesChanged
from dotpt.pickling.changes import Changes, ways_of


class Module:
    """Stands for `torch.nn.Module`: attributes of three kinds."""

    __module__ = "torch.nn.modules.module"


MARK = object()


class Net(Module):
    kind = "of the class"

    def __init__(self, size: int, rate: float = 0.5, act: Any = list, *, deep: bool = True, part: Any = MARK) -> None:
        super().__init__()
        self.size = size
        self.rate = rate
        self.act, self.deep = act, deep
        self.part = part
        self.name = self.alias = "net"
        self.sizes: list[int] = [1, 2]
        self.bare: int
        deep = size > 3
        self.depth = deep
        self.computed = size * 2
        self.kind = "of the object"
        if deep:
            self.sometimes = 1
        for number in range(3):
            self.last = number
        self.first, self.second = divmod(size, 3)
        self.register_buffer("mean", None)  # type: ignore[attr-defined]
        size.bit_length()
        [self][0].odd = 1  # type: ignore[attr-defined]


class Sub(Net):
    def __init__(self) -> None:
        super().__init__(3)
        self.rate = 0.1
        self.more = None


class Alone(Net):
    def __init__(self) -> None:
        self.only = 1


class Plain(Net):
    pass


class Returns(Module):
    def __init__(self, early: bool = False) -> None:
        self.before = 1
        if early:
            return
        self.after = 2


class OwnState(Net):
    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)


def empty(cls: type, **attributes: Any) -> Any:
    made = object.__new__(cls)
    made.__dict__.update({"_parameters": {}, "_buffers": {}, "_modules": {}} | attributes)
    return made


CERTAIN = {"rate": 0.5, "act": list, "deep": True, "name": "net", "alias": "net", "sizes": [1, 2]}
UNCERTAIN = {"size", "part", "depth", "computed", "first", "second", "mean"}


def test_what_a_class_sets() -> None:
    ways = ways_of(Net)
    assert ways is not None
    assert set(ways.sets) == {*CERTAIN, *UNCERTAIN, "kind"}
    assert {"sometimes", "last", "odd"} <= ways.mentioned
    assert ways.all_known


def test_what_is_certain_is_filled_in() -> None:
    changes, net = Changes(), empty(Net, size=3, part=None)
    changes.look_at(net)
    found = {name: value for name, value in vars(net).items() if name in CERTAIN}
    assert found == CERTAIN
    warning = changes.warning("net.pt")
    assert isinstance(warning, ClassesChanged)
    (change,) = warning.changes
    assert change.filled == CERTAIN
    assert set(change.missing) == UNCERTAIN - {"size", "part"}
    assert change.objects == 1
    other = empty(Net)
    changes.look_at(other)
    assert other.sizes is not net.sizes
    assert change.objects == 2


def test_attributes_of_all_kinds_count() -> None:
    changes = Changes()
    net = empty(Net, **CERTAIN, size=1, depth=1, computed=1, first=1, second=1)
    net._buffers["mean"], net._modules["part"] = None, None
    changes.look_at(net)
    assert not changes


def test_classes_above() -> None:
    sub, alone, plain = ways_of(Sub), ways_of(Alone), ways_of(Plain)
    assert sub is not None
    assert alone is not None
    assert plain is not None
    assert {"more", "rate", "sizes"} <= sub.sets.keys()
    assert set(alone.sets) == {"only"}
    assert "size" in plain.sets
    changes, made = Changes(), empty(Sub)
    changes.look_at(made)
    assert (made.rate, made.more) == (0.1, None)


def test_what_may_not_be_reached_is_not_asked_for() -> None:
    ways = ways_of(Returns)
    assert ways is not None
    assert set(ways.sets) == {"before"}


def test_a_class_with_ways_of_its_own_is_left_alone() -> None:
    assert ways_of(OwnState) is None
    changes, made = Changes(), empty(OwnState)
    changes.look_at(made)
    assert not changes


def test_a_class_without_source_is_left_alone() -> None:
    space: dict[str, Any] = {"Module": Module, "__name__": "typed_in"}
    exec("class Made(Module):\n    def __init__(self):\n        self.a = 1", space)
    assert ways_of(space["Made"]) is None


@pytest.mark.parametrize("value", [3, "x", {"_modules": 3}, type("Bare", (), {})()])
def test_what_is_no_module_is_not_looked_at(value: Any) -> None:
    changes = Changes()
    changes.look_at(value)
    assert not changes


def test_the_report_is_readable() -> None:
    changes, net = Changes(), empty(Net, **CERTAIN, size=1, depth=1, computed=1, first=1, second=1, part=1, old=1)
    changes.note_moved("old.Net", Net)
    changes.look_at(net)
    here = f"{Net.__module__}.Net"
    assert str(changes.warning("net.pt")).splitlines() == [
        "The classes of net.pt have changed since it was saved:",
        f"  old.Net of the file is taken to be {here}, which was passed in trust=",
        f"  {here} sets mean today, of which the file has nothing (it has old, which today's class does not set)",
        "Try: set what is missing, or fit the weights into a new model: dotpt.load_into(model, path)",
    ]
