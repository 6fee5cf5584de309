"""Pickle streams, opcode by opcode: a simulated stack and memo keep them well formed, and mutations then break them.

`honest` streams are what some writer could have written, though none would: any reader must agree on them. `hostile`
ones start as honest streams and are changed opcode by opcode: operands, lengths, order, frames, STOP.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable

from tests.corpus import pickles as p

from .choices import Choices
from .values import FLOATS, HOSTILE, KNOWN, LENGTHS, NUMBERS, TEXTS, number, text

HASHABLE = frozenset(("number", "text", "bytes", "constant", "global", "object", "key", "frozenset"))
#: Names of an honest stream: unknown to every reader, so that each must build a record of its own.
STRANGE = (("pkg.models", "Net"), ("pkg", "Config"), ("__main__", "Args"), ("pkg.é", "Ünïcode"))
_MOST_OPS = 40


class _Maker:
    """Writes one stream. `stacks` holds the kinds of what lies on the stack, a new list above each mark."""

    def __init__(self, choices: Choices, names: tuple[tuple[str, str], ...], torch: bool = False) -> None:
        self.choices = choices
        self.names = names
        self.torch = torch
        self.ops: list[bytes] = []
        self.stacks: list[list[str]] = [[]]
        self.memo: dict[int, str] = {}

    @property
    def stack(self) -> list[str]:
        return self.stacks[-1]

    def make(self) -> list[bytes]:
        """A stream's opcodes, without PROTO and STOP."""
        for _ in range(self.choices.below(_MOST_OPS)):
            self.choices.pick(self.possible())()
        while len(self.stacks) > 1:
            self.choices.pick((self.close_tuple, self.close_list))()
        while len(self.stack) > 1:
            self.choices.pick((self.tuple2, self.pop))()
        if not self.stack:
            self.leaf()
        return self.ops

    def possible(self) -> list[Callable[[], None]]:
        """What can be done now, pushing first."""
        found = [self.leaf, self.leaf, self.empty, self.mark, self.name]
        depth, kinds = len(self.stack), self.stack
        if self.torch:
            found += [self.storage, self.tensor]
        if self.memo:
            found += [self.get, self.get]
        if depth:
            found += [self.put, self.put, self.dup, self.pop, self.tuple1]
        if depth >= 2:
            found += [self.tuple2]
            if kinds[-2] == "list" or kinds[-2] == "object":
                found += [self.append] * 3
            if kinds[-2] == "object":
                found += [self.build]
            if kinds[-2] == "global" and kinds[-1] in ("tuple", "key"):
                found += [self.reduce, self.newobj] * 3
        if depth >= 3:
            found += [self.tuple3]
            if kinds[-3] in ("dict", "object") and kinds[-2] in HASHABLE:
                found += [self.setitem] * 3
        if len(self.stacks) > 1:
            found += [self.close_tuple, self.close_list, self.pop_mark, self.inst]
            below = self.stacks[-2][-1:]
            if below in (["list"], ["object"]):
                found += [self.appends] * 3
            if below in (["dict"], ["object"]) and self.pairs():
                found += [self.setitems] * 3
            if below in (["set"], ["object"]) and self.hashable(kinds):
                found += [self.additems] * 3
            if self.pairs():
                found += [self.close_dict]
            if self.hashable(kinds):
                found += [self.close_frozenset]
            if kinds[:1] == ["global"]:
                found += [self.obj] * 3
        return found

    def pairs(self) -> bool:
        return len(self.stack) % 2 == 0 and self.hashable(self.stack[::2])

    def hashable(self, kinds: list[str]) -> bool:
        return all(kind in HASHABLE for kind in kinds)

    def emit(self, op: bytes, pops: int, pushes: str | None) -> None:
        self.ops.append(op)
        if pops:
            del self.stack[-pops:]
        if pushes is not None:
            self.stack.append(pushes)

    # -- one value ------------------------------------------------------------------------------------------------

    def leaf(self) -> None:
        op, kind = _leaf(self.choices)
        self.emit(op, 0, kind)

    def empty(self) -> None:
        op, kind = self.choices.pick(
            ((p.empty_list(), "list"), (p.empty_dict(), "dict"), (p.empty_tuple(), "key"), (p.empty_set(), "set"))
        )
        self.emit(op, 0, kind)

    def name(self) -> None:
        module, name = self.choices.pick(self.names)
        write = self.choices.pick((p.global_, p.global4))
        try:
            self.emit(write(module, name), 0, "global")
        except struct.error:  # too long for the short form of a text
            self.emit(p.global_(module, name), 0, "global")

    def storage(self) -> None:
        self.emit(p.storage(self.choices.pick(("0", "1"))), 0, "storage")

    def tensor(self) -> None:
        self.emit(p.tensor(size=(self.choices.below(5),), offset=0), 0, "tensor")

    # -- stack and memo ---------------------------------------------------------------------------------------------

    def dup(self) -> None:
        self.emit(p.dup(), 0, self.stack[-1])

    def pop(self) -> None:
        self.emit(p.pop(), 1, None)

    def put(self) -> None:
        index = len(self.memo) if self.choices.below(4) else self.choices.pick((0, 1, 255, 256, 70_000))
        writes = [p.put, p.long_binput]
        if index < 256:
            writes.append(p.binput)
        if index == len(self.memo):
            writes.insert(0, lambda _: p.memoize())
        self.emit(self.choices.pick(writes)(index), 0, None)
        self.memo[index] = self.stack[-1]

    def get(self) -> None:
        index = self.choices.pick(sorted(self.memo))
        write = self.choices.pick((p.get, p.long_binget, p.binget) if index < 256 else (p.get, p.long_binget))
        self.emit(write(index), 0, self.memo[index])

    def mark(self) -> None:
        self.ops.append(p.mark())
        self.stacks.append([])

    def close(self, op: bytes, pushes: str | None) -> None:
        """An opcode that takes everything above the mark."""
        self.ops.append(op)
        self.stacks.pop()
        if pushes is not None:
            self.stack.append(pushes)

    # -- containers ---------------------------------------------------------------------------------------------------

    def tuple_kind(self, items: list[str]) -> str:
        return "key" if self.hashable(items) else "tuple"

    def tuple1(self) -> None:
        self.emit(p.tuple1(), 1, self.tuple_kind(self.stack[-1:]))

    def tuple2(self) -> None:
        self.emit(p.tuple2(), 2, self.tuple_kind(self.stack[-2:]))

    def tuple3(self) -> None:
        self.emit(p.tuple3(), 3, self.tuple_kind(self.stack[-3:]))

    def append(self) -> None:
        self.emit(p.append(), 1, None)

    def setitem(self) -> None:
        self.emit(p.setitem(), 2, None)

    def close_tuple(self) -> None:
        self.close(p.tuple_(), self.tuple_kind(self.stack))

    def close_list(self) -> None:
        self.close(p.list_(), "list")

    def close_dict(self) -> None:
        self.close(p.dict_(), "dict")

    def close_frozenset(self) -> None:
        self.close(p.frozenset_(), "frozenset")

    def pop_mark(self) -> None:
        self.close(p.pop_mark(), None)

    def appends(self) -> None:
        self.close(p.appends(), None)

    def setitems(self) -> None:
        self.close(p.setitems(), None)

    def additems(self) -> None:
        self.close(p.additems(), None)

    # -- calls --------------------------------------------------------------------------------------------------------

    def reduce(self) -> None:
        self.emit(p.reduce_(), 2, "object")

    def newobj(self) -> None:
        if self.choices.once_in(3):
            self.emit(p.empty_dict() + p.newobj_ex(), 2, "object")
        else:
            self.emit(p.newobj(), 2, "object")

    def obj(self) -> None:
        self.close(p.obj(), "object")

    def inst(self) -> None:
        self.close(p.inst(*self.choices.pick(self.names[:1])), "object")

    def build(self) -> None:
        self.emit(p.build(), 1, None)


def _leaf(choices: Choices) -> tuple[bytes, str]:
    """An opcode that pushes a plain value."""
    kind = choices.below(6)
    if kind == 0:
        return choices.pick((p.none(), p.true(), p.false(), p.int_("01"), p.int_("00"))), "constant"
    if kind == 1:
        return _number(choices, number(choices)), "number"
    if kind == 2:
        value = choices.pick(FLOATS)
        return choices.pick((p.binfloat(value), p.float_(repr(value)))), "number"
    if kind == 3:
        return _text(choices, text(choices)), "text"
    if kind == 4:
        body = choices.blob(20)
        if choices.once_in(4):
            return p.bytearray8(body), "bytearray"
        return choices.pick((p.short_binbytes, p.binbytes, p.binbytes8))(body), "bytes"
    body = choices.blob(8).decode("ascii", "replace").encode("ascii", "replace")
    return choices.pick((p.short_binstring, p.binstring))(body), "text"


def _number(choices: Choices, value: int) -> bytes:
    writes: list[Callable[[int], bytes]] = [p.long1, p.long4, p.long_, p.int_]
    if -(2**31) <= value < 2**31:
        writes.append(p.binint)
    if 0 <= value < 2**16:
        writes += [p.binint2] + [p.binint1] * (value < 256)
    return choices.pick(writes)(value)


def _text(choices: Choices, value: str) -> bytes:
    writes: list[Callable[[str], bytes]] = [p.binunicode, p.binunicode8]
    if len(value.encode("utf-8", "surrogatepass")) < 256:
        writes.append(p.short_binunicode)
    if "\n" not in value and "\\" not in value and value.isascii():
        writes.append(p.unicode)
    return choices.pick(writes)(value)


def honest(choices: Choices) -> bytes:
    """One stream that every reader of pickles must read in the same way."""
    protocol = choices.below(6)
    ops = _Maker(choices, STRANGE).make()
    return _assemble(choices, protocol, ops, lie=False)


def hostile(choices: Choices, pieces: list[bytes] | None = None) -> bytes:
    """A stream that nobody should write; `pieces` are the opcodes of a real one, changed instead of a new one's."""
    names = choices.pick((STRANGE, STRANGE + KNOWN, KNOWN, KNOWN + HOSTILE))
    ops = _Maker(choices, names, torch=True).make() if pieces is None else list(pieces)
    for _ in range(choices.below(5)):
        _mutate(choices, ops)
    made = _assemble(choices, choices.below(6), ops, lie=choices.once_in(3)) if pieces is None else b"".join(ops)
    return _ending(choices, made)


def malicious(choices: Choices) -> bytes:
    """A stream that does harm if it is believed, and can be read to its end."""
    module, name = choices.pick((("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("posix", "system")))
    write = choices.pick((p.global_, p.global4))
    call = [write(module, name), p.mark() + p.text("echo") + p.tuple_(), p.reduce_()]
    before = _Maker(choices, STRANGE).make()
    ops = [p.mark(), *before, *call, p.tuple_()]
    return _assemble(choices, choices.between(2, 5), ops, lie=False)


def hiding(choices: Choices) -> bytes:
    """A stream that names what it should not, somewhere among opcodes and frames that may mislead a reader."""
    ops = _Maker(choices, STRANGE[:1] + KNOWN).make()
    module, name = choices.pick(HOSTILE)
    parts = [_text(choices, module), _text(choices, name), p.stack_global()]
    call = choices.pick(([p.global_(module, name)], parts, [p.mark(), p.inst(module, name)]))
    at = choices.below(len(ops) + 1)
    ops[at:at] = [*call, p.pop()] if choices.below(2) else call
    for _ in range(choices.below(4)):
        _mutate(choices, ops)
    made = _assemble(choices, choices.between(0, 5), ops, lie=choices.below(2) == 1)
    if choices.once_in(3):  # a frame's length, changed where it stands
        at = made.find(b"\x95")
        if at >= 0:
            made = made[: at + 1] + (choices.below(2 * len(made))).to_bytes(8, "little") + made[at + 9 :]
    return _ending(choices, made)


def _assemble(choices: Choices, protocol: int, ops: list[bytes], *, lie: bool) -> bytes:
    """PROTO, frames and STOP around opcodes."""
    head = p.proto(protocol) if protocol >= 2 else b""
    if protocol < 4 or choices.once_in(3):
        return head + b"".join(ops) + p.stop()
    out, rest = head, [*ops, p.stop()]
    while rest:
        count = len(rest) if choices.below(2) else 1 + choices.below(len(rest))
        body = b"".join(rest[:count])
        length = None
        if lie and choices.once_in(2):
            length = choices.pick((len(body) - 1, len(body) + 1, 0, *LENGTHS)) % 2**64
        elif lie and choices.once_in(3):
            body = p.frame(body)
        out += p.frame(body, length)
        rest = rest[count:]
    return out


def _ending(choices: Choices, made: bytes) -> bytes:
    how = choices.below(8)
    if how == 1:
        return made.removesuffix(b".")
    if how == 2:
        return made + made
    if how == 3:
        return made + choices.blob(8)
    if how == 4:
        return made[: choices.below(len(made) + 1)]
    return made


def _mutate(choices: Choices, ops: list[bytes]) -> None:
    """Change one opcode, or the order of a few."""
    at = choices.below(len(ops) + 1)
    how = choices.below(7)
    if how == 0 or at == len(ops):
        ops.insert(at, any_opcode(choices))
    elif how == 1:
        ops[at] = any_opcode(choices)
    elif how == 2:
        del ops[at]
    elif how == 3:
        ops.insert(at, ops[at])
    elif how == 4 and ops[at]:
        place = choices.below(len(ops[at]))
        changed = bytearray(ops[at])
        changed[place] ^= 1 << choices.below(8)
        ops[at] = bytes(changed)
    elif how == 5:
        other = choices.below(len(ops))
        ops[at], ops[other] = ops[other], ops[at]
    else:
        ops[at] = ops[at] * choices.pick((2, 3, 300))


def any_opcode(choices: Choices) -> bytes:
    """Any opcode with operands that may be wrong, its length included."""
    return choices.pick(_ANY)(choices)


def _lying(opcode: bytes, width: str) -> Callable[[Choices], bytes]:
    size = struct.calcsize(width)

    def make(choices: Choices) -> bytes:
        length = choices.pick(LENGTHS) % (1 << 8 * size)
        return opcode + length.to_bytes(size, "little") + choices.blob(12)

    return make


def _persistent(choices: Choices) -> bytes:
    """A persistent id that is almost torch's."""
    parts = [
        _text(choices, choices.pick(("storage", "module", "", "tensor"))),
        p.global_(
            *choices.pick((("torch", "FloatStorage"), ("torch", "Size"), ("os", "system"), ("torch", "float32")))
        ),
        choices.pick((p.text("0"), p.number(0), p.none(), p.text("é"), p.empty_list())),
        choices.pick((p.text("cpu"), p.none(), p.text("cuda:99999"), p.text("\x1b"))),
        choices.pick((p.number(4), p.long1(number(choices)), p.true(), p.none(), p.binfloat(4.0))),
        choices.pick((p.none(), p.tuple_(), p.mark() + p.text("9") + p.number(1) + p.number(2) + p.tuple_())),
    ]
    count = choices.pick((5, 6, 4, 1, 0, 2))
    return p.mark() + b"".join(parts[:count]) + p.tuple_() + p.binpersid()


def _deep(choices: Choices) -> bytes:
    depth = choices.pick((2, 31, 32, 33, 999, 1_001, 20_000))
    opener, closer = choices.pick(
        (
            (p.empty_list(), p.append()),
            (p.empty_tuple(), b""),
            (p.empty_dict() + p.none(), p.setitem()),
            (p.mark(), p.tuple_()),
        )
    )
    if not closer:
        return p.empty_tuple() + p.tuple1() * depth
    return opener * depth + p.none() + closer * depth


def _self_keyed(choices: Choices) -> bytes:
    """A container that holds itself where it cannot, or may."""
    target = choices.pick((p.empty_dict(), p.empty_set(), p.empty_list()))
    key = choices.pick((p.binget(0), p.binget(0) + p.tuple1(), p.binfloat(float("nan"))))
    ending = choices.pick((p.none() + p.setitem(), p.append(), p.mark() + p.binget(0) + p.additems()))
    return target + p.binput(0) + key + ending


def _colliding(choices: Choices) -> bytes:
    count = choices.pick((2, 100, 1_100))
    keys = b"".join(p.long1(k * (2**61 - 1)) + p.none() for k in range(count))
    return p.empty_dict() + p.mark() + keys + p.setitems()


_PLAIN = [
    bytes((code,))
    for code in (info.code.encode("latin1")[0] for info in pickletools.opcodes if info.arg is None)
    if code != 0x2E
]
_LINES = [info.code.encode("latin1") for info in pickletools.opcodes if info.arg is not None and info.arg.n == -1]
_SIZED = {b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q", b"U": "<B", b"T": "<I", b"C": "<B", b"B": "<I", b"\x8e": "<Q",
          b"\x96": "<Q", b"\x8a": "<B", b"\x8b": "<I", b"\x95": "<Q"}  # fmt: skip

_ANY: tuple[Callable[[Choices], bytes], ...] = (
    lambda c: c.pick(_PLAIN),
    lambda c: _leaf(c)[0],
    lambda c: c.pick((p.binget, p.binput))(c.below(256)),
    lambda c: c.pick((p.long_binget, p.long_binput))(c.pick(NUMBERS) % 2**32),
    lambda c: c.pick((p.get, p.put))(c.pick((*NUMBERS, "x", "", "0x1", " 1", "1_0"))),  # type: ignore[arg-type]
    lambda c: c.pick(_LINES) + c.pick(TEXTS).encode("utf-8", "surrogatepass") + b"\n",
    lambda c: p.global_(*c.pick(HOSTILE)),
    lambda c: p.global_(*c.pick(KNOWN)),
    lambda c: p.global_(*c.pick(KNOWN)) + p.mark() + _leaf(c)[0] + _leaf(c)[0] + p.tuple_() + p.reduce_(),
    lambda c: p.global_(*c.pick(KNOWN)) + p.empty_tuple() + p.reduce_(),
    lambda c: p.global_(*c.pick(KNOWN)) + p.empty_tuple() + p.newobj() + _leaf(c)[0] + p.build(),
    lambda c: c.pick(list(map(_lying, _SIZED, _SIZED.values())))(c),
    lambda c: p.proto(c.pick((0, 1, 2, 3, 4, 5, 6, 255))),
    lambda c: c.pick((p.ext1(1), p.ext2(300), p.ext4(-1), p.ext4(2**31 - 1))),
    lambda c: c.pick((p.next_buffer(), p.readonly_buffer())),
    lambda c: p.persid(c.pick(("0", "", "storage", "a" * 300))),
    _persistent,
    _deep,
    _self_keyed,
    _colliding,
    lambda c: bytes((c.below(256),)),
    lambda c: p.stop(),
)


def split(stream: bytes) -> list[bytes]:
    """The opcodes of the pickle that these bytes begin with, each with its operands."""
    places = [at for _, _, at in pickletools.genops(stream) if at is not None]
    return [stream[start:end] for start, end in zip(places, [*places[1:], places[-1] + 1], strict=True)]
