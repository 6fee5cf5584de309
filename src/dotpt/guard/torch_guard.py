"""torch's ways to load a file, guarded: `torch.load`, `torch.jit.load`, `torch.package.PackageImporter`.

Facts from torch/serialization.py, torch/jit/_serialization.py and torch/package/package_importer.py (2.13).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.package.package_importer import PackageImporter

from dotpt.archive.torch_settings import for_loading
from dotpt.dropin.bindings import Replacement
from dotpt.dropin.torch_patch import LOAD, uncompiled
from dotpt.guard.files import Held, held, is_loadable
from dotpt.guard.guarding import Replaced, check, passed


@uncompiled
def load(following: Callable[..., Any], f: Any, *arguments: Any, **options: Any) -> Any:
    """`torch.load`, of what scans clean."""
    if not is_loadable(f):
        return following(f, *arguments, **options)
    with held(f) as file:
        check(file.scanned)
        with passed():
            return following(_for_torch(file, options.get("mmap")), *arguments, **options)


def _for_torch(file: Held, mmap: bool | None) -> Any:
    if file.path is not None and file.path.endswith(".safetensors"):  # torch goes by the name; it holds no code
        return file.same_path()
    return file.as_path() if (for_loading().mmap if mmap is None else mmap) else file.file


def load_program(following: Callable[..., Any], f: Any, *arguments: Any, **options: Any) -> Any:
    """`torch.jit.load`, and whatever else takes a path or a file first, of what scans clean."""
    if not is_loadable(f):
        return following(f, *arguments, **options)
    with held(f) as file:
        check(file.scanned)
        with passed():
            return following(file.as_path(), *arguments, **options)


class _Opening:
    """How a class is made from a file, for it and whatever is derived from it."""

    def __init__(self, owner: Any) -> None:
        self._class = owner
        self._original = original = owner.__init__
        self._users: set[object] = set()

        @wraps(original)
        def __init__(made: Any, file: Any, *arguments: Any, **options: Any) -> None:  # noqa: N807 - it becomes one
            load_program(lambda *rest, **named: original(made, *rest, **named), file, *arguments, **options)

        self._ours = __init__

    def add(self, user: object, function: Callable[..., Any], *, around: bool = False) -> None:
        """Put ours in place."""
        self._users.add(user)
        self._class.__init__ = self._ours

    def remove(self, user: object) -> None:
        """Put back what was there, if nobody else wants ours."""
        self._users.discard(user)
        if not self._users and self._class.__init__ is self._ours:
            self._class.__init__ = self._original


GUARDED: tuple[tuple[Replaced, Callable[..., Any]], ...] = (
    (LOAD, load),
    (Replacement(torch.jit.load, "load", (torch.jit, torch.jit._serialization)), load_program),
    (_Opening(PackageImporter), load_program),
)
