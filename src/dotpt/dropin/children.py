"""The patch of a process, handed on to those that multiprocessing starts for it.

A forked child has its parent's patched modules. A spawned one begins empty: what is handed to it before anything else
is the "preparation data", a dictionary that is pickled. One more value in there patches it as it is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from multiprocessing import spawn
from typing import Any

from dotpt.dropin.arrival import when_imported
from dotpt.dropin.patch import patch_torch


def patch_family(*, durable: bool) -> None:
    """Patch torch once it is imported, in this process and in all that multiprocessing starts from it.

    Args:
        durable: as `patch_torch` takes it.
    """
    when_imported("torch", partial(patch_torch, durable=durable))
    prepare: Callable[[str], dict[str, Any]] = spawn.get_preparation_data
    heirloom = _Heirloom(durable)

    @wraps(prepare)
    def get_preparation_data(name: str) -> dict[str, Any]:
        return {**prepare(name), "dotpt": heirloom}

    spawn.get_preparation_data = get_preparation_data


class _Heirloom:
    """Whoever unpickles it is patched."""

    def __init__(self, durable: bool) -> None:
        self._durable = durable

    def __reduce__(self) -> tuple[Callable[..., None], tuple[bool]]:
        return _inherit, (self._durable,)


def _inherit(durable: bool) -> None:
    patch_family(durable=durable)
