"""The run of opcodes that torch writes for each tensor of a state dict, decoded in one step.

For a tensor torch's pickler writes, always in this order (``g`` a GET of something remembered, ``#`` a PUT)::

    key#  g:_rebuild_tensor_v2  ( (  g:'storage' g:class key# g:location numel t#  Q  offset shape# strides#
    requires_grad  g:OrderedDict ) R#  t#  R#

`TensorRun` matches it with one compiled expression, resolves each GET through the memo and checks the numbers
by the same `Bounds` and `Context` as the opcode machine. Two things keep it honest:

* every PUT must bear the next free number (that is compared, byte by byte);
* what nobody can have a use for (the id tuple, the hooks) is not kept; should a later GET ask for it all the
  same, `Unsure` is raised and the machine starts again without this shortcut.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dotpt.pickling.values import StorageClass
from dotpt.pickling.vocabulary import Known

if TYPE_CHECKING:
    from dotpt.pickling.machine import Machine

NOT_KEPT = object()


class Unsure(Exception):
    """The shortcut met something that only the opcode machine can decide."""


def _pattern(put: bytes) -> re.Pattern[bytes]:
    get, number = rb"(?:h.|j....)", rb"(?:K.|M..|J....)"
    sizes = rb"(?:\)|((?:%(n)s\x85|%(n)s%(n)s\x86|%(n)s%(n)s%(n)s\x87|\((?:%(n)s){4,}t))(%(put)s))"
    run = (
        rb"\(\((%(get)s%(get)s)"  # 1 'storage' and its class
        rb"(?:X(.)\0\0\0([0-9]{1,9})(%(put)s)|(%(get)s))"  # 2 length 3 key 4 PUT, or 5 GET of the key
        rb"(%(get)s)(%(n)s)"  # 6 location, 7 elements
        rb"N?t(%(put)s)Q(%(n)s)"  # (N: the legacy format's unused view) 8 PUT, 9 offset
        + sizes  # 10 shape, 11 PUT
        + sizes  # 12 strides, 13 PUT
        + rb"([\x88\x89])(%(get)s)\)R(%(put)s)t(%(put)s)R(%(put)s)"  # 14 requires_grad, 15 hooks class, 16-18 PUTs
    )
    return re.compile(run % {b"get": get, b"n": number, b"put": put}, re.DOTALL)


_SHORT, _LONG = _pattern(rb"q."), _pattern(rb"r....")
_KEY = re.compile(rb"(?:X(....)|(h.|j....))", re.DOTALL)


class TensorRun:
    """Follows the runs of one stream. Made by the machine; `follow` is asked at every MARK."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._puts = _Numbering()
        self.forget()
        self._sizes: dict[bytes | None, tuple[int, ...]] = {None: ()}
        self._numbers: dict[bytes, int] = {}

    def forget(self) -> None:
        """Drop what was concluded from the memo: one of its entries has been replaced."""
        self._classes: dict[bytes, StorageClass | None] = {}
        self._locations: dict[bytes, str | None] = {}
        self._hooks: dict[bytes, bool] = {}
        self._rebuilds: dict[bytes, bool] = {}

    def follow(self) -> bool:
        """Decode as many tensors as follow here; False if there is none, and the machine goes on.

        The machine has just read a MARK. If it opens a tensor's arguments, the rebuild function is on top of
        the stack.
        """
        machine = self._machine
        at, data = machine.at, machine.data
        if data[at : at + 1] != b"(" or machine.framed or not machine.stack:
            return False
        function = machine.stack[-1]
        if type(function) is not Known or function.qualified != "torch._utils._rebuild_tensor_v2":
            return False
        ref, stop = self._tensor(at - 1, ())
        if ref is None:
            return False
        stack = machine.stack
        stack[-1] = ref
        # The entries that follow in the same dictionary: key, PUT, GET of the rebuild function, the run.
        memo, puts, room = machine.memo, self._puts, machine.limits.stack
        while len(stack) + machine.marked < room:
            machine.at = at = stop
            if data[at : at + 1] == b"X":
                begin = at + 5
                begin += int.from_bytes(data[at + 1 : begin], "little")
                raw, put = data[at + 5 : begin], puts.at(len(memo))
                stop = begin + len(put)
                if data[begin:stop] != put:
                    break
                try:
                    key: Any = raw.decode()
                except UnicodeDecodeError:
                    break
                fresh: tuple[Any, ...] = (key,)
            elif data[at : at + 1] in (b"h", b"j"):
                found = _KEY.match(data, at)
                key = self._remembered(found[2]) if found else None
                if type(key) is not str or found is None:
                    break
                stop, fresh = found.end(), ()
            else:
                break
            length = 2 if data[stop : stop + 1] == b"h" else 5
            if not self._is_rebuild(data[stop : stop + length]):
                break
            memo += fresh
            ref, stop = self._tensor(stop + length, fresh)
            if ref is None:
                if fresh:
                    memo.pop()
                break
            stack.append(key)
            stack.append(ref)
        machine.opcode_at = machine.at
        return True

    def _tensor(self, at: int, fresh: tuple[Any, ...]) -> tuple[Any, int]:
        """The tensor whose arguments open at ``at``, and the byte after its run; (None, at) if it is no run."""
        machine, memo = self._machine, self._machine.memo
        first = len(memo)
        found = (_SHORT if first < 256 else _LONG).match(machine.data, at)
        if found is None or found.end() > machine.end:
            return None, at
        (kind_gets, length, digits, put_key, get_key, location_get, numel, put_pid, offset, shape, put_shape, strides,
         put_strides, grad, hooks_get, put_hooks, put_args, put_tensor) = found.groups()  # fmt: skip
        kind = self._classes.get(kind_gets) or self._class(kind_gets)
        location = self._locations.get(location_get) or self._location(location_get)
        if kind is None or location is None or not (self._hooks.get(hooks_get) or self._is_hooks(hooks_get)):
            return None, at
        numbering = b"".join(
            (put_key or b"", put_pid, put_shape or b"", put_strides or b"", put_hooks, put_args, put_tensor)
        )
        if not self._puts.follows(first, numbering):
            return None, at
        if digits is not None:
            if len(digits) != length[0]:
                return None, at
            key = digits.decode()
        else:
            key = self._remembered(get_key)
            if type(key) is not str:
                return None, at
        count = self._numbers.get(numel) or self._number(numel)
        if count < 0:
            return None, at
        storage = machine.context.storage(kind, key, location, count)
        size = self._sizes.get(shape)
        steps = self._sizes.get(strides)
        ref = machine.context.bounds.place(
            storage,
            storage.dtype,
            self._numbers.get(offset) or self._number(offset),
            self._tuple(shape) if size is None else size,
            self._tuple(strides) if steps is None else steps,
            grad == b"\x88",
        )
        machine.charge(900)
        kept: list[Any] = [key] if digits is not None else []
        kept.append(NOT_KEPT)
        if put_shape:
            kept.append(size if size is not None else self._sizes[shape])
        if put_strides:
            kept.append(steps if steps is not None else self._sizes[strides])
        kept += (NOT_KEPT, NOT_KEPT, ref)
        memo += kept
        return ref, found.end()

    # -- what the memo says ---------------------------------------------------------------------------------------

    def _remembered(self, get: bytes) -> Any:
        index = int.from_bytes(get[1:], "little")
        return self._machine.memo[index] if index < len(self._machine.memo) else None

    def _class(self, gets: bytes) -> StorageClass | None:
        cut = 2 if gets[:1] == b"h" else 5
        word, kind = self._remembered(gets[:cut]), self._remembered(gets[cut:])
        if type(word) is str and word == "storage" and type(kind) is StorageClass:
            self._classes[gets] = kind
            return kind
        return None

    def _location(self, get: bytes) -> str | None:
        location = self._remembered(get)
        if type(location) is str:
            self._locations[get] = location
            return location
        return None

    def _is_hooks(self, get: bytes) -> bool:
        function = self._remembered(get)
        good = type(function) is Known and function.qualified == "collections.OrderedDict"
        self._hooks[get] = good
        return good

    def _is_rebuild(self, get: bytes) -> bool:
        good = self._rebuilds.get(get)
        if good is None:
            function = self._remembered(get) if get[:1] in (b"h", b"j") else None
            good = type(function) is Known and function.qualified == "torch._utils._rebuild_tensor_v2"
            self._rebuilds[get] = good
        return good

    def _number(self, code: bytes) -> int:
        value = int.from_bytes(code[1:], "little", signed=code[:1] == b"J")
        if len(self._numbers) < 1 << 16:
            self._numbers[code] = value
        return value

    def _tuple(self, code: bytes) -> tuple[int, ...]:
        """The numbers of a tuple, from the opcodes that build it."""
        values, at = [], code[:1] == b"("
        while at < len(code) - 1:
            length = {0x4B: 2, 0x4D: 3, 0x4A: 5}[code[at]]
            values.append(self._number(code[at : at + length]))
            at += length
        found = self._machine.context.bounds.sizes(tuple(values), "shape or strides")
        self._sizes[code] = found
        return found


class _Numbering:
    """The PUT opcodes of consecutive memo numbers, as torch's pickler writes them."""

    def __init__(self) -> None:
        self._short = b"".join(bytes((0x71, number)) for number in range(256))
        self._long = b""
        self._count = 256

    def at(self, number: int) -> bytes:
        """The PUT of one memo number."""
        return b"q%c" % number if number < 256 else b"r" + number.to_bytes(4, "little")

    def follows(self, first: int, puts: bytes) -> bool:
        """Whether ``puts`` are the PUTs of ``first``, ``first + 1``, ..."""
        if first < 256:
            return self._short[2 * first : 2 * first + len(puts)] == puts
        begin = 5 * (first - 256)
        if begin + len(puts) > len(self._long):
            self._grow(first)
        return self._long[begin : begin + len(puts)] == puts

    def _grow(self, first: int) -> None:
        stop = max(first + 16, 2 * self._count)
        numbers = range(self._count, stop)
        self._long += b"".join(b"r" + number.to_bytes(4, "little") for number in numbers)
        self._count = stop
