"""What unknown calls of a pickle amount to, as readable code. Nothing is evaluated: it is written down.

Invariants: one line a call, in the order of the stream; a result that a later call takes is a variable; whatever the
values are (cyclic, huge, hostile texts), the lines stay short and printable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

from dotpt.errors import readable
from dotpt.pickling.journal import CallEntry
from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.pickling.vocabulary import Known

_WIDEST, _DEEPEST, _MOST, _LINES = 200, 3, 8, 1000
OPCODES = {
    0x63: "GLOBAL", 0x93: "STACK_GLOBAL", 0x69: "INST", 0x6F: "OBJ", 0x52: "REDUCE", 0x81: "NEWOBJ", 0x92: "NEWOBJ_EX",
    0x62: "BUILD", 0x51: "BINPERSID", 0x50: "PERSID", 0x28: "MARK",
}  # fmt: skip


class Code:
    """Writes calls as lines, and names their results.

    Args:
        place: gives the name of a record, for people.
    """

    def __init__(self, place: Callable[[str], str] = readable) -> None:
        self._place = place
        self._names: dict[int, str] = {}

    def lines(self, calls: Collection[CallEntry]) -> list[str]:
        """A line for each call, and for what is done to its result; a thousand calls at most."""
        found = []
        for number, entry in enumerate(islice(calls, _LINES), 1):
            text = self.call(entry.made)
            name = self._names[id(entry.made)] = f"v{number}"
            opcode = OPCODES.get(entry.opcode, f"{entry.opcode:#04x}")
            where = f"{self._place(entry.record)} byte {entry.offset:,}".strip()
            found.append(f"{name} = {text}  # {where}, {opcode}")
            found += [f"{name}.__setstate__({self._value(state, 1)})" for state in entry.made.states[:_MOST]]
            found += [
                f"{name}[{self._value(key, 1)}] = {self._value(item, 1)}" for key, item in entry.made.pairs[:_MOST]
            ]
            found += [f"{name}.append({self._value(item, 1)})" for item in entry.made.items[:_MOST]]
        if len(calls) > _LINES:
            found.append(f"# and {len(calls) - _LINES:,} calls more")
        return found

    def call(self, made: InertObject, depth: int = 0) -> str:
        """One call, as code."""
        below = depth + 1
        arguments = [self._value(arg, below) for arg in made.args[:_MOST]] if type(made.args) is tuple else ["..."]
        if len(made.args) > _MOST:
            arguments.append("...")
        if type(made.kwargs) is dict:
            some = list(made.kwargs.items())[:_MOST]
            arguments += [f"{_cut(str(key)[:_WIDEST])}={self._value(value, below)}" for key, value in some]
        method = ".__new__" if made.how == "new" and not arguments else ""
        return _cut(f"{self._value(made.callee, below)}{method}({', '.join(arguments)})", 2 * _WIDEST)

    def _value(self, value: Any, depth: int) -> str:
        if type(value) is InertObject:
            known = self._names.get(id(value))
            if known is not None:
                return known
            return self.call(value, depth) if depth < _DEEPEST else f"<{_cut(value.type_name)}>"
        if type(value) is InertGlobal:
            return _cut(value.qualified)
        if type(value) is Known:
            return value.qualified
        if isinstance(value, (str, bytes)):
            return _cut(repr(value[: 2 * _WIDEST]))
        if value is None or isinstance(value, (bool, int, float)):
            return _cut(_number(value))
        if type(value) in (list, tuple, set, frozenset) and depth <= _DEEPEST:
            brackets = "[]" if type(value) is list else "()" if type(value) is tuple else "{}"
            return _listed([self._value(item, depth + 1) for item in islice(value, _MOST)], brackets, value)
        if isinstance(value, dict) and depth <= _DEEPEST:
            some = islice(value.items(), _MOST)
            pairs = [f"{self._value(key, depth + 1)}: {self._value(item, depth + 1)}" for key, item in some]
            return _listed(pairs, "{}", value)
        return f"<{type(value).__name__}>"


def _listed(parts: list[str], brackets: str, value: Any) -> str:
    rest = ", ..." if len(value) > _MOST else "," if type(value) is tuple and len(value) == 1 else ""
    return _cut(brackets[0] + ", ".join(parts) + rest + brackets[1])


def _number(value: Any) -> str:
    return hex(value) if type(value) is int and value.bit_length() > 256 else repr(value)


def _cut(text: str, length: int = _WIDEST) -> str:
    text = readable(text).replace("\n", "\\n")
    return text if len(text) <= length else text[: length - 3] + "..."
