"""The run of opcodes that torch writes for each tensor of a state dict, decoded in one step.

For a tensor torch's pickler writes, always in this order (``g`` a GET of something remembered, ``#`` a PUT)::

    key#  g:_rebuild_tensor_v2  ( (  g:'storage' g:class key# g:location numel t#  Q  offset shape# strides#
    requires_grad  g:OrderedDict ) R#  t#  R#

`TensorRun` matches it with one compiled expression, resolves each GET through the memo and checks the numbers
by the same `Bounds` as the opcode machine; a description that it has resolved once is not resolved again. Two
things keep it honest:

* every PUT must bear the next free number (they are compared, byte by byte, when the runs end);
* what nobody can have a use for (the id tuple, the hooks) is not kept; should a later GET ask for it all the
  same, `Unsure` is raised and the machine starts again without this shortcut.
"""

from __future__ import annotations

import re
import sys
from array import array
from functools import cache
from typing import TYPE_CHECKING, Any

from dotpt.errors import DotptError
from dotpt.pickling.values import StorageClass
from dotpt.pickling.vocabulary import Known
from dotpt.tensors.refs import StorageRef, TensorRef, Window

if TYPE_CHECKING:
    from dotpt.pickling.machine import Machine

NOT_KEPT = object()
_COST = 900  # bytes of the objects that a run leaves behind, about


class Unsure(Exception):
    """The shortcut met something that only the opcode machine can decide."""


@cache
def _patterns(put: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """The run of a tensor's arguments, and the same with the dictionary key before it.

    Bytes that stand together and mean the same whenever they are the same are one group.
    """
    sizes = rb"(?:\)|(?:%(n)s\x85|%(n)s%(n)s\x86|%(n)s%(n)s%(n)s\x87|\((?:%(n)s){4,}t))"
    run = (
        rb"(\(\(%(get)s%(get)s)"  # head: 'storage' and its class
        rb"(?:X(.)\0\0\0([0-9]{1,9})(%(put)s)|(%(get)s))"  # length, storage key, PUT; or GET of the key
        rb"(%(get)s%(n)sN?t)"  # place: location, elements (None: the legacy format's unused view)
        rb"(%(put)s)Q(%(n)s" + sizes + rb")(%(put)s)?"  # PUT; offset and shape, PUT
        rb"(" + sizes + rb")(%(put)s)?"  # strides, PUT
        rb"([\x88\x89]%(get)s\)R)(%(put)s)t(%(put)s)R(%(put)s)"  # tail: requires_grad, hooks; three PUTs
    )
    entry = rb"(?:X(.)\0\0\0(.{1,255}?)(%(put)s)|(%(get)s))(%(get)s)" + run  # key, or GET of it; rebuild function
    names = {b"get": _GET, b"n": _NUMBER, b"put": put}
    return re.compile(run % names, re.DOTALL), re.compile(entry % names, re.DOTALL)


_GET, _NUMBER = rb"(?:h.|j....)", rb"(?:K.|M..|J....)"
_MIXED, _LONG, _LONG_FROM = rb"(?:q.|r....)", rb"r....", 256  # from that memo number on, every PUT is a long one
_HEAD = re.compile(rb"\(\((%s)(%s)" % (_GET, _GET), re.DOTALL)
_PLACE = re.compile(rb"(%s)(%s)N?t" % (_GET, _NUMBER), re.DOTALL)
_OFFSET = re.compile(rb"(%s)(.*)" % _NUMBER, re.DOTALL)

# What a run says apart from its keys: location and bytes of the storage, and how the tensor looks at it.
_Plan = tuple[str, int, Window]


class TensorRun:
    """Follows the runs of one stream. Made by the machine; `follow` is asked at every MARK."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._puts = _Numbering()
        self._plans: dict[tuple[bytes, ...], _Plan | None] = {}

    def forget(self) -> None:
        """Drop what was concluded from the memo: one of its entries has been replaced."""
        self._plans.clear()

    def follow(self) -> bool:
        """Decode as many tensors as follow here; False if there is none, and the machine goes on.

        The machine has just read a MARK. If it opens a tensor's arguments, the rebuild function is on top of
        the stack.
        """
        machine = self._machine
        stack, data, at = machine.stack, machine.data, machine.at - 1
        if data[at + 1 : at + 2] != b"(" or machine.framed or not stack or not _is_rebuild(stack[-1]):
            return False
        first = len(machine.memo)
        run, entry = _patterns(_MIXED if first < _LONG_FROM else _LONG)
        found = run.match(data, at)
        if found is None:
            return False
        function = stack.pop()
        # The first tensor's key and function are on the stack already; the entries after it bring theirs.
        puts = self._take((b"", b"", b"", b"", b"", *found.groups(b"")), found.end(), entry, first < _LONG_FROM)
        if not puts:
            stack.append(function)
            return False
        if not self._puts.follows(first, b"".join(puts)):
            raise Unsure
        return True

    def _take(self, pieces: tuple[bytes, ...], end: int, entry: re.Pattern[bytes], early: bool) -> list[bytes]:
        """Push the key and the tensor that these pieces describe, and those of all entries that follow.

        One loop, since it runs once a tensor. It ends where only the machine can tell what comes.

        Returns:
            The PUTs that were passed, as they are written.
        """
        machine, plans, data, remembered = self._machine, self._plans, self._machine.data, self._remembered
        memo, stack, storages, through = machine.memo, machine.stack, machine.context.storages, TensorRef.through
        room, puts = machine.limits.stack - machine.marked, list[bytes]()
        while True:
            (key_length, raw, put, key_get, rebuild, head, length, digits, put_storage, get_storage, place, put_pid,
             layout, put_shape, strides, put_strides, tail, put_hooks, put_args, put_tensor) = pieces  # fmt: skip
            code = (rebuild, head, place, layout, strides, tail)
            plan = plans.get(code)
            if plan is None:
                plan = plans[code] = self._resolve(*code)
                if plan is None:
                    return puts
            tag, nbytes, window = plan
            name: Any = digits.decode() if length else remembered(get_storage)
            key: Any = None
            if key_length:
                try:
                    key = raw.decode()
                except UnicodeDecodeError:
                    return puts
            elif key_get:
                key = remembered(key_get)
                if type(key) is not str:
                    return puts
            if (
                type(name) is not str
                or (length and len(digits) != length[0])
                or (key_length and len(raw) != key_length[0])
            ):
                return puts
            storage = storages.get(name)
            if storage is None:
                storage = storages[name] = StorageRef(name, window.dtype, tag, nbytes)
            elif storage.nbytes != nbytes or storage.dtype is not window.dtype:
                return puts
            ref = through(window, storage)
            if key_length and length and put_shape and put_strides:
                memo += (key, name, NOT_KEPT, window.shape, window.strides, NOT_KEPT, NOT_KEPT, ref)
                stack += (key, ref)
            else:
                names = [value for value, fresh in ((key, key_length), (name, length)) if fresh]
                memo += (*names, NOT_KEPT, *_sizes_kept(window, put_shape, put_strides), NOT_KEPT, NOT_KEPT, ref)
                stack += (ref,) if key is None else (key, ref)
            puts += (put, put_storage, put_pid, put_shape, put_strides, put_hooks, put_args, put_tensor)
            machine.at = end
            machine.room -= _COST
            if machine.room < 0:
                machine.charge(0)
            if len(stack) >= room:
                return puts
            found = entry.match(data, end)
            if found is None:
                return puts
            if early and len(memo) >= _LONG_FROM:
                early, entry = False, _patterns(_LONG)[1]
            end = found.end()
            pieces = found.groups(b"")

    def _resolve(
        self, rebuild: bytes, head: bytes, place: bytes, layout: bytes, strides: bytes, tail: bytes
    ) -> _Plan | None:
        """What the memo and the numbers of a run say, checked as the machine checks them."""
        if rebuild and not _is_rebuild(self._remembered(rebuild)):
            return None
        kinds, where, window = _HEAD.fullmatch(head), _PLACE.fullmatch(place), _OFFSET.fullmatch(layout)
        if kinds is None or where is None or window is None:
            return None
        word, kind = self._remembered(kinds[1]), self._remembered(kinds[2])
        location, hooks = self._remembered(where[1]), self._remembered(tail[1:-2])
        if type(word) is not str or word != "storage" or type(kind) is not StorageClass or kind.untyped:
            return None
        if type(location) is not str or type(hooks) is not Known or hooks.qualified != "collections.OrderedDict":
            return None
        count = _number(where[2])
        if count < 0:
            return None
        nbytes = count * kind.dtype.itemsize
        probe = StorageRef("", kind.dtype, location, nbytes)
        start, size, steps, wants_grad = _number(window[1]), _sizes(window[2]), _sizes(strides), tail[:1] == b"\x88"
        try:
            ref = self._machine.context.bounds.tensor(probe, kind.dtype, start, size, steps, wants_grad)
        except DotptError:
            return None  # the machine meets the same error, and knows the storage's name
        return location, nbytes, ref.window

    def _remembered(self, get: bytes) -> Any:
        index = int.from_bytes(get[1:], "little")
        return self._machine.memo[index] if index < len(self._machine.memo) else None


def _sizes_kept(window: Window, put_shape: bytes, put_strides: bytes) -> list[tuple[int, ...]]:
    """The shape and strides that the run remembers: an empty tuple is never PUT."""
    return [sizes for sizes, put in ((window.shape, put_shape), (window.strides, put_strides)) if put]


def _is_rebuild(function: Any) -> bool:
    return type(function) is Known and function.qualified == "torch._utils._rebuild_tensor_v2"


def _number(code: bytes) -> int:
    return int.from_bytes(code[1:], "little", signed=code[:1] == b"J")


def _sizes(code: bytes) -> tuple[int, ...]:
    """The numbers of a tuple, from the opcodes that build it."""
    values, at = [], int(code[:1] == b"(")
    while at < len(code) - 1:
        length = {0x4B: 2, 0x4D: 3, 0x4A: 5}[code[at]]
        values.append(_number(code[at : at + length]))
        at += length
    return tuple(values)


_SHORT_PUTS = b"".join(bytes((0x71, number)) for number in range(256))


class _Numbering:
    """The PUT opcodes of consecutive memo numbers, as torch's pickler writes them."""

    def __init__(self) -> None:
        self._long = bytearray()
        self._count = 256

    def follows(self, first: int, puts: bytes) -> bool:
        """Whether ``puts`` are the PUTs of ``first``, ``first + 1``, ..."""
        if first < 256:
            early = _SHORT_PUTS[2 * first :]
            return early.startswith(puts) or (puts.startswith(early) and self.follows(256, puts[len(early) :]))
        begin = 5 * (first - 256)
        if begin + len(puts) > len(self._long):
            self._grow(first + len(puts) // 5)
        return self._long[begin : begin + len(puts)] == puts

    def _grow(self, needed: int) -> None:
        stop = max(needed, 2 * self._count)
        numbers = array("I", range(self._count, stop))
        if sys.byteorder == "big":
            numbers.byteswap()
        raw, more = numbers.tobytes(), bytearray(b"r....") * len(numbers)
        for place in range(4):
            more[place + 1 :: 5] = raw[place::4]
        self._long += more
        self._count = stop
