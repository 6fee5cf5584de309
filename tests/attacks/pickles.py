"""Attacks on whoever decodes a pickle: how a name is spelt, a call made, and either hidden. Needs no torch."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

from tests.attacks.attack import ECHO, EVIL, PAYLOAD, SYSTEM, Attack, called, value, zipped
from tests.corpus import pickles as p
from tests.corpus.streams import STREAMS
from tests.corpus.torch_zip import pt

PICKLES: list[Attack] = []
MAGIC = 0x1950A86A20F9469CFC6C
_CALL = p.stream(p.text("true"), p.tuple1(), p.reduce_())


def _add(
    name: str, source: str, what: str, data: bytes, scan: str = "dangerous", load: str = "refused", file: str = ""
) -> None:
    """A stream as a file of its own, and as the pickle of a torch archive."""
    PICKLES.append(Attack(name, source, what, lambda: data, file or "model.pkl", scan, load))
    if not file:
        inside = load if load == "value" else "refused"
        PICKLES.append(Attack(f"{name} in a zip", source, what, lambda: zipped(data), "model.pt", scan, inside))


def _text(of: str) -> bytes:
    return p.short_binunicode(of)


# A row is a stream, and its opcodes are read along it.
# fmt: off

def _spellings() -> None:
    """Every opcode that names something."""
    add = _add
    add("GLOBAL", "1.7", "the plain form", EVIL, load="UnsafeGlobal")
    add("STACK_GLOBAL", "1.7", "names from the stack", p.pickled(p.global4("os", "system"), _CALL))
    add("INST", "1.7", "INST imports and calls at once", p.pickled(p.mark(), p.text("true"), p.inst("os", "system")))
    add("OBJ", "1.7", "OBJ calls what lies above the mark", p.pickled(p.mark(), SYSTEM, p.text("true"), p.obj()))
    add("named only", "1.7", "a bad name that is not called", p.pickled(SYSTEM))
    add("NEWOBJ", "1.7", "a class with a harmful __new__",
        p.pickled(p.global_("subprocess", "Popen"), p.text("true"), p.tuple1(), p.newobj()))
    add("NEWOBJ_EX", "1.7", "the same with keywords",
        p.pickled(p.global_("subprocess", "Popen"), value((["true"],)), value({"shell": False}), p.newobj_ex()))
    for width, op in ((1, p.ext1(1)), (2, p.ext2(1)), (4, p.ext4(1))):
        add(f"EXT{width}", "section 2; modelaudit 623", "a name by number, from a registry of the process",
            p.pickled(op, _CALL), "not clean")
    add("module in BINUNICODE8", "modelaudit poc36", "a name with an 8-byte length",
        p.pickled(p.binunicode8("os"), p.binunicode8("system"), p.stack_global(), _CALL))
    add("names in STRING", "CVE-2025-71325 GHSA-9gvj-pp9x-gcfr", "the names are the first opcodes of all",
        p.stream(p.string("os"), p.string("system"), p.stack_global(), p.string("true"), p.tuple1(), p.reduce_(),
                 p.stop()))
    add("names in BINSTRING", "CVE-2025-71325", "Python 2's strings as names",
        p.pickled(p.short_binstring("os"), p.binstring("system"), p.stack_global(), _CALL))
    add("names in UNICODE", "1.7", "raw-unicode-escape in names",
        p.stream(b"V\\u006fs\n", p.unicode("system"), p.stack_global(), p.unicode("true"), p.tuple1(), p.reduce_(),
                 p.stop()))
    add("dotted STACK_GLOBAL", "fickling GHSA-5j3x-jp52-966f", "a dotted name below an innocent module",
        p.pickled(p.proto(4), p.global4("pathlib", "os.system"), _CALL))
    add("dotted module", "modelscan 89", "the way through a module that imports another",
        p.pickled(p.global4("numpy", "core._internal.sys.exit"), p.empty_tuple(), p.reduce_()))
    add("dotted below a known class", "modelscan 89", "attributes of a name that is known to be harmless",
        p.pickled(p.global4("collections", "OrderedDict.__init__.__globals__")))
    add("dotted below a known function", "modelscan 89", "attributes of torch's own rebuilding function",
        p.pickled(p.global4("torch._utils", "_rebuild_tensor_v2.__globals__")))
    add("torch._utils.os", "1.2", "a module that an innocent one has imported",
        p.pickled(p.global_("torch._utils", "sys"), p.none(), value({"x": 1}), p.tuple2(), p.build()), "not clean")
    add("Python 2 builtins", "section 2", "__builtin__ is mapped to builtins",
        p.pickled(called("__builtin__", "eval", "1")))
    add("Python 2 exceptions", "section 2", "exceptions is mapped to builtins",
        p.pickled(called("exceptions", "eval", "1")), "not clean")
    add("Python 2 UserDict", "section 2", "names that pickle itself moves about",
        p.pickled(called("commands", "getoutput", "true")))
    add("__builtins__", "modelscan 89", "the name of the table rather than of the module",
        p.pickled(called("__builtins__", "eval", "1")))
    add("numpy.__builtins__", "modelscan 330", "every module has a table of builtins",
        p.pickled(p.global_("numpy", "__builtins__")), "not clean")
    add("non-string STACK_GLOBAL", "section 2", "a number for a name", p.pickled(p.number(1), p.text("system"),
        p.stack_global(), _CALL), "not clean")
    add("bytes as names", "section 2", "bytes for names",
        p.pickled(p.short_binbytes(b"os"), p.short_binbytes(b"system"), p.stack_global(), _CALL), "not clean")
    add("a str that is made", "modelscan 331", "the name is made by str()",
        p.pickled(called("builtins", "str", "os"), p.text("system"), p.stack_global(), _CALL), "not clean")
    add("a name from _codecs.encode", "modelaudit PR 433", "bytes that are decoded to a payload",
        p.pickled(p.global_("pickle", "loads"), called("_codecs", "encode", EVIL.decode("latin1"), "latin1"),
                  p.tuple1(), p.reduce_()))
    add("space after a name", "1.5", "a blank, as a list of names does not have it",
        p.pickled(p.global_("os", "system "), _CALL), "not clean")
    add("other case", "1.5", "a capital letter", p.pickled(p.global_("OS", "system"), _CALL), "not clean")
    add("full-width letters", "1.5", "letters that look the same and are normalised by import",
        p.pickled(p.global_("\N{FULLWIDTH LATIN SMALL LETTER O}s", "system"), _CALL), "not clean")
    add("empty module", "1.5", "no module at all", p.pickled(p.global_("", "system"), _CALL), "not clean")
    add("relative module", "1.5", "a leading dot", p.pickled(p.global_(".os", "system"), _CALL), "not clean")
    add("carriage return in GLOBAL", "1.7", "a line that ends twice", p.pickled(b"cos\r\nsystem\r\n", _CALL),
        "not clean")
    for label, name in {
        "ANSI escapes": "system\x1b[2K\x1b[1Aall is well", "right to left": "system\u202emetsys\u2066",
        "a new line": "system\nclean: nothing found", "NUL": "system\0", "a lone surrogate": "system\ud800",
        "a bell and backspaces": "system\x07\b\b\b\b\b\bsafe", "zero width": "sys\u200btem",
        "a hyperlink": "\x1b]8;;http://x.invalid\x1b\\system\x1b]8;;\x1b\\", "64 KiB": "x" * 65_536,
    }.items():
        add(f"{label} in a name", "section 2", f"{label} in a name, for whoever prints it",
            p.pickled(p.text("os"), p.text(name), p.stack_global(), _CALL), "not clean")


def _memo() -> None:
    add = _add
    add("memo out of order", "picklescan PR 23 (issue 22)", "PUT and GET in another order than the names",
        p.pickled(p.text("system"), p.binput(7), p.pop(), p.text("os"), p.binput(3), p.pop(), p.binget(3),
                  p.binget(7), p.stack_global(), _CALL))
    add("memo put again", "picklescan PR 23", "an index that is given twice",
        p.pickled(p.text("math"), p.binput(0), p.pop(), p.text("os"), p.binput(0), p.pop(), p.text("system"),
                  p.binput(1), p.pop(), p.binget(0), p.binget(1), p.stack_global(), _CALL))
    add("memo key that is missing", "picklescan PR 52 keyerror-exploit", "GET of nothing, after the payload",
        p.pickled(PAYLOAD, p.pop(), p.binget(99), p.text("os"), p.stack_global()))
    add("memo key of text", "picklescan PR 52 type-confusion-exploit", "GET of a word, after the payload",
        p.pickled(PAYLOAD, p.pop(), b"gxyz\n", p.text("os"), p.stack_global()))
    add("memo type confusion", "picklescan PR 52", "the name is what a call returned",
        p.pickled(PAYLOAD, p.text("os"), p.stack_global()))
    add("memoised call", "picklescan PR 52", "a result is remembered, and used as a name",
        p.pickled(PAYLOAD, p.binput(0), p.pop(), p.binget(0), p.text("x"), p.stack_global()))
    add("memo of a constant", "modelscan 85", "PUT remembers what lies on the stack, not the opcode before it",
        p.pickled(p.text("os"), p.text("x"), p.pop(), p.binput(0), p.text("system"), p.binput(1), p.pop(), p.pop(),
                  p.binget(0), p.binget(1), p.stack_global(), _CALL))
    add("DUP for a name", "modelscan 85", "a name that is there once and used twice",
        p.pickled(p.text("os"), p.dup(), p.pop(), p.text("system"), p.stack_global(), _CALL))
    add("MEMOIZE and LONG_BINGET", "section 2", "counted by one and asked for by the other",
        p.pickled(p.proto(4), p.text("os"), p.memoize(), p.text("system"), p.memoize(), p.pop(), p.pop(),
                  p.long_binget(0), p.long_binget(1), p.stack_global(), _CALL))
    add("PUT beyond ssize_t", "gh-144410", "an index that no machine holds",
        p.pickled(PAYLOAD, b"p99999999999999999999999\n"), "dangerous")
    add("PUT of a negative index", "section 2", "an index below nothing", p.pickled(PAYLOAD, p.put(-1)))


def _hidden() -> None:
    """Calls that are made and leave nothing behind."""
    add = _add
    none = p.none()
    add("OBJ then POP", "fickling GHSA-mxhj-88fx-4pcv", "the result is dropped, and with it the call",
        p.pickled(p.mark(), SYSTEM, p.text("true"), p.obj(), p.pop(), none))
    add("REDUCE then POP", "fickling GHSA-mxhj-88fx-4pcv", "the same by REDUCE", p.pickled(PAYLOAD, p.pop(), none))
    add("POP_MARK", "fickling GHSA-mxhj-88fx-4pcv", "everything above a mark is dropped",
        p.pickled(none, p.mark(), PAYLOAD, none, p.pop_mark()))
    add("POP of a mark", "gh-127079", "POP takes a mark away", p.pickled(p.mark(), p.pop(), PAYLOAD, p.pop(), none))
    add("below STOP", "gh-127079", "what is left below the result", p.pickled(PAYLOAD, none))
    add("below a mark", "gh-127079", "a mark is left too", p.pickled(PAYLOAD, p.mark(), none), "dangerous")
    add("above a mark at STOP", "gh-127079", "STOP where only a mark is", p.stream(p.proto(2), PAYLOAD, p.mark(),
        p.stop()))
    add("BUILD makes it used", "fickling GHSA-mhc9-48gj-9gp3", "the result is built, so it seems to be needed",
        p.pickled(called("smtplib", "SMTP", "no-such-host"), p.empty_dict(), p.build()))
    add("in a dictionary key", "1.2", "a call as a key", p.pickled(p.empty_dict(), PAYLOAD, none, p.setitem()))
    add("overwritten value", "section 2", "a value that a later equal key replaces",
        p.pickled(p.empty_dict(), p.text("k"), PAYLOAD, p.setitem(), p.text("k"), none, p.setitem()))
    add("in a set", "section 2", "a call as a member", p.pickled(p.empty_set(), p.mark(), PAYLOAD, p.additems()))
    add("in BUILD's state", "section 2", "a call in the state of a harmless object",
        p.pickled(called("collections", "OrderedDict"), p.empty_dict(), p.text("x"), PAYLOAD, p.setitem(), p.build()))
    add("in a persistent id", "section 2", "a call in what the loader is asked for",
        p.pickled(p.mark(), PAYLOAD, p.tuple_(), p.binpersid()))
    add("as a storage class", "section 2", "a bad name where a storage class stands",
        p.pickled(p.mark(), p.text("storage"), SYSTEM, p.text("0"), p.text("cpu"), p.number(4), p.tuple_(),
                  p.binpersid()))
    add("as a storage's key", "section 2", "a call where the record's name stands",
        p.pickled(p.mark(), p.text("storage"), p.global_("torch", "FloatStorage"), PAYLOAD, p.text("cpu"),
                  p.number(4), p.tuple_(), p.binpersid()))
    add("as a backward hook", "1.1", "a call where a tensor's hooks stand",
        p.pickled(p.call("torch._utils", "_rebuild_tensor_v2", p.storage(), p.number(0), p.ints(4), p.ints(1),
                         p.false(), PAYLOAD)))
    add("as a tensor's metadata", "1.1", "a call in the last argument of a tensor",
        p.pickled(p.call("torch._utils", "_rebuild_tensor_v2", p.storage(), p.number(0), p.ints(4), p.ints(1),
                         p.false(), called("collections", "OrderedDict"), PAYLOAD)))
    add("on a known class's attribute", "fickling GHSA-cffv-grgg-g429", "SETITEM on a class",
        p.pickled(p.global_("collections", "OrderedDict"), p.text("x"), PAYLOAD, p.setitem()))
    add("APPEND to a name", "section 2", "list operations on what is no list", p.pickled(SYSTEM, p.none(),
        p.append()))
    add("BUILD on a class", "section 2", "slot state sets a class's attributes",
        p.pickled(p.global_("argparse", "Namespace"), none, value({"__init__": 1}), p.tuple2(), p.build()),
        "not clean")
    add("BUILD on a module's function", "modelscan 330", "slot state sets a function's attributes",
        p.pickled(p.global_("torch._utils", "_rebuild_tensor_v2"), none, value({"__code__": 1}), p.tuple2(),
                  p.build()), "not clean")
    add("BUILD sets __class__", "section 2", "a harmless object is turned into another",
        p.pickled(p.global_("argparse", "Namespace"), p.empty_tuple(), p.newobj(), value({"__class__": "x"}),
                  p.build()), "not clean")
    add("an object array", "CVE-2019-6446", "a call in the list that fills a numpy array",
        STREAMS["reconstruct_object"].data)


def _ends() -> None:
    """Where a stream begins, breaks off and ends."""
    add = _add
    none = p.pickled(p.none())
    add("payload, then garbage", "nullifAI", "broken after the call: the loader has made it by then",
        p.stream(p.proto(2), PAYLOAD, b"\xff" * 8))
    add("payload, then a cut text", "nullifAI", "the stream ends within a text",
        p.stream(p.proto(2), PAYLOAD, p.text("abc", 543_558_206)))
    add("payload, no STOP", "nullifAI", "the stream just ends", p.stream(p.proto(2), PAYLOAD))
    add("payload, then a stack error", "nullifAI", "a machine that checks the stack stops", p.pickled(PAYLOAD,
        p.pop(), p.pop(), p.pop()))
    add("payload, then protocol 6", "nullifAI", "a later protocol is announced", p.pickled(PAYLOAD, p.proto(6)))
    add("payload, then a number of 100k digits", "gh-127079", "INT that Python refuses to read",
        p.pickled(PAYLOAD, p.int_("9" * 100_000)))
    add("payload, then a non-ASCII STRING", "1.7", "pickletools stops where pickle reads on",
        p.pickled(b"S'\xe9\xff'\n", p.pop(), PAYLOAD))
    add("clean, then payload", "1.7", "several pickles in a row: who reads one sees none", p.stream(none, EVIL))
    add("clean a hundred times, then payload", "1.7", "one beyond what is looked at", p.stream(none * 100, EVIL))
    add("payload, then clean", "1.7", "several in a row, the first is bad", p.stream(EVIL, none))
    add("bytes after STOP", "1.7", "anything may follow", p.stream(ECHO, b"trailing"), "not clean", "refused",
        "model.pkl")
    add("zeros between two pickles", "1.7", "a reader that stops at zeros misses the second",
        p.stream(none, bytes(64), EVIL), "not clean", "refused", "model.pkl")
    add("garbage before", "1.7", "a reader that seeks the first PROTO finds it",
        p.stream(b"#!/bin/sh\n", EVIL), "not clean", "refused", "model.pkl")
    add("protocol 0", "picklescan .bin proto 0", "no PROTO to know it by",
        p.stream(b"cos\nsystem\n(S'true'\ntR."), file="pytorch_model.bin")
    add("PROTO mid-stream", "1.7", "PROTO anywhere", p.pickled(p.none(), p.proto(4), p.pop(), p.proto(0), PAYLOAD,
        p.proto(5)))
    add("PROTO 0 at the start", "1.7", "an early protocol with later opcodes",
        p.stream(p.proto(0), p.global4("os", "system"), _CALL, p.stop()))
    add("PROTO 255", "1.7", "a protocol that is none", p.stream(p.proto(255), PAYLOAD, p.stop()), "not clean")
    add("legacy magic by REDUCE", "CVE-2026-53875 GHSA-97f8-7cmv-76j2", "the number of legacy files is a result",
        p.stream(p.pickled(called("builtins", "eval", hex(MAGIC))), p.pickled(p.number(1001)),
                 p.pickled(p.empty_dict()), p.pickled(p.empty_list()), EVIL, none), file="model.pt")
    add("legacy magic by int", "CVE-2026-53875", "the same with a name that harms nobody",
        p.stream(p.pickled(called("builtins", "int", str(MAGIC))), p.pickled(p.number(1001)),
                 p.pickled(p.empty_dict()), EVIL, p.pickled(p.empty_list())), file="model.pt")
    for at in range(5):
        parts = [p.pickled(p.long1(MAGIC)), p.pickled(p.number(1001)), p.pickled(p.empty_dict()), none,
                 p.pickled(p.empty_list())]
        parts[at] = p.pickled(p.mark(), PAYLOAD, p.pop_mark(), parts[at][2:-1])
        add(f"legacy pickle {at + 1} of 5", "CVE-2025-10155", "the call hides in one of the five pickles",
            p.stream(*parts), file="model.pt")
    add("legacy, then another pickle", "CVE-2025-10155 GHSA-jgw4-cr84-mqxg", "after the five and the storages",
        p.stream(p.pickled(p.long1(MAGIC)), p.pickled(p.number(1001)), p.pickled(p.empty_dict()), none,
                 p.pickled(p.empty_list()), EVIL), file="model.pt")
    add("raw pickle named .bin", "CVE-2025-10155 GHSA-jgw4-cr84-mqxg", "by its name it would be a torch file", EVIL,
        load="UnsafeGlobal", file="pytorch_model.bin")


def _frames() -> None:
    """gh-154848: CPython reads over the end of a frame, and what it then runs no disassembler has seen."""
    add = _add
    hidden = p.stream(PAYLOAD, p.mark())
    padded = hidden + p.none() * (261 - len(hidden)) + p.pop_mark()
    push = p.stream(b"V", b"a" * (8192 * 16 - 17), b"\n", p.pop())  # past what a file object reads ahead
    split = p.stream(
        p.proto(5), p.none(), push, p.mark(), b"\x95", struct.pack("<Q", 2), b"B\x07\x01\0\0", b"\0\0", padded, p.stop()
    )
    add("FRAME divergence", "gh-154848", "a text that crosses its frame's end: the call lies within it", split,
        "not clean", "refused")
    add("FRAME divergence, short", "gh-154848", "the same in a few bytes", STREAMS["frame_split"].data, "not clean")
    for label, body, length in (
        ("BINBYTES", p.binbytes(b"A" * 20), 5), ("SHORT_BINUNICODE", _text("A" * 20), 3),
        ("GLOBAL module", b"cmacos\nsystem\n", 4), ("GLOBAL name", b"cos\nsystem\n", 7),
        ("UNICODE", b"Vhello world\n", 5), ("BININT", p.binint(7), 2), ("LONG4", p.long4(1 << 90), 6),
        ("STRING", b"S'hello'\n", 3), ("BINFLOAT", p.binfloat(1.5), 4), ("BYTEARRAY8", p.bytearray8(b"x" * 9), 12),
    ):
        add(f"FRAME ends in {label}", "gh-154848", f"{label} reaches over the end of its frame",
            p.stream(p.proto(5), p.frame(body, length), p.stop()), "not clean")
    add("FRAME in a FRAME", "gh-154848", "a frame that opens within another",
        p.stream(p.proto(5), p.frame(p.stream(p.none(), p.frame(p.stream(PAYLOAD), 2)), 30), p.stop()), "not clean")
    add("FRAME beyond the file", "gh-128853", "a frame longer than what follows",
        p.stream(p.proto(4), p.frame(p.stream(PAYLOAD, p.stop()), 2**40)), "not clean")
    add("FRAME over the next pickle", "gh-154848", "a frame reaches over STOP",
        p.stream(p.proto(4), p.frame(ECHO[2:], len(ECHO[2:]) + len(EVIL)), EVIL), "not clean")
    add("FRAME around the call", "1.7", "an honest frame", p.stream(p.proto(4), p.frame(p.stream(PAYLOAD, p.stop()))))
    add("FRAME of nothing", "gh-154848", "empty frames", p.stream(p.proto(4), p.frame(b"") * 9, PAYLOAD, p.stop()),
        "dangerous")


def _nested() -> None:
    """A pickle within a pickle, as bytes or text. By itself it is inert; some loader is to open it later."""
    b64, hexed = base64.b64encode(EVIL), binascii.hexlify(EVIL)
    packed = base64.b64encode(zlib.compress(EVIL))
    forms: dict[str, tuple[bytes, str]] = {
        "bytes": (p.binbytes(EVIL), "modelaudit S213 nested_pickle_raw"),
        "short bytes": (p.short_binbytes(EVIL), "modelaudit S213"),
        "8-byte length bytes": (p.binbytes8(EVIL), "modelaudit S213"),
        "bytearray": (p.bytearray8(EVIL), "modelaudit S213"),
        "old string": (p.binstring(EVIL), "modelaudit S213"),
        "base64 bytes": (p.binbytes(b64), "modelaudit S601 nested_pickle_base64"),
        "base64 text": (p.text(b64), "modelaudit S601"),
        "url-safe base64": (p.text(base64.urlsafe_b64encode(EVIL)), "modelaudit S601"),
        "hex text": (p.text(hexed), "modelaudit S602 nested_pickle_hex"),
        "escaped hex": (p.text("".join(f"\\x{byte:02x}" for byte in EVIL)), "modelaudit S602"),
        "base64 of zlib": (p.text(packed), "modelaudit decode_exec_chain"),
        "zlib": (p.binbytes(zlib.compress(EVIL)), "modelaudit decode_exec_chain"),
        "base64 of base64": (p.text(base64.b64encode(b64)), "modelaudit nested_pickle_multistage"),
        "base64 of hex": (p.text(base64.b64encode(hexed)), "modelaudit nested_pickle_multistage"),
        "base64 of a pickle with base64": (p.text(base64.b64encode(p.pickled(p.text(b64)))), "modelaudit multistage"),
        "a pickle in a pickle in a pickle": (p.binbytes(p.pickled(p.binbytes(EVIL))), "modelaudit multistage"),
        "bytes with a head": (p.binbytes(b"model:" + EVIL), "modelaudit S213"),
        "a zip as bytes": (p.binbytes(pt(EVIL)), "modelaudit S213"),
        "protocol 0 bytes": (p.binbytes(b"cos\nsystem\n(S'true'\ntR."), "modelaudit S213"),
        "as a key": (p.stream(p.binbytes(EVIL), p.none(), p.setitem()), "modelaudit S213"),
        "latin1 text": (p.text(EVIL.decode("latin1")), "modelaudit S213"),
        "by _codecs.encode": (called("_codecs", "encode", EVIL.decode("latin1"), "latin1"), "modelaudit PR 433"),
    }
    for label, (ops, source) in forms.items():
        whole = p.stream(p.proto(4), p.empty_dict(), ops, p.stop()) if label == "as a key" else p.pickled(
            p.text("weights"), ops, p.tuple2())
        _add(f"nested pickle: {label}", source, f"a pickle inside, as {label}", whole, "not clean",
             "refused" if label == "old string" else "value")
    code = base64.b64encode(zlib.compress(b"print(1)"))
    chain = p.call("builtins", "exec", p.call("zlib", "decompress", called("base64", "b64decode", code)))
    _add("decode and exec", "modelaudit decode_exec_chain", "exec(zlib.decompress(base64.b64decode(...)))",
         p.pickled(chain))
    _add("decode and load", "modelaudit decode_exec_chain", "pickle.loads(base64.b64decode(...))",
         p.pickled(p.call("pickle", "loads", called("base64", "b64decode", b64))))
    _add("a model that looks real", "modelaudit malicious_model_realistic", "weights, then one more entry",
         p.pickled(p.mark(), p.text("epoch"), p.number(3), p.text("weight"), p.tensor(), p.text("init"), PAYLOAD,
                   p.dict_()))
    _add("_load_from_bytes", "1.2", "torch's own door to a pickle in a pickle",
         p.pickled(called("torch.storage", "_load_from_bytes", EVIL)))
    _add("_load_from_bytes of a zip", "1.2", "the same around a whole archive",
         p.pickled(called("torch.storage", "_load_from_bytes", pt(EVIL))))


_spellings()
_memo()
_hidden()
_ends()
_frames()
_nested()
