"""An assembler of pickle streams: one function an opcode, so that a test's stream can be read. Needs no torch.

    >>> stream(proto(2), global_("os", "system"), text("echo"), tuple1(), reduce_(), stop())
    b'\\x80\\x02cos\\nsystem\\nX\\x04\\x00\\x00\\x00echo\\x85R.'

Functions have the opcodes' own names, with an underscore where Python uses the word. Nothing here is checked: most
streams built with it are meant to be wrong. A `raw` is any bytes in between.
"""

from __future__ import annotations

import struct
from collections.abc import Callable


def stream(*ops: bytes) -> bytes:
    """Join opcodes."""
    return b"".join(ops)


def raw(data: bytes) -> bytes:
    """Bytes as they are."""
    return data


def proto(version: int) -> bytes:
    """PROTO."""
    return b"\x80" + bytes([version])


def frame(body: bytes, length: int | None = None) -> bytes:
    """FRAME around `body`; give a `length` to lie about it."""
    return b"\x95" + struct.pack("<Q", len(body) if length is None else length) + body


def _plain(opcode: bytes) -> Callable[[], bytes]:
    return lambda: opcode


stop = _plain(b".")
mark = _plain(b"(")
pop = _plain(b"0")
pop_mark = _plain(b"1")
dup = _plain(b"2")

none = _plain(b"N")
true, false = _plain(b"\x88"), _plain(b"\x89")
empty_list, empty_tuple, empty_dict, empty_set = _plain(b"]"), _plain(b")"), _plain(b"}"), _plain(b"\x8f")
tuple_, tuple1, tuple2, tuple3 = _plain(b"t"), _plain(b"\x85"), _plain(b"\x86"), _plain(b"\x87")
list_, dict_, frozenset_ = _plain(b"l"), _plain(b"d"), _plain(b"\x91")
append, appends, setitem, setitems, additems = _plain(b"a"), _plain(b"e"), _plain(b"s"), _plain(b"u"), _plain(b"\x90")

reduce_, build, obj, newobj, newobj_ex = _plain(b"R"), _plain(b"b"), _plain(b"o"), _plain(b"\x81"), _plain(b"\x92")
stack_global = _plain(b"\x93")
memoize = _plain(b"\x94")
binpersid = _plain(b"Q")
next_buffer, readonly_buffer = _plain(b"\x97"), _plain(b"\x98")


# Numbers.
def int_(value: int | str) -> bytes:
    """INT, as text; ``01`` and ``00`` are the old booleans."""
    return b"I%s\n" % str(value).encode()


def long_(value: int | str) -> bytes:
    """LONG, as text."""
    return b"L%sL\n" % str(value).encode()


def float_(value: float | str) -> bytes:
    """FLOAT, as text."""
    return b"F%s\n" % str(value).encode()


def binint(value: int) -> bytes:
    """BININT: 4 bytes, signed."""
    return b"J" + struct.pack("<i", value)


def binint1(value: int) -> bytes:
    """BININT1: 1 byte."""
    return b"K" + bytes([value])


def binint2(value: int) -> bytes:
    """BININT2: 2 bytes."""
    return b"M" + struct.pack("<H", value)


def binfloat(value: float) -> bytes:
    """BINFLOAT: 8 bytes, big-endian."""
    return b"G" + struct.pack(">d", value)


def long1(value: int) -> bytes:
    """LONG1: up to 255 bytes, two's complement."""
    body = _twos_complement(value)
    return b"\x8a" + bytes([len(body)]) + body


def long4(value: int | bytes, length: int | None = None) -> bytes:
    """LONG4: a signed 4-byte length, which may be a lie, and the bytes."""
    body = value if isinstance(value, bytes) else _twos_complement(value)
    return b"\x8b" + struct.pack("<i", len(body) if length is None else length) + body


def _twos_complement(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True) if value else b""


def number(value: int) -> bytes:
    """An integer as Python itself writes it in protocol 2."""
    if 0 <= value < 1 << 8:
        return binint1(value)
    if 0 <= value < 1 << 16:
        return binint2(value)
    return binint(value) if -(2**31) <= value < 2**31 else long1(value)


# Text and bytes. Each with a length takes one that lies.
def _sized(opcode: bytes, width: str) -> Callable[..., bytes]:
    def make(value: str | bytes = b"", length: int | None = None) -> bytes:
        body = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        return opcode + struct.pack(width, len(body) if length is None else length) + body

    return make


short_binunicode = _sized(b"\x8c", "<B")
binunicode = _sized(b"X", "<I")
binunicode8 = _sized(b"\x8d", "<Q")
short_binstring = _sized(b"U", "<B")
binstring = _sized(b"T", "<i")
short_binbytes = _sized(b"C", "<B")
binbytes = _sized(b"B", "<I")
binbytes8 = _sized(b"\x8e", "<Q")
bytearray8 = _sized(b"\x96", "<Q")
text = binunicode


def string(value: str) -> bytes:
    """STRING: a Python 2 literal in quotes."""
    return b"S'%s'\n" % value.encode()


def unicode(value: str) -> bytes:
    """UNICODE: raw-unicode-escape to the end of the line."""
    return b"V%s\n" % value.encode("raw-unicode-escape")


# Names.
def global_(module: str, name: str) -> bytes:
    """GLOBAL: two lines."""
    return b"c%s\n%s\n" % (module.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass"))


def inst(module: str, name: str) -> bytes:
    """INST: two lines, arguments down to the mark."""
    return b"i%s\n%s\n" % (module.encode(), name.encode())


def global4(module: str, name: str) -> bytes:
    """The two names and STACK_GLOBAL, as protocol 4 writes a global."""
    return short_binunicode(module) + short_binunicode(name) + stack_global()


def persid(value: str) -> bytes:
    """PERSID, as text."""
    return b"P%s\n" % value.encode()


def ext1(code: int) -> bytes:
    """EXT1."""
    return b"\x82" + bytes([code])


def ext2(code: int) -> bytes:
    """EXT2."""
    return b"\x83" + struct.pack("<H", code)


def ext4(code: int) -> bytes:
    """EXT4."""
    return b"\x84" + struct.pack("<i", code)


# The memo.
def put(index: int | str) -> bytes:
    """PUT, as text."""
    return b"p%s\n" % str(index).encode()


def binput(index: int) -> bytes:
    """BINPUT."""
    return b"q" + bytes([index])


def long_binput(index: int) -> bytes:
    """LONG_BINPUT."""
    return b"r" + struct.pack("<I", index)


def get(index: int | str) -> bytes:
    """GET, as text."""
    return b"g%s\n" % str(index).encode()


def binget(index: int) -> bytes:
    """BINGET."""
    return b"h" + bytes([index])


def long_binget(index: int) -> bytes:
    """LONG_BINGET."""
    return b"j" + struct.pack("<I", index)


# What torch writes, in parts.
def call(module: str, name: str, *arguments: bytes) -> bytes:
    """A global called with arguments."""
    return stream(global_(module, name), mark(), *arguments, tuple_(), reduce_())


def ints(*values: int) -> bytes:
    """A tuple of integers."""
    return stream(mark(), *map(number, values), tuple_())


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage", location: str = "cpu") -> bytes:
    """The persistent id of a storage."""
    pid = [text("storage"), global_("torch", kind), text(key), text(location), number(count)]
    return stream(mark(), *pid, tuple_(), binpersid())


def tensor(
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    offset: int = 0,
    source: bytes | None = None,
) -> bytes:
    """A call of ``_rebuild_tensor_v2``; its numbers may be as wrong as you like."""
    hooks = call("collections", "OrderedDict")
    parts = [source or storage(), number(offset), ints(*size), ints(*stride), false(), hooks]
    return call("torch._utils", "_rebuild_tensor_v2", *parts)


def pickled(*ops: bytes) -> bytes:
    """The usual beginning and end around `ops`."""
    return stream(proto(2), *ops, stop())
