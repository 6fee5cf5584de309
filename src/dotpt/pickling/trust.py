"""What a user trusts: names, globs, classes. The one place of dotpt that imports something at a file's request.

Names of a file come in, real classes and functions go out, and only those that the user has named in the same
call. Invariants:

* a name is trusted if it is, as a whole, one that the user gave, or matches a glob: never by a part of it;
* behind a glob, a name must lead to something that is defined within the glob: ``import os`` in a trusted
  package does not make ``package.os.system`` trusted;
* a class that the user passed as an object is used as it is: nothing is imported for it;
* a name that the user has mapped to another leads there, and nowhere else (`remap`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import Any

from dotpt.errors import CannotBuild, CannotImport, ModuleMissing, NameMissing, UnsafeGlobal, UsageError, readable
from dotpt.pickling.remap import Elsewhere, Package, class_of_moved, remapped
from dotpt.pickling.values import GlobalName

_WILD = frozenset("*?[")
_BY_NAME = object()  # of a name that is imported, in place of the object that the user gave
_FORMS = 'pass "all", or a list of names ("package.module.Class"), globs ("package.*") and classes'
# Modules that were renamed, where whoever reads old files must know it. The first is torch's own list.
_RENAMED = {"torch.tensor": "torch._tensor", "pathlib._local": "pathlib", "_pydatetime": "datetime"}
_INERT = 'dotpt.load(..., unknown="inert") reads its tensors without it'
_Spelling = tuple[str, str]


class Trust:
    """The classes and functions that may be imported and built. Made by `Trust.of`.

    Attributes:
        everything: whether that is all of them.
    """

    def __init__(
        self,
        names: dict[str, Any],
        globs: tuple[str, ...],
        everything: bool,
        packages: tuple[Package, ...] = (),
        classes: tuple[type, ...] = (),
    ) -> None:
        self.everything = everything
        self._names = names
        self._globs = globs
        self._packages = packages  # whose names lead to another package
        self._classes = classes  # that were passed by themselves
        self._imported: dict[_Spelling, Any] = {}

    @classmethod
    def of(cls, trust: Any, *, remap: Any = None, allowed: Iterable[tuple[str, str, Any]] = ()) -> Trust:
        """What a user's ``trust=`` means.

        Args:
            trust: None, ``"all"``, one or a list of: names (``"package.module.Class"``), globs (``"package.*"``),
                classes and functions, pairs of one and the full name that it stands for. Or a `Trust`.
            remap: names of the file, and what stands for each: a name, or the class itself; ``{"old.*": "new.*"}`` for
                a whole package. What is mapped is trusted.
            allowed: more that is trusted: (module, qualified name, object), used as they are.

        Raises:
            UsageError: something else, or a glob that would match every package.

        Example:
            >>> Trust.of(["collections.deque"]).covers("collections", "deque")
            True
        """
        if isinstance(trust, Trust):
            names, globs, everything, classes = dict(trust._names), trust._globs, trust.everything, trust._classes
        else:
            names, globs, everything, classes = {}, (), trust == "all" if isinstance(trust, str) else False, ()
            for item in () if everything else _items(trust):
                if isinstance(item, str):
                    _check_name(item)
                    if _WILD.isdisjoint(item):
                        names.setdefault(item, _BY_NAME)
                    else:
                        globs += (item,)
                else:
                    name, value = _named(item)
                    names[name] = value
                    classes += (item,) if isinstance(item, type) else ()
        packages = trust._packages if isinstance(trust, Trust) else ()
        for module, name, value in allowed:
            names[f"{module}.{name}"] = value
        mapped, moved = remapped(remap)
        return cls(names | mapped, globs, everything, packages + moved, classes)

    def __bool__(self) -> bool:
        return bool(self.everything or self._names or self._globs or self._packages)

    def moved(self, missing: Sequence[GlobalName], named: Iterable[GlobalName]) -> dict[str, type]:
        """Names that are not trusted, and end like a class that the user passed: it has moved since.

        Args:
            missing: the names that are not trusted.
            named: all names of the file.

        Raises:
            UsageError: a class or a name could stand for several.

        Example:
            >>> class Net: ...
            >>> Trust.of([Net]).moved([GlobalName("old.nets", "Net", known=False, offset=0)], [])
            {'old.nets.Net': <class 'dotpt.pickling.trust.Net'>}
        """
        return class_of_moved(self._classes, missing, {str(name) for name in named})

    def covers(self, module: str, name: str, python2: bool = False) -> bool:
        """Whether a name is trusted.

        Args:
            module, name: as a pickle writes them; the name may have dots (a class in a class).
            python2: whether Python's own modules have their names of Python 2 (protocols 0 to 2).
        """
        return self.everything or any(self._covers(spelling) for spelling in _spellings(module, name, python2))

    def resolve(self, module: str, name: str, python2: bool = False) -> Any:
        """The class or function itself, imported unless the user gave it.

        Raises:
            UnsafeGlobal: it is not trusted, or a glob leads to something outside it. Nothing else was imported.
            ModuleMissing, NameMissing, CannotImport, CannotBuild: it is, and there is none; each says why.
        """
        spellings = _spellings(module, name, python2)
        for spelling in spellings:
            value = self._names.get(".".join(spelling), _BY_NAME)
            if type(value) is Elsewhere:
                return self._elsewhere(value.name)
            if value is not _BY_NAME:
                return value
        if not self.everything:
            trusted = [spelling for spelling in spellings if self._covers(spelling)]
            if not trusted:
                raise _outside(module, name, "is not trusted")
            # Trusted by its name of Python 2, whose module is gone: it stands for the new one.
            spellings = trusted + [spelling for spelling in spellings if spelling not in trusted]
        return self._first(spellings)

    def _covers(self, spelling: _Spelling) -> bool:
        full = ".".join(spelling)
        if full in self._names or any(fnmatchcase(full, glob) for glob in self._globs):
            return True
        return any(package.has(spelling[0]) for package in self._packages)

    def _first(self, spellings: list[_Spelling]) -> Any:
        first, *others = spellings
        try:
            return self._import(first)
        except (ModuleMissing, NameMissing):
            for other in others:
                with suppress(ModuleMissing, NameMissing):  # the first one's error says more
                    return self._import(other)
            raise

    def _import(self, spelling: _Spelling) -> Any:
        if spelling not in self._imported:
            named = ".".join(spelling) in self._names
            package = None if named else next((one for one in self._packages if one.has(spelling[0])), None)
            found = _imported(*spelling) if package is None else _imported(package.today(spelling[0]), spelling[1])
            if not named and (package is not None or not self.everything):
                self._check_home(spelling, found, package)
            self._imported[spelling] = found
        return self._imported[spelling]

    def _elsewhere(self, full: str) -> Any:
        """What lies under a name that the user has mapped another to; its class may lie within another."""
        if (full, "") not in self._imported:
            self._imported[full, ""] = _by_path(full)
        return self._imported[full, ""]

    def _check_home(self, spelling: _Spelling, found: Any, package: Package | None) -> None:
        """A glob trusts what is defined within it, not what its modules happen to import from elsewhere."""
        home = _home(found)
        inner = spelling[1].split(".")[1:]
        within = home is not None and (self.covers(*home) if package is None else package.is_home(home[0]))
        if home is None or not within or any(part.startswith("__") for part in inner):
            what = f"is {'.'.join(home)}" if home else f"is a {type(found).__name__}"
            raise _outside(*spelling, f"{what}, and lies outside the globs that are trusted")


def _home(found: Any) -> _Spelling | None:
    """Where a class or function says that it is defined; of any other object, where its class is."""
    if isinstance(found, ModuleType):
        return None
    owner = found if isinstance(getattr(found, "__qualname__", None), str) else type(found)
    if getattr(owner, "__module__", None) is None:  # a function of C may be a method of something hidden
        holder = getattr(owner, "__self__", None)
        owner = holder if isinstance(holder, type) else type(holder)
    module = getattr(owner, "__module__", None)
    return (module, owner.__qualname__) if isinstance(module, str) else None


def _spellings(module: str, name: str, python2: bool) -> list[_Spelling]:
    """What a name may be called: as it is today, and as it is written where that is something else."""
    written = today = (module, name)
    if python2:
        from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # what pickle itself goes by

        today = NAME_MAPPING.get(today) or (IMPORT_MAPPING.get(module, module), name)
    today = _RENAMED.get(today[0], today[0]), today[1]
    return [today] if today == written else [today, written]


# -- what the user passed -------------------------------------------------------------------------------------------


def _items(trust: Any) -> list[Any]:
    if trust is None:
        return []
    if isinstance(trust, (list, set, frozenset)):
        return list(trust)
    if isinstance(trust, tuple):
        if len(trust) == 2 and callable(trust[0]) and isinstance(trust[1], str):
            raise UsageError(
                "trust= is a tuple that can be read in two ways.",
                hint="pass a list: trust=[Class, name] trusts both, trust=[(Class, name)] the class under that name",
            )
        return list(trust)
    return [trust]


def _check_name(text: str) -> None:
    first, _, rest = text.partition(".")
    if text == "all":
        raise UsageError('"all" stands among names.', hint='trust="all", and nothing beside it')
    if not _WILD.isdisjoint(first):
        raise UsageError(f"The glob {text!r} is not limited to a package.", hint='trust="all", if that is meant')
    if not rest and first:
        raise UsageError(f"{text!r} names a package.", hint=f'trust=["{first}.*"] trusts all of its classes')
    if not all(text.split(".")):
        raise UsageError(f"{text!r} is no name of a class or function.", hint=_FORMS)


def _named(item: Any) -> tuple[str, Any]:
    """(full name, object) of a class, a function, or a pair as torch.serialization.add_safe_globals takes it."""
    if isinstance(item, tuple):
        if len(item) != 2 or not callable(item[0]) or not isinstance(item[1], str):
            raise UsageError("A pair in trust= is not (class or function, full name).", hint=_FORMS)
        return item[1], item[0]
    if isinstance(item, ModuleType):
        raise UsageError(
            f"trust= holds the module {item.__name__}.", hint=f'trust=["{item.__name__}.*"] trusts all of its classes'
        )
    module, name = getattr(item, "__module__", None), getattr(item, "__qualname__", None)
    if not callable(item) or not isinstance(module, str) or not isinstance(name, str):
        raise UsageError(f"trust= holds a {type(item).__name__} without a name of its own.", hint=_FORMS)
    return f"{_RENAMED.get(module, module)}.{name}", item


# -- importing --------------------------------------------------------------------------------------------------------


def _imported(module: str, name: str) -> Any:
    """What ``module`` has under the dotted ``name``."""
    found: Any = _module(module, name)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except Exception as error:
            raise _no_such_name(module, name, error) from error
    return found


def _by_path(full: str) -> Any:
    """What a dotted name stands for: the module is as much of it as can be imported."""
    parts, first = full.split("."), None
    for cut in range(len(parts) - 1, 0, -1):
        try:
            return _imported(".".join(parts[:cut]), ".".join(parts[cut:]))
        except ModuleMissing as error:
            first = first or error
    raise first or _no_such_name("", full, AttributeError())


def _module(module: str, name: str) -> ModuleType:
    full = readable(f"{module}.{name}")
    if module.partition(".")[0] == "__torch__":
        raise CannotBuild(
            f"`{full}` is a class of TorchScript, whose code is in the file.",
            found=full,
            hint=f"torch.jit.load runs it, if you trust it; {_INERT}",
        )
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise _module_missing(module, full, error) from error
    except ImportError as error:
        raise _failed_import(CannotImport, full, error) from error
    except (ValueError, TypeError) as error:  # the name of no module: empty, or relative
        raise _failed_import(ModuleMissing, full, error) from error
    except MemoryError:
        raise
    except Exception as error:  # whatever the code of a module raises
        raise _failed_import(CannotBuild, full, error) from error


def _module_missing(module: str, full: str, cause: ModuleNotFoundError) -> ModuleMissing:
    missing = cause.name or module
    package = readable(missing.partition(".")[0])
    itself = f"{module}.".startswith(f"{missing}.")
    what = f"there is no module {readable(missing)}." if itself else f"its module needs {readable(missing)}."
    problem = f"The file needs `{full}`, and {what}"
    hint = f"install {package} (as the file's author had it), or make it importable from here; {_INERT}"
    if itself:
        hint += f'; remap={{"{full}": Class}} puts a class of yours in its place, if it has moved'
    error = ModuleMissing(problem, found=full, hint=hint)
    error.name = missing
    return error


def _failed_import(kind: Callable[..., CannotBuild], full: str, cause: Exception) -> CannotBuild:
    return kind(
        f"The file needs `{full}`, whose module cannot be imported ({type(cause).__name__}: {cause!s:.200}).",
        found=full,
        hint=f"import it by itself to see why; {_INERT}",
    )


def _no_such_name(module: str, name: str, cause: Exception) -> CannotBuild:
    full = readable(f"{module}.{name}")
    if not isinstance(cause, AttributeError):
        return _failed_import(CannotBuild, full, cause)
    if module == "__main__":
        problem = f"The file needs `{readable(name)}`, a class of the script that saved it, and this program has none."
        hint = f'define or import it in the main script, or pass it: remap={{"{full}": {readable(name)}}}; {_INERT}'
    else:
        problem = f"The file needs `{full}`, and the module {readable(module)} installed here has no such name."
        hint = (
            f"install the version of {readable(module.partition('.')[0])} that the file was saved with, or say what "
            f'stands for it: remap={{"{full}": Class}}; {_INERT}'
        )
    error = NameMissing(problem, found=full, hint=hint)
    error.name = name
    return error


def _outside(module: str, name: str, what: str) -> UnsafeGlobal:
    full = readable(f"{module}.{name}")
    error = UnsafeGlobal(
        f"The file names `{full}`, which {what}.",
        found=full,
        hint=f'trust=["{full}"] trusts it by that name, if you know that the file\'s author needs it',
    )
    error.globals = (GlobalName(module, name, known=False, offset=0),)
    return error


NOTHING = Trust({}, (), everything=False)
