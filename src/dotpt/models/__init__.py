"""Models and their weights: find the weights in any file, rename them, fit them into a model, save models that travel.

What crosses this boundary: files, archives and state dicts in; a model with its weights, and a report of what was
done, out. Invariant: nothing is silent; a tensor that was renamed, cast, cut or left out is in the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotpt.models.families import fingerprint as fingerprint
    from dotpt.models.families import list as list

_HOME = {"fingerprint": "dotpt.models.families", "list": "dotpt.models.families"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'dotpt.models' has no attribute {name!r}")
    return getattr(import_module(home), name)
