"""`joblib.load`, guarded. joblib is not imported for it: this is called when it has been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

from dotpt.dropin.bindings import Replacement
from dotpt.guard.files import held, is_loadable
from dotpt.guard.guarding import check, passed

_NAMES = ("load", "load_temporary_memmap")  # the second: what its workers hand to each other


def guarded() -> Iterator[tuple[Replacement, Callable[..., Any]]]:
    """What of joblib is replaced, and by what."""
    for name in _NAMES:
        yield _replacement(name), load


@cache
def _replacement(name: str) -> Replacement:
    homes = tuple(map(import_module, ("joblib", "joblib.numpy_pickle")))
    return Replacement(getattr(homes[1], name), name, homes)


def load(following: Callable[..., Any], filename: Any, mmap_mode: Any = None, *arguments: Any, **options: Any) -> Any:
    """`joblib.load`, of what scans clean. Arrays that are mapped need a path, which their file keeps."""
    if not is_loadable(filename):
        return following(filename, mmap_mode, *arguments, **options)
    with held(filename) as file:
        check(file.scanned)
        with passed():
            return following(file.same_path() if mmap_mode else file.file, mmap_mode, *arguments, **options)
