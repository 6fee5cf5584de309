"""Objects of the corpus that are not tensors: Python containers and values, as checkpoints carry them."""

from __future__ import annotations

import argparse
import datetime
import math
import pathlib
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn.utils.rnn import pack_sequence

from .classes import Config, Point, Slotted
from .entry import Table

VALUES = Table()


class Color(Enum):
    """An enumeration of the user's own."""

    RED = 1


@VALUES.entry("builtin")
def numbers() -> Any:
    """Integers of every encoding (1, 2, 4 bytes, LONG1), and floats with their odd ones."""
    edges = [0, 1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30]
    return {
        "ints": [*edges, *(-n for n in edges)],
        "floats": [0.0, -0.0, 1.5, math.pi, 5e-324, 1.7e308, math.inf, -math.inf, math.nan],
        "complex": [1 + 2j, complex(math.nan, -math.inf)],
        "constants": [None, True, False],
    }


@VALUES.entry("builtin")
def huge_int() -> Any:
    """An integer of 300 bytes: LONG4, which ``weights_only`` refuses."""
    return {"n": 1 << 2399}


VALUES.add("ellipsis", lambda: [Ellipsis, NotImplemented], "builtin")
VALUES.add("strings", lambda: ["", "plain", "a\nb\t\0", "日本語 🐍", "\ud800 lone", "é" * 200, "x" * 300], "builtin")


@VALUES.entry("builtin")
def byte_strings() -> Any:
    """Protocol 2 has no bytes: they travel as ``_codecs.encode(text, 'latin1')``."""
    return {"bytes": [b"", b"abc", bytes(range(256))], "bytearray": [bytearray(), bytearray(b"\x00\xff")]}


@VALUES.entry("builtin", "container")
def containers() -> Any:
    """Every container of the language, empty and not."""
    return {
        "list": [[], [1, 2]],
        "tuple": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "dict": [{}, {"a": 1}],
        "set": {1, 2, 3},
        "set_empty": set(),
        "frozenset": frozenset({4, 5}),
        "range": [range(3), range(1, 10, -2)],
        "slice": slice(1, None, 2),
    }


@VALUES.entry("container")
def collections_types() -> Any:
    """Containers of the standard library, with an attribute on the ordered one."""
    ordered = OrderedDict([("b", 1), ("a", 2)])
    ordered._metadata = OrderedDict([("", {"version": 1})])  # type: ignore[attr-defined]
    grouped: defaultdict[str, list[int]] = defaultdict(list)
    grouped["x"].append(1)
    return {"ordered": ordered, "counter": Counter("abca"), "defaultdict": grouped, "deque": deque([1, 2], maxlen=3)}


VALUES.add("keys", lambda: {0: "int", (1, "a"): "tuple", 1.5: "float", None: "none", b"k": "bytes", True: "b"}, "key")
VALUES.add("keys_dotted", lambda: {"a.b": {"c": torch.ones(1)}, "a": {"b.c": torch.zeros(1)}, "": torch.ones(2)}, "key")


@VALUES.entry("container", "deep")
def nested_deep() -> Any:
    """Lists, dicts and tuples sixty deep with a tensor at the bottom."""
    inner: Any = {"x": torch.arange(3.0)}
    for i in range(20):
        inner = [({"level": i, "inner": inner},)]
    return inner


@VALUES.entry("container", "sharing")
def shared_containers() -> Any:
    """One list, one dict and one tuple reached by several roads."""
    items, table = [1, 2], {"lr": 0.1}
    return {"a": items, "b": items, "c": [table, (items, table)], "d": table}


@VALUES.entry("container", "cycle")
def cycle_list() -> Any:
    """A list that holds itself."""
    items: list[Any] = [1]
    items.append(items)
    return items


@VALUES.entry("container", "cycle")
def cycle_dict() -> Any:
    """A dict that holds itself, directly and through a tuple, beside a tensor."""
    table: dict[str, Any] = {"x": torch.arange(2.0)}
    table["self"] = table
    table["tuple"] = (table, [table])
    return table


@VALUES.entry("stdlib")
def stdlib_values() -> Any:
    """Values of the standard library that people put into checkpoints."""
    zone = datetime.timezone(datetime.timedelta(hours=2), "CEST")
    return {
        "path": pathlib.PurePosixPath("runs/exp1/best.pt"),
        "windows_path": pathlib.PureWindowsPath(r"C:\runs\best.pt"),
        "args": argparse.Namespace(lr=0.1, layers=[1, 2], name="exp"),
        "namespace": SimpleNamespace(a=1),
        "datetime": datetime.datetime(2024, 2, 29, 12, 30, 15, 42, tzinfo=zone),
        "naive": datetime.datetime(2020, 1, 1),
        "date": datetime.date(2024, 2, 29),
        "time": datetime.time(23, 59, 59, 1, tzinfo=datetime.timezone.utc),
        "timedelta": datetime.timedelta(days=-1, seconds=3, microseconds=7),
        "timezone": [zone, datetime.timezone.utc],
        "decimal": Decimal("1.10"),
        "fraction": Fraction(1, 3),
        "partial": partial(int, base=2),
    }


VALUES.add("path", lambda: {"best": pathlib.PosixPath("/tmp/best.pt")}, "stdlib", "posix")


@VALUES.entry("custom")
def custom_objects() -> Any:
    """Objects of classes of the user's own: with a dict, with slots, a namedtuple, an enum, the classes themselves."""
    return {
        "config": Config(lr=0.1, weight=torch.ones(2)),
        "slotted": Slotted(1, torch.zeros(1)),
        "point": Point(1, 2),
        "color": Color.RED,
        "classes": [Config, Point, int, dict, torch.nn.Linear],
        "function": torch.relu,
    }


@VALUES.entry("torch-value")
def return_types() -> Any:
    """Named results of torch functions."""
    grid = torch.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
    return {
        "max": grid.max(1),
        "topk": grid.topk(2),
        "sort": grid.sort(1),
        "mode": grid.mode(),
        "slogdet": torch.linalg.slogdet(torch.eye(2)),
        "svd": torch.linalg.svd(torch.eye(2)),
    }


# torch's legacy loader sets a generator's state before that state has been read, and fails.
VALUES.add("generator", lambda: torch.Generator().manual_seed(3), "torch-value", "rng", "no-legacy")
VALUES.add("packed_sequence", lambda: pack_sequence([torch.arange(3.0), torch.arange(2.0)]), "torch-value")
