"""Building what the user trusts: a decoded tree in, real objects out, in the order in which pickle would make them.

Each record of a trusted class is built as pickle's opcodes would: its arguments first, then the object, then what
is appended to it, set in it, and its state. So an object can be met again within its own state (a module that knows
its parent), and is built once however often it is met. Invariants:

* only `Trust.resolve` imports, and only what this file resolves is ever called;
* torch's own layers need no trust: they are made empty and filled (`Layers`), and nothing of torch is called;
* nothing recurses (a stranger chooses the depth), and no container is walked twice;
* a trusted class never sees a record of ours in a container that is not filled yet: it sees an empty one, as
  under pickle.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import PurePath
from typing import Any, Protocol

from dotpt.errors import CannotBuild, DotptError, LimitExceeded, UnsafeGlobal
from dotpt.pickling import making
from dotpt.pickling.asked import nested_name
from dotpt.pickling.build_numpy import EmptyArray
from dotpt.pickling.changes import Changes
from dotpt.pickling.nn_records import part_of
from dotpt.pickling.tree import ATOMS, DICTS, is_container
from dotpt.pickling.trust import Trust
from dotpt.pickling.values import (
    GeneratorState,
    InertGlobal,
    InertObject,
    NumpyDType,
    PosixFile,
    ReturnType,
    WindowsFile,
)
from dotpt.pickling.vocabulary import Known, names_of, table_entry
from dotpt.tensors.refs import TensorRef

_RECORDS = (InertGlobal, InertObject)
_FILES = {PosixFile: ("PosixPath", "posix"), WindowsFile: ("WindowsPath", "nt")}
_UNTRUSTED = object()
_INERT = 'dotpt.load(..., unknown="inert") gives the tensors without it'

Steps = Iterator[Any]  # the containers that must be visited before the next step


class Maker(Protocol):
    """A back end: what makes leaves and tensors."""

    def leaf(self, value: Any) -> Any:
        """What a leaf becomes."""

    def finish(self, value: Any) -> Any:
        """What a small record of torch becomes when its parts have been replaced."""

    def set_attributes(self, tensor: Any, attributes: dict[str, Any]) -> None:
        """Give a tensor the Python attributes that were saved with it."""

    def subclass(self, tensor: Any, cls: Any) -> Any:
        """A tensor seen as a subclass."""

    def wrapper(self, cls: Any, facts: dict[str, Any]) -> Any:
        """A tensor subclass that has no data of its own."""

    def parameter(self, tensor: Any, requires_grad: bool) -> Any:
        """A parameter around a tensor subclass."""

    def set_state(self, tensor: Any, state: Any) -> None:
        """The state of a tensor subclass or parameter."""


class Layers(Protocol):
    """Torch's own layers, for trees that `nn_records` has nothing against."""

    def value(self, module: str, name: str) -> Any:
        """What a name on torch's lists stands for."""

    def make(self, module: str, name: str) -> Any:
        """An empty layer or helper."""

    def set_state(self, made: Any, state: Any) -> None:
        """Fill one."""


class Reviver:
    """Builds the trusted objects of one file.

    Args:
        trust: what may be imported.
        maker: the back end, whose leaves tensors become.
        nesting: how deep containers may lie in each other.
        strict: whether a record that cannot be built is an error; else it stays the inert record it is.
        layers: what makes torch's own layers; without it they need to be trusted like all others.
        changes: gathers what has become of the trusted classes since.
    """

    def __init__(
        self,
        trust: Trust,
        maker: Maker,
        nesting: int,
        *,
        strict: bool = True,
        layers: Layers | None = None,
        changes: Changes | None = None,
    ) -> None:
        self._layers = layers
        self._changes = changes
        self._trust = trust
        self._maker = maker
        self._leaf = maker.leaf
        self._nesting = nesting
        self._strict = strict
        self._made: dict[int, tuple[Any, Any]] = {}  # id -> (original, kept alive so that ids stay unique; result)

    def revive(self, tree: Any) -> Any:
        """``tree`` with its leaves and its trusted records made real.

        Raises:
            CannotBuild: a class that cannot be imported, or fails on what the file gives it.
            UnsafeGlobal: something that is not trusted, where that is an error.
            LimitExceeded: containers lie too deep in each other.
        """
        open_: list[Steps] = [self._steps(tree)] if self._unmade(tree) else []
        while open_:
            container = next(open_[-1], None)
            if container is None:
                open_.pop()
            elif len(open_) >= self._nesting:
                raise LimitExceeded("nesting", len(open_) + 1, self._nesting)
            else:
                open_.append(self._steps(container))
        return self._value(tree)

    # -- the walk -----------------------------------------------------------------------------------------------

    def _unmade(self, value: Any) -> bool:
        """Whether a value must be visited before it can be used."""
        kind = type(value)
        if kind in ATOMS or id(value) in self._made:
            return False
        if kind is TensorRef:
            return bool(value.extra and "attributes" in value.extra)
        return is_container(value)

    def _visit(self, values: Iterable[Any]) -> Steps:
        for value in values:
            if self._unmade(value):
                yield value

    def _value(self, value: Any) -> Any:
        """What a value has become, its parts having been visited."""
        kind = type(value)
        if kind in ATOMS:
            return value
        found = self._made.get(id(value))
        if found is not None:
            return found[1]
        if kind is InertGlobal:
            return self._global(value)
        if kind is Known:
            return self._known(value)
        if kind in _FILES:
            return self._file(value)
        if kind is NumpyDType or kind is EmptyArray:
            return self._typed(value)
        return self._leaf(value)

    def _register(self, original: Any, result: Any) -> None:
        self._made[id(original)] = original, result

    def _steps(self, container: Any) -> Steps:
        kind = type(container)
        if kind is InertObject:
            return self._object(container)
        if kind in DICTS:
            return self._dictionary(container)
        if kind is list or kind is set:
            return self._list_or_set(container)
        if kind is Namespace:
            return self._namespace(container)
        if kind is EmptyArray:
            return self._array(container)
        if kind is TensorRef:
            return self._tensor(container)
        if kind is ReturnType or kind is GeneratorState:
            return self._torch_record(container)
        return self._fixed(container)

    # -- plain containers ---------------------------------------------------------------------------------------

    def _dictionary(self, container: dict[Any, Any]) -> Steps:
        kind = type(container)
        items = list(container.items())
        self._register(container, container)
        container.clear()
        yield from self._visit(chain.from_iterable(items))
        value, put = self._value, OrderedDict.__setitem__ if kind is OrderedDict else dict.__setitem__
        for key, item in items:
            put(container, key if type(key) is str else value(key), value(item))
        attributes = None if kind is dict else getattr(container, "__dict__", None)
        if attributes and self._unmade(attributes):
            yield attributes

    def _list_or_set(self, container: list[Any] | set[Any]) -> Steps:
        items = list(container)
        self._register(container, container)
        container.clear()
        yield from self._visit(items)
        values = [self._value(item) for item in items]
        container.extend(values) if isinstance(container, list) else container.update(values)

    def _fixed(self, container: tuple[Any, ...] | frozenset[Any] | slice) -> Steps:
        """What cannot be changed in place. In a cycle it is met again within a part of it, and made there."""
        kind: Any = type(container)
        parts: Any = container
        if isinstance(container, slice):
            parts = container.start, container.stop, container.step
        for part in parts:
            if self._unmade(part):
                yield part
                if id(container) in self._made:
                    return
        values = [self._value(part) for part in parts]
        same = all(new is old for new, old in zip(values, parts, strict=True))
        self._register(container, container if same else kind(*values) if kind is slice else kind(values))

    def _namespace(self, container: Namespace) -> Steps:
        self._register(container, container)
        yield from self._visit((container.__dict__,))

    def _array(self, container: EmptyArray) -> Steps:
        """A numpy array of objects."""
        flat = container.array.ravel(order="K")
        self._register(container, container.array)
        yield from self._visit(flat)
        for at, value in enumerate(flat):
            flat[at] = self._value(value)

    def _torch_record(self, record: ReturnType | GeneratorState) -> Steps:
        slot = "values" if isinstance(record, ReturnType) else "state"
        yield from self._visit((getattr(record, slot),))
        setattr(record, slot, self._value(getattr(record, slot)))
        self._register(record, self._maker.finish(record))

    def _tensor(self, ref: TensorRef) -> Steps:
        """A tensor with Python attributes, which may refer to what it lies in."""
        extra = dict(ref.extra or {})
        attributes = extra.pop("attributes")
        ref.extra = extra or None
        tensor = self._leaf(ref)
        self._register(ref, tensor)
        yield from self._visit(attributes.values())
        self._maker.set_attributes(tensor, {name: self._value(value) for name, value in attributes.items()})

    # -- leaves that are names ----------------------------------------------------------------------------------

    def _global(self, name: InertGlobal) -> Any:
        """A name as a value: what the user trusts, and what is known of torch's own."""
        if self._part(name) is None:
            return self._trusted(name)
        return self._layers.value(name.module, name.name) if self._layers else name

    def _trusted(self, name: InertGlobal) -> Any:
        """A name that may be called, if it is trusted; else the name itself."""
        if not self._trust.covers(name.module, name.name, name.python2):
            return name
        real = self._trust.resolve(name.module, name.name, name.python2)
        self._register(name, real)
        return real

    def _part(self, value: Any) -> InertGlobal | None:
        """The name of torch's own that a value is, or an instance of."""
        return None if self._layers is None else part_of(value, self._trust)

    def _known(self, known: Known) -> Any:
        """A function or type of the table that was saved as a value: the real one, where a stand-in would be given."""
        value = self._leaf(known)
        if isinstance(value, type) and not issubclass(value, PurePath):
            return value
        for module, name in names_of(known):
            if self._trust.covers(module, name):
                value = self._trust.resolve(module, name)
                break
        self._register(known, value)
        return value

    def _file(self, path: Any) -> Any:
        """A path that is no pure one. That of another system cannot be made here, and stays pure."""
        name, system = _FILES[type(path)]
        real = self._leaf(path)
        if os.name == system and self._trust.covers("pathlib", name):
            real = self._trust.resolve("pathlib", name)(real)
        self._register(path, real)
        return real

    def _typed(self, record: NumpyDType | EmptyArray) -> Any:
        """A type or array of numpy, whose scalars may be of a class that is trusted: ``numpy.record``."""
        real = self._leaf(record)
        if isinstance(record, EmptyArray):
            real = real if record.dtype is None or record.dtype.scalar is None else real.view(self._value(record.dtype))
        elif isinstance(scalar := self._scalar(record.scalar), type):
            import numpy as np

            real = np.dtype((scalar, real))
        self._register(record, real)
        return real

    def _scalar(self, scalar: Any) -> Any:
        return self._trusted(scalar) if type(scalar) is InertGlobal else self._value(scalar)

    # -- objects ------------------------------------------------------------------------------------------------

    def _object(self, record: InertObject) -> Steps:
        nested = None if self._trust.everything else self._nested(record)
        if nested is not None:
            self._register(record, self._global(nested))
            return
        part = self._part(record)
        if part is not None and self._layers is not None:
            yield from self._layer(record, part, self._layers)
            return
        yield from self._visit((record.callee,))
        callee = _UNTRUSTED if record.how == "set" else self._callee(record)
        if callee is not _UNTRUSTED:
            yield from self._visit((record.args, record.kwargs))
            if id(record) in self._made:  # in a cycle, while its arguments were visited
                return
            args, kwargs = self._value(record.args), self._value(record.kwargs) or {}
            # Tensors around tensors, a defaultdict and its factory: such records wait for their arguments.
            waits = _is_harmless(record) or record.how not in ("call", "new", "inst")
            if not waits or not any(type(arg) in _RECORDS for arg in args):
                self._register(record, self._make(record, callee, args, kwargs))
                yield from self._fill(record)
                return
        yield from self._leave(record)

    def _layer(self, record: InertObject, name: InertGlobal, layers: Layers) -> Steps:
        """A layer of torch: made empty, then filled by torch's own code."""
        with _building(record, "making it"):
            made = layers.make(name.module, name.name)
        self._register(record, made)
        for state in record.states:
            yield from self._visit((state,))
            with _building(record, "setting its state"):
                layers.set_state(made, self._value(state))

    def _nested(self, record: InertObject, *, called: bool = False) -> InertGlobal | None:
        """The trusted name of a class within a class, if that is what a record of `getattr` stands for."""
        name = nested_name(record)
        if name is None or (not called and self._part(name) is not None):
            return name
        return name if self._trust.covers(name.module, name.name, name.python2) else None

    def _callee(self, record: InertObject) -> Any:
        """What is to be called, if it is trusted: a name, or for those who trust everything what another call gave."""
        callee = record.callee
        real = self._trusted(callee) if type(callee) is InertGlobal else self._value(callee)
        computed = type(callee) is InertObject and record.how != "parameter"
        if computed and not self._trust.everything and self._nested(callee, called=True) is None:
            return _UNTRUSTED
        if type(real) is InertGlobal:
            real = getattr(table_entry(real.module, real.name), "leaf", None)
            return real if isinstance(real, type) else _UNTRUSTED
        return _UNTRUSTED if type(real) is InertObject else real

    def _make(self, record: InertObject, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _building(record, "making it"):
            if record.how == "subclass":
                return self._maker.subclass(args[0], callee)
            if record.how == "wrapper":
                return self._maker.wrapper(callee, kwargs)
            if record.how == "parameter":
                return self._maker.parameter(callee, **kwargs)
            return making.instance(record.how, callee, args, kwargs, self._value(record.base))

    def _fill(self, record: InertObject) -> Steps:
        """What pickle does to an object when it is made: items, then keys, then state."""
        real = self._value(record)
        if record.items:
            yield from self._visit(record.items)
            with _building(record, "appending its items"):
                making.append(record.how, real, [self._value(item) for item in record.items])
        if record.pairs:
            yield from self._visit(chain.from_iterable(record.pairs))
            with _building(record, "setting its keys"):
                making.put(record.how, real, [(self._value(key), self._value(item)) for key, item in record.pairs])
        for at, state in enumerate(record.states):
            if type(state) is InertObject and state.how == "set":
                yield from self._visit((state.callee, state.args))
                with _building(record, "setting its state"):
                    self._setter(state)(real, *self._value(state.args))
                continue
            yield from self._visit((state,))
            with _building(record, "setting its state"):
                if at == 0 and record.how in ("subclass", "parameter"):
                    self._maker.set_state(real, self._value(state))
                else:
                    making.set_state(real, self._value(state))
        if self._changes is not None and record.how in ("new", "reconstruct"):
            self._changes.look_at(real)

    def _setter(self, state: InertObject) -> Any:
        setter = self._callee(state)
        if setter is _UNTRUSTED:
            raise CannotBuild(f"Its state is set by {state.type_name}, which is not trusted.", found=state.type_name)
        return setter

    def _leave(self, record: InertObject) -> Steps:
        """A record that is not trusted stays one, around parts that may be."""
        if self._strict and not _is_harmless(record):
            raise UnsafeGlobal(
                f"The file needs a {record.type_name}, which is not trusted.",
                found=record.type_name,
                hint='trust="all" builds it, if you trust the file as you trust a program',
            )
        self._register(record, record)
        yield from self._visit((record.callee, record.args, record.kwargs, record.items, record.pairs, record.states))
        for slot in ("callee", "args", "kwargs"):
            setattr(record, slot, self._value(getattr(record, slot)))


def _is_harmless(record: InertObject) -> bool:
    """Whether it is one that the table itself leaves unbuilt: of a type that is known, given something unknown."""
    callee = record.callee
    return type(callee) is InertGlobal and table_entry(callee.module, callee.name) is not None


@contextmanager
def _building(record: InertObject, step: str) -> Iterator[None]:
    """The one seam of trusted code: whatever a class raises becomes a typed error that names it."""
    try:
        yield
    except (DotptError, MemoryError):
        raise
    except Exception as error:
        name = record.type_name
        raise CannotBuild(
            f"A {name} could not be built: {step} raised {type(error).__name__}: {error!s:.200}.",
            found=name,
            hint=f"install the version of {name.partition('.')[0]} that the file was saved with; {_INERT}",
        ) from error
