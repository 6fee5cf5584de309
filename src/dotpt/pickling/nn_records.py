"""Records of torch's own layers: a decoded tree in, the first thing that no model of torch's layers holds out.

What `nn_names` lists is built without being trusted, so a file must use it as `torch.save(model)` does, and in no other
way. Invariants of a tree that passes:

* a layer or helper is made without arguments, and filled once, by a plain dictionary of named attributes;
* its parameters and buffers are tensors, its submodules are modules, its hooks are helpers (or what the user trusts);
* a function of torch is a value: nothing calls it, and it is no hook;
* nothing known is given to another type of the table that might call it (the factory of a `defaultdict`).

Nothing here imports torch, or anything that a file names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dotpt.errors import UnsafeGlobal
from dotpt.pickling import nn_names
from dotpt.pickling.asked import nested_name
from dotpt.pickling.build_numpy import EmptyArray
from dotpt.pickling.tree import ATOMS, children, is_container
from dotpt.pickling.trust import NOTHING, Trust
from dotpt.pickling.values import InertGlobal, InertObject, NumpyDType
from dotpt.pickling.vocabulary import Known, table_entry
from dotpt.tensors.refs import TensorRef

_PLAIN_DICTS = (dict, OrderedDict)
_WRAPPED = ("subclass", "wrapper", "parameter")  # tensors of a class that the user trusts
_NO_VALUES = nn_names.HELPERS | {nn_names.BACKEND}
_RECURRENT = "torch.nn.modules.rnn"
_DIVISORS = {_RECURRENT: "hidden_size", "torch.nn.modules.activation": "num_heads"}
_NUMBERS = (int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Oddity:
    """What is wrong with a record: its full name, and a sentence's end that says what."""

    name: str
    words: str

    def error(self) -> UnsafeGlobal:
        """The error for someone who wants the model."""
        return UnsafeGlobal(
            f"The file uses `{self.name}`, a part of torch, as no saved model does: {self.words}.",
            found=self.name,
            hint='dotpt.open(...).tensors reads its tensors; trust="all" builds it, if you trust the file as a program',
        )


def part_of(value: Any, trust: Trust = NOTHING) -> InertGlobal | None:
    """The name on torch's lists that a value is, or that it is an instance of; None if the user trusts it anyway."""
    name = value.callee if type(value) is InertObject else value
    if type(name) is not InertGlobal or trust.covers(name.module, name.name, name.python2):
        return None
    return name if nn_names.is_part_of_torch(name.module, name.name) else None


def first_oddity(tree: Any, trust: Trust = NOTHING) -> Oddity | None:
    """What stands against building torch's layers in a tree, if anything does.

    Args:
        tree: what a file's pickles gave, before its leaves are replaced.
        trust: what the user trusts, which is not looked at.
    """
    return _Search(trust).search(tree)


class _Odd(Exception):
    """Ends a search."""


class _Search:
    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._helpers: set[int] = set()  # those that lie where helpers may lie

    def search(self, tree: Any) -> Oddity | None:
        seen: set[int] = set()
        level, met = [tree], []
        while level:
            value = level.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            try:
                parts = list(self._parts_of(value))
            except _Odd as odd:
                return Oddity(*odd.args)
            if type(value) is InertObject and self._is(value, nn_names.HELPERS):
                met.append(value)
            level += parts
        stray = next((record for record in met if id(record) not in self._helpers), None)
        return None if stray is None else Oddity(stray.type_name, "it is no hook of a layer")

    # -- what is where ------------------------------------------------------------------------------------------

    def _is(self, value: Any, names: frozenset[nn_names.Name]) -> bool:
        name = part_of(value, self._trust)
        return name is not None and (name.module, name.name) in names

    def _parts_of(self, value: Any) -> Iterator[Any]:
        """What is to be looked at within a value; raises `_Odd` at what is wrong with the value itself."""
        if type(value) is InertObject:
            yield from self._within(value)
        elif type(value) is TensorRef:
            yield from ((value.extra or {}).get("attributes") or {}).values()
        elif type(value) is NumpyDType or type(value) is EmptyArray:
            self._check_numpy(value)
            yield from children(value) if is_container(value) else ()
        elif self._is(value, _NO_VALUES):
            raise _Odd(value.qualified, "it is named, and is no instance")
        elif is_container(value):
            yield from (child for child in children(value) if type(child) not in ATOMS)

    def _within(self, record: InertObject) -> Iterator[Any]:
        name = part_of(record, self._trust)
        if name is None:
            if nested_name(record) is None:
                self._check_call(record)
                self._check_other(record)
                yield from children(record)
            return
        if (name.module, name.name) == nn_names.BACKEND:
            _demand(record.how == "call" and not record.args and not record.kwargs, record, "it is given arguments")
            return
        self._check_form(record, name)
        state = record.states[0]
        for key, value in state.items():
            _demand(type(key) is str and not key.startswith("__"), record, "an attribute has a name of Python's own")
            _demand(type(value) is not Known or value.leaf is not None, record, f"its {key} is a function of pickle's")
        if self._is(record, nn_names.HELPERS):
            self._check_helper(record, name.name, state)
        else:
            self._check_layer(record, name.module, state)
        yield from state.values()

    def _check_call(self, record: InertObject) -> None:
        """What a call gave is not called, nor is a function of torch that `getattr` gave."""
        if type(record.callee) is InertObject and record.how != "parameter":
            name = nested_name(record.callee)
            _demand(name is not None, record, "what it gave is called")
            _demand(part_of(name, self._trust) is None, record, "a function of torch is called")

    def _check_numpy(self, value: NumpyDType | EmptyArray) -> None:
        dtype = value.dtype if isinstance(value, EmptyArray) else value
        scalar = None if dtype is None else dtype.scalar
        if part_of(scalar, self._trust) is not None:
            raise _Odd("numpy.dtype", "its numbers are of a class of torch")

    def _check_other(self, record: InertObject) -> None:
        """A type of the table that was given something unknown must not get a part of torch to call."""
        callee = record.callee
        if type(callee) is not InertGlobal or table_entry(callee.module, callee.name) is None:
            return
        given = [*record.args, *(record.kwargs or {}).values(), *record.states, *record.items]
        for value in given:
            _demand(part_of(value, self._trust) is None, record, "it is given a part of torch")

    def _check_form(self, record: InertObject, name: InertGlobal) -> None:
        if (name.module, name.name) in nn_names.FUNCTIONS:
            raise _Odd(record.type_name, "it is called, and dotpt knows it only as a value")
        how, base = record.how, record.base
        made = how == "new" or (how == "reconstruct" and type(base) is Known and base.leaf is object)
        _demand(made, record, "it is not made as pickle makes an instance")
        _demand(record.args == () and not record.kwargs, record, "it is made with arguments")
        _demand(not record.items and not record.pairs, record, "it is filled like a list or dictionary")
        _demand(len(record.states) == 1, record, f"its state is set {len(record.states)} times")
        _demand(type(record.states[0]) in _PLAIN_DICTS, record, "its state is no dictionary")

    # -- layers -------------------------------------------------------------------------------------------------

    def _check_layer(self, record: InertObject, module: str, state: dict[str, Any]) -> None:
        for key, fits in (("_parameters", _is_tensor), ("_buffers", _is_tensor), ("_modules", self._is_module)):
            parts = state.get(key)
            _demand(type(parts) in _PLAIN_DICTS, record, f"its {key} are no dictionary")
            for name, part in parts.items():  # type: ignore[union-attr]
                _demand(type(name) is str and fits(part), record, f"its {key} hold something else")
        for key in state.keys() & nn_names.HOOKS:
            self._check_hooks(record, key, state[key])
        for key in state.keys() & nn_names.HOOK_MARKS:
            marks = state[key]
            _demand(type(marks) in _PLAIN_DICTS, record, f"its {key} are no dictionary")
            _demand(all(type(mark) is bool for mark in marks.values()), record, f"its {key} hold something else")
        _demand(type(state.get("training")) is bool, record, "its training is neither True nor False")
        _demand(state.get("_compiled_call_impl") is None, record, "it brings code to be called by")
        _check_names(record, state.get("_non_persistent_buffers_set"))
        _check_sizes(record, module, state)

    def _is_module(self, value: Any) -> bool:
        if value is None:
            return True
        if type(value) is not InertObject or value.how in _WRAPPED:
            return False
        return part_of(value, self._trust) is None or self._is(value, nn_names.LAYERS)

    def _check_hooks(self, record: InertObject, key: str, hooks: Any) -> None:
        _demand(type(hooks) in _PLAIN_DICTS, record, f"its {key} are no dictionary")
        for number, hook in hooks.items():
            _demand(type(number) is int and self._is_hook(hook), record, f"its {key} hold what is no hook")
            self._helpers.add(id(hook))

    def _is_hook(self, value: Any) -> bool:
        """Whether it is a helper, or something that is none of torch's, so that the user must trust it."""
        if type(value) not in (InertObject, InertGlobal):
            return False
        if nested := nested_name(value) if type(value) is InertObject else None:
            value = nested
        name = part_of(value, self._trust)
        return name is None or (type(value) is InertObject and self._is(value, nn_names.HELPERS))

    # -- helpers ------------------------------------------------------------------------------------------------

    def _check_helper(self, record: InertObject, name: str, state: dict[str, Any]) -> None:
        known = nn_names.HELPER_STATE[name]
        for key, value in state.items():
            _demand(key in known, record, f"it has an attribute {key[:40]!r}")
            _demand(self._fits(known[key], value), record, f"its {key} is something else")

    def _fits(self, kind: str, value: Any) -> bool:
        if kind == "name":
            return type(value) is str and value.isidentifier() and not value.startswith("__")
        if kind == "number":
            return type(value) in _NUMBERS
        if kind == "norm":
            return type(value) in (*_NUMBERS, str)
        if kind == "bool":
            return type(value) is bool
        if kind == "tensor":
            return type(value) is TensorRef
        if kind == "module":
            return self._is_module(value)
        hooks = value if kind == "hooks" and type(value) in (tuple, list) else (value,)
        self._helpers.update(id(hook) for hook in hooks)
        return all(self._is_hook(hook) for hook in hooks)


def _demand(fine: bool, record: InertObject, words: str) -> None:
    if not fine:
        raise _Odd(record.type_name, words)


def _is_tensor(value: Any) -> bool:
    return value is None or type(value) is TensorRef or (type(value) is InertObject and value.how in _WRAPPED)


def _check_names(record: InertObject, names: Any) -> None:
    fine = names is None or (type(names) in (set, frozenset) and all(type(name) is str for name in names))
    _demand(fine, record, "the names of its buffers are none")


def _check_sizes(record: InertObject, module: str, state: dict[str, Any]) -> None:
    """Numbers that torch counts to, or divides by, without a look at them: a zero would end the process."""
    if module == _RECURRENT and "num_layers" in state:
        layers = state["num_layers"]
        fine = type(layers) is int and 0 < layers <= len(state["_parameters"])
        _demand(fine, record, "it has more layers than weights")
    key = _DIVISORS.get(module, "")
    size = state.get(key, 1)
    _demand(type(size) is int and size > 0, record, f"its {key} is no positive number")
