"""Honest pickles of Python's and numpy's own values, in every protocol: the same values come back. Needs no torch."""

from __future__ import annotations

import argparse
import datetime
import math
import pathlib
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dotpt
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine
from dotpt.pickling.tree import settle, transform

PROTOCOLS = range(6)
UTC = datetime.timezone.utc


def read(data: bytes, encoding: str = "utf-8") -> Any:
    return transform(Machine(data, Context(), encoding=encoding).load(), settle, 1_000)


def _state_dict() -> OrderedDict[str, int]:
    made = OrderedDict(a=1)
    made._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    return made


VALUES: dict[str, Any] = {
    "none": None,
    "booleans": [True, False],
    "integers": [0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**63, -(2**64), 10**300],
    "floats": [0.0, -0.0, 1.5, 1e300, math.inf, -math.inf, 5e-324],
    "complex": [1j, 1 - 2j],
    "texts": ["", "a", "é", "中文", "\n\\'\"", "\0", "\U0001f600", "x" * 70_000],
    "bytes": [b"", b"a", bytes(range(256)), b"x" * 70_000],
    "bytearray": [bytearray(), bytearray(b"ab\xff")],
    "lists": [[], [[]], list(range(3_000))],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)],
    "dictionaries": [
        {},
        {"a": 1},
        {1: {2: {3: 4}}},
        {(1, 2): 3, None: 4, 1.5: 5, b"k": 6, True: 7},
        {str(n): n for n in range(3_000)},
    ],
    "sets": [set(), {1, 2}, {"a", None}, frozenset(), frozenset({1}), {frozenset({1}), (2, 3)}],
    "ranges": [range(3), range(1, 9, 2)],
    "slices": [slice(1), slice(1, 2), slice(None, None, -1)],
    "ordered": [OrderedDict(), OrderedDict(b=1, a=2)],
    "counters": [Counter(), Counter("abca")],
    "defaultdicts": [defaultdict(list, a=[1]), defaultdict(int), defaultdict(None, {1: 2}), defaultdict(dict)],
    "namespaces": argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=[1])),
    "times": [
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
        datetime.datetime(2026, 1, 2, tzinfo=UTC),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        datetime.date(2026, 1, 2),
        datetime.time(1, 2, 3),
        datetime.timedelta(1, 2, 3),
        UTC,
    ],
    "types": [
        int,
        float,
        str,
        list,
        dict,
        tuple,
        set,
        bytes,
        bool,
        complex,
        OrderedDict,
        defaultdict,
        datetime.date,
        argparse.Namespace,
        pathlib.PurePosixPath,
    ],
    "arrays": [
        np.arange(6),
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([], np.float32),
        np.array(5),
        np.array([True]),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array([1 + 2j]),
        np.arange(3, dtype=">i4"),
        np.array(["2026-01-02"], "datetime64[D]"),
        np.array([5], "timedelta64[ms]"),
        np.zeros(2, np.float16),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.zeros(2, dtype=[("a", "i4", (2, 2)), ("b", [("c", "u1")])]),
    ],
    "object arrays": [np.array([1, "a", None], object), np.array([[1, [2]], [3, 4]], object)],
    "scalars": [
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
        np.complex64(1j),
        np.str_("ab"),
        np.bytes_(b"ab"),
        np.datetime64("2026-01-02"),
    ],
    "dtypes": [
        np.dtype("f4"),
        np.dtype(">i2"),
        np.dtype("U7"),
        np.dtype([("a", "u1")]),
        np.dtype("M8[ns]"),
        np.dtype(object),
    ],
    "numpy types": [np.float32, np.int64, np.ndarray, np.bool_],
}


def equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape or np.isfortran(a) != np.isfortran(b):
            return False
        return a.tolist() == b.tolist() if a.dtype.hasobject else a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        if getattr(a, "default_factory", 0) != getattr(b, "default_factory", 0):
            return False
        return list(map(repr, a)) == list(map(repr, b)) and all(map(equal, a.values(), b.values()))
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, argparse.Namespace):
        return equal(vars(a), vars(b))
    return bool(a == b)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_an_honest_pickle_gives_what_pickle_gives(name: str, protocol: int) -> None:
    data = pickle.dumps(VALUES[name], protocol)
    assert equal(read(data), pickle.loads(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_share_what_they_shared(protocol: int) -> None:
    inner = [1]
    found = read(pickle.dumps({"a": inner, "b": (inner, inner)}, protocol))
    assert found["a"] is found["b"][0] is found["b"][1]
    loop: list[Any] = []
    loop.append({"me": (loop,)})
    found = read(pickle.dumps(loop, protocol))
    assert found[0]["me"][0] is found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_state_dicts_metadata_is_kept(protocol: int) -> None:
    found = read(pickle.dumps(_state_dict(), protocol))
    assert found._metadata == OrderedDict({"": {"version": 1}})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "path", [pathlib.PurePosixPath("/a/b.pt"), pathlib.PureWindowsPath("C:/a/b.pt"), pathlib.Path("a/b")]
)
def test_paths_become_pure_paths_of_the_same_text(path: pathlib.PurePath, protocol: int) -> None:
    found = read(pickle.dumps(path, protocol))
    assert type(found) in (pathlib.PurePosixPath, pathlib.PureWindowsPath)
    assert isinstance(path, type(found))
    assert str(found) == str(path)


def test_numpy_of_both_spellings() -> None:
    for module in (b"numpy.core", b"numpy._core"):
        data = (
            pickle.dumps([np.arange(3), np.float64(2.5)], 2)
            .replace(b"cnumpy._core.", b"c" + module + b".")
            .replace(b"cnumpy.core.", b"c" + module + b".")
        )
        array, number = read(data)
        assert array.tolist() == [0, 1, 2]
        assert number == 2.5


def test_arrays_of_python_2_are_read_as_latin1() -> None:
    """What Python 2 and numpy 1 write: the bytes of an array and its dtype as byte strings."""
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR"
        b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00\\xc0'\ntb."
    )
    assert read(data, "latin1").tolist() == [1.0, -2.0]
    with pytest.raises(dotpt.DotptError) as caught:
        read(data)
    assert "latin1" in str(caught.value.hint)


# -- any nested value -----------------------------------------------------------------------------------------------

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.builds(bytearray, st.binary(max_size=9))
    | st.datetimes()
    | st.dates()
    | st.timedeltas()
)
KEYS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.binary(max_size=9)
    | st.tuples(st.integers(), st.text())
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict)
        | st.sets(KEYS, max_size=6)
        | st.frozensets(KEYS, max_size=6)
        | st.dictionaries(KEYS, inner, max_size=4).map(lambda pairs: defaultdict(list, pairs))
    ),
    max_leaves=30,
)


@settings(max_examples=400, deadline=None)
@given(tree=TREES, protocol=st.sampled_from(PROTOCOLS))
def test_any_nested_value_is_read_as_pickle_reads_it(tree: Any, protocol: int) -> None:
    data = pickle.dumps(tree, protocol)
    assert equal(read(data), pickle.loads(data))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tree=TREES, protocol=st.sampled_from(PROTOCOLS), data=st.data())
def test_a_damaged_pickle_that_both_read_is_read_the_same(tree: Any, protocol: int, data: Any) -> None:
    """Safe to compare: a changed byte in these streams can name no module that does harm, and we look first."""
    stream = bytearray(pickle.dumps(tree, protocol))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] = data.draw(st.integers(0, 255))
    machine = Machine(bytes(stream), Context())
    try:
        found = transform(machine.load(), settle, 1_000)
    except dotpt.DotptError:
        return
    if any(not name.known for name in machine.globals.values()):
        return
    try:
        with_pickle = pickle.loads(bytes(stream), encoding="utf-8")
    except Exception:  # it minds where we do not: NEWOBJ of a function, for example
        return
    text = repr(found)  # (a function that is named and not called stays a name; NaN equals nothing)
    if "<_codecs.encode>" not in text and "nan" not in text:
        assert repr(found) == repr(with_pickle) or equal(found, with_pickle)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the default protocol")
def test_the_default_protocol_is_read() -> None:
    assert read(pickle.dumps([1])) == [1]
