"""What a decoded tree would have built: its names against what the user trusts, before anything is imported.

Protocols 0 to 3 cannot name a class within a class, so they write ``getattr(Outer, "Inner")``. To trust `getattr`
would be to trust everything; here such a call is read as what it is, the name ``Outer.Inner``, which is trusted or
not like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dotpt.errors import UnsafeGlobal
from dotpt.pickling.nn_names import is_part_of_torch
from dotpt.pickling.tree import ATOMS, children, is_container
from dotpt.pickling.trust import Trust
from dotpt.pickling.values import GlobalName, InertGlobal, InertObject
from dotpt.tensors.refs import TensorRef

_GETATTR = (("builtins", "getattr"), ("__builtin__", "getattr"))
_LEVELS = 16  # of classes within classes

Key = tuple[str, str]


def nested_name(record: InertObject) -> InertGlobal | None:
    """The dotted name that a record of ``getattr(Outer, "Inner")`` stands for; None for any other record."""
    parts: list[str] = []
    value: Any = record
    while type(value) is InertObject and len(parts) < _LEVELS:
        callee, args = value.callee, value.args
        if value.how != "call" or type(callee) is not InertGlobal or (callee.module, callee.name) not in _GETATTR:
            return None
        if len(args) != 2 or type(args[1]) is not str or not args[1].isidentifier():
            return None
        parts.append(args[1])
        value = args[0]
    if type(value) is not InertGlobal:
        return None
    return InertGlobal(value.module, ".".join([value.name, *reversed(parts)]), value.python2)


def untrusted(names: Sequence[GlobalName], tree: Any, trust: Trust, *, parts: bool = False) -> list[GlobalName]:
    """Of the names that pickles ask for, those that are neither known to be harmless nor trusted.

    Args:
        names: what the pickles of the file name.
        tree: what they gave, before its leaves are replaced.
        parts: whether torch's own layers count as known (`nn_names`).

    Raises:
        UnsafeGlobal: the tree calls what another call gave, which no list of names can vouch for.
    """
    unknown = [name for name in names if not name.known]
    missing = [name for name in unknown if not _covers(trust, name, parts)]
    if trust.everything or not (trust or parts) or not unknown:
        return missing
    found = _Asked(tree)
    if found.computed:
        raise _computed(found.computed)
    within = [name for name in missing if (name.module, name.name) in found.parts - found.alone]
    first = within[0].offset if within else 0
    nested = [
        GlobalName(name.module, name.name, known=False, offset=first, python2=name.python2)
        for name in found.nested.values()
        if not _covers(trust, name, parts)
    ]
    return [name for name in missing if name not in within] + nested


def _covers(trust: Trust, name: GlobalName | InertGlobal, parts: bool) -> bool:
    known = parts and is_part_of_torch(name.module, name.name)
    return known or trust.covers(name.module, name.name, name.python2)


class _Asked:
    """What is reached in a tree: names by themselves, names that are parts of nested ones, calls of calls."""

    def __init__(self, tree: Any) -> None:
        self.alone: set[Key] = set()
        self.parts: set[Key] = set()
        self.nested: dict[Key, InertGlobal] = {}
        self.computed: InertObject | None = None
        seen: set[int] = set()
        level = [tree]
        while level:
            value = level.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            if type(value) is InertGlobal:
                self.alone.add((value.module, value.name))
            elif type(value) is InertObject:
                level += self._parts_of(value)
            else:
                level += _held(value)

    def _parts_of(self, record: InertObject) -> Iterator[Any]:
        name = nested_name(record)
        if name is None:
            callee = record.callee
            if type(callee) is InertObject and record.how != "parameter" and nested_name(callee) is None:
                self.computed = self.computed or record
            yield from children(record)
            if record.base is not None:
                yield record.base
            return
        self.nested[name.module, name.name] = name
        value: Any = record
        while type(value) is InertObject:
            self.parts.add((value.callee.module, value.callee.name))
            value = value.args[0]
        self.parts.add((value.module, value.name))
        yield from record.items  # nobody writes these; whoever does must have their names trusted
        yield from record.pairs
        yield from record.states


def _held(value: Any) -> Iterator[Any]:
    if type(value) is TensorRef:
        yield from ((value.extra or {}).get("attributes") or {}).values()
    elif is_container(value):
        yield from (child for child in children(value) if type(child) not in ATOMS)


def _computed(record: InertObject) -> UnsafeGlobal:
    return UnsafeGlobal(
        f"The file calls what a call of {record.type_name} gave, which no list of names can vouch for.",
        found=record.type_name,
        hint='trust="all" builds it, if you trust the file as you trust a program',
    )
