"""Something done as soon as a module has been imported, and not a moment earlier.

A script may set variables that torch reads while it is imported (``OMP_NUM_THREADS``), or never import it: so it is
not imported for it. Invariant: the module is found and made by whatever would have done so without us.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def when_imported(name: str, action: Callable[[], Any]) -> None:
    """Do ``action`` at once if the module is there, else in the moment when its import is complete."""
    if sys.modules.get(name) is not None:  # None: whoever imports it is told that it is not there
        action()
    else:
        sys.meta_path.insert(0, _Watch(name, action))


class _Watch(MetaPathFinder):
    def __init__(self, name: str, action: Callable[[], Any]) -> None:
        self._name = name
        self._action = action

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        # Watches do not ask each other: that would never end, or take twice as long with each of them.
        others = [finder for finder in sys.meta_path if hasattr(finder, "find_spec") and type(finder) is not _Watch]
        spec = next((found for finder in others if (found := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            for watch in reversed(sys.meta_path):  # this one answers for all: the others will not be asked
                if type(watch) is _Watch and watch._name == name:
                    watch._watch(spec.loader)
        return spec

    def _watch(self, loader: Loader) -> None:
        """The loader stays what it is: tools ask for its source, its data, its class."""
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:  # else somebody has imported it again
                sys.meta_path.remove(self)
                self._action()

        loader.exec_module = exec_module  # type: ignore[method-assign]
