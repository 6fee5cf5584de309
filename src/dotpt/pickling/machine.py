"""The opcode machine: pickle bytes in, inert values out. Nothing in the stream is imported, called or executed.

It decodes protocols 0 to 5 by the table of `opcodes`, one small function an opcode. Every name goes through
`vocabulary.look_up`; what is not in that table becomes an inert record. Invariants:

* an opcode changes the stack, the memo, or a plain list, dict or set: never any other object;
* frames are enforced (an opcode may not cross one: readers that disagree on this can be shown two streams);
* extension codes and out-of-band buffers are refused, persistent ids must be torch's;
* every limit of `Limits` is checked before the memory is spent; keys are checked before they are hashed.

`torchrun` recognises the run of opcodes that torch writes for a tensor and decodes it in one step, by the
same rules; whatever it does not recognise to the last byte comes here.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from typing import Any

from dotpt.errors import DotptError, LimitExceeded, PickleError
from dotpt.pickling import torchrun
from dotpt.pickling.context import Context
from dotpt.pickling.journal import SHORTEST_HIDDEN
from dotpt.pickling.keys import KeyGuard
from dotpt.pickling.opcodes import HANDLERS
from dotpt.pickling.values import GlobalName, InertGlobal, InertObject
from dotpt.pickling.vocabulary import Known, Vocabulary

_DICTS = (dict, OrderedDict, Counter, defaultdict)
_TEXTS = (str, bytes, bytearray)
_SEQUENCES = (list, tuple, set, frozenset)


class PickleCut(PickleError, EOFError):
    """The bytes end before the pickle does. A reader that has more bytes can go on."""


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
        self.journal = context.journal
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
        finally:
            self._let_go()

    def _run(self, start: int) -> Any:
        if len(self.data) - start > self.limits.pickle_bytes:
            raise LimitExceeded(
                "pickle_bytes", len(self.data) - start, self.limits.pickle_bytes, path=self.path, record=self.record
            )
        self.at = start
        self.end = len(self.data)
        self.framed = False
        self.protocol = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.marked = 0  # items below the topmost mark
        self.memo: list[Any] = []
        self.sparse: dict[int, Any] = {}
        self.keys = KeyGuard(self.limits)
        self._copied: set[int] = set()
        self.context.bind(self.charge, lambda: self.room)
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

    def _let_go(self) -> None:
        """Drop what was decoded: machine, context and shortcut refer to each other, and would outlive the load."""
        self.stack, self.marks, self.memo, self.sparse, self.run = [], [], [], {}, None
        self.keys = KeyGuard(self.limits)
        self._copied = set()
        self.context.unbind()

    def _execute(self) -> None:
        data, handlers, limit = self.data, HANDLERS, self.limits.stack
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

    def skip(self, length: int) -> None:
        """Go over bytes that are no opcodes, as some writers put behind an object: never within a frame."""
        if self.framed and self.at != self.end:
            raise self.broken("Bytes that are no opcodes stand within a frame.")
        self.framed, self.end = False, len(self.data)
        if self.at + length > self.end:
            self._over_the_end(length)
        self.at += length

    def _over_the_end(self, length: int) -> None:
        if self.framed and self.at + length <= len(self.data):
            raise self.broken("An opcode crosses the end of its frame.")
        raise self.cut(f"{self.at + length - len(self.data):,} bytes are missing")

    def byte(self) -> int:
        """The next byte, as a number."""
        at = self.at
        if at >= self.end:
            self._over_the_end(1)
        self.at = at + 1
        return self.data[at]

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

    def note(self, value: Any) -> None:
        """Keep a text or bytes in the journal, if there is one: it may be a pickle itself."""
        if self.journal is not None and len(value) >= SHORTEST_HIDDEN:
            self.journal.text(self.record, self.opcode_at, value)

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
            self.charge(600 + 2 * len(module) + 2 * len(name))
            value, python2 = self.vocabulary.look_up(*key), self.protocol < 3
            known = not isinstance(value, InertGlobal)
            if not known:
                value = InertGlobal(*key, python2)
            found = self.globals[key] = GlobalName(*key, known, self.opcode_at, python2)
            self._resolved[key] = value
            if self.journal is not None:
                self.journal.name(self.record, found, self.data[self.opcode_at])
        self.stack.append(self._resolved[key])

    def call(self, callee: Any, args: Any, how: str = "call", kwargs: Any = None) -> Any:
        """What calling ``callee`` would give: built by the vocabulary if it is known, else an inert record."""
        if type(args) is not tuple:
            raise self.broken("A call's arguments are not a tuple.")
        self.charge(120 + 8 * len(args))
        if type(callee) is Known:
            for arg in args:
                self._charge_copy(arg)
            return callee.call(self.vocabulary, args, kwargs)
        if type(callee) in (InertGlobal, InertObject):
            made = InertObject(callee, how, args, kwargs)
            if self.journal is not None:
                self.charge(400)
                self.journal.call(self.record, self.opcode_at, self.data[self.opcode_at], made)
            return made
        raise self.broken(f"The pickle calls a {type(callee).__name__}, which is not a class or function.")

    def _charge_copy(self, value: Any) -> None:
        """Account for a copy that a known callable may make of an argument.

        The first copy of a text is the array or bytes that it stands for; further ones come from the memo, two
        bytes each.
        """
        kind = type(value)
        if kind in _TEXTS:
            if len(value) <= 1 << 12 or id(value) in self._copied:
                self.charge(len(value))
            else:
                self._copied.add(id(value))
        elif kind in _SEQUENCES:
            self.charge(32 * len(value))
        elif kind in _DICTS:
            self.charge(100 * len(value))

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
        self.charge(12 * len(items))
        if type(target) is list:
            target.extend(items)
        elif type(target) is InertObject:
            target.items.extend(items)
        else:
            raise self.broken(f"The pickle appends to a {type(target).__name__}, which is not a list.")

    def drop(self, value: Any) -> None:
        """POP. A function called for what it does to the object below is a pickle's own way to set a state."""
        if type(value) is InertObject and value.how == "call" and len(value.args) == 2 and self.stack:
            target, state = value.args
            if type(target) is InertObject and self.stack[-1] is target:
                self.charge(120)
                target.states.append(InertObject(value.callee, "set", (state,)))

    def build(self, target: Any, state: Any) -> None:
        """BUILD: state set on an object that was just made."""
        if type(target) is InertObject:
            self.charge(8)
            target.states.append(state)
            if self.context.built is not None:
                self.stack[-1] = self.context.built(self, target)
            return
        for part in state if type(state) is tuple else (state,):
            self._charge_copy(part)
        if not self.vocabulary.build(target, state):
            if self.journal is not None and type(target) in (InertGlobal, Known):
                self.journal.change(self.record, self.opcode_at, target.qualified)
            raise self.broken(f"The pickle sets the state of a {type(target).__name__}, which has none.")
