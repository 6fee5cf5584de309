"""The code behind a model: which modules of the author's define it, their texts, and the packages that they use.

A project is a top-level package; of a module outside of packages, the modules in the same folder. Everything else
(torch, what is installed beside it, Python's own library) is a package that has a version. Nothing is imported here:
what a class needs has been imported when the class was made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

from dotpt.formats.architecture import MOST

_NOT_INSTALLED = ("site-packages", "dist-packages")


def text_of(module: str) -> str | None:
    """The text of a module that is imported, with plain line ends; None where there is none to be had."""
    from inspect import getsource

    found = sys.modules.get(module)
    if found is None:
        return None
    try:
        text = getsource(found)
        size = len(text.encode())
    except (OSError, TypeError, UnicodeEncodeError, SyntaxError):
        return None
    return text.replace("\r\n", "\n") if size <= MOST else None


def hash_of_text(text: str) -> str:
    """SHA-256 of a text, in hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def project_modules(owner: type, classes: Iterable[type]) -> list[str]:
    """The modules of the author's that define a model, by name.

    Args:
        owner: the model's class.
        classes: of every module in it.

    Returns:
        The module of ``owner`` first, then those of the same project that it leads to, sorted: where its bases and
        its layers are defined, and whatever these modules have imported from the project.
    """
    if not _of_author(owner.__module__):
        return []
    waiting = [cls.__module__ for each in (owner, *classes) for cls in each.__mro__]
    found: dict[str, None] = {owner.__module__: None}
    while waiting:
        name = waiting.pop()
        if name in found and name != owner.__module__:
            continue
        if not same_project(owner.__module__, name):
            continue
        found[name] = None
        waiting += [other for other in _leads_to(name) if other not in found]
    return [owner.__module__, *sorted(found.keys() - {owner.__module__})]


def _leads_to(name: str) -> Iterator[str]:
    """The modules that the values of a module are at home in."""
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(home, str):
            yield home


def same_project(first: str, second: str) -> bool:
    """Whether two modules that are imported belong to one project."""
    if first == second:
        return True
    if "." in first or "." in second:
        return first.partition(".")[0] == second.partition(".")[0]
    folder = _folder(first)
    return folder is not None and folder == _folder(second) and _of_author(second)


def _folder(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).parent if isinstance(file, str) else None


def _of_author(module: str) -> bool:
    """Whether a module is somebody's own: neither Python's nor of an installed package that has a version."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return top == "__main__" or not (isinstance(file, str) and any(part in _NOT_INSTALLED for part in Path(file).parts))


def versions_of(owner: type, modules: Iterable[str]) -> dict[str, str]:
    """Versions of Python, torch, the model's own package and those that its modules use, by distribution."""
    tops = {owner.__module__.partition(".")[0], "torch"}
    for module in modules:
        tops |= {name.partition(".")[0] for name in _leads_to(module)}
    homes = packages_distributions()
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    names = {name for top in tops - set(sys.stdlib_module_names) for name in homes.get(top, ())}
    return found | {name: text for name in sorted(names) if (text := installed(name)) is not None}


def installed(distribution: str) -> str | None:
    """The version of a distribution here; None if it is not installed."""
    if distribution == "python":
        return ".".join(map(str, sys.version_info[:3]))
    try:
        found: Any = version(distribution)
    except (PackageNotFoundError, ValueError):
        return None
    return found if isinstance(found, str) else None
