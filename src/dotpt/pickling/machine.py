"""The opcode machine: pickle bytes in, inert values out. Nothing in the stream is imported, called or executed.

It decodes protocols 0 to 5 by one table of handlers, one small function an opcode. Every name goes through
`vocabulary.look_up`; what is not in that table becomes an inert record. Invariants:

* an opcode changes the stack, the memo, or a plain list, dict or set: never any other object;
* frames are enforced (an opcode may not cross one: readers that disagree on this can be shown two streams);
* extension codes and out-of-band buffers are refused, persistent ids must be torch's;
* every limit of `Limits` is checked before the memory is spent; keys are checked before they are hashed.

`torchrun` recognises the run of opcodes that torch writes for a tensor and decodes it in one step, by the
same rules; whatever it does not recognise to the last byte comes here.
"""

from __future__ import annotations

import re
import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from dotpt.errors import DotptError, LimitExceeded, PickleError
from dotpt.pickling import torchrun
from dotpt.pickling.context import Context
from dotpt.pickling.keys import KeyGuard
from dotpt.pickling.values import GlobalName, InertGlobal, InertObject
from dotpt.pickling.vocabulary import Known, Vocabulary

_DICTS = (dict, OrderedDict, Counter, defaultdict)
_HIGHEST_PROTOCOL = 5
# What Python 2 and 3 write. Readers disagree on 010, 0x10, 1_0 and spaces, so nobody may write them.
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|inf|nan)")



class PickleCut(PickleError, EOFError):
    """The bytes end before the pickle does. A reader that has more bytes can go on."""


Handler = Callable[["Machine"], None]
_handlers: dict[int, Handler] = {}


class Machine:
    """Decodes the pickles of one byte string, one `load` a pickle.

    Args:
        data: the stream.
        context: the storages and bounds it is decoded against.
        encoding: for Python 2's byte strings: a codec name, or ``"bytes"`` to keep them as bytes.
        errors: how undecodable ones are treated, as `bytes.decode` takes it.
        path, record: where the stream is from, for messages.

    Attributes:
        globals: every name met, in order of appearance.
        position: the first byte after the last pickle that was loaded.
    """

    def __init__(
        self,
        data: bytes,
        context: Context,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        path: str | None = None,
        record: str | None = None,
        position: int = 0,
    ) -> None:
        self.data = data
        self.context = context
        self.limits = context.limits
        self.encoding = encoding
        self.errors = errors
        self.path = path
        self.record = record
        self.position = position
        self.globals: dict[tuple[str, str], GlobalName] = {}
        self.room = self.limits.decoded_bytes
        self.vocabulary = Vocabulary(context)
        self.fast = True
        self._resolved: dict[tuple[str, str], Any] = {}

    def load(self) -> Any:
        """The next pickle's object.

        Raises:
            PickleError: the stream is malformed.
            TensorError: it describes a tensor outside its storage.
            LimitExceeded: it asks for too much.
        """
        start, room, storages = self.position, self.room, dict(self.context.storages)
        try:
            return self._run(start)
        except torchrun.Unsure:  # a run of opcodes was recognised too early: decode again, one by one
            self.fast, self.room = False, room
            self.context.storages.clear()
            self.context.storages.update(storages)
            return self._run(start)
        except PickleCut:  # whoever has more bytes calls again: this attempt must not count against the limit
            self.room = room
            raise

    def _run(self, start: int) -> Any:
        if len(self.data) - start > self.limits.pickle_bytes:
            raise LimitExceeded(
                "pickle_bytes", len(self.data) - start, self.limits.pickle_bytes, path=self.path, record=self.record
            )
        self.at = start
        self.end = len(self.data)
        self.framed = False
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.marked = 0  # items below the topmost mark
        self.memo: list[Any] = []
        self.sparse: dict[int, Any] = {}
        self.keys = KeyGuard(self.limits)
        self.run = torchrun.TensorRun(self) if self.fast else None
        self.opcode_at = start
        try:
            self._execute()
            return self._finish()
        except DotptError as error:
            if error.offset is None:
                error.offset = self.opcode_at
            error.path = error.path or self.path
            error.record = error.record or self.record
            raise
        except torchrun.Unsure:
            raise
        except MemoryError:
            raise self.broken("The pickle asks for more memory than there is.") from None
        except Exception as error:  # the one seam: whatever a damaged stream provokes becomes a typed error
            raise self.broken(f"The pickle is malformed ({type(error).__name__}: {error!s:.100}).") from error

    def _execute(self) -> None:
        data, handlers, limit = self.data, _handlers, self.limits.stack
        while True:
            at = self.opcode_at = self.at
            if at >= self.end:
                self._leave_frame()
            opcode = data[at]
            self.at = at + 1
            if opcode == 0x2E:  # STOP
                return
            handler = handlers.get(opcode)
            if handler is None:
                raise self.broken(f"The byte {opcode:#04x} is no opcode of pickle.")
            handler(self)
            if len(self.stack) + self.marked > limit:
                raise LimitExceeded("stack", len(self.stack) + self.marked, limit)

    def _leave_frame(self) -> None:
        if self.framed and self.at == self.end:
            self.framed, self.end = False, len(self.data)
        if self.at >= self.end:
            raise self.cut("it ends without STOP")

    def _finish(self) -> Any:
        if self.marks or len(self.stack) != 1:
            raise self.broken(f"The pickle ends with {len(self.stack) + self.marked} objects on its stack, not one.")
        if self.framed and self.at != self.end:
            raise self.broken("The pickle ends inside a frame.")
        self.position = self.at
        for name in self.context.embedded:  # what files inside this pickle name counts as named here
            self.globals.setdefault((name.module, name.name), name)
        return self.stack.pop()

    # -- what handlers use ----------------------------------------------------------------------------------------

    def broken(self, problem: str) -> PickleError:
        """The error for a malformed stream, at the current opcode."""
        return PickleError(
            problem,
            path=self.path,
            record=self.record,
            offset=self.opcode_at,
            hint="the file is damaged or made to mislead: get it again from its author",
        )

    def cut(self, what: str) -> PickleCut:
        """The error for a stream that ends too early."""
        return PickleCut(
            f"The pickle is cut short: {what}.",
            path=self.path,
            record=self.record,
            offset=len(self.data),
            hint="the file was cut or damaged: copy or download it again",
        )

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes of the stream, which must not leave the frame."""
        at = self.at
        stop = at + length
        if stop > self.end:
            self._over_the_end(length)
        self.at = stop
        return self.data[at:stop]

    def _over_the_end(self, length: int) -> None:
        if self.framed and self.at + length <= len(self.data):
            raise self.broken("An opcode crosses the end of its frame.")
        raise self.cut(f"{self.at + length - len(self.data):,} bytes are missing")

    def number(self, size: int) -> int:
        """The next unsigned number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        """The next bytes up to a newline, without it."""
        stop = self.data.find(b"\n", self.at, self.end)
        if stop < 0:
            if self.framed and self.data.find(b"\n", self.at) >= 0:
                raise self.broken("An opcode crosses the end of its frame.")
            raise self.cut("a line does not end")
        line = self.data[self.at : stop]
        self.at = stop + 1
        return line

    def charge(self, size: int) -> None:
        """Account for an object of about ``size`` bytes."""
        self.room -= size
        if self.room < 0:
            allowed = self.limits.decoded_bytes
            raise LimitExceeded("decoded_bytes", allowed - self.room, allowed)

    def pop(self) -> Any:
        """The topmost object, which must lie above the topmost mark."""
        if not self.stack:
            raise self.broken("The stack is empty where an object is needed.")
        return self.stack.pop()

    def top(self) -> Any:
        """The topmost object, left in place."""
        if not self.stack:
            raise self.broken("The stack is empty where an object is needed.")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """The objects above the topmost mark."""
        if not self.marks:
            raise self.broken("A mark is missing on the stack.")
        items = self.stack
        self.stack = self.marks.pop()
        self.marked -= len(self.stack) + 1
        return items

    def put(self, index: int) -> None:
        """Remember the topmost object."""
        value, known = self.top(), len(self.memo)
        if index == known:
            self.memo.append(value)
            if self.sparse:
                self.sparse.pop(index, None)  # MEMOIZE counts the entries: none may be there twice
        elif 0 <= index < known:
            self.memo[index] = value
            if self.run is not None:
                self.run.forget()
        else:
            if index not in self.sparse:
                self.charge(120)
            self.sparse[index] = value
            if self.run is not None:
                self.run = None
        if known + len(self.sparse) > self.limits.memo:
            raise LimitExceeded("memo", known + len(self.sparse), self.limits.memo)

    def get(self, index: int) -> None:
        """Push what was remembered under ``index``."""
        if 0 <= index < len(self.memo):
            value = self.memo[index]
            if value is torchrun.NOT_KEPT:
                raise torchrun.Unsure
        elif index in self.sparse:
            value = self.sparse[index]
        else:
            raise self.broken(f"The pickle refers to object {index} of its memo, which is not there.")
        self.stack.append(value)

    def named(self, module: bytes, name: bytes) -> None:
        """Push what a global stands for."""
        if max(len(module), len(name)) > self.limits.name_bytes:
            raise LimitExceeded("name_bytes", max(len(module), len(name)), self.limits.name_bytes)
        key = module.decode("utf-8"), name.decode("utf-8")
        if key not in self._resolved:
            self.charge(200 + len(module) + len(name))
            value = self.vocabulary.look_up(*key)
            self.globals[key] = GlobalName(*key, known=not isinstance(value, InertGlobal), offset=self.opcode_at)
            self._resolved[key] = value
        self.stack.append(self._resolved[key])

    def call(self, callee: Any, args: Any, how: str = "call", kwargs: Any = None) -> Any:
        """What calling ``callee`` would give: built by the vocabulary if it is known, else an inert record."""
        if type(args) is not tuple:
            raise self.broken("A call's arguments are not a tuple.")
        self.charge(120 + 8 * len(args))
        if type(callee) is Known:
            return callee.call(self.vocabulary, args, kwargs)
        if type(callee) in (InertGlobal, InertObject):
            return InertObject(callee, how, args, kwargs)
        raise self.broken(f"The pickle calls a {type(callee).__name__}, which is not a class or function.")

    def set_items(self, target: Any, items: list[Any]) -> None:
        """SETITEM and SETITEMS: keys and values alternate in ``items``."""
        if len(items) % 2:
            raise self.broken("A key without its value.")
        self.charge(100 * len(items) // 2)
        if type(target) is InertObject:
            target.pairs.extend(zip(items[::2], items[1::2], strict=True))
            return
        if type(target) not in _DICTS:
            raise self.broken(f"The pickle sets an item of a {type(target).__name__}, which is not a dictionary.")
        self.charge(self.keys.check(target, items[::2]))
        # dict's own method, since a Counter would add; an OrderedDict's own, since it keeps the order
        update = OrderedDict.update if type(target) is OrderedDict else dict.update
        update(target, zip(items[::2], items[1::2], strict=True))

    def extend(self, target: Any, items: list[Any]) -> None:
        """APPEND and APPENDS."""
        self.charge(8 * len(items))
        if type(target) is list:
            target.extend(items)
        elif type(target) is InertObject:
            target.items.extend(items)
        else:
            raise self.broken(f"The pickle appends to a {type(target).__name__}, which is not a list.")

    def build(self, target: Any, state: Any) -> None:
        """BUILD: state set on an object that was just made."""
        if type(target) is InertObject:
            self.charge(8)
            target.states.append(state)
        elif not self.vocabulary.build(target, state):
            raise self.broken(f"The pickle sets the state of a {type(target).__name__}, which has none.")


def opcode(code: bytes) -> Callable[[Handler], Handler]:
    """Register the handler of an opcode."""

    def register(handler: Handler) -> Handler:
        _handlers[code[0]] = handler
        return handler

    return register


def _constant(code: bytes, value: Any) -> None:
    _handlers[code[0]] = lambda machine: machine.stack.append(value)


_constant(b"N", None)
_constant(b"\x88", True)
_constant(b"\x89", False)
_constant(b")", ())


# -- numbers --------------------------------------------------------------------------------------------------------


@opcode(b"K")
def _binint1(machine: Machine) -> None:
    machine.stack.append(machine.number(1))


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
    _long(machine, machine.number(1))


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
    machine.stack.append(float(line))


@opcode(b"G")
def _binfloat(machine: Machine) -> None:
    machine.charge(24)
    machine.stack.append(struct.unpack(">d", machine.take(8))[0])


# -- text and bytes -------------------------------------------------------------------------------------------------


def _push_text(machine: Machine, size: int) -> None:
    machine.charge(56 + size)
    # surrogates are passed, as pickle does: a file name on disk may hold them
    machine.stack.append(machine.take(size).decode("utf-8", "surrogatepass"))


@opcode(b"X")
def _binunicode(machine: Machine) -> None:
    _push_text(machine, machine.number(4))


@opcode(b"\x8c")
def _short_binunicode(machine: Machine) -> None:
    _push_text(machine, machine.number(1))


@opcode(b"\x8d")
def _binunicode8(machine: Machine) -> None:
    _push_text(machine, machine.number(8))


@opcode(b"V")
def _unicode(machine: Machine) -> None:
    line = machine.line()
    machine.charge(56 + len(line))
    machine.stack.append(line.decode("raw_unicode_escape"))


def _push_string(machine: Machine, content: bytes) -> None:
    """A string of Python 2, which was bytes and mostly meant text."""
    machine.charge(56 + len(content))
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
    _push_string(machine, machine.take(machine.number(1)))


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
    machine.stack.append(machine.take(size))


@opcode(b"C")
def _short_binbytes(machine: Machine) -> None:
    _push_bytes(machine, machine.number(1))


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
    machine.stack.append(bytearray(machine.take(size)))


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
    machine.charge(64 + 8 * len(items))
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
        machine.stack.pop()
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
    machine.put(machine.number(1))


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
    machine.get(machine.number(1))


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
    machine.stack.append(machine.call(cls, args, "new"))


@opcode(b"\x92")
def _newobj_ex(machine: Machine) -> None:
    kwargs, args, cls = machine.pop(), machine.pop(), machine.pop()
    if type(kwargs) is not dict:
        raise machine.broken("The keyword arguments of a call are not a dictionary.")
    machine.stack.append(machine.call(cls, args, "new", kwargs))


@opcode(b"i")
def _inst(machine: Machine) -> None:
    module = machine.line()
    name = machine.line()
    args = tuple(machine.pop_mark())
    machine.named(module, name)
    machine.stack.append(machine.call(machine.pop(), args, "new"))


@opcode(b"o")
def _obj(machine: Machine) -> None:
    items = machine.pop_mark()
    if not items:
        raise machine.broken("A call has nothing to call.")
    machine.stack.append(machine.call(items[0], tuple(items[1:]), "new"))


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
    version = machine.number(1)
    if version > _HIGHEST_PROTOCOL:
        raise machine.broken(f"The pickle is of protocol {version}; {_HIGHEST_PROTOCOL} is the highest known.")


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
