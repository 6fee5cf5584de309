"""How pickle makes one object and fills it, once its class and its parts are real. Only `revive` calls this.

Sources: Lib/pickle.py (``load_newobj``, ``load_inst``, ``load_appends``, ``load_setitems``, ``load_build``) and
Lib/copyreg.py (``_reconstructor``). Where the Python and the C version differ, the C version is followed, since that
is the one that torch uses.
"""

from __future__ import annotations

from sys import intern
from typing import Any


def instance(how: str, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any], base: Any) -> Any:
    """The object that a record of this kind (`InertObject.how`) stands for.

    Raises:
        Exception: whatever the class raises.
    """
    if how == "call":
        return callee(*args, **kwargs)
    if how == "inst" and (args or not isinstance(callee, type) or hasattr(callee, "__getinitargs__")):
        return callee(*args)
    if not isinstance(callee, type):
        raise TypeError(f"an instance of a {type(callee).__name__} is asked for, which is no class")
    if how == "reconstruct":
        return _reconstructed(callee, base, args)
    if how == "array":
        import numpy as np

        return np.ndarray.__new__(callee, (0,), "b")
    made: Any = callee.__new__
    return made(callee, *args, **kwargs)


def _reconstructed(cls: type, base: Any, args: tuple[Any, ...]) -> Any:
    """What copyreg's ``_reconstructor(cls, base, content)`` gives; a list's or dictionary's content follows later."""
    if not isinstance(base, type):
        raise TypeError(f"the base of a {cls.__name__} is a {type(base).__name__}, which is no class")
    return _from_base(cls, base, args)


def _from_base(cls: type, base: Any, args: tuple[Any, ...]) -> Any:
    if base in (object, list, dict):
        return base.__new__(cls)
    (content,) = args
    made = base.__new__(cls, content)
    if base.__init__ is not object.__init__:
        base.__init__(made, content)
    return made


def append(how: str, target: Any, items: list[Any]) -> None:
    """Items of a subclass of list, of a deque, of a set."""
    if how == "reconstruct":
        list.__init__(target, items)
        return
    extend = getattr(target, "extend", None)
    if extend is not None:
        extend(items)
        return
    add = target.append if hasattr(target, "append") else target.add
    for item in items:
        add(item)


def put(how: str, target: Any, pairs: list[tuple[Any, Any]]) -> None:
    """Keys and values of a subclass of a dictionary."""
    if how == "reconstruct":
        dict.__init__(target, pairs)
        return
    for key, value in pairs:
        target[key] = value


def set_state(target: Any, state: Any) -> None:
    """BUILD: its own ``__setstate__``, or attributes: a dictionary, or a pair of one and another of slots."""
    own = getattr(target, "__setstate__", None)
    if own is not None:
        own(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state is not None:
        if not isinstance(state, dict):
            raise TypeError(f"its state is a {type(state).__name__}, not a dictionary")
        attributes = target.__dict__
        for name, value in state.items():
            attributes[intern(name) if type(name) is str else name] = value
    for name, value in (slots or {}).items():
        setattr(target, name, value)
