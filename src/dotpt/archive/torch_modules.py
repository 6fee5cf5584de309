"""Torch's own layers: names on the closed lists in, empty layers out, and their checked state set on them.

What comes here has passed `pickling.nn_records`. Invariants:

* a class is imported only from where `nn_names` says, and used only if it is torch's;
* no class is called: an instance is made by ``object.__new__``, and filled by torch's own ``__setstate__``;
* nothing that can be called hides a method of a layer: a model does what its classes say, and `print` shows.

Layers of older versions of torch lack attributes that today's read. What is an argument of today's constructor gets its
default, and each is reported.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import torch
from torch import nn

from dotpt.errors import NameMissing, UnsafeGlobal
from dotpt.pickling import nn_names
from dotpt.pickling.changes import Changes


class TorchLayers:
    """Makes the layers of one file.

    Args:
        changes: gathers what today's layers have that those of the file have not.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._found: dict[nn_names.Name, Any] = {}
        self._defaults: dict[type, dict[str, Any]] = {}

    def value(self, module: str, name: str) -> Any:
        """The class of a layer, or a function, as a value."""
        key = module, name
        if key not in self._found:
            self._found[key] = _part_of_torch(*nn_names.today(module, name))
        return self._found[key]

    def make(self, module: str, name: str) -> Any:
        """An empty layer or helper, for `set_state`; None for the library that layers before torch 1.3 named."""
        if (module, name) == nn_names.BACKEND:
            return None
        return object.__new__(self.value(module, name))

    def set_state(self, made: Any, state: dict[str, Any]) -> None:
        """Fill a layer or helper."""
        restore: Any
        if not isinstance(made, nn.Module):
            restore = getattr(made, "__setstate__", made.__dict__.update)
            restore(state)
            return
        _check_hides_nothing(made, state)
        restore = made.__setstate__
        restore(state)
        self._fill(made)

    def _fill(self, layer: nn.Module) -> None:
        cls = type(layer)
        if cls not in self._defaults:
            self._defaults[cls] = _defaults_of(cls)
        lacking = {name: value for name, value in self._defaults[cls].items() if not hasattr(layer, name)}
        lacking |= _of_containers(layer)
        if lacking:
            layer.__dict__.update(lacking)
            self._changes.note_filled(cls, lacking)


def _part_of_torch(module: str, name: str) -> Any:
    """What torch has under a name of the lists."""
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        found = None
    if found is None or not str(getattr(found, "__module__", None) or "torch").partition(".")[0] == "torch":
        raise NameMissing(
            f"The file needs `{module}.{name}`, which torch {torch.__version__} does not have.",
            found=f"{module}.{name}",
            hint='install a newer torch; dotpt.load(..., unknown="inert") gives the tensors without it',
        )
    return found


def _check_hides_nothing(layer: nn.Module, state: dict[str, Any]) -> None:
    cls = type(layer)
    for name, value in state.items():
        if callable(value) and hasattr(cls, name):
            full = f"{cls.__module__}.{cls.__qualname__}"
            raise UnsafeGlobal(
                f"The file puts something else in the place of the method `{name}` of a `{full}`.",
                found=full,
                hint='dotpt.open(...).tensors reads its tensors; trust="all" builds it, if you trust the file',
            )


def _defaults_of(cls: type) -> dict[str, Any]:
    """Attributes that are arguments of the constructor, with their defaults."""
    declared = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}
    arguments = inspect.signature(cls).parameters.values()
    given = {one.name: one.default for one in arguments if one.default is not inspect.Parameter.empty}
    found = {name: value for name, value in given.items() if name in declared and name != "bias"}  # it is a weight
    for base in cls.__mro__:
        found |= nn_names.ADDED.get(base.__name__, {})
    return found


def _of_containers(layer: nn.Module) -> dict[str, Any]:
    """What the containers of parameters count since torch 1.12, from the parameters that they have."""
    own = vars(layer)
    if isinstance(layer, nn.ParameterList) and "_size" not in own:
        return {"_size": len(own["_parameters"])}
    if isinstance(layer, nn.ParameterDict) and "_keys" not in own:
        return {"_keys": dict.fromkeys(own["_parameters"])}
    return {}
