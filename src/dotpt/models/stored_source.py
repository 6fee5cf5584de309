"""A model's class out of the text that travels with its weights. Only called when the user trusts that text.

The texts are run in fresh modules of names of their own (``dotpt_source_1f2e3d4c.shop.nets``), which stand beside
modules that are installed and never in their place. Where one text imports another one that travels with it, it gets
that one; everything else it imports from here. Each text has been compared with its hash before (`read_sources`).
"""

from __future__ import annotations

import builtins
import linecache
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.util import resolve_name
from itertools import pairwise
from types import ModuleType
from typing import Any

from dotpt.errors import CannotBuild, NameMissing
from dotpt.models.sources import hash_of_text

STORED_PREFIX = re.compile(r"^dotpt_source_[0-9a-f]{8}\.")


class StoredModules:
    """The modules of a model's project, run from their texts when they are first asked for.

    Args:
        texts: by name of the module.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        digest = hash_of_text("\0".join(f"{name}\0{text}" for name, text in sorted(texts.items())))
        self._prefix = f"dotpt_source_{digest[:8]}"
        self._packages = {name for module in texts for name in _parents(module)} - set(texts)
        self._made: dict[str, ModuleType] = {}

    def __contains__(self, module: object) -> bool:
        return module in self._texts

    def find(self, module: str, name: str) -> Any:
        """What a module has under a dotted name.

        Raises:
            CannotBuild: its text cannot be run; the cause is what it raised.
            NameMissing: it has no such name.
        """
        found: Any = self._module(module)
        for part in name.split("."):
            try:
                found = getattr(found, part)
            except AttributeError as error:
                raise NameMissing(
                    f"The stored text of the module {module} defines no {name}.",
                    found=f"{module}.{name}",
                    hint="pass the class: dotpt.load_model(path, Class)",
                ) from error
        return found

    def _module(self, name: str) -> ModuleType:
        if name in self._made:
            return self._made[name]
        full = f"{self._prefix}.{name}"
        module = self._made[name] = ModuleType(full, f"The module {name}, from the text in a file of weights.")
        is_package = any(other.startswith(f"{name}.") for other in self._texts)
        own: dict[str, Any] = vars(module)
        own["__package__"] = name if is_package else name.rpartition(".")[0]
        own["__file__"] = f"<{full}>"
        own["__builtins__"] = vars(builtins) | {"__import__": self._import}
        if name in self._texts:
            sys.modules[full] = module  # what its classes look up: dataclasses, typing, inspect
            self._run(name, module)
        return module

    def _run(self, name: str, module: ModuleType) -> None:
        text, file = self._texts[name], str(module.__file__)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        try:
            exec(compile(text, file, "exec", dont_inherit=True), vars(module))  # noqa: S102 - what the user asked for
        except (Exception, SystemExit) as error:  # a script may end itself
            del self._made[name], sys.modules[module.__name__]
            if isinstance(error, CannotBuild):  # a text that it imports
                raise
            raise CannotBuild(
                f"The stored text of the module {name} cannot be run ({type(error).__name__}: {error!s:.200}).",
                found=name,
                hint="install what it needs, or pass the class: dotpt.load_model(path, Class)",
            ) from error

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        """What ``import`` does in these texts."""
        package = str((globals or {}).get("__package__") or "")
        full = resolve_name("." * level + name, package) if level else name
        if full not in self._texts and full not in self._packages:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if not fromlist:
            return self._chain(full)
        module = self._module(full)
        for item in fromlist:
            if f"{full}.{item}" in self._texts:
                setattr(module, item, self._module(f"{full}.{item}"))
            elif full in self._packages and not hasattr(module, item):
                setattr(module, item, getattr(builtins.__import__(full, globals, locals, (item,), 0), item))
        return module

    def _chain(self, full: str) -> ModuleType:
        """The top package of ``import a.b.c``, with the rest below it."""
        names = [*_parents(full), full]
        for outer, inner in pairwise(names):
            setattr(self._module(outer), inner.rpartition(".")[2], self._module(inner))
        return self._module(names[0])


def _parents(module: str) -> list[str]:
    """The packages around a module, outermost first.

    Example:
        >>> _parents("a.b.c")
        ['a', 'a.b']
    """
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
