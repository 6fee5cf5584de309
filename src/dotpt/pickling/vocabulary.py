"""What a pickle may name: one table. Everything else stays an inert record.

A name maps to a *value* (it is pushed as it is: a dtype, a storage class, a builtin type) or to a `Known`
callable (it builds a plain value from arguments it checks itself). Nothing here is looked up by import: the
table is the whole of what can happen. The builders stand in `build_python`, `build_numpy`, `build_torch`,
`build_script`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dotpt.errors import PickleError
from dotpt.pickling.values import InertGlobal

if TYPE_CHECKING:
    from dotpt.pickling.context import Context

Builder = Callable[["Vocabulary", tuple[Any, ...]], Any]
StateSetter = Callable[["Vocabulary", Any, Any], bool]


class Known:
    """A callable of the table: its name, and what dotpt builds instead of calling it.

    Attributes:
        qualified: module and name.
        leaf: what it becomes when a file holds the name itself as a value (a type saved in a config).
    """

    __slots__ = ("build", "leaf", "qualified")

    def __init__(self, qualified: str, build: Builder, leaf: Any = None) -> None:
        self.qualified = qualified
        self.build = build
        self.leaf = leaf

    def call(self, vocabulary: Vocabulary, args: tuple[Any, ...], kwargs: Any = None) -> Any:
        """The value; a `PickleError` if the arguments are not those that a real writer gives."""
        if kwargs:
            raise PickleError(f"{self.qualified} is called with keyword arguments, which torch never writes.")
        return self.build(vocabulary, args)

    def __repr__(self) -> str:
        return f"<{self.qualified}>"


class Vocabulary:
    """The table, seen from one stream."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def look_up(self, module: str, name: str) -> Any:
        """The value or `Known` callable of a name, or an `InertGlobal`."""
        entry = _table().get((module, name))
        return InertGlobal(module, name) if entry is None else entry

    def build(self, target: Any, state: Any) -> bool:
        """Set ``state`` on a value that a known callable made; False if it has no state."""
        setter = _setters().get(type(target))
        return setter is not None and setter(self, target, state)


def bad(name: str) -> PickleError:
    """The error for a known callable whose arguments no writer gives."""
    return PickleError(
        f"{name} is called with arguments that torch and Python never write.",
        hint="the file is damaged or made to mislead: get it again from its author",
    )


def known_names() -> frozenset[tuple[str, str]]:
    """Every (module, name) of the table."""
    return frozenset(_table())


def table_entry(module: str, name: str) -> Any:
    """What the table has under a name; None if it is not there."""
    return _table().get((module, name))


def names_of(known: Known) -> tuple[tuple[str, str], ...]:
    """Every (module, name) under which a callable stands in the table."""
    return tuple(name for name, entry in _table().items() if entry is known)


_cache: dict[str, Any] = {}


def _table() -> dict[tuple[str, str], Any]:
    if "table" not in _cache:
        from dotpt.pickling import build_numpy, build_python, build_script, build_torch

        table: dict[tuple[str, str], Any] = {}
        # later rows win: TorchScript's sparse tensors extend torch's
        rooms = (build_python, build_numpy, build_torch, build_script)
        for entries in (room.entries() for room in rooms):
            for modules, name, value in entries:
                for module in modules.split():
                    table[module, name] = value
        _cache["table"] = table
    return _cache["table"]  # type: ignore[no-any-return]


def _setters() -> dict[type, StateSetter]:
    if "setters" not in _cache:
        from dotpt.pickling import build_numpy, build_python, build_torch

        _cache["setters"] = build_python.SETTERS | build_numpy.SETTERS | build_torch.SETTERS
    return _cache["setters"]  # type: ignore[no-any-return]
