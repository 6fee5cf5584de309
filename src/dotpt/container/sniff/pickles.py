"""What crosses this boundary: the first bytes of a file in, "this walks like a pickle" out.

Nothing is decoded: the walk only steps over opcodes and counts the stack, from the table of the standard
library. It never fails, and it says "calls" as soon as a stream calls a class it has named, because such a
stream runs code in `pickle.load` even if it is broken further on, or wears the magic of another format.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

_FIRST_INTEGER = re.compile(
    rb"(?:\x80(?P<protocol>[\x00-\x05]))?(?:\x95.{8})?"
    rb"(?:\x8a(?P<long1>.)|\x8b(?P<long4>.{4})|[LI](?P<decimal>\d{1,40})L?\n)",
    re.DOTALL,
)
_NUMBER = re.compile(rb"\s*[+-]?(?:[\d.][\w.+-]*|nan|inf)\s*")
_WORD = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_<]\w*>?)*\s*")
_LENGTH_BYTES = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}
_OPS = {ord(op.code): op for op in pickletools.opcodes}
_CALLS = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
_MEMO = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_PLAIN_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")


def legacy_protocol(head: bytes) -> int | None:
    """The pickle protocol of a legacy torch file, or None if ``head`` does not begin with its magic number."""
    match = _FIRST_INTEGER.match(head)
    if match is None:
        return None
    end = match.end()
    if match["decimal"]:
        number, protocol = int(match["decimal"]), 0
    else:
        length = int.from_bytes(match["long1"] or match["long4"], "little")
        if length > 32:  # padded to no purpose: nobody writes that
            return None
        number, protocol = int.from_bytes(head[end : end + length], "little", signed=True), 2
        end += length
    if number != LEGACY_MAGIC or head[end : end + 1] != b".":
        return None
    return match["protocol"][0] if match["protocol"] else protocol


@dataclass(slots=True)
class Walk:
    """How far a stream can be walked.

    Attributes:
        ops: opcodes stepped over.
        stop: the position after STOP, if one was reached.
        failed: an impossible opcode was met (or the file ended) before STOP or the end of the head.
        names: a class or function is named.
        calls: and called.
        memo: something is put into the memo.
        protocol: from the PROTO opcode, else None.
    """

    ops: int = 0
    stop: int | None = None
    failed: bool = False
    names: bool = False
    calls: bool = False
    memo: bool = False
    protocol: int | None = None


def walk_pickle(head: bytes, size: int) -> Walk:
    """Step over the opcodes at the start of a file of ``size`` bytes of which ``head`` is known."""
    walk, stack = Walk(), _Stack()
    position = 0
    while position < len(head):
        op = _OPS.get(head[position])
        after = -1 if op is None else _after_argument(op, head, position + 1)
        if op is None or after < 0 or after > size or not stack.apply(op):
            walk.failed = True
            return walk
        walk.ops += 1
        walk.names |= op.name in ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")
        walk.calls |= walk.names and op.name in _CALLS
        walk.memo |= op.name in _MEMO
        if op.name == "PROTO":
            walk.protocol = head[position + 1] if position + 1 < len(head) else None
        position = after
        if op.name == "STOP":
            walk.stop = position
            return walk
    walk.failed = position >= size  # the file ended without STOP
    return walk


def seems_pickle(walk: Walk, head: bytes) -> bool:
    """Whether a walk is evidence enough to call a file a pickle, text files being the trap."""
    if walk.calls or (head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5):
        return True
    if walk.failed:
        return False
    if walk.stop is None:
        return walk.ops >= 4 and (walk.names or walk.memo)
    rest = head[walk.stop :]
    # "N.B. ..." is None and STOP: a short stream followed by words is a text
    return walk.ops > 2 or not rest.strip() or not _PLAIN_TEXT.fullmatch(head)


class _Stack:
    """The depth of the pickle stack, and where its marks lie."""

    def __init__(self) -> None:
        self.depth = 0
        self.marks: list[int] = []

    def apply(self, op: pickletools.OpcodeInfo) -> bool:
        """Do what ``op`` does to the depth; False if the stack does not hold what it needs."""
        if op.name == "POP" and self.marks and self.marks[-1] == self.depth:
            self.marks.pop()  # POP also takes a mark
            return True
        before = op.stack_before
        floor = self.marks[-1] if self.marks else 0
        if pickletools.markobject in before:
            if not self.marks:
                return False
            self.depth = self.marks.pop()
            before = before[: before.index(pickletools.markobject)]
            floor = self.marks[-1] if self.marks else 0
        if self.depth - len(before) < floor:
            return False
        self.depth -= len(before)
        if op.name == "MARK":
            self.marks.append(self.depth)
        else:
            self.depth += len(op.stack_after)
        return True


def _after_argument(op: pickletools.OpcodeInfo, head: bytes, start: int) -> int:
    """Where the argument of ``op`` ends (beyond the head, if it says so); -1 if it makes no sense."""
    if op.arg is None:
        return start
    if op.arg.n >= 0:
        return start + int(op.arg.n)
    if op.arg.n != pickletools.UP_TO_NEWLINE:
        width = _LENGTH_BYTES.get(op.arg.n, 4)
        return start + width + int.from_bytes(head[start : start + width], "little")
    end = _after_line(head, start)
    line = head[start : end - 1]
    if op.name in ("GLOBAL", "INST"):
        second = _after_line(head, end)
        fine = _WORD.fullmatch(line) and (second > len(head) or _WORD.fullmatch(head[end : second - 1]))
        return second if fine else -1
    if end > len(head) or op.name in ("UNICODE", "PERSID"):
        return end
    if op.name == "STRING":
        line = line.strip()
        return end if len(line) > 1 and line[:1] == line[-1:] and line[:1] in (b"'", b'"') else -1
    return end if _NUMBER.fullmatch(line) else -1


def _after_line(head: bytes, start: int) -> int:
    """The position after the next newline; one past the head where there is none."""
    found = head.find(b"\n", start)
    return found + 1 if found >= 0 else len(head) + 1
