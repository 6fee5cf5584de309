"""The encoder against Python's own pickle: read alike, and mostly the same bytes. Needs no torch."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import subprocess
import sys
import threading
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dotpt.errors import CannotPickle, UsageError
from dotpt.pickling.context import Context
from dotpt.pickling.encoder import Encoder, get_bytes, integer_bytes, put_bytes
from dotpt.pickling.machine import Machine
from dotpt.pickling.tree import settle, transform
from dotpt.tensors.refs import TensorRef
from tests.corpus import picklable as own
from tests.pickling.test_shortcut import synthetic

ROOT = Path(__file__).parents[2]
PROTOCOLS = [2, 3, 4, 5]
VALUES = own.values()
# What torch's weights-only reader takes in protocol 2.
ACCEPTED = set(
    "PROTO GLOBAL BINPUT LONG_BINPUT BINGET LONG_BINGET MARK TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_TUPLE EMPTY_LIST "
    "EMPTY_DICT BINUNICODE BININT BININT1 BININT2 LONG1 BINFLOAT NEWTRUE NEWFALSE NONE REDUCE NEWOBJ BUILD "
    "APPEND APPENDS SETITEM SETITEMS BINPERSID STOP".split()
)


def shape(root: Any) -> list[Any]:
    """A graph of objects as a flat list: two are the same exactly when values, types, sharing and cycles are."""
    seen: dict[int, int] = {}
    lines: list[Any] = []
    todo = [root]
    kept = []
    while todo:
        value = todo.pop()
        kind = type(value)
        if kind in (str, bytes, int, float, complex, bool, type(None), type, FunctionType, own.Meta):
            lines.append((kind.__name__, repr(value) if kind in (float, complex) else value))
            continue
        if value in ((), frozenset()) and kind in (tuple, frozenset):
            lines.append(kind.__name__)
            continue
        if id(value) in seen:
            lines.append(("again", seen[id(value)]))
            continue
        seen[id(value)] = len(seen)
        kept.append(value)
        lines.append(kind.__qualname__)
        if isinstance(value, dict):
            todo += [part for pair in value.items() for part in pair]
        elif isinstance(value, (set, frozenset)):
            todo += sorted(value, key=lambda member: repr(sorted(member) if isinstance(member, frozenset) else member))
        elif isinstance(value, (list, tuple, deque)):
            todo += value
        slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ()) if hasattr(value, name)]
        if hasattr(value, "__dict__") or slots:
            todo += [getattr(value, name) for name in slots if isinstance(name, str) and name != "__dict__"]
            todo.append(dict(getattr(value, "__dict__", {})))
        elif not isinstance(value, (dict, set, frozenset, list, tuple, deque)):
            lines.append(repr(value))
    return lines


def dump(value: Any, protocol: int = 2, **options: Any) -> bytes:
    return Encoder(protocol, **options).dump(value)


# -- the same objects, the same bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_python_reads_what_we_write(name: str, protocol: int) -> None:
    value = VALUES[name]
    data = dump(value, protocol)
    assert data[:2] == bytes((0x80, protocol))
    assert shape(pickle.loads(data)) == shape(pickle.loads(pickle.dumps(value, protocol)))


@pytest.mark.parametrize("name", VALUES)
def test_a_copy_equals_the_original(name: str) -> None:
    """Not only Python's copy, which could share a fault with ours."""
    if name not in ("classes", "node", "slots", "states", "state setter", "registered", "new keywords", "library"):
        assert pickle.loads(dump(VALUES[name])) == VALUES[name]
    assert shape(pickle.loads(dump(VALUES[name]))) == shape(VALUES[name]) or name in ("library", "functions")


def merged(value: Any) -> Any:
    """The value with equal texts made one object, so that it is the same to go by identity and by value."""
    return pickle.loads(dump(value, 4))


SAME_BYTES = [
    name
    for name in VALUES
    # sets are in an order of our own, b"" is written as other bytes are, and 3.13 names nested classes otherwise
    if name not in ("sets", "large sets", "bytes", "nested classes")
]


@pytest.mark.parametrize("name", SAME_BYTES)
def test_protocol_2_is_what_the_c_pickler_writes(name: str) -> None:
    value = merged(VALUES[name])
    assert dump(value) == pickle.dumps(value, 2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 255, 256, 257, 999, 1000, 1001, 1999, 2000, 2001])
def test_batches_are_those_of_the_c_pickler(count: int) -> None:
    numbers = [None] * count
    makers = (list, tuple, deque, own.ListWithState)
    for value in [make(numbers) for make in makers] + [dict.fromkeys(range(count))]:
        assert dump(value) == pickle.dumps(value, 2)
    for kind in (OrderedDict, Counter, own.DictWithState):
        value = kind({n: n for n in range(count)})
        assert dump(value) == pickle.dumps(value, 2)


@pytest.mark.parametrize("exponent", [0, 7, 8, 15, 16, 31, 32, 63, 64, 2039, 2040, 2047])
def test_integers_at_their_edges(exponent: int) -> None:
    for n in (2**exponent + off for off in (-2, -1, 0, 1)):
        for value in (n, -n):
            assert integer_bytes(value) == pickle.dumps(value, 2)[2:-1]


def test_memo_numbers_grow_long() -> None:
    assert [put_bytes(255), put_bytes(256)] == [b"q\xff", b"r\x00\x01\x00\x00"]
    assert [get_bytes(255), get_bytes(256)] == [b"h\xff", b"j\x00\x01\x00\x00"]
    lists = [[n] for n in range(600)]
    value = lists + lists
    assert dump(value) == pickle.dumps(value, 2)


def _graphs() -> st.SearchStrategy[Any]:
    return st.tuples(
        st.lists(
            st.sampled_from(["list", "dict", "ordered", "node", "slotted", "tuple", "set"]), min_size=1, max_size=12
        ),
        st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.sampled_from(["k", "l", 1, 2.5, b"b", None]))),
    )


def build(plan: Any) -> Any:
    """A graph with sharing and cycles: nodes of these kinds, and edges among them. Equal texts are one object."""
    kinds, edges = plan
    leaves: list[Any] = ["text", 1, 2.5, None, True, b"raw", 2**70, ()]
    nodes: list[Any] = []
    for at, kind in enumerate(kinds):
        earlier = tuple(nodes[-(at % 5) :]) if nodes else ()
        nodes.append({
            "list": [], "dict": {}, "ordered": OrderedDict(), "node": own.Node(), "slotted": own.Slotted(1, at),
            "tuple": (at, *earlier), "set": {at, "member", (at, "pair")},
        }[kind])  # fmt: skip
    for start, stop, key in edges:
        target, child = nodes[start % len(nodes)], (nodes + leaves)[stop % (len(nodes) + len(leaves))]
        if type(target) is list:
            target.append(child)
        elif isinstance(target, dict):
            target[key] = child
        elif type(target) is own.Node:
            setattr(target, str(key), child)
        elif type(target) is own.Slotted:
            target.left = child
    return nodes


@settings(max_examples=300, deadline=None)
@given(plan=_graphs(), protocol=st.sampled_from(PROTOCOLS))
def test_any_graph_keeps_its_sharing_and_cycles(plan: Any, protocol: int) -> None:
    value = build(plan)
    found = pickle.loads(dump(value, protocol))
    assert shape(found) == shape(value)
    assert shape(found) == shape(pickle.loads(pickle.dumps(value, protocol)))
    assert dump(found, protocol) == dump(value, protocol)


@settings(max_examples=200, deadline=None)
@given(plan=_graphs())
def test_any_graph_is_what_the_c_pickler_writes(plan: Any) -> None:
    kinds, edges = plan
    value = build((["list" if kind == "set" else kind for kind in kinds], edges))
    assert dump(value) == pickle.dumps(value, 2)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.binary(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.text() | st.integers() | st.frozensets(st.text()))
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(value=_PLAIN, protocol=st.sampled_from(PROTOCOLS))
def test_any_plain_value_is_read_alike(value: Any, protocol: int) -> None:
    data = dump(value, protocol)
    assert shape(pickle.loads(data)) == shape(value)
    found = transform(Machine(data, Context()).load(), settle, 1_000)
    assert shape(found) == shape(value)


# -- cycles -----------------------------------------------------------------------------------------------------------


def cyclic_tuple(size: int) -> tuple[Any, ...]:
    inner: list[Any] = []
    outer = (inner, *range(size - 1))
    inner.append(outer)
    return outer


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_a_tuple_in_itself(size: int, protocol: int) -> None:
    value = cyclic_tuple(size)
    found = pickle.loads(dump(value, protocol))
    assert found[0][0] is found
    assert len(found) == size
    if protocol == 2:
        assert dump(value) == pickle.dumps(value, 2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_in_a_member_of_it(kind: type, protocol: int) -> None:
    node = own.Node()
    node.of = kind((node,))
    found = pickle.loads(dump(node.of, protocol))
    (member,) = found
    assert member.of is found


def test_an_object_in_its_own_arguments() -> None:
    """What was put on the stack is dropped for what was written meanwhile."""
    inner = own.Node()
    inner.back = own.Reduced((own.Pair, (inner, 1)))
    value = [inner.back, inner.back]
    assert dump(value) == pickle.dumps(value, 2)
    for protocol in PROTOCOLS:
        found, again = pickle.loads(dump(value, protocol))
        assert found.first.back is found is again


# -- by value, in order -----------------------------------------------------------------------------------------------


def test_equal_texts_and_bytes_are_written_once() -> None:
    first, second = "".join(["some", " text"]), "".join(["some", " text"])
    assert first is not second
    assert dump([first, second]) == dump([first, first])
    one, other = bytes(bytearray(b"some bytes")), bytes(bytearray(b"some bytes"))
    assert one is not other
    assert dump([one, other], 4) == dump([one, one], 4)
    assert dump([one, other]) == dump([one, one])


def test_no_bytes_are_written_as_other_bytes_are() -> None:
    data = dump([b"", b""])
    assert b"_codecs\nencode" in data
    assert b"__builtin__\nbytes" not in data
    assert pickle.loads(data) == [b"", b""]


def test_equal_sets_give_equal_bytes() -> None:
    words = [f"word {n}" for n in range(200)]
    other = set()
    other.update(reversed(words))
    assert dump(set(words)) == dump(other)
    assert dump({own.Hashed(word) for word in words}) == dump({own.Hashed(word) for word in reversed(words)})
    assert pickle.loads(dump({3, 1, 2})) == {1, 2, 3}
    assert b"K\x01K\x02K\x03" in dump({3, 1, 2})


def test_the_same_bytes_in_every_process() -> None:
    code = (
        "import hashlib; from tests.corpus import picklable as p; from dotpt.pickling.encoder import Encoder; "
        "print([hashlib.sha256(Encoder(n).dump(v)).hexdigest() for v in [p.values(), *p.unordered()] for n in (2, 4)])"
    )
    printed = set()
    for seed in ("0", "1", "2", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
        )
        printed.add(done.stdout)
    assert len(printed) == 1
    assert len(printed.pop().split(",")) == 2 * (1 + len(own.unordered()))


def test_members_of_one_content_come_as_they_were_met() -> None:
    twins = [own.Node() for _ in range(20)]
    data = dump([twins, set(twins)])
    indices = [argument for opcode, argument, _ in pickletools.genops(data) if "BINGET" in opcode.name]
    assert indices == sorted(indices)


def test_members_are_not_asked_for_their_bytes_if_the_caller_writes_them() -> None:
    saved = []

    def save(encoder: Encoder, value: own.Hashed) -> None:
        saved.append(value)
        encoder.text(value.word)

    members = {own.Hashed("a"), own.Hashed("b"), own.Hashed("c")}
    assert pickle.loads(dump(members, types={own.Hashed: save})) == {"a", "b", "c"}
    assert sorted(value.word for value in saved) == ["a", "b", "c"]


def test_members_of_a_type_below_are_not_asked_either() -> None:
    asked = []

    class Below(own.Hashed):
        def __reduce__(self) -> Any:
            asked.append(self.word)
            return str, (self.word,)

    members = {Below("a"), Below("b")}
    assert pickle.loads(dump(members, types={own.Hashed: Encoder.integer})) == {"a", "b"}
    assert sorted(asked) == ["a", "b"]
    assert pickle.loads(dump(members)) == {"a", "b"}
    assert sorted(asked) == ["a", "a", "a", "b", "b", "b"]  # to be sorted, and to be written


def test_a_member_that_fails_is_heard_when_it_is_written() -> None:
    class Failing:
        def __reduce__(self) -> Any:
            raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        dump({Failing(), Failing(), 1})


def test_a_tangle_of_sets_ends() -> None:
    left: Any = frozenset((own.Hashed("a"), 1))
    right: Any = frozenset((own.Hashed("b"), 1))
    for _ in range(60):  # 2**60 paths
        left, right = frozenset((left, right, own.Hashed("x"))), frozenset((left, right, 1))
    found = pickle.loads(dump(left))
    assert len(found) == 3
    plain: Any = frozenset((1,))
    for n in range(60):
        plain = frozenset((plain, frozenset((plain, n))))
    assert len(pickle.loads(dump(plain))) == 2


# -- what reads it ----------------------------------------------------------------------------------------------------

KNOWN = [
    "None", "bools", "small ints", "ints", "floats", "complex", "texts", "bytes", "bytearrays", "tuples", "lists",
    "dicts", "sets", "large sets", "ordered", "shared",
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", KNOWN)
def test_our_machine_reads_what_we_write(name: str, protocol: int) -> None:
    found = transform(Machine(dump(VALUES[name], protocol), Context()).load(), settle, 1_000)
    assert found == VALUES[name]
    assert shape(found) == shape(VALUES[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_our_machine_reads_the_library_types_it_knows(protocol: int) -> None:
    value = [Counter("aba"), defaultdict(list, {1: [2]}), range(3), PurePosixPath("a/b"), frozenset("ab")]
    assert transform(Machine(dump(value, protocol), Context()).load(), settle, 1_000) == value


@pytest.mark.parametrize("name", sorted(set(VALUES) - {"huge ints", "state setter"}))
def test_protocol_2_holds_to_the_opcodes_of_the_weights_only_reader(name: str) -> None:
    used = {opcode.name for opcode, _, _ in pickletools.genops(dump(VALUES[name]))}
    assert used <= ACCEPTED


@pytest.mark.parametrize("protocol", [4, 5])
def test_one_frame_goes_around_everything(protocol: int) -> None:
    data = dump([VALUES["texts"], b"x" * 100_000, "y" * 100_000], protocol)
    frames = [(argument, at) for opcode, argument, at in pickletools.genops(data) if opcode.name == "FRAME"]
    assert frames == [(len(data) - 11, 2)]


class _Named:
    """A global of a package that is not here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None:
        """Only callables are called in a pickle."""


def _save_named(encoder: Encoder, value: _Named) -> None:
    encoder.name(value.module, value.name)


class _Storage:
    def __init__(self, key: str) -> None:
        self.key = key


class _Tensor:
    def __init__(self, key: str) -> None:
        self.storage = _Storage(key)
        self.layout = [2, 2], [2, 1]


REBUILD, FLOATS = _Named("torch._utils", "_rebuild_tensor_v2"), _Named("torch", "FloatStorage")


def _reduce_tensor(value: Any) -> Any:
    if type(value) is not _Tensor:
        return NotImplemented
    return REBUILD, (value.storage, 0, *map(tuple, value.layout), False, OrderedDict())


def _storage_id(value: Any) -> Any:
    return ("storage", FLOATS, value.key, "cpu", 4) if type(value) is _Storage else None


def test_tensors_are_written_as_the_shortcut_of_the_machine_knows_them() -> None:
    state = {f"layer.{n}.weight": _Tensor(str(n)) for n in range(100)}
    options: Any = {"types": {_Named: _save_named}, "reduce": _reduce_tensor, "persistent": _storage_id}
    data = dump(state, **options)
    assert data == synthetic(100)
    machine = Machine(data, Context())
    assert all(type(value) is TensorRef for value in machine.load().values())


@pytest.mark.torch
def test_weights_are_written_as_torch_writes_them() -> None:
    torch = pytest.importorskip("torch")
    numbers: dict[int, str] = {}
    kept = []

    def storage_id(value: Any) -> Any:
        if not isinstance(value, torch.storage.TypedStorage):
            return None
        kept.append(value)
        key = numbers.setdefault(value._cdata, str(len(numbers)))
        return "storage", getattr(torch, value._pickle_storage_type()), key, "cpu", value._size()

    layers = [torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Embedding(5, 6)]
    state = {"model": [(f"layer{n}", layer.state_dict()) for n, layer in enumerate(layers)], "epoch": 3}
    file = io.BytesIO()
    torch.save(state, file)
    assert dump(state, persistent=storage_id) == zipfile.ZipFile(file).read("archive/data.pkl")


def test_arrays_of_numpy() -> None:
    arrays = [np.arange(6.0).reshape(2, 3), np.float32(1.5), np.array(["a", None], dtype=object)]
    arrays += [np.asfortranarray(np.ones((2, 3))), np.zeros((2, 0)), np.frombuffer(b"abcd", dtype=np.uint8)]
    for protocol in PROTOCOLS:
        for found, array in zip(pickle.loads(dump(arrays, protocol)), arrays, strict=True):
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)
    assert dump(arrays[0]) == pickle.dumps(arrays[0], 2)


def test_buffers_stand_in_the_stream() -> None:
    for held in (b"read only", bytearray(b"writable")):
        (found, again) = pickle.loads(dump([buffer := pickle.PickleBuffer(held), buffer], 5))
        assert found == held
        assert type(found) is type(held)
        assert again is found
    with pytest.raises(CannotPickle, match="protocol below 5"):
        dump(pickle.PickleBuffer(b"x"), 4)
    with pytest.raises(CannotPickle, match="not contiguous"):
        dump(pickle.PickleBuffer(memoryview(b"abcdef")[::2]), 5)


# -- the interface ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 6, 17])
def test_protocols_that_are_not_written(protocol: int) -> None:
    with pytest.raises(UsageError, match=f"Protocol {protocol} of pickle") as caught:
        Encoder(protocol)
    assert isinstance(caught.value, ValueError)


def test_protocols_that_are_written_as_others() -> None:
    assert dump([1], -1) == dump([1], 5)
    assert dump([1], 1) == dump([1], 2)


def test_a_caller_writes_its_own_types() -> None:
    def save_node(encoder: Encoder, node: own.Node) -> None:
        if encoder.get(node):
            return
        encoder.name("builtins", "list")
        encoder.parts.append(b")R")
        encoder.memoize(node)

    def save_slotted(encoder: Encoder, value: own.Slotted) -> Iterator[Any]:
        encoder.parts.append(b"(")
        yield value.left
        yield value.right
        encoder.parts.append(b"t")

    def save_int(encoder: Encoder, value: int) -> None:
        encoder.text(str(value))

    node = own.Node()
    types: Any = {own.Node: save_node, own.Slotted: save_slotted, int: save_int}
    first, (second, number), third = pickle.loads(dump([node, own.Slotted(node, 5), node], types=types))
    assert first == []
    assert first is second is third
    assert number == "5"


def test_a_caller_saves_inside_its_own_types() -> None:
    def save_node(encoder: Encoder, node: own.Node) -> None:
        encoder.parts.append(b"(")
        encoder.save(vars(node))
        encoder.save(["after"])
        encoder.integer(7)
        encoder.parts.append(b"t")

    found = pickle.loads(dump({"n": own.Node(a=own.Node(b=1))}, types={own.Node: save_node}))
    assert found == {"n": ({"a": ({"b": 1}, ["after"], 7)}, ["after"], 7)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_holes_are_filled_later(protocol: int) -> None:
    encoder = Encoder(protocol)
    encoder.start()
    encoder.parts.append(b"(")
    hole = encoder.hole()
    encoder.save("text")
    encoder.parts += (b"t", b"")
    encoder.put()
    encoder.parts[hole] = integer_bytes(100_000)
    assert pickle.loads(encoder.finish()) == (100_000, "text")


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_caller_numbers_the_memo_itself(protocol: int) -> None:
    def save(encoder: Encoder, node: own.Node) -> None:
        at = encoder.next_index
        encoder.parts += (b"]", put_bytes(at), b"K\x05a", get_bytes(at), b"\x86", put_bytes(at + 1))
        encoder.next_index = at + 2

    (first, second), again = pickle.loads(dump([own.Node(), "a" * 3], protocol, types={own.Node: save}))
    assert first is second
    assert (first, again) == ([5], "aaa")


def test_a_caller_reduces_what_has_no_type_of_its_own() -> None:
    def reduce(value: Any) -> Any:
        if isinstance(value, own.Node):
            return own.Pair, (1, 2)
        return "function" if value is own.CONSTANT else NotImplemented

    value = [own.Node(), own.Slotted(1, 2), {1}]
    found = pickle.loads(dump(value, reduce=reduce))
    assert found[0] == own.Pair(1, 2)
    assert found[1].left == 1
    with pytest.raises(CannotPickle, match="another object has that name"):
        dump(own.CONSTANT, reduce=reduce)


def test_persistent_ids_stand_for_objects_and_not_for_plain_values() -> None:
    asked = []

    def persistent(value: Any) -> Any:
        asked.append(value)
        return ("id", value.a) if isinstance(value, own.Node) else None

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return ("read", pid)

    node = own.Node(a=7)
    data = dump([node, node, {"k": (1, "x", 1.5, None, b"b", {2})}, int], persistent=persistent)
    assert asked == [node, node, set, int]
    found = Reader(io.BytesIO(data)).load()
    assert found[0] == found[1] == ("read", ("id", 7))


def test_a_persistent_id_is_not_asked_for_an_id() -> None:
    def persistent(value: Any) -> Any:
        return own.Colour.RED if isinstance(value, own.Node) else value if isinstance(value, own.Colour) else None

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return pid

    assert Reader(io.BytesIO(dump(own.Node(), persistent=persistent))).load() is own.Colour.RED


def test_names_are_remembered_by_module_and_name() -> None:
    encoder = Encoder()
    encoder.start()
    encoder.parts.append(b"(")
    encoder.name("builtins", "range")
    encoder.save(range)
    encoder.save(own.function)
    encoder.name(own.__name__, "function")
    encoder.parts.append(b"t")
    data = encoder.finish()
    assert pickle.loads(data) == (range, range, own.function, own.function)
    assert data.count(b"xrange") == data.count(b"function") == 1
    assert encoder.names["builtins", "range"] == 0


def test_extension_codes_are_not_used() -> None:
    import copyreg

    copyreg.add_extension(own.__name__, "Node", 240)
    try:
        assert b"Node" in dump(own.Node)
        assert b"Node" not in pickle.dumps(own.Node, 2)
    finally:
        copyreg.remove_extension(own.__name__, "Node", 240)


# -- depth ------------------------------------------------------------------------------------------------------------

DEPTH = 10_000


def _deep(wrap: Any) -> Any:
    value: Any = None
    for _ in range(DEPTH):
        value = wrap(value)
    return value


DEEP = {
    "lists": lambda: _deep(lambda value: [value]),
    "dictionaries": lambda: _deep(lambda value: {"k": value}),
    "tuples": lambda: _deep(lambda value: (value,)),
    "mixed": lambda: _deep(lambda value: OrderedDict(k=[(value, 1, 2, 3)])),
    "objects": lambda: own.nested(DEPTH),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", DEEP)
def test_what_is_nested_deeply_is_written(name: str, protocol: int) -> None:
    results: list[bytes] = []
    value = DEEP[name]()
    threading.stack_size(256 << 10)  # as small as a thread's may be
    try:
        thread = threading.Thread(target=lambda: results.append(dump(value, protocol)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    found, depth = pickle.loads(results[0]), 0
    while found is not None:
        found = found.inner if isinstance(found, own.Node) else next(iter(getattr(found, "values", found.__iter__)()))
        depth += 1
    assert depth == (3 * DEPTH if name == "mixed" else DEPTH)
