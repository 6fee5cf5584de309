"""Classes that have moved: names of a file in, what the user says stands for each out. Nothing is imported here.

Two roads: ``remap=`` says it outright; a class that the user trusts, passed as an object, is also taken for a name that
ends like its own, where nothing else could be meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dotpt.errors import UsageError, readable
from dotpt.pickling.values import GlobalName

_FORMS = 'pass a dictionary: remap={"old.module.Net": "new.module.Net"}, a class in place of the new name, or globs'


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The name that another is mapped to: module, class, and perhaps a class within it, joined by dots."""

    name: str


@dataclass(frozen=True, slots=True)
class Package:
    """A package or module that has moved as a whole."""

    old: str
    new: str

    def has(self, module: str) -> bool:
        """Whether a module of the file was in it."""
        return module == self.old or module.startswith(f"{self.old}.")

    def today(self, module: str) -> str:
        """Where one of its modules is now."""
        return self.new + module[len(self.old) :]

    def is_home(self, module: str) -> bool:
        """Whether a module of today is in it."""
        return module == self.new or module.startswith(f"{self.new}.")


def remapped(remap: Any) -> tuple[dict[str, Any], tuple[Package, ...]]:
    """What a user's ``remap=`` says: names with what stands for each, and packages.

    Raises:
        UsageError: it is no dictionary of names.

    Example:
        >>> remapped({"old.*": "new.package.*"})
        ({}, (Package(old='old', new='new.package'),))
    """
    if remap is None:
        return {}, ()
    if not isinstance(remap, Mapping):
        raise UsageError(f"remap= is a {type(remap).__name__}.", hint=_FORMS)
    names: dict[str, Any] = {}
    packages: list[Package] = []
    for old, new in remap.items():
        if not isinstance(old, str):
            raise UsageError(f"remap= maps a {type(old).__name__}, which is no name of the file.", hint=_FORMS)
        if old.endswith(".*") or (isinstance(new, str) and new.endswith(".*")):
            packages.append(_package(old, new))
        else:
            names[_name(old)] = Elsewhere(_name(new)) if isinstance(new, str) else _class(old, new)
    return names, tuple(packages)


def _name(text: str) -> str:
    if "." not in text or not all(part.isidentifier() or part == "<locals>" for part in text.split(".")):
        raise UsageError(f"remap= holds {text!r}, which is no name of a module and a class.", hint=_FORMS)
    return text


def _class(old: str, new: Any) -> Any:
    if not callable(new):
        raise UsageError(f"remap= puts a {type(new).__name__} in the place of {old}.", hint=_FORMS)
    return new


def _package(old: str, new: Any) -> Package:
    if not isinstance(new, str) or not (old.endswith(".*") and new.endswith(".*")):
        raise UsageError(f"remap= maps {old} to one class: a whole package needs another.", hint=_FORMS)
    names = old[:-2], new[:-2]
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"remap= holds {name + '.*'!r}, which is no package.", hint=_FORMS)
    return Package(*names)


def class_of_moved(classes: Sequence[type], missing: Iterable[GlobalName], named: set[str]) -> dict[str, type]:
    """Which of the user's classes a name of the file must mean, by the last part of both.

    Args:
        classes: those that the user passed.
        missing: names that nothing else explains.
        named: every name in the file, module and all. A class that is among them has not moved.

    Raises:
        UsageError: two names end like one class, or one name like two.
    """
    found: dict[str, type] = {}
    taken: dict[type, str] = {}
    for name in dict.fromkeys(missing):
        fits = [cls for cls in dict.fromkeys(classes) if _own_name(cls) == name.name and _full(cls) not in named]
        if not fits:
            continue
        if len(fits) > 1 or fits[0] in taken:
            raise _ambiguous(str(name), fits, taken.get(fits[0]))
        found[str(name)] = fits[0]
        taken[fits[0]] = str(name)
    return found


def _own_name(cls: type) -> str:
    return cls.__qualname__.rpartition("<locals>.")[2]


def _full(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _ambiguous(name: str, classes: list[type], other: str | None) -> UsageError:
    if other is not None:
        problem = f"The file names `{readable(other)}` and `{readable(name)}`, and either may be {_full(classes[0])}."
    else:
        problem = f"The file names `{readable(name)}`, which may be {' or '.join(_full(cls) for cls in classes)}."
    return UsageError(problem, hint=f'say which: remap={{"{readable(name)}": {_own_name(classes[0])}}}')
