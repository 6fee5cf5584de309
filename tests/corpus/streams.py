"""Pickle streams that nobody should write, by name: attacks, malformed ones, bombs, and odd but honest ones.

Every stream is built from opcodes and never unpickled here; the attacks carry a harmless argument. ``STREAMS`` needs no
torch. `kind` says what a reader that executes nothing must do:

    attack     names something dangerous: report it, build nothing
    malformed  no pickle machine should accept it: a typed error
    bomb       small, asks for much: succeed or fail cheaply
    honest     rare but valid: read it
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import pickles as p
from .pickles import pickled, stream


@dataclass(frozen=True)
class Stream:
    """One stream: its bytes, its kind and what it is about, with the advisory where there is one."""

    data: bytes
    kind: str
    about: str


STREAMS: dict[str, Stream] = {}


def _add(name: str, kind: str, data: bytes, about: str) -> None:
    STREAMS[name] = Stream(data, kind, about)


def _join(kind: str, join: Callable[..., bytes], name: str, about: str, *ops: bytes) -> None:
    _add(name, kind, join(*ops), about)


_echo = p.text("echo")
_system = p.global_("os", "system")
_call = stream(p.mark(), _echo, p.tuple_(), p.reduce_())

# A line is a stream, and its opcodes are read along it.
# fmt: off


def _attacks() -> None:
    add = partial(_join, "attack", pickled)
    add("reduce", "the plain form", _system, _call)
    add("inst", "INST imports and calls at once", p.mark(), _echo, p.inst("os", "system"))
    add("obj", "OBJ calls the first item above the mark", p.mark(), _system, _echo, p.obj())
    add("obj_pop", "the call's result is popped, so an AST shows nothing (GHSA-mxhj-88fx-4pcv)",
        p.mark(), _system, _echo, p.obj(), p.pop(), p.none())
    add("newobj", "NEWOBJ of a class with a harmful __new__",
        p.global_("subprocess", "Popen"), p.empty_tuple(), p.newobj())
    add("newobj_ex", "NEWOBJ_EX",
        p.global_("subprocess", "Popen"), p.mark(), _echo, p.tuple_(), p.empty_dict(), p.newobj_ex())
    add("stack_global", "names built on the stack", p.global4("os", "system"), _call)
    add("stack_global_memo", "names fetched from the memo (CVE-2025-71325: off by one when walking back)",
        p.text("os"), p.binput(0), p.pop(), p.text("system"), p.binput(1), p.pop(), p.binget(0), p.binget(1),
        p.stack_global(), _call)
    add("stack_global_dotted", "a dotted name under an innocent module (GHSA-5j3x-jp52-966f)",
        p.global4("pathlib", "os.system"), _call)
    add("global_dotted", "the same by GLOBAL, protocol 4 rules", p.proto(4), p.global_("pathlib", "os.system"), _call)
    add("python2_name", "__builtin__ is mapped to builtins", p.global_("__builtin__", "eval"), _call)
    add("eval", "builtins.eval", p.global_("builtins", "eval"), p.mark(), p.text("1+1"), p.tuple_(), p.reduce_())
    add("getattr_chain", "getattr of an innocent module's attribute",
        p.global_("builtins", "getattr"), p.mark(), p.global_("torch", "os"), p.text("system"), p.tuple_(), p.reduce_(),
        _call)
    add("resolve_name", "pkgutil.resolve_name, the universal bypass (GHSA-vvpj-8cmc-gx39)",
        p.global_("pkgutil", "resolve_name"), p.mark(), p.text("os:system"), p.tuple_(), p.reduce_(), _call)
    add("numpy_builtins", "numpy.__builtins__ (modelscan issue 330)", p.global_("numpy", "__builtins__"))
    add("build_setattr", "BUILD with slot state sets attributes on a module's object",
        p.global_("torch", "nn"), p.none(), p.empty_dict(), p.text("x"), p.none(), p.setitem(), p.tuple2(), p.build())
    add("load_from_bytes", "torch.storage._load_from_bytes runs torch.load(weights_only=False)",
        p.global_("torch.storage", "_load_from_bytes"), p.mark(), p.binbytes(pickled(_system, _call)), p.tuple_(),
        p.reduce_())
    add("reconstruct_object", "a NumPy object array whose state is a pickle's list with a call in it (CVE-2019-6446)",
        p.call("numpy.core.multiarray", "_reconstruct", p.global_("numpy", "ndarray"), p.ints(0), p.binbytes(b"b")),
        p.mark(), p.number(1), p.ints(1), p.call("numpy", "dtype", p.text("O8"), p.false(), p.true()), p.false(),
        p.empty_list(), _system, _call, p.append(), p.tuple_(), p.build())
    add("magic_from_eval", "a legacy magic number that is computed (CVE-2026-53875)",
        p.global_("builtins", "eval"), p.mark(), p.text("0x1950a86a20f9469cfc6c"), p.tuple_(), p.reduce_())
    add("in_tuple_key", "the call hides in a dict key", p.empty_dict(), _system, _call, p.none(), p.setitem())
    add("in_persistent_id", "the call hides in a persistent id", p.mark(), _system, _call, p.tuple_(), p.binpersid())
    add("class_as_storage", "a storage type that is no storage", p.storage(kind="Storage_system"))
    for width, op in ((1, p.ext1(1)), (2, p.ext2(1)), (4, p.ext4(1))):
        add(f"ext{width}", "the extension registry's cache passes find_class by", op)
    _add("two_pickles", "attack", stream(pickled(p.none()), pickled(_system, _call)), "innocent first, attack second")
    _add("then_garbage", "attack", stream(p.proto(2), _system, _call, b"\xff" * 8), "broken after the call: nullifAI")
    _add("no_stop", "attack", stream(p.proto(2), _system, _call), "no STOP, the call already done")
    hidden = stream(_system, _call)
    lie = stream(p.proto(4), p.frame(stream(p.none(), p.pop()), 2 + len(hidden)), hidden, p.none(), p.stop())
    _add("frame_long", "attack", lie, "a frame said to reach over the call")
    # Read on: a text of 5 points and a Y, then a text that holds the call. CPython's C machine drops what is left of a
    # frame when a text wants more, so its 6 bytes are the Y and the next header, and it goes on with the call.
    header = b"X" + struct.pack("<I", len(hidden) + 1)
    split = stream(
        p.proto(4), p.frame(b"X" + struct.pack("<I", 6) + b"....."), b"Y", header, hidden, p.stop(), p.stop()
    )
    _add("frame_split", "malformed", split, "an opcode that crosses its frame's end (gh-154848)")


def _malformed() -> None:
    add = partial(_join, "malformed", stream)
    add("empty", "no bytes")
    add("stop_on_empty_stack", "STOP with nothing to return", p.proto(2), p.stop())
    add("no_end", "a value and no STOP", p.proto(2), p.none())
    add("unknown_opcode", "an opcode that is none", p.proto(2), b"\xff", p.stop())
    add("protocol_6", "a protocol yet to come", p.proto(6), p.none(), p.stop())
    add("memo_miss", "BINGET of nothing", p.proto(2), p.binget(7), p.stop())
    add("memo_negative", "PUT of a negative index", p.none(), p.put(-1), p.stop())
    add("memo_text", "GET of a word", p.get("x"), p.stop())
    add("mark_missing", "TUPLE without a mark", p.proto(2), p.none(), p.tuple_(), p.stop())
    add("append_to_none", "APPEND to what is no list", p.proto(2), p.none(), p.none(), p.append(), p.stop())
    add("setitem_on_tensor", "SETITEM on a tensor (CVE-2026-24747)",
        p.proto(2), p.tensor(), p.number(0), p.binfloat(1.0), p.setitem(), p.stop())
    add("setitems_odd", "SETITEMS with an odd count",
        p.proto(2), p.empty_dict(), p.mark(), p.none(), p.setitems(), p.stop())
    add("unhashable_key", "a list as a key",
        p.proto(2), p.empty_dict(), p.empty_list(), p.none(), p.setitem(), p.stop())
    add("stack_global_numbers", "names that are no text",
        p.proto(4), p.number(1), p.number(2), p.stack_global(), p.stop())
    add("global_without_newline", "a name without end", p.proto(2), b"cos\nsystem")
    add("global_not_utf8", "a name that is no text", p.proto(2), b"c\xff\xfe\nx\n", p.stop())
    add("text_not_utf8", "text that is none", p.proto(2), p.text(b"\xff"), p.stop())
    add("text_past_end", "a length past the end", p.proto(2), p.text("abc", 2**31), p.stop())
    add("bytes8_huge", "a length of 2**62", p.proto(4), p.binbytes8(b"abc", 2**62), p.stop())
    add("bytearray8_huge", "the same for bytearray", p.proto(5), p.bytearray8(b"abc", 2**62), p.stop())
    add("binstring_negative", "a negative length", p.proto(2), p.binstring(b"", -1), p.stop())
    add("long4_negative", "a negative length", p.proto(2), p.long4(b"", -1), p.stop())
    add("frame_past_end", "a frame longer than the file", p.proto(4), p.frame(stream(p.none(), p.stop()), 2**62))
    add("frame_short", "a frame that ends in an opcode", p.proto(4), p.frame(p.text("abcdef"), 3), p.stop())
    add("frame_nested", "a frame in a frame", p.proto(4), p.frame(stream(p.frame(p.none()), p.stop())))
    add("int_text", "INT of a word", b"Ixyz\n", p.stop())
    add("int_digits", "INT of 100,000 digits", p.int_("9" * 100_000), p.stop())
    add("float_text", "FLOAT of a word", p.float_("xyz"), p.stop())
    add("string_unquoted", "STRING without quotes", b"Sabc\n", p.stop())
    add("next_buffer", "an out-of-band buffer that nobody gave", p.proto(5), p.next_buffer(), p.stop())
    add("leftover_mark", "STOP below a mark", p.proto(2), p.none(), p.mark(), p.stop())


def _bombs() -> None:
    add = partial(_join, "bomb", stream)
    add("memo_huge_index", "a memo of 10**8 entries: 1.5 GiB in C",
        p.proto(2), p.none(), p.long_binput(10**8), p.stop())
    add("memo_max_index", "a memo of 2**32 entries", p.proto(2), p.none(), p.long_binput(2**32 - 1), p.stop())
    add("nested_lists", "a million lists in each other",
        p.proto(2), p.empty_list() * 10**6, p.append() * (10**6 - 1), p.stop())
    add("nested_key", "a deep tuple as a key: hashing it overflows the C stack",
        p.proto(2), p.empty_dict(), p.empty_tuple(), p.tuple1() * 10**6, p.none(), p.setitem(), p.stop())
    add("nested_set_member", "the same in a set",
        p.proto(4), p.empty_set(), p.mark(), p.empty_tuple(), p.tuple1() * 10**6, p.additems(), p.stop())
    double = b"".join(
        stream(p.mark(), p.binget(i), p.binget(i), p.tuple_(), p.binput(i + 1), p.pop()) for i in range(60)
    )
    add("laughs", "2**60 leaves for whoever walks without a memo",
        p.proto(2), p.empty_list(), p.binput(0), p.pop(), double, p.binget(60), p.stop())
    prime = 2**61 - 1
    keys = b"".join(stream(p.long1(k * prime), p.none()) for k in range(1, 16_001))
    add("colliding_keys", "16,000 keys of one hash", p.proto(2), p.empty_dict(), p.mark(), keys, p.setitems(), p.stop())
    add("dups", "a million copies on the stack", p.proto(2), p.none(), p.dup() * 10**6, p.stop())
    add("marks", "a million marks", p.proto(2), p.none(), p.mark() * 10**6, p.pop() * 10**6, p.stop())
    add("long4_digits", "an integer whose decimal form Python refuses", p.proto(2), p.long4(b"\1" * 4000), p.stop())
    add("expanded_tensor", "size 2**31-1, stride 0: 8 GB logical over 16 bytes",
        pickled(p.tensor(size=(2**31 - 1,), stride=(0,))))


def _honest() -> None:
    add = partial(_join, "honest", stream)
    add("protocol_0", "text opcodes",
        p.mark(), p.dict_(), p.put(0), p.string("a"), p.int_(1), p.setitem(), p.unicode("é"), p.none(), p.setitem(),
        p.stop())
    add("old_booleans", "I01 and I00",
        p.mark(), p.int_("01"), p.int_("00"), p.long_(5), p.float_(1.5), p.list_(), p.stop())
    add("python2_strings", "SHORT_BINSTRING and BINSTRING",
        p.proto(2), p.short_binstring("a"), p.binstring("b"), p.tuple2(), p.stop())
    add("proto_again", "PROTO in the middle", p.proto(2), p.none(), p.proto(2), p.stop())
    add("pop_mark", "POP_MARK drops down to a mark",
        p.proto(2), p.none(), p.mark(), p.none(), p.none(), p.pop_mark(), p.stop())
    add("dup_key", "the later of two equal keys wins",
        p.proto(2), p.empty_dict(), p.mark(), p.text("k"), p.number(1), p.text("k"), p.number(2), p.setitems(),
        p.stop())
    add("self_list", "a list in itself", p.proto(2), p.empty_list(), p.binput(0), p.binget(0), p.append(), p.stop())
    add("protocol_4", "frame, memoize, short text",
        p.proto(4), p.frame(stream(p.short_binunicode("a"), p.memoize(), p.stop())))
    add("protocol_5", "bytearray",
        p.proto(5), p.frame(stream(p.bytearray8(b"abc"), p.memoize(), p.readonly_buffer(), p.stop())))
    add("sets", "EMPTY_SET, ADDITEMS, FROZENSET",
        p.proto(4), p.empty_set(), p.mark(), p.number(1), p.additems(), p.mark(), p.number(2), p.frozenset_(),
        p.tuple2(), p.stop())
    add("trailing_bytes", "bytes after STOP", pickled(p.none()), b"trailing")


_attacks()
_malformed()
_bombs()
_honest()
