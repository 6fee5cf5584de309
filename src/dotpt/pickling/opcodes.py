"""What each opcode of pickle does, protocols 0 to 5: one small function each, in one table.

A handler takes what follows its opcode from the stream, and changes the machine's stack and memo. The few that
build something go through `Machine.call`, `Machine.build` and `Machine.named`.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dotpt.errors import LimitExceeded
from dotpt.pickling.values import InertObject
from dotpt.pickling.vocabulary import Known

if TYPE_CHECKING:
    from dotpt.pickling.machine import Machine

_HIGHEST_PROTOCOL = 5
# What Python 2 and 3 write. Readers disagree on 010, 0x10, 1_0 and spaces, so nobody may write them.
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|inf|nan)")

_FILLED_LATER = (list, dict, set, bytearray, OrderedDict, Counter, defaultdict)

Handler = Callable[["Machine"], None]
HANDLERS: dict[int, Handler] = {}


def opcode(code: bytes) -> Callable[[Handler], Handler]:
    """Register the handler of an opcode."""

    def register(handler: Handler) -> Handler:
        HANDLERS[code[0]] = handler
        return handler

    return register


def _constant(code: bytes, value: Any) -> None:
    HANDLERS[code[0]] = lambda machine: machine.stack.append(value)


_constant(b"N", None)
_constant(b"\x88", True)
_constant(b"\x89", False)
_constant(b")", ())


# -- numbers --------------------------------------------------------------------------------------------------------


@opcode(b"K")
def _binint1(machine: Machine) -> None:
    machine.stack.append(machine.byte())


@opcode(b"M")
def _binint2(machine: Machine) -> None:
    machine.charge(32)
    machine.stack.append(machine.number(2))


@opcode(b"J")
def _binint(machine: Machine) -> None:
    machine.charge(32)
    machine.stack.append(int.from_bytes(machine.take(4), "little", signed=True))


def _long(machine: Machine, size: int) -> None:
    if size > machine.limits.integer_bytes:
        raise LimitExceeded("integer_bytes", size, machine.limits.integer_bytes)
    machine.charge(32 + size)
    machine.stack.append(int.from_bytes(machine.take(size), "little", signed=True))


@opcode(b"\x8a")
def _long1(machine: Machine) -> None:
    _long(machine, machine.byte())


@opcode(b"\x8b")
def _long4(machine: Machine) -> None:
    size = int.from_bytes(machine.take(4), "little", signed=True)
    if size < 0:
        raise machine.broken("An integer has a negative length.")
    _long(machine, size)


@opcode(b"I")
def _int(machine: Machine) -> None:
    line = machine.line()
    flags = {b"00": False, b"01": True}
    machine.stack.append(flags[line] if line in flags else _decimal(machine, line))


@opcode(b"L")
def _decimal_long(machine: Machine) -> None:
    line = machine.line()
    machine.stack.append(_decimal(machine, line.removesuffix(b"L")))


def _decimal(machine: Machine, text: bytes) -> int:
    digits = 12 * machine.limits.integer_bytes // 5  # decimal digits of that many bytes
    if len(text) > digits:
        raise LimitExceeded("integer_bytes", 5 * len(text) // 12, machine.limits.integer_bytes)
    if not _INTEGER.fullmatch(text):
        raise machine.broken("A number is not written as Python writes it.")
    machine.charge(32 + len(text) // 2)
    return int(text)


@opcode(b"F")
def _float(machine: Machine) -> None:
    machine.charge(24)
    line = machine.line()
    if len(line) > 1 << 10 or not _FLOAT.fullmatch(line):
        raise machine.broken("A number is not written as Python writes it.")
    value = float(line)
    if value in (math.inf, -math.inf) and not line.endswith(b"inf"):
        raise machine.broken("A number is too large for a float.")
    machine.stack.append(value)


@opcode(b"G")
def _binfloat(machine: Machine) -> None:
    machine.charge(24)
    machine.stack.append(struct.unpack(">d", machine.take(8))[0])


# -- text and bytes -------------------------------------------------------------------------------------------------


def _push_text(machine: Machine, size: int) -> None:
    machine.charge(56 + size)
    # surrogates are passed, as pickle does: a file name on disk may hold them
    text = machine.take(size).decode("utf-8", "surrogatepass")
    machine.note(text)
    machine.stack.append(text)


@opcode(b"X")
def _binunicode(machine: Machine) -> None:
    _push_text(machine, machine.number(4))


@opcode(b"\x8c")
def _short_binunicode(machine: Machine) -> None:
    _push_text(machine, machine.byte())


@opcode(b"\x8d")
def _binunicode8(machine: Machine) -> None:
    _push_text(machine, machine.number(8))


@opcode(b"V")
def _unicode(machine: Machine) -> None:
    line = machine.line()
    machine.charge(56 + len(line))
    text = line.decode("raw_unicode_escape")
    machine.note(text)
    machine.stack.append(text)


def _push_string(machine: Machine, content: bytes) -> None:
    """A string of Python 2, which was bytes and mostly meant text."""
    machine.charge(56 + len(content))
    machine.note(content)
    if machine.encoding == "bytes":
        machine.stack.append(content)
        return
    try:
        machine.stack.append(content.decode(machine.encoding, machine.errors))
    except UnicodeDecodeError as error:
        problem = machine.broken(f"A string that Python 2 wrote is not {machine.encoding} ({error.reason}).")
        problem.hint = 'pass encoding="latin1" (numpy arrays in it), or encoding="bytes" to keep such strings as bytes'
        raise problem from None


@opcode(b"U")
def _short_binstring(machine: Machine) -> None:
    _push_string(machine, machine.take(machine.byte()))


@opcode(b"T")
def _binstring(machine: Machine) -> None:
    _push_string(machine, machine.take(machine.number(4)))


@opcode(b"S")
def _string(machine: Machine) -> None:
    line = machine.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise machine.broken("A string is not in quotes.")
    from codecs import escape_decode

    _push_string(machine, escape_decode(line[1:-1])[0])


def _push_bytes(machine: Machine, size: int) -> None:
    machine.charge(40 + size)
    content = machine.take(size)
    machine.note(content)
    machine.stack.append(content)


@opcode(b"C")
def _short_binbytes(machine: Machine) -> None:
    _push_bytes(machine, machine.byte())


@opcode(b"B")
def _binbytes(machine: Machine) -> None:
    _push_bytes(machine, machine.number(4))


@opcode(b"\x8e")
def _binbytes8(machine: Machine) -> None:
    _push_bytes(machine, machine.number(8))


@opcode(b"\x96")
def _bytearray8(machine: Machine) -> None:
    size = machine.number(8)
    machine.charge(64 + size)
    content = machine.take(size)
    machine.note(content)
    machine.stack.append(bytearray(content))


# -- containers -----------------------------------------------------------------------------------------------------


@opcode(b"(")
def _mark(machine: Machine) -> None:
    if machine.run is not None and machine.run.follow():
        return
    machine.charge(64)
    machine.marks.append(machine.stack)
    machine.marked += len(machine.stack) + 1
    machine.stack = []


@opcode(b"]")
def _empty_list(machine: Machine) -> None:
    machine.charge(64)
    machine.stack.append([])


@opcode(b"}")
def _empty_dict(machine: Machine) -> None:
    machine.charge(72)
    machine.stack.append({})


@opcode(b"\x8f")
def _empty_set(machine: Machine) -> None:
    machine.charge(216)
    machine.stack.append(set())


def _push_tuple(machine: Machine, items: list[Any]) -> None:
    machine.charge(48 + 8 * len(items))
    machine.stack.append(tuple(items))


@opcode(b"t")
def _tuple(machine: Machine) -> None:
    _push_tuple(machine, machine.pop_mark())


@opcode(b"\x85")
def _tuple1(machine: Machine) -> None:
    _push_tuple(machine, [machine.pop()])


@opcode(b"\x86")
def _tuple2(machine: Machine) -> None:
    second, first = machine.pop(), machine.pop()
    _push_tuple(machine, [first, second])


@opcode(b"\x87")
def _tuple3(machine: Machine) -> None:
    third, second, first = machine.pop(), machine.pop(), machine.pop()
    _push_tuple(machine, [first, second, third])


@opcode(b"l")
def _list(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.charge(64 + 12 * len(items))
    machine.stack.append(items)


@opcode(b"d")
def _dict(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.charge(72)
    target: dict[Any, Any] = {}
    machine.set_items(target, items)
    machine.stack.append(target)


@opcode(b"a")
def _append(machine: Machine) -> None:
    item = machine.pop()
    machine.extend(machine.top(), [item])


@opcode(b"e")
def _appends(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.extend(machine.top(), items)


@opcode(b"s")
def _setitem(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items(machine.top(), [key, value])


@opcode(b"u")
def _setitems(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.set_items(machine.top(), items)


@opcode(b"\x90")
def _additems(machine: Machine) -> None:
    items = machine.pop_mark()
    target = machine.top()
    machine.charge(64 * len(items))
    if type(target) is InertObject:
        target.items.extend(items)
        return
    if type(target) is not set:
        raise machine.broken(f"The pickle adds to a {type(target).__name__}, which is not a set.")
    machine.charge(machine.keys.check(target, items))
    target.update(items)


@opcode(b"\x91")
def _frozenset(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.charge(216 + 64 * len(items))
    machine.charge(machine.keys.check(None, items))
    machine.stack.append(frozenset(items))


# -- stack and memo -------------------------------------------------------------------------------------------------


@opcode(b"0")
def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.drop(machine.stack.pop())
    else:
        machine.pop_mark()


@opcode(b"1")
def _pop_mark(machine: Machine) -> None:
    machine.pop_mark()


@opcode(b"2")
def _dup(machine: Machine) -> None:
    machine.stack.append(machine.top())


@opcode(b"q")
def _binput(machine: Machine) -> None:
    machine.put(machine.byte())


@opcode(b"r")
def _long_binput(machine: Machine) -> None:
    machine.put(machine.number(4))


@opcode(b"p")
def _put(machine: Machine) -> None:
    machine.put(_memo_index(machine))


@opcode(b"\x94")
def _memoize(machine: Machine) -> None:
    machine.put(len(machine.memo) + len(machine.sparse))


@opcode(b"h")
def _binget(machine: Machine) -> None:
    machine.get(machine.byte())


@opcode(b"j")
def _long_binget(machine: Machine) -> None:
    machine.get(machine.number(4))


@opcode(b"g")
def _get(machine: Machine) -> None:
    machine.get(_memo_index(machine))


def _memo_index(machine: Machine) -> int:
    line = machine.line()
    if not line.isdigit() or len(line) > 18:
        raise machine.broken("A memo index is not a number.")
    return int(line)


# -- names, calls, state ----------------------------------------------------------------------------------------------


@opcode(b"c")
def _global(machine: Machine) -> None:
    module = machine.line()
    machine.named(module, machine.line())


@opcode(b"\x93")
def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if type(name) is not str or type(module) is not str:
        raise machine.broken("A global's module or name is not text.")
    if "." in name and not module:
        raise machine.broken("A global has no module.")
    machine.named(module.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass"))


@opcode(b"R")
def _reduce(machine: Machine) -> None:
    args, callee = machine.pop(), machine.pop()
    machine.stack.append(machine.call(callee, args))


@opcode(b"\x81")
def _newobj(machine: Machine) -> None:
    args, cls = machine.pop(), machine.pop()
    _check_new(machine, cls, args)
    machine.stack.append(machine.call(cls, args, "new"))


def _check_new(machine: Machine, cls: Any, args: Any) -> None:
    """These classes ignore what ``__new__`` is given, as pickle calls it: nobody writes it, and readers might not."""
    if args and type(cls) is Known and cls.leaf in _FILLED_LATER:
        raise machine.broken(f"A {cls.qualified} is made with arguments that Python ignores.")


@opcode(b"\x92")
def _newobj_ex(machine: Machine) -> None:
    kwargs, args, cls = machine.pop(), machine.pop(), machine.pop()
    if type(kwargs) is not dict:
        raise machine.broken("The keyword arguments of a call are not a dictionary.")
    _check_new(machine, cls, args)
    machine.stack.append(machine.call(cls, args, "new", kwargs))


@opcode(b"i")
def _inst(machine: Machine) -> None:
    module = machine.line()
    name = machine.line()
    args = tuple(machine.pop_mark())
    machine.named(module, name)
    machine.stack.append(machine.call(machine.pop(), args, "inst"))


@opcode(b"o")
def _obj(machine: Machine) -> None:
    items = machine.pop_mark()
    if not items:
        raise machine.broken("A call has nothing to call.")
    machine.stack.append(machine.call(items[0], tuple(items[1:]), "inst"))


@opcode(b"b")
def _build(machine: Machine) -> None:
    state = machine.pop()
    machine.build(machine.top(), state)


@opcode(b"Q")
def _binpersid(machine: Machine) -> None:
    machine.stack.append(machine.context.persistent(machine.pop()))


@opcode(b"P")
def _persid(machine: Machine) -> None:
    machine.stack.append(machine.context.persistent(machine.line().decode("ascii")))


# -- protocol and frames ----------------------------------------------------------------------------------------------


@opcode(b"\x80")
def _proto(machine: Machine) -> None:
    version = machine.byte()
    if version > _HIGHEST_PROTOCOL:
        raise machine.broken(f"The pickle is of protocol {version}; {_HIGHEST_PROTOCOL} is the highest known.")
    machine.protocol = version


@opcode(b"\x95")
def _frame(machine: Machine) -> None:
    size = machine.number(8)
    if machine.framed:
        raise machine.broken("A frame begins inside a frame.")
    if machine.at + size > len(machine.data):
        raise machine.cut(f"a frame of {size:,} bytes does not fit")
    machine.framed, machine.end = True, machine.at + size


@opcode(b"\x82")
@opcode(b"\x83")
@opcode(b"\x84")
def _extension(machine: Machine) -> None:
    raise machine.broken("The pickle uses an extension code, which stands for any name that a program registered.")


@opcode(b"\x97")
@opcode(b"\x98")
def _buffer(machine: Machine) -> None:
    raise machine.broken("The pickle needs buffers that are not in the file.")
