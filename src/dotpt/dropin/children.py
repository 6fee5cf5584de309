"""What is done to a process, done to those that multiprocessing starts for it, too.

A forked child has its parent's modules as they are. A spawned one begins empty: what is handed to it before anything
else is the "preparation data", a dictionary that is pickled. One more value in there acts as it is unpickled.
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
    in_family("dotpt", partial(_patch, durable))


def _patch(durable: bool) -> None:
    when_imported("torch", partial(patch_torch, durable=durable))


def in_family(key: str, act: Callable[[], object]) -> None:
    """Do something in this process, and first of all in each that multiprocessing starts from it.

    Args:
        key: what it is called in the preparation data.
        act: can be pickled.
    """
    act()
    prepare: Callable[[str], dict[str, Any]] = spawn.get_preparation_data
    heirloom = _Heirloom(key, act)

    @wraps(prepare)
    def get_preparation_data(name: str) -> dict[str, Any]:
        return {**prepare(name), key: heirloom}

    spawn.get_preparation_data = get_preparation_data


class _Heirloom:
    """In whoever unpickles it, it is done."""

    def __init__(self, key: str, act: Callable[[], object]) -> None:
        self._inherited = key, act

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, Callable[[], object]]]:
        return in_family, self._inherited
