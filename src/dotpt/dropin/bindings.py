"""A function replaced in every module that has it by name, and put back.

A function of some library comes in; while somebody wants it, ours stands in the modules' dictionaries where that
function stood. Invariants:

* a name is changed only if it is bound to the very function, and put back only if it still holds ours: what somebody
  else has put there since is theirs;
* nobody's code is run: dictionaries are reached past ``__getattr__`` and ``__getattribute__``, so that lazy modules
  stay lazy;
* once nobody wants ours, no module holds it, whenever it was imported. What holds it elsewhere (a closure, a default
  argument) calls the function that was replaced, as if nothing had been.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from types import ModuleType
from typing import Any

Function = Callable[..., Any]
_descriptor: Any = vars(ModuleType)["__dict__"]
_lock = threading.RLock()


@dataclass(slots=True)
class _Binding:
    """A name that holds ours.

    Attributes:
        names: the dictionary of its module.
        name: its key there.
        found: what it held.
        users: who wants it so.
    """

    names: dict[str, Any]
    name: str
    found: Function
    users: set[object] = field(default_factory=set)


class Replacement:
    """One function of a library, and ours in its place as long as anybody wants that.

    Several may want it at once, and may stop in any order: the last one who still does says what ours does. Those who
    want something done around it come before, whenever they were added.

    Args:
        original: the function of the library. Calls go there whenever nobody wants ours.
        name: what the library calls it.
        homes: the modules whose ``name`` is ours in any case, also if somebody else has replaced it before.
        ours: what stands in its place, if it must be something of its own: a class in the place of a class.
    """

    def __init__(
        self, original: Function, name: str, homes: Sequence[ModuleType], ours: Function | None = None
    ) -> None:
        self._original = self._current = original
        self._name = name
        self._homes = homes
        self._users: dict[object, Function] = {}
        self._around: dict[object, Function] = {}
        self._bindings: dict[tuple[int, str], _Binding] = {}

        @wraps(original)  # its name, place, signature and words
        def call(*arguments: Any, **keywords: Any) -> Any:
            return self._current(*arguments, **keywords)

        self._ours: Function = ours or call

    def add(self, user: object, function: Function, *, around: bool = False) -> None:
        """Put ours in place; it does what ``function`` does until ``user`` is removed or a later one is added.

        Args:
            user: who wants it.
            function: takes the arguments of the original.
            around: ``function`` takes another one before them: what would be called without it.
        """
        with _lock:
            (self._around if around else self._users)[user] = function
            self._choose()
            replaced = {id(value) for value in self._at_home()} | {id(self._original), id(self._ours)}
            for names in _dictionaries():
                for name, value in names.copy().items():
                    if id(value) in replaced:
                        self._bind(names, name, value, user)

    def remove(self, user: object) -> None:
        """Put back what was there, where nobody else wants ours. Does nothing if ``user`` was never added."""
        with _lock:
            if self._users.pop(user, self._around.pop(user, None)) is None:
                return
            self._choose()
            for key, binding in list(self._bindings.items()):
                binding.users.discard(user)
                if not binding.users:
                    del self._bindings[key]
                    self._put_back(binding.names, binding.name, binding.found)
            if (
                not self._users and not self._around
            ):  # modules that were imported in the meantime have taken ours for the library's
                for names in _dictionaries():
                    for name in names.copy():
                        self._put_back(names, name, self._original)

    def _choose(self) -> None:
        self._current = [self._original, *self._users.values()][-1]
        for function in list(self._around.values())[-1:]:
            self._current = partial(function, self._current)

    def _at_home(self) -> list[Any]:
        """What stands in the place of the function: it itself, ours, or somebody else's."""
        homes = map(_dictionary, self._homes)
        return [names[self._name] for names in homes if self._name in names]

    def _bind(self, names: dict[str, Any], name: str, value: Any, user: object) -> None:
        binding = self._bindings.get((id(names), name))
        if binding is None or value is not self._ours:  # a new name, or one that somebody has changed since
            found = self._original if value is self._ours else value
            binding = self._bindings[id(names), name] = _Binding(names, name, found)
            names[name] = self._ours
        binding.users.add(user)

    def _put_back(self, names: dict[str, Any], name: str, function: Function) -> None:
        if names.get(name) is self._ours:
            names[name] = function


def _dictionary(module: ModuleType) -> dict[str, Any]:
    """The names of a module, whatever its class puts in the way."""
    return _descriptor.__get__(module)  # type: ignore[no-any-return]


def _dictionaries() -> Iterator[dict[str, Any]]:
    """The names of every imported module. What stands in ``sys.modules`` and is no module is left alone."""
    for module in sys.modules.copy().values():
        if issubclass(type(module), ModuleType):
            names = _dictionary(module)
            if type(names) is dict:
                yield names
