"""dotpt: the one tool for PyTorch's ``.pt`` and ``.pth`` files.

``import dotpt`` loads neither torch nor numpy; each name below is loaded when it is first used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Archive": "dotpt.archive.archive",
    "Checkpointer": "dotpt.training.checkpointer",
    "DotptError": "dotpt.errors",
    "GlobalName": "dotpt.pickling.values",
    "InertGlobal": "dotpt.pickling.values",
    "InertObject": "dotpt.pickling.values",
    "LimitExceeded": "dotpt.errors",
    "Limits": "dotpt.limits",
    "TensorRef": "dotpt.tensors.refs",
    "UnsafeGlobal": "dotpt.errors",
    "clean": "dotpt.clean.clean",
    "guard": "dotpt.guard.guard",
    "inspect": "dotpt.inspect.report",
    "load": "dotpt.archive.load",
    "load_into": "dotpt.models.load_into",
    "load_model": "dotpt.models.load_model",
    "open": "dotpt.archive.archive",
    "patch_torch": "dotpt.dropin.patch",
    "read_metadata": "dotpt.saving.metadata",
    "rescue": "dotpt.rescue.rescue",
    "save": "dotpt.saving.save",
    "save_model": "dotpt.models.save_model",
    "scan": "dotpt.scan.scan",
    "set_metadata": "dotpt.saving.metadata",
    "sign": "dotpt.signing.sign",
    "verify": "dotpt.archive.verify",
}

__all__ = [
    "Archive",
    "Checkpointer",
    "DotptError",
    "GlobalName",
    "InertGlobal",
    "InertObject",
    "LimitExceeded",
    "Limits",
    "TensorRef",
    "UnsafeGlobal",
    "clean",
    "guard",
    "inspect",
    "load",
    "load_into",
    "load_model",
    "models",
    "open",
    "patch_torch",
    "read_metadata",
    "rescue",
    "save",
    "save_model",
    "scan",
    "set_metadata",
    "sign",
    "training",
    "verify",
]

_ROOMS = frozenset(("models", "training"))  # rooms that are public themselves

if TYPE_CHECKING:
    from dotpt import models as models
    from dotpt import training as training
    from dotpt.archive.archive import Archive as Archive
    from dotpt.archive.archive import open as open
    from dotpt.archive.load import load as load
    from dotpt.archive.verify import verify as verify
    from dotpt.clean.clean import clean as clean
    from dotpt.dropin.patch import patch_torch as patch_torch
    from dotpt.errors import DotptError as DotptError
    from dotpt.errors import LimitExceeded as LimitExceeded
    from dotpt.errors import UnsafeGlobal as UnsafeGlobal
    from dotpt.guard.guard import guard as guard
    from dotpt.inspect.report import inspect as inspect
    from dotpt.limits import Limits as Limits
    from dotpt.models.load_into import load_into as load_into
    from dotpt.models.load_model import load_model as load_model
    from dotpt.models.save_model import save_model as save_model
    from dotpt.pickling.values import GlobalName as GlobalName
    from dotpt.pickling.values import InertGlobal as InertGlobal
    from dotpt.pickling.values import InertObject as InertObject
    from dotpt.rescue.rescue import rescue as rescue
    from dotpt.saving.metadata import read_metadata as read_metadata
    from dotpt.saving.metadata import set_metadata as set_metadata
    from dotpt.saving.save import save as save
    from dotpt.scan.scan import scan as scan
    from dotpt.signing.sign import sign as sign
    from dotpt.tensors.refs import TensorRef as TensorRef
    from dotpt.training.checkpointer import Checkpointer as Checkpointer


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"dotpt.{name}")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'dotpt' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    # Tracebacks and help say dotpt.X, wherever X lives in the house.
    if getattr(value, "__module__", "").startswith("dotpt."):
        value.__module__ = "dotpt"
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """Some verbs have the name of the room that they live in (`dotpt.inspect`): the name is the verb's.

    When a room is imported, Python sets it as an attribute here, which would hide the verb.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
