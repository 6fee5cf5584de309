"""Walks over what a pickle gave: every leaf replaced in place, every tensor given its address.

Nothing here recurses (a stranger chooses the depth), visits an object twice (a stranger's hundred nested
lists can have 2^100 paths), or follows a cycle.
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from dotpt.errors import LimitExceeded
from dotpt.limits import DEFAULT_LIMITS
from dotpt.pickling.build_numpy import EmptyArray, numpy_type
from dotpt.pickling.values import (
    GeneratorState,
    InertGlobal,
    InertObject,
    NumpyDType,
    PosixFile,
    ReturnType,
    WindowsFile,
)
from dotpt.pickling.vocabulary import Known
from dotpt.tensors.refs import TensorRef

Leaf = Callable[[Any], Any]

ATOMS = frozenset((str, int, float, bool, type(None), bytes, complex))
_SKIPPED = ATOMS | {TensorRef}
DICTS = frozenset((dict, OrderedDict, Counter, defaultdict))
_CONTAINERS = DICTS | {list, tuple, set, frozenset, slice, InertObject, Namespace, ReturnType, GeneratorState}
_REBUILT = frozenset((tuple, frozenset, slice))  # cannot be changed in place


class _Step:
    """One container on the way: visited before its children, finished after them."""

    __slots__ = ("container", "depth", "finish")

    def __init__(self, container: Any, depth: int, finish: bool = False) -> None:
        self.container = container
        self.depth = depth
        self.finish = finish


def keep(value: Any) -> Any:
    """The ``finish`` of a walk that leaves every record what it is."""
    return value


def transform(tree: Any, leaf: Leaf, nesting: int, finish: Leaf | None = None) -> Any:
    """``tree`` with every leaf that is no plain Python scalar replaced by ``leaf(value)``, in place where it can be.

    Sharing and cycles are kept. Containers of more than ``nesting`` levels raise `LimitExceeded`. The small
    records of torch (`ReturnType`, `GeneratorState`) and arrays of objects are passed to ``finish`` (default:
    `settle`) when their parts have been replaced.
    """
    finish = finish or settle
    if not is_container(tree):
        return tree if type(tree) in ATOMS else leaf(tree)
    done: dict[int, tuple[Any, Any]] = {}  # id -> (original, kept alive so that ids stay unique; result)
    open_: dict[int, Any] = {}
    unfinished: list[Any] = []
    steps = [_Step(tree, 1)]

    def result(value: Any) -> Any:
        kind = type(value)
        if kind is TensorRef:
            return leaf(value)
        if kind in ATOMS:
            return value
        if not is_container(value):
            return leaf(value)
        found = done.get(id(value))
        if found is not None:
            return found[1]
        unfinished.append(container)
        return value

    while steps:
        step = steps.pop()
        container = step.container
        if step.finish:
            done[id(container)] = container, _replaced(container, result, finish, leaf)
            del open_[id(container)]
            continue
        if id(container) in done or id(container) in open_:
            continue
        if step.depth > nesting:
            raise LimitExceeded("nesting", step.depth, nesting)
        open_[id(container)] = container
        steps.append(_Step(container, step.depth, finish=True))
        for child in children(container):
            if type(child) not in _SKIPPED and is_container(child):
                steps.append(_Step(child, step.depth + 1))
    # A cycle through a tuple: what pointed at the unfinished tuple points at the finished one now.
    for container in unfinished:
        if type(container) not in _REBUILT:
            _replaced(container, lambda value: done[id(value)][1] if id(value) in done else value, keep, keep)
    return done[id(tree)][1]


def is_container(value: Any) -> bool:
    """Whether it holds values that a walk visits."""
    kind = type(value)
    return kind in _CONTAINERS or (kind is EmptyArray and value.array is not None and value.array.dtype.hasobject)


def children(container: Any) -> Iterator[Any]:
    """What lies directly in a container: keys, values, attributes, and every part of an inert record."""
    kind = type(container)
    if kind in DICTS:
        yield from container.values()
        for key in container:
            if type(key) is not str:
                yield key
        if kind is not dict and getattr(container, "__dict__", None):
            yield container.__dict__
    elif kind is InertObject:
        yield container.callee
        yield container.args
        yield container.kwargs
        yield container.states
        yield container.items
        yield container.pairs
    elif kind is Namespace:
        yield container.__dict__
    elif kind is ReturnType:
        yield container.values
    elif kind is GeneratorState:
        yield container.state
    elif kind is slice:
        yield from (container.start, container.stop, container.step)
    elif kind is EmptyArray:
        yield from container.array.flat
    else:
        yield from container


def _replaced(container: Any, result: Leaf, finish: Leaf, leaf: Leaf) -> Any:
    kind = type(container)
    if kind in DICTS:
        _replace_items(container, result, leaf)
        if kind is not dict and getattr(container, "__dict__", None):
            result(container.__dict__)
    elif kind is list:
        for at, value in enumerate(container):
            if type(value) not in ATOMS:
                container[at] = result(value)
    elif kind is tuple or kind is frozenset:
        values = [result(value) for value in container]
        changed = any(new is not old for new, old in zip(values, container, strict=True))
        return kind(values) if changed else container
    elif kind is set:
        values = [result(value) for value in container]
        container.clear()
        container.update(values)
    elif kind is InertObject:
        for slot in ("callee", "args", "kwargs"):
            setattr(container, slot, result(getattr(container, slot)))
    elif kind is ReturnType:
        container.values = result(container.values)
        return finish(container)
    elif kind is GeneratorState:
        container.state = result(container.state)
        return finish(container)
    elif kind is EmptyArray:
        flat = container.array.ravel(order="K")  # reshape would copy an array in Fortran's order
        for at, value in enumerate(flat):
            flat[at] = result(value)
        return finish(container)
    return container


def _replace_items(container: Any, result: Leaf, leaf: Leaf) -> None:
    rekeyed = False
    for key, value in container.items():
        kind = type(value)
        if kind not in ATOMS:
            new = leaf(value) if kind is TensorRef else result(value)
            if new is not value:
                # replacing the value of an existing key does not disturb the iteration
                dict.__setitem__(container, key, new)
        if type(key) not in ATOMS and not rekeyed:
            rekeyed = result(key) is not key
    if rekeyed:
        items = [(result(key), value) for key, value in container.items()]
        container.clear()
        for key, value in items:
            dict.__setitem__(container, key, value) if type(container) is not OrderedDict else container.__setitem__(
                key, value
            )


def settle(value: Any) -> Any:
    """A leaf as a reader of `Archive.tree` sees it: numpy's two-step builders resolved, callables named."""
    kind = type(value)
    if kind is EmptyArray:
        return value.array
    if kind is NumpyDType:
        return value.value
    if kind is PosixFile:
        return PurePosixPath(value)
    if kind is WindowsFile:
        return PureWindowsPath(value)
    if kind is Known:
        if value.leaf is None:
            return numpy_type(value.qualified) or InertGlobal(*value.qualified.rsplit(".", 1))
        return value.leaf
    return value


def named_tensors(tree: Any, nesting: int, room: int = DEFAULT_LIMITS.decoded_bytes) -> Iterator[tuple[str, Any]]:
    """(address, tensor reference) of every place of the tree that holds one, in the order of the file.

    An address is the keys on the way, joined by dots; attributes of inert objects count as keys. All of them
    together may take ``room`` bytes: long keys, deeply nested, would fill the memory.
    """
    left = room
    level: list[tuple[str, Any, int]] = [("", tree, 1)]
    seen: set[int] = set()
    while level:
        address, value, depth = level.pop()
        if type(value) is TensorRef:
            yield address, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if depth > nesting:
            raise LimitExceeded("nesting", depth, nesting)
        found = []
        for key, child in named_children(value):
            kind = type(child)
            if kind is TensorRef or kind in _CONTAINERS or (kind not in ATOMS and _holds_objects(child)):
                found.append((f"{address}.{spelled(key)}" if address else spelled(key), child, depth + 1))
                left -= len(found[-1][0]) + (400 if kind is TensorRef else 0)
                if left < 0:
                    raise LimitExceeded("decoded_bytes", room - left, room)
        level.extend(reversed(found))


def _attributes(attributes: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """An object's attributes; of a module its weights and submodules stand among them, as ``getattr`` finds them.

    So the addresses of a whole module's tensors are the keys of its state dict: ``conv.weight``, not
    ``_modules.conv._parameters.weight``.
    """
    module = "_modules" in attributes and ("_parameters" in attributes or "_buffers" in attributes)
    for key, child in attributes.items():
        if module and key in ("_parameters", "_buffers", "_modules") and type(child) in DICTS:
            yield from child.items()
        else:
            yield key, child


def spelled(key: Any) -> str:
    """A key as text. Of some keys numpy makes none: a date without a unit, for example."""
    try:
        return str(key)
    except ValueError:
        return type(key).__name__


def named_children(value: Any) -> Iterator[tuple[Any, Any]]:
    """(key, child) of everything that lies directly in ``value``; the keys are the parts of addresses."""
    kind = type(value)
    if kind in DICTS:
        yield from value.items()
    elif kind in (list, tuple) or kind in (set, frozenset):
        yield from enumerate(value)
    elif kind is InertObject:
        attributes = value.attributes
        made = value.callee if value.how == "parameter" else value
        yield from ((f"args.{at}", child) for at, child in enumerate(made.args))
        yield from (made.kwargs or {}).items()
        if attributes:
            yield from _attributes(attributes)
        else:
            yield from (("state", state) for state in value.states)
        yield from ((f"items.{at}", child) for at, child in enumerate(value.items))
        yield from value.pairs
    elif kind is Namespace:
        yield from vars(value).items()
    elif kind is ReturnType:
        yield from enumerate(value.values)
    elif kind is GeneratorState:
        yield "state", value.state
    elif _holds_objects(value):
        yield from enumerate(value.array.flat if kind is EmptyArray else value.flat)


def _holds_objects(value: Any) -> bool:
    """Whether it is a numpy array of Python objects."""
    if type(value) is EmptyArray:
        value = value.array
    return getattr(getattr(value, "dtype", None), "hasobject", False) and hasattr(value, "flat")
