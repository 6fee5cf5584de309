"""The state dict of a pickled module, without its code: an inert record in; what ``model.state_dict()`` gave out.

torch's own walk (`Module.state_dict`), over what the file keeps of each module: parameters, buffers that are part of
the state, what torch's quantized classes add, then the submodules, each under its name; and beside them the version
of each module. Nothing recurses, visits a cycle twice, or takes more than the limits allow: a module that lies in many
places is walked at each, as torch does, and a hostile file could have 2^100 of them.

Invariant: every value of a `ModuleState` is a tensor reference, or plain. What the file has instead is left out, and
said in its notes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dotpt.errors import LimitExceeded
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.pickling.values import InertObject
from dotpt.rescue.modules import ModuleView, described, is_module, view_of
from dotpt.rescue.notes import Notes
from dotpt.rescue.own_state import adds_what_is_unknown, own_entries
from dotpt.rescue.plain_state import Unsaid, as_state
from dotpt.rescue.versions import version_of

Look = Callable[[InertObject], ModuleView]

_VISIT = 500  # bytes that a module counts each time it is met, as the record of its version takes them
_SPECTRAL_NORM = "torch.nn.utils.spectral_norm.SpectralNormStateDictHook"


@dataclass(slots=True)
class ModuleState:
    """What a module's ``state_dict()`` gave.

    Attributes:
        state: names and values, in torch's order; tied weights share a storage.
        metadata: for each module, by its name, the version of its class: the state dict's ``_metadata``.
        notes: what is not known, and what was left out, one sentence each.
    """

    state: OrderedDict[str, Any] = field(default_factory=OrderedDict)
    metadata: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict)
    notes: list[str] = field(default_factory=list)


def state_of(module: InertObject, *, limits: Limits = DEFAULT_LIMITS, look: Look = view_of) -> ModuleState:
    """The state dict of a pickled module.

    Args:
        module: a pickled `torch.nn.Module`, as `dotpt.open` gives it in `Archive.tree`.
        limits: how deep modules may lie in each other, and how much their names may take together.
        look: what a record says of its module; `dotpt.rescue.script.looks` gives that for TorchScript's.

    Raises:
        LimitExceeded: the modules lie too deep, or in too many places.

    Example:
        >>> import dotpt
        >>> with dotpt.open("tests/corpus/fixtures/zip/module.pt") as archive:
        ...     list(state_of(archive.tree).state)[:2]
        ['0.weight', '0.bias']
    """
    return _Walk(limits, look).walk(module)


class _Walk:
    """One walk over a module and its submodules."""

    def __init__(self, limits: Limits, look: Look) -> None:
        self._limits = limits
        self._look = look
        self._found = ModuleState()
        self._notes = Notes()
        self._left = limits.decoded_bytes
        self._above: set[int] = set()
        self._strangers: dict[str, str] = {}
        self._views: dict[int, ModuleView] = {}

    def walk(self, root: InertObject) -> ModuleState:
        """The state of the root and all below it."""
        path = [(root, self._enter("", root))]
        while path:
            record, children = path[-1]
            name, child = next(children, ("", None))
            if child is None:
                self._above.discard(id(record))
                path.pop()
                continue
            if len(path) >= self._limits.nesting:
                raise LimitExceeded("nesting", len(path) + 1, self._limits.nesting)
            path.append((child, self._enter(name, child)))
        self._say_what_is_not_known()
        self._found.notes = self._notes.lines
        return self._found

    def _enter(self, name: str, record: InertObject) -> Iterator[tuple[str, InertObject]]:
        """Take what a module has itself; its submodules, by full name, are what is left to do."""
        self._above.add(id(record))
        view = self._views.get(id(record))
        if view is None:
            view = self._views[id(record)] = self._look(record)
        self._spend(_VISIT + len(name))
        place = name or "the module itself"
        for odd in view.odd:
            self._notes.add(f"{place}: {odd}; they were left out")
        self._found.metadata[name] = {"version": version_of(view)}
        prefix = f"{name}." if name else ""
        for key, value in self._entries(view, place):
            self._add(prefix + key, value)
        self._note_hooks(name, view)
        if not view.class_name.startswith(("torch.", "__torch__")):
            self._strangers.setdefault(view.class_name, place)
        return self._children(prefix, view)

    def _entries(self, view: ModuleView, place: str) -> Iterator[tuple[str, Any]]:
        """What the module itself adds, in the order of torch: parameters, buffers, then its class's own."""
        for kind, parts in (("parameter", view.parameters), ("buffer", view.buffers)):
            for key, value in parts.items():
                if type(key) is not str:
                    self._notes.add(f"{place}: the name of a {kind} is {described(key)}, and no text; it was left out")
                elif value is not None and not (kind == "buffer" and key in view.transient):
                    yield key, value
        yield from own_entries(view)
        if adds_what_is_unknown(view):
            self._notes.add(f"{place}: what {view.name} adds to the state dict is not read: its packed weights")

    def _add(self, name: str, value: Any) -> None:
        self._spend(_VISIT + len(name))
        try:
            kept = as_state(value, self._notes, name)
        except Unsaid as unsaid:
            self._notes.add(f"{name}: {unsaid}; it was left out")
            return
        if name in self._found.state:
            self._notes.add(f"{name}: two values have this name; the later one was kept, as torch does")
        self._found.state[name] = kept

    def _children(self, prefix: str, view: ModuleView) -> Iterator[tuple[str, InertObject]]:
        for key, child in view.modules.items():
            name = f"{prefix}{key}" if type(key) is str else f"{prefix}{described(key)}"
            if child is None:
                continue
            if type(key) is not str:
                self._notes.add(f"{name}: the name of a submodule is no text; it was left out")
            elif not is_submodule(child, self._look):
                self._notes.add(f"{name}: {described(child)} lies where a module should; it was left out")
            elif id(child) in self._above:
                self._notes.add(f"{name}: the module lies within itself; it was not followed again")
            else:
                yield name, child

    def _note_hooks(self, name: str, view: ModuleView) -> None:
        """Functions that changed the state dict after it was made, of which the file has only the names."""
        for kind in ("_state_dict_hooks", "_state_dict_pre_hooks"):
            hooks = view.attributes.get(kind)
            for hook in hooks.values() if isinstance(hooks, dict) else ():
                if _is_spectral_norm(hook):
                    versions = self._found.metadata[name].setdefault("spectral_norm", {})
                    versions[f"{_name_in(hook)}.version"] = 1
                else:
                    place = name or "the module itself"
                    words = f"{place}: {described(hook)} could change what state_dict() gives; it was not run"
                    self._notes.add(words)

    def _say_what_is_not_known(self) -> None:
        if self._strangers:
            names = sorted(self._strangers)
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
            many = len(names) > 1
            self._notes.first(
                f"The code of {shown} is not in the file: if {'they define' if many else 'it defines'} state_dict() "
                "or get_extra_state(), what these add or rename is not known"
            )

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            allowed = self._limits.decoded_bytes
            raise LimitExceeded("decoded_bytes", allowed - self._left, allowed)


def is_submodule(child: Any, look: Look) -> bool:
    """Whether a value among a module's submodules is one. What is so called in a TorchScript archive is one there."""
    return type(child) is InertObject and (look is not view_of or is_module(child))


def _is_spectral_norm(hook: Any) -> bool:
    return type(hook) is InertObject and hook.type_name == _SPECTRAL_NORM and _name_in(hook) is not None


def _name_in(hook: InertObject) -> str | None:
    function = hook.attributes.get("fn")
    name = function.attributes.get("name") if type(function) is InertObject else None
    return name if type(name) is str else None
