"""The opcode machine, one opcode and one error at a time. Needs no torch, and unpickles nothing hostile."""

from __future__ import annotations

import math
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

import dotpt
from dotpt.errors import DotptError, LimitExceeded, PickleError, TensorError
from dotpt.limits import Limits
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine, PickleCut
from dotpt.pickling.tree import settle, transform
from dotpt.pickling.values import InertGlobal, InertObject, Size, StorageClass
from dotpt.pickling.vocabulary import Known
from dotpt.tensors.refs import StorageRef, TensorRef
from tests.corpus import pickles as p
from tests.corpus.streams import STREAMS

FOO = p.global_("foo", "Bar")
ORDERED = p.global_("collections", "OrderedDict")


def run(data: bytes, *, fast: bool = True, encoding: str = "utf-8", **limits: Any) -> Any:
    """The object of one stream, as it comes from the machine."""
    machine = Machine(data, Context(Limits(**limits)), encoding=encoding)
    machine.fast = fast
    return machine.load()


def value(*ops: bytes, **options: Any) -> Any:
    """The plain object that opcodes make."""
    return transform(run(p.stream(*ops, p.stop()), **options), settle, 1_000)


# -- one opcode -----------------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[bytes, Any]] = {
    "NONE": (p.none(), None),
    "NEWTRUE": (p.true(), True),
    "NEWFALSE": (p.false(), False),
    "INT": (p.int_(-12), -12),
    "INT 0": (p.int_(0), 0),
    "INT false": (p.int_("00"), False),
    "INT true": (p.int_("01"), True),
    "LONG": (p.long_(10**30), 10**30),
    "LONG without L": (b"L-5\n", -5),
    "BININT": (p.binint(-(2**31)), -(2**31)),
    "BININT1": (p.binint1(255), 255),
    "BININT2": (p.binint2(65535), 65535),
    "LONG1": (p.long1(-(2**70)), -(2**70)),
    "LONG1 empty": (b"\x8a\0", 0),
    "LONG4": (p.long4(2**100), 2**100),
    "FLOAT": (p.float_("-1.5e-3"), -1.5e-3),
    "FLOAT nan": (p.float_("nan"), math.nan),
    "FLOAT inf": (p.float_("-inf"), -math.inf),
    "BINFLOAT": (p.binfloat(2.25), 2.25),
    "UNICODE": (b"V\\u00e9\\u000a\\u4e2d\\u005c\n", "é\n\u4e2d\\"),
    "BINUNICODE": (p.binunicode("né"), "né"),
    "BINUNICODE surrogate": (p.binunicode(b"\xed\xb2\x80"), "\udc80"),
    "SHORT_BINUNICODE": (p.short_binunicode("né"), "né"),
    "BINUNICODE8": (p.binunicode8("né"), "né"),
    "STRING": (p.string("a\\'b"), "a'b"),
    "STRING double": (b'S"ab"\n', "ab"),
    "SHORT_BINSTRING": (p.short_binstring("ab"), "ab"),
    "BINSTRING": (p.binstring("ab"), "ab"),
    "SHORT_BINBYTES": (p.short_binbytes(b"\0\xff"), b"\0\xff"),
    "BINBYTES": (p.binbytes(b"\0\xff"), b"\0\xff"),
    "BINBYTES8": (p.binbytes8(b"\0\xff"), b"\0\xff"),
    "BYTEARRAY8": (p.bytearray8(b"\0\xff"), bytearray(b"\0\xff")),
    "EMPTY_LIST": (p.empty_list(), []),
    "EMPTY_TUPLE": (p.empty_tuple(), ()),
    "EMPTY_DICT": (p.empty_dict(), {}),
    "EMPTY_SET": (p.empty_set(), set()),
    "TUPLE": (p.stream(p.mark(), p.none(), p.true(), p.tuple_()), (None, True)),
    "TUPLE1": (p.stream(p.none(), p.tuple1()), (None,)),
    "TUPLE2": (p.stream(p.number(1), p.number(2), p.tuple2()), (1, 2)),
    "TUPLE3": (p.stream(p.number(1), p.number(2), p.number(3), p.tuple3()), (1, 2, 3)),
    "LIST": (p.stream(p.mark(), p.number(1), p.list_()), [1]),
    "DICT": (p.stream(p.mark(), p.number(1), p.number(2), p.dict_()), {1: 2}),
    "FROZENSET": (p.stream(p.mark(), p.number(1), p.frozenset_()), frozenset((1,))),
    "APPEND": (p.stream(p.empty_list(), p.number(1), p.append()), [1]),
    "APPENDS": (p.stream(p.empty_list(), p.mark(), p.number(1), p.number(2), p.appends()), [1, 2]),
    "SETITEM": (p.stream(p.empty_dict(), p.number(1), p.number(2), p.setitem()), {1: 2}),
    "SETITEMS": (p.stream(p.empty_dict(), p.mark(), p.number(1), p.number(2), p.setitems()), {1: 2}),
    "ADDITEMS": (p.stream(p.empty_set(), p.mark(), p.number(1), p.additems()), {1}),
    "POP": (p.stream(p.number(1), p.number(2), p.pop()), 1),
    "POP of a mark": (p.stream(p.number(1), p.mark(), p.pop()), 1),
    "POP_MARK": (p.stream(p.number(1), p.mark(), p.number(2), p.pop_mark()), 1),
    "DUP": (p.stream(p.number(1), p.dup(), p.tuple2()), (1, 1)),
    "PUT and GET": (p.stream(p.text("a"), p.put(0), p.get(0), p.tuple2()), ("a", "a")),
    "BINPUT and BINGET": (p.stream(p.text("a"), p.binput(0), p.binget(0), p.tuple2()), ("a", "a")),
    "LONG_BINPUT and LONG_BINGET": (
        p.stream(p.text("a"), p.long_binput(70_000), p.long_binget(70_000), p.tuple2()),
        ("a", "a"),
    ),
    "MEMOIZE": (p.stream(p.text("a"), p.memoize(), p.binget(0), p.tuple2()), ("a", "a")),
    "PROTO": (p.stream(p.proto(5), p.none()), None),
    "FRAME": (p.stream(p.proto(4), p.frame(p.none())), None),
    "REDUCE": (p.call("builtins", "complex", p.binfloat(1.0), p.binfloat(2.0)), 1 + 2j),
    "NEWOBJ": (p.stream(p.global_("collections", "OrderedDict"), p.empty_tuple(), p.newobj()), OrderedDict()),
    "NEWOBJ_EX": (p.stream(p.global_("builtins", "range"), p.ints(3), p.empty_dict(), p.newobj_ex()), range(3)),
    "INST": (p.stream(p.mark(), p.number(3), p.inst("builtins", "range")), range(3)),
    "OBJ": (p.stream(p.mark(), p.global_("builtins", "range"), p.number(3), p.obj()), range(3)),
    "GLOBAL": (p.global_("builtins", "int"), int),
    "STACK_GLOBAL": (p.global4("__builtin__", "float"), float),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_opcode_gives_its_value(name: str) -> None:
    ops, wanted = VALUES[name]
    found = value(ops)
    assert type(found) is type(wanted)
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


def test_build_sets_the_attributes_of_an_ordered_dictionary() -> None:
    found = value(
        ORDERED, p.empty_tuple(), p.reduce_(), p.empty_dict(), p.text("_metadata"), p.number(1), p.setitem(), p.build()
    )
    assert found.__dict__ == {"_metadata": 1}


def test_binpersid_gives_a_storage() -> None:
    found = run(p.pickled(p.storage("7", 3)))
    assert isinstance(found, StorageRef)
    assert (found.key, found.nbytes, found.location, found.dtype.name) == ("7", 12, "cpu", "float32")


def test_every_opcode_of_pickle_is_handled_or_refused() -> None:
    import pickletools

    from dotpt.pickling import machine

    handlers = (
        machine._handlers
        if hasattr(machine, "_handlers")
        else __import__("dotpt.pickling.opcodes", fromlist=["x"]).HANDLERS
    )
    known = {ord(op.code) for op in pickletools.opcodes}
    assert known - set(handlers) == {ord(".")}
    assert set(handlers) <= known


@pytest.mark.parametrize("byte", sorted(set(range(256)) - {ord(op.code) for op in __import__("pickletools").opcodes}))
def test_a_byte_that_is_no_opcode_is_named(byte: int) -> None:
    with pytest.raises(PickleError, match=f"{byte:#04x}"):
        run(bytes([byte]) + b".")


# -- unknown names --------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_inert_and_listed() -> None:
    machine = Machine(p.pickled(FOO, p.tuple1(), FOO, p.pop()), Context())
    (inert,) = machine.load()
    assert type(inert) is InertGlobal
    assert inert.qualified == "foo.Bar"
    (listed,) = machine.globals.values()
    assert (listed.module, listed.name, listed.known, listed.offset) == ("foo", "Bar", False, 2)


@pytest.mark.parametrize(
    ("ops", "how"),
    [
        (p.stream(FOO, p.ints(1), p.reduce_()), "call"),
        (p.stream(FOO, p.ints(1), p.newobj()), "new"),
        (p.stream(p.mark(), FOO, p.number(1), p.obj()), "inst"),
        (p.stream(p.mark(), p.number(1), p.inst("foo", "Bar")), "inst"),
        (p.stream(FOO, p.ints(1), p.empty_dict(), p.newobj_ex()), "new"),
    ],
)
def test_a_call_of_an_unknown_name_is_kept_and_not_made(ops: bytes, how: str) -> None:
    found = run(p.pickled(ops))
    assert type(found) is InertObject
    assert (found.how, found.args, found.type_name) == (how, (1,), "foo.Bar")
    assert not callable(found)


def test_what_would_be_put_into_an_unknown_object_is_kept_in_order() -> None:
    found = run(
        p.pickled(
            FOO,
            p.empty_tuple(),
            p.reduce_(),
            p.number(1),
            p.append(),
            p.mark(),
            p.number(2),
            p.appends(),
            p.text("k"),
            p.number(3),
            p.setitem(),
            p.mark(),
            p.number(4),
            p.additems(),
            p.text("s"),
            p.build(),
            p.none(),
            p.build(),
        )
    )
    assert (found.items, found.pairs, found.states) == ([1, 2, 4], [("k", 3)], ["s", None])


@pytest.mark.parametrize("name", [n for n, s in STREAMS.items() if s.kind == "attack"])
def test_an_attack_is_refused_by_load_and_inert_when_looked_at(name: str) -> None:
    data = STREAMS[name].data
    with pytest.raises(DotptError):
        dotpt.load(data, backend="numpy")
    try:
        found = run(data)
    except DotptError:
        return
    assert not callable(found)
    assert type(found) in (InertObject, InertGlobal, dict, list, tuple, type(None), str) or hasattr(found, "array")


@pytest.mark.parametrize("name", [n for n, s in STREAMS.items() if s.kind == "malformed"])
def test_a_malformed_stream_is_a_typed_error(name: str) -> None:
    for fast in (True, False):
        with pytest.raises(DotptError) as caught:
            run(STREAMS[name].data, fast=fast)
        assert type(caught.value).__module__.startswith("dotpt")


@pytest.mark.parametrize("name", [n for n, s in STREAMS.items() if s.kind == "honest"])
def test_an_honest_stream_gives_what_pickle_gives(name: str) -> None:
    data = STREAMS[name].data
    if name == "protocol_5":  # ends in READONLY_BUFFER, which no writer puts behind a value of its own stream
        with pytest.raises(PickleError, match="buffers"):
            run(data)
        return
    wanted, found = pickle.loads(data, encoding="utf-8"), transform(run(data), settle, 1_000)
    if name == "self_list":
        assert found[0] is found
        return
    assert found == wanted
    assert type(found) is type(wanted)


def test_a_name_inside_an_embedded_file_counts() -> None:
    inside = p.pickled(FOO, p.empty_tuple(), p.reduce_())
    data = p.pickled(p.call("torch.storage", "_load_from_bytes", p.binbytes(inside)))
    with pytest.raises(dotpt.UnsafeGlobal) as caught:
        dotpt.load(data, backend="numpy")
    assert [str(name) for name in caught.value.globals] == ["foo.Bar"]
    assert type(dotpt.load(data, backend="numpy", unknown="inert")) is InertObject


def test_types_may_be_keys() -> None:
    found = value(p.empty_dict(), p.global_("builtins", "int"), p.number(1), p.setitem())
    assert found == {int: 1}


# -- what is refused ------------------------------------------------------------------------------------------------

TENSOR = p.tensor()
BROKEN: dict[str, bytes] = {
    "append to a tuple": p.stream(p.empty_tuple(), p.none(), p.append()),
    "append to a set": p.stream(p.empty_set(), p.none(), p.append()),
    "append to a bytearray": p.stream(p.bytearray8(b"a"), p.number(1), p.append()),
    "append to a tensor": p.stream(TENSOR, p.number(1), p.append()),
    "appends to a dictionary": p.stream(p.empty_dict(), p.mark(), p.number(1), p.appends()),
    "set an item of a list": p.stream(p.empty_list(), p.number(0), p.number(1), p.setitem()),
    "set an item of a bytearray": p.stream(p.bytearray8(b"a"), p.number(0), p.number(1), p.setitem()),
    "set an item of a tensor (CVE-2026-24747)": p.stream(TENSOR, p.number(0), p.number(1), p.setitem()),
    "set items of a storage": p.stream(p.storage(), p.mark(), p.number(0), p.number(1), p.setitems()),
    "add to a list": p.stream(p.empty_list(), p.mark(), p.number(1), p.additems()),
    "build a list": p.stream(p.empty_list(), p.empty_dict(), p.build()),
    "build a dictionary": p.stream(p.empty_dict(), p.empty_dict(), p.build()),
    "build a class": p.stream(p.global_("builtins", "int"), p.empty_dict(), p.build()),
    "build a known class": p.stream(ORDERED, p.empty_dict(), p.build()),
    "build a storage": p.stream(p.storage(), p.empty_dict(), p.build()),
    "a method replaced by an attribute": p.stream(
        ORDERED, p.empty_tuple(), p.reduce_(), p.empty_dict(), p.text("items"), p.number(1), p.setitem(), p.build()
    ),
    "an attribute that is no text": p.stream(
        ORDERED, p.empty_tuple(), p.reduce_(), p.empty_dict(), p.number(1), p.number(1), p.setitem(), p.build()
    ),
    "call of a number": p.stream(p.number(1), p.empty_tuple(), p.reduce_()),
    "call of text": p.stream(p.text("os.system"), p.empty_tuple(), p.reduce_()),
    "call of a storage class": p.stream(p.global_("torch", "FloatStorage"), p.empty_tuple(), p.reduce_()),
    "call with a list": p.stream(ORDERED, p.empty_list(), p.reduce_()),
    "call of an unknown name with a number": p.stream(FOO, p.number(1), p.reduce_()),
    "new object with a list": p.stream(FOO, p.empty_list(), p.newobj()),
    "NEWOBJ with content, which Python ignores": p.stream(
        p.global_("builtins", "list"), p.stream(p.mark(), p.number(1), p.list_()), p.tuple1(), p.newobj()
    ),
    "keyword arguments that are none": p.stream(FOO, p.empty_tuple(), p.none(), p.newobj_ex()),
    "keyword arguments of a known class": p.stream(
        ORDERED, p.empty_tuple(), p.empty_dict(), p.text("a"), p.none(), p.setitem(), p.newobj_ex()
    ),
    "OBJ without a class": p.stream(p.mark(), p.obj()),
    "a list as a key": p.stream(p.empty_dict(), p.empty_list(), p.none(), p.setitem()),
    "a list in a key": p.stream(p.empty_dict(), p.empty_list(), p.tuple1(), p.none(), p.setitem()),
    "a dictionary in a set": p.stream(p.mark(), p.empty_dict(), p.frozenset_()),
    "EXT1": p.ext1(1),
    "EXT2": p.ext2(1),
    "EXT4": p.ext4(1),
    "NEXT_BUFFER": p.stream(p.proto(5), p.next_buffer()),
    "protocol 6": p.stream(p.proto(6), p.none()),
    "two objects": p.stream(p.none(), p.none()),
    "an open mark": p.stream(p.none(), p.mark()),
    "nothing": b"",
    "a missing mark": p.stream(p.none(), p.list_()),
    "the mark's level is closed": p.stream(p.number(1), p.mark(), p.tuple2()),
    "the memo is empty": p.binget(0),
    "a memo index in octal letters": p.stream(p.none(), b"p0x1\n"),
    "a negative memo index": p.stream(p.none(), p.put(-1)),
    "a persistent id as text": p.persid("0"),
    "a persistent id that is a number": p.stream(p.number(1), p.binpersid()),
    "a persistent id that is a list": p.stream(p.mark(), p.text("storage"), p.list_(), p.binpersid()),
    "an empty persistent id": p.stream(p.empty_tuple(), p.binpersid()),
    "a persistent id of another kind": p.stream(p.text("reduce_package"), p.number(1), p.tuple2(), p.binpersid()),
    "a persistent id of four": p.stream(
        p.mark(),
        p.text("storage"),
        p.global_("torch", "FloatStorage"),
        p.text("0"),
        p.text("cpu"),
        p.tuple_(),
        p.binpersid(),
    ),
    "a storage of an unknown class": p.storage(kind="SystemStorage"),
    "a storage of a dtype": p.storage(kind="float32"),
    "a storage with a list for a key": p.stream(
        p.mark(),
        p.text("storage"),
        p.global_("torch", "FloatStorage"),
        p.empty_list(),
        p.text("cpu"),
        p.number(1),
        p.tuple_(),
        p.binpersid(),
    ),
    "a storage of True elements": p.stream(
        p.mark(),
        p.text("storage"),
        p.global_("torch", "FloatStorage"),
        p.text("0"),
        p.text("cpu"),
        p.true(),
        p.tuple_(),
        p.binpersid(),
    ),
    "a storage of negative size": p.storage(count=-1),
    "one storage of two sizes": p.stream(p.storage("0", 4), p.storage("0", 5), p.tuple2()),
    "an octal number, which C reads as 8": b"I010\n",
    "a hexadecimal number": b"I0x10\n",
    "a number with an underscore": b"L1_0L\n",
    "a number with a space": b"I 1\n",
    "a number with a plus sign": b"I+1\n",
    "a float with an underscore": b"F1_0\n",
    "a float with a space": b"F 1.0\n",
    "an unquoted string": b"Sab\n",
    "a string in two kinds of quotes": b"S'ab\"\n",
    "an unfinished escape": b"S'ab\\x1'\n",
    "text that is not UTF-8": p.text(b"\xff"),
    "a name that is not UTF-8": b"c\xff\nx\n",
    "a surrogate in a name": p.stream(p.short_binunicode(b"\xed\xb2\x80"), p.text("x"), p.stack_global()),
    "STACK_GLOBAL of numbers": p.stream(p.number(1), p.number(2), p.stack_global()),
    "a codec that compresses": p.call("_codecs", "encode", p.text("x"), p.text("zlib")),
    "a codec that escapes": p.call("_codecs", "encode", p.text("x"), p.text("rot13")),
    "a range of texts": p.call("builtins", "range", p.text("a")),
    "an integer from text": p.call("builtins", "int", p.text("9" * 100)),
    "a class that torch does not pickle this way": p.call("torch.nn.parameter", "Buffer"),
    "a shape of texts": p.call("torch", "Size", p.stream(p.text("a"), p.tuple1())),
    "a device of a number": p.call("torch", "device", p.number(1)),
    "a layout that is none": p.call("torch.serialization", "_get_layout", p.text("torch.os")),
    "bytes from numbers out of range": p.call("builtins", "bytes", p.stream(p.mark(), p.binint2(256), p.list_())),
    "an array of another class": p.call(
        "numpy.core.multiarray", "_reconstruct", p.number(1), p.ints(0), p.binbytes(b"b")
    ),
    "a dtype of code": p.call("numpy", "dtype", p.text("f8,f8")),
    "an object dtype scalar of nothing": p.call("numpy.core.multiarray", "scalar", p.number(1), p.none()),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_no_writer_writes_is_refused_with_its_place(name: str) -> None:
    data = BROKEN[name] + b"."
    for fast in (True, False):
        with pytest.raises((PickleError, TensorError)) as caught:
            run(data, fast=fast)
        assert caught.value.offset is not None
        assert 0 <= caught.value.offset <= len(data)


@pytest.mark.parametrize("name", [n for n in VALUES if n not in ("NONE",)])
def test_every_opcode_survives_being_cut(name: str) -> None:
    ops, _ = VALUES[name]
    for length in range(len(ops) + 1):
        with pytest.raises(PickleCut):
            run(ops[:length])


def test_every_opcode_on_an_empty_stack_is_a_typed_error() -> None:
    for byte in range(256):
        for rest in (b"", b"\0", b"\0\0\0\0", b"1\n2\n", b"a\nb\n"):
            with pytest.raises(DotptError):
                run(bytes([byte]) + rest)


def test_every_opcode_on_a_wrong_stack_is_a_typed_error_or_an_inert_value() -> None:
    below = [
        p.none(),
        p.number(1),
        p.text("x"),
        p.empty_list(),
        p.empty_dict(),
        p.empty_tuple(),
        FOO,
        TENSOR,
        p.storage(),
        ORDERED,
        p.mark(),
    ]
    for byte in range(256):
        for first in below:
            for second in below:
                for rest in (b".", b"\0.", b"\0\0\0\0.", b"1\n2\n."):
                    try:
                        found = run(first + second + bytes([byte]) + rest)
                    except DotptError:
                        continue
                    assert not callable(found) or isinstance(found, (type, InertGlobal))


# -- frames ---------------------------------------------------------------------------------------------------------


def test_a_frame_may_not_be_crossed_by_text() -> None:
    """gh-154848: C's unpickler goes on after a frame that a text crosses; a reader of frames does not."""
    hidden = p.stream(p.global_("os", "system"), p.text("echo"), p.tuple1(), p.reduce_())
    visible = p.stream(p.proto(4), p.frame(b"X\x06\0\0\0....."), b"Y", p.text(hidden), p.stop())
    with pytest.raises(PickleError, match="crosses the end of its frame"):
        run(visible)


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (p.text("abcdef"), 3, "crosses"),
        (p.binint(5), 2, "crosses"),
        (b"I12\n", 2, "crosses"),
        (p.frame(p.none()), None, "inside a frame"),
        (p.none(), 2**62, "does not fit"),
    ],
)
def test_frames_are_enforced(body: bytes, length: int | None, words: str) -> None:
    data = p.stream(p.proto(4), p.frame(body, length), p.none(), p.stop())
    with pytest.raises(PickleError, match=words):
        run(data)


def test_a_pickle_that_ends_inside_its_frame_is_refused() -> None:
    with pytest.raises(PickleError, match="inside a frame"):
        run(p.stream(p.proto(4), p.frame(p.stream(p.none(), p.stop(), p.none()))))


def test_frames_follow_each_other() -> None:
    assert run(
        p.stream(p.proto(4), p.frame(p.number(1)), p.frame(b""), p.frame(p.number(2)), p.tuple2(), p.stop())
    ) == (1, 2)


def test_large_objects_between_frames_are_read() -> None:
    wanted = [b"x" * 100_000, "y" * 100_000, {"k": bytearray(100_000)}]
    for protocol in (4, 5):
        assert value(pickle.dumps(wanted, protocol)[:-1]) == wanted


# -- the memo -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ops",
    [
        p.stream(
            p.text("a"), p.binput(1), p.text("b"), p.binput(0), p.text("c"), p.binput(1), p.text("d"), p.memoize()
        ),
        p.stream(
            p.text("a"), p.binput(5), p.text("b"), p.memoize(), p.text("c"), p.memoize(), p.text("d"), p.binput(1)
        ),
        p.stream(
            p.text("a"), p.binput(3), p.text("b"), p.binput(1), p.text("c"), p.binput(0), p.text("d"), p.memoize()
        ),
        p.stream(p.text("a"), p.put(0), p.text("b"), p.put(0), p.text("c"), p.long_binput(1), p.text("d"), p.memoize()),
        p.stream(
            p.text("a"), p.binput(2), p.text("b"), p.memoize(), p.text("c"), p.memoize(), p.text("d"), p.memoize()
        ),
    ],
)
def test_the_memo_counts_as_that_of_pickle(ops: bytes) -> None:
    """Any order of PUT and MEMOIZE, and every GET after it: the same object, or missing in both."""
    for index in range(8):
        data = p.stream(p.mark(), ops, p.binget(index), p.list_(), p.stop())
        try:
            wanted = pickle.loads(data)
        except Exception:
            with pytest.raises(PickleError, match="memo"):
                run(data)
            continue
        assert run(data) == wanted


def test_the_memo_does_not_outlive_its_pickle() -> None:
    machine = Machine(p.pickled(p.text("a"), p.binput(0)) + p.pickled(p.binget(0)), Context())
    assert machine.load() == "a"
    with pytest.raises(PickleError, match="memo"):
        machine.load()


def test_sharing_and_cycles_are_kept() -> None:
    found = value(p.mark(), p.empty_list(), p.binput(0), p.binget(0), p.list_())
    assert found[0] is found[1]
    found = value(p.empty_dict(), p.binput(0), p.text("me"), p.binget(0), p.setitem())
    assert found["me"] is found
    found = value(p.empty_list(), p.binput(0), p.binget(0), p.tuple1(), p.append())
    assert found[0][0] is found


# -- limits ---------------------------------------------------------------------------------------------------------

DEEP_KEY = p.stream(p.empty_dict(), p.empty_tuple(), p.tuple1() * 5, p.none(), p.setitem())
HALF = "1" * 40
EXCEEDING: dict[str, tuple[Any, Callable[[], Any]]] = {
    "key_nesting": (3, lambda: run(p.pickled(DEEP_KEY), key_nesting=3)),
    "key_parts": (
        10,
        lambda: run(
            p.pickled(p.empty_dict(), p.mark(), p.none() * 11, p.tuple_(), p.none(), p.setitem()), key_parts=10
        ),
    ),
    "colliding_keys": (
        3,
        lambda: run(
            p.pickled(
                p.empty_dict(), p.mark(), *(p.long1(k * ((1 << 61) - 1)) + p.none() for k in range(1, 9)), p.setitems()
            ),
            colliding_keys=3,
        ),
    ),
    "memo": (4, lambda: run(p.pickled(p.none(), *(p.binput(n) for n in range(9))), memo=4)),
    "stack": (10, lambda: run(p.pickled(p.none() * 20), stack=10)),
    "pickle_bytes": (10, lambda: run(p.pickled(p.none() * 20), pickle_bytes=10)),
    "decoded_bytes": (1_000, lambda: run(p.pickled(p.text("x" * 2_000)), decoded_bytes=1_000)),
    "integer_bytes": (8, lambda: run(p.pickled(p.long1(1 << 100)), integer_bytes=8)),
    "name_bytes": (8, lambda: run(p.pickled(p.global_("a" * 9, "b")), name_bytes=8)),
    "tensor_dims": (2, lambda: run(p.pickled(p.tensor((1, 1, 1), (1, 1, 1))), tensor_dims=2)),
    "expanded_bytes": (100, lambda: run(p.pickled(p.tensor((1000,), (0,))), expanded_bytes=100)),
    "nesting": (5, lambda: transform(run(p.pickled(p.empty_list() * 9, p.append() * 8)), settle, 5)),
    "nested_files": (0, lambda: dotpt.load(p.pickled(embedded(embedded(p.none()))), limits=Limits(nested_files=0))),
}


def embedded(ops: bytes) -> bytes:
    return p.call("torch.storage", "_load_from_bytes", p.binbytes(p.pickled(ops)))


@pytest.mark.parametrize("name", EXCEEDING)
def test_beyond_a_limit_its_name_and_the_amount_are_told(name: str) -> None:
    allowed, act = EXCEEDING[name]
    with pytest.raises(LimitExceeded) as caught:
        act()
    assert caught.value.limit == name
    assert caught.value.allowed == allowed
    assert caught.value.actual > allowed
    assert f"dotpt.Limits({name}=" in str(caught.value.hint)


def test_one_below_the_limits_is_read() -> None:
    assert run(p.pickled(p.none() * 9, p.pop() * 8), stack=10) is None
    assert run(p.pickled(p.none(), *(p.binput(n) for n in range(4))), memo=4) is None
    assert run(p.pickled(p.long1(1 << 60)), integer_bytes=8) == 1 << 60
    assert run(p.pickled(p.global_("a" * 8, "b")), name_bytes=8).module == "a" * 8
    assert transform(run(p.pickled(p.empty_list() * 5, p.append() * 4)), settle, 5) == [[[[[]]]]]


def test_many_frozensets_of_one_number_do_not_collide() -> None:
    found = run(p.pickled(p.mark(), p.stream(p.mark(), p.binfloat(0.5), p.frozenset_()) * 3_000, p.list_()))
    assert found == [frozenset((0.5,))] * 3_000


def test_dictionaries_that_come_and_go_do_not_collide() -> None:
    once = p.stream(
        p.global_("collections", "Counter"), p.mark(), p.binfloat(0.5), p.number(1), p.dict_(), p.tuple1(), p.reduce_()
    )
    assert run(p.pickled(p.mark(), once * 3_000, p.list_())) == [Counter({0.5: 1})] * 3_000


def test_a_failed_attempt_does_not_count_against_the_limit() -> None:
    """A legacy file is read piece by piece, and its pickle decoded anew each time."""
    data = p.pickled(p.mark(), p.stream(p.text("x" * 100)) * 100, p.list_())
    machine = Machine(data[:-5], Context(Limits(decoded_bytes=20_000)))
    for _ in range(5):
        with pytest.raises(PickleCut):
            machine.load()
    machine.data = data
    assert len(machine.load()) == 100


def test_a_machine_holds_nothing_when_it_is_done() -> None:
    import gc
    import weakref

    gc.disable()
    try:
        machine = Machine(p.pickled(p.tensor(), p.binput(0)), Context())
        found = machine.load()
        seen = weakref.ref(machine)
        del machine
        assert seen() is None
        assert isinstance(found, TensorRef)
    finally:
        gc.enable()


# -- Python 2 -------------------------------------------------------------------------------------------------------


def test_strings_of_python_2_are_text_or_bytes_as_asked() -> None:
    data = p.stream(p.mark(), p.short_binstring(b"\xe9"), p.binstring(b"ab"), b"S'\\xe9'\n", p.list_(), p.stop())
    assert run(data, encoding="latin1") == ["é", "ab", "é"]
    assert run(data, encoding="bytes") == [b"\xe9", b"ab", b"\xe9"]
    with pytest.raises(PickleError, match="Python 2") as caught:
        run(data)
    assert "latin1" in str(caught.value.hint)


# -- values of the vocabulary ---------------------------------------------------------------------------------------


def test_known_names_stay_names_until_they_are_called() -> None:
    found = run(p.pickled(ORDERED))
    assert type(found) is Known
    assert not callable(found)
    assert settle(found) is OrderedDict


def test_torch_values_without_torch() -> None:
    shape = run(p.pickled(p.call("torch", "Size", p.ints(2, 3))))
    assert (type(shape), shape) == (Size, (2, 3))
    kind = run(p.pickled(p.global_("torch.cuda", "HalfStorage")))
    assert kind == StorageClass(kind.dtype)
    assert kind.dtype.name == "float16"
    assert str(run(p.pickled(p.call("torch", "device", p.text("cuda"), p.number(1))))) == "cuda:1"


def test_defaultdict_of_an_unknown_class_is_inert() -> None:
    found = run(p.pickled(p.call("collections", "defaultdict", FOO)))
    assert type(found) is InertObject
    found = run(p.pickled(p.call("collections", "defaultdict", p.global_("builtins", "list"))))
    assert type(found) is defaultdict
    assert found.default_factory is list


@pytest.mark.skipif(sys.version_info < (3, 11), reason="recursion in Python has its own limit")
def test_deep_structures_do_not_recurse() -> None:
    found = run(p.pickled(p.empty_list() * 100_000, p.append() * 99_999))
    with pytest.raises(LimitExceeded, match="nesting"):
        transform(found, settle, 1_000)
