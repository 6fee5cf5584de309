"""Why something cannot be written, in words, and its address in what is saved.

The encoder knows, when it fails, the way from the saved object to the one that failed: containers and objects, each
lying directly in the one before. `place` turns that way into the address that the tensors of a file have too (keys,
indices and attribute names, joined by dots) and gives it to the error.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from types import FunctionType, GeneratorType, ModuleType
from typing import Any

from dotpt.errors import CannotPickle, DotptError

_ATOMS = (str, int, float, bool, type(None), bytes)
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_LONGEST = 100  # parts of an address that are told: a hundred thousand nested lists have as many
_NESTED_SAVES = 20
_STATE = "save its state instead (of a model or an optimizer: its state_dict()), or leave it out in __getstate__"


# -- the reasons -----------------------------------------------------------------------------------------------------


def not_found(value: Any, module: str, name: str) -> CannotPickle:
    """For a class or function whose name leads nowhere."""
    # pickle's own words, which programs look for and people search for
    local = f" (Can't pickle local object {name!r})" if "<locals>" in name else ""
    if "<lambda>" in name:
        return _error(
            value,
            f"A lambda ({module}.{name}) cannot be saved: it has no name by which a reader could find it{local}.",
            "define it with def at the top level of a module, or leave it out",
        )
    if "<locals>" in name:
        why = "it is defined inside a function, where no reader can find it"
        return _error(
            value,
            f"{_kind(value)} {module}.{name} cannot be saved: {why}{local}.",
            "move it to the top level of a module; of an object, save its state_dict() or vars() instead",
        )
    return _error(
        value,
        f"{_kind(value)} {module}.{name} cannot be saved: there is nothing of that name in {module}, where a reader "
        "would look for it.",
        "define it at the top level of a module that can be imported, under its own name",
    )


def another(value: Any, module: str, name: str) -> CannotPickle:
    """For a class or function whose name leads to something else."""
    return _error(
        value,
        f"{_kind(value)} {module}.{name} cannot be saved: another object has that name by now.",
        "give it a name of its own (a decorator or a reload has put something else in its place)",
    )


def unwritable(value: Any, error: TypeError) -> CannotPickle:
    """For objects of types that Python knows no way to write."""
    if isinstance(value, io.IOBase):
        return _error(value, "An open file cannot be saved: a reader has no such file.", "save its path instead")
    if isinstance(value, GeneratorType):
        return _error(
            value,
            "A generator cannot be saved: where it stands in its code cannot be written.",
            "save what it gives, as a list, or what is needed to make it anew",
        )
    if isinstance(value, ModuleType):
        return _error(value, f"The module {value.__name__} cannot be saved.", "save its name, and import it by that")
    if type(value).__name__ in ("lock", "RLock"):
        return _error(value, "A lock cannot be saved: it belongs to the running program.", _STATE)
    return _error(value, f"{_an(value)} cannot be saved: {str(error).rstrip('.')}.", _STATE)


def wrong_reduction(value: Any, what: str) -> CannotPickle:
    """For objects whose ``__reduce__`` breaks the rules."""
    return _error(
        value,
        f"{_an(value)} cannot be saved: what its __reduce__ returns {what}.",
        "correct its __reduce__ or __reduce_ex__, or save its state instead",
    )


def unwritable_name(module: str, name: str, protocol: int) -> CannotPickle:
    """For names that a protocol cannot spell."""
    return CannotPickle(
        f"The name {module}.{name} cannot be written in protocol {protocol} of pickle.",
        hint="rename it in ASCII, or save with protocol=4 (torch then needs weights_only=False)",
    )


def too_long(what: str, size: int) -> CannotPickle:
    """For texts and bytes beyond what the older protocols count."""
    return CannotPickle(
        f"A {what} of {size:,} bytes cannot be saved in this protocol of pickle, which ends at 4 GiB.",
        found=size,
        hint="save it with protocol=4, or keep it in a tensor",
    )


def too_deep(value: Any, depth: int) -> CannotPickle:
    """For what has no end."""
    return _error(
        value,
        f"What is saved is nested more than {depth:,} levels deep.",
        "look for a __reduce__ that returns the object itself among its arguments",
    )


def _error(value: Any, problem: str, hint: str) -> CannotPickle:
    return CannotPickle(problem, found=_qualified(type(value)), hint=hint)


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return "The class"
    return "The function" if isinstance(value, FunctionType) else f"The {type(value).__name__}"


def _qualified(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _an(value: Any) -> str:
    name = _qualified(type(value))
    return f"{'An' if name[:1].lower() in 'aeiou' else 'A'} {name}"


# -- the address -----------------------------------------------------------------------------------------------------


def place(error: Exception, trail: Sequence[Any], reduced: Mapping[int, Any], nested: int) -> None:
    """Tell an error where in the saved object it happened.

    Args:
        trail: the saved object, the one in it that was being written, ..., the one that failed.
        reduced: what ``__reduce__`` returned, by id of the object.
        nested: how many saves were running within each other.

    Raises:
        CannotPickle: in place of a RecursionError that those nested saves, not an object, have caused.
    """
    address = address_of(trail, reduced)
    if isinstance(error, RecursionError) and nested > _NESTED_SAVES:
        problem = "What is saved is nested too deep for objects of this kind."
        raise CannotPickle(problem, key=address or None, hint=_STATE) from error
    if isinstance(error, DotptError):
        error.key = error.key or address or None
    elif hasattr(error, "add_note"):
        what = _an(trail[-1]) if trail else "the object"
        error.add_note(f"dotpt was saving {address or 'the object itself'}: {what}")


def address_of(trail: Sequence[Any], reduced: Mapping[int, Any]) -> str:
    """The names on the way through ``trail``, joined by dots."""
    parts: list[str] = []
    trail = _without_lists_of_members(trail, reduced)
    for before, (owner, child) in zip((None, *trail), pairwise(trail), strict=False):
        if id(owner) in reduced:
            part = _part_of_object(owner, child, reduced[id(owner)])
        elif id(before) in reduced and _stands_between(owner, child, reduced[id(before)]):
            part = ""
        else:
            part = _part_of_container(owner, child)
        if part:
            parts.append(part)
    if len(parts) > _LONGEST:
        parts[_LONGEST // 2 : -_LONGEST // 2] = [f"({len(parts) - _LONGEST:,} more)"]
    return ".".join(parts)


def _without_lists_of_members(trail: Sequence[Any], reduced: Mapping[int, Any]) -> list[Any]:
    """The way without the call by which a set is written, whose argument is a list of its members."""
    kept: list[Any] = []
    way = iter(trail)
    for value in way:
        kept.append(value)
        if isinstance(value, (set, frozenset)) and id(value) in reduced:
            next(way, None)
            next(way, None)
    return kept


def _part_of_object(owner: Any, child: Any, said: tuple[Any, ...]) -> str:
    """The name of a child among what ``__reduce__`` said of its owner."""
    if len(said) > 2 and child is said[2]:
        return "" if type(child) is dict or _is_pair_of_attributes(child) else "state"
    if isinstance(owner, (set, frozenset)) or child is said[0] or child is next(iter(said[1]), None):
        return ""  # its class or function: the object itself cannot be written. Members have no names.
    if type(child) is tuple:
        return "args"
    return _part_of_container(owner, child) or "items"


def _stands_between(owner: Any, child: Any, said: tuple[Any, ...]) -> bool:
    """Whether a tuple is only how the attributes of an object are written."""
    return len(said) > 2 and owner is said[2] and _is_pair_of_attributes(owner) and type(child) is dict


def _is_pair_of_attributes(state: Any) -> bool:
    """Whether it is the state of an object with slots: (its ``__dict__`` or None, the slots)."""
    return type(state) is tuple and len(state) == 2 and type(state[1]) is dict


def _part_of_container(owner: Any, child: Any) -> str:
    if isinstance(owner, dict):
        return _key(dict.items(owner), child, module=_is_module(owner))
    if isinstance(owner, (list, tuple, deque)):
        return next((str(at) for at, item in enumerate(owner) if item is child), "")
    return _key(getattr(owner, "__dict__", {}).items(), child)


def _is_module(attributes: dict[Any, Any]) -> bool:
    return "_modules" in attributes and ("_parameters" in attributes or "_buffers" in attributes)


def _key(items: Iterable[tuple[Any, Any]], child: Any, module: bool = False) -> str:
    for key, value in items:
        if value is child:
            if module and key in _MODULE_PARTS:
                return ""  # a module's weights stand among its attributes, as in its state dict
            return str(key) if isinstance(key, _ATOMS) else f"<{type(key).__name__}>"
        if key is child:
            return f"<key of type {type(key).__name__}>"
    return ""
