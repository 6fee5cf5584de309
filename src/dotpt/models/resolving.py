"""From a name in an architecture record to the class or function: what may be used, and where it comes from.

Invariant: nothing is imported unless the user named it in the same call (`dotpt.pickling.trust` does that), or it is
on the closed list of torch's own layers; no stored text is run unless the user said so. All names of a record are
looked at before the first is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from dotpt.errors import CannotBuild, ModuleMissing, NameMissing, UnsafeGlobal, readable
from dotpt.formats.architecture import Architecture
from dotpt.formats.record_names import ARCHITECTURE
from dotpt.models.sources import installed
from dotpt.models.stored_source import StoredModules
from dotpt.pickling.nn_names import FUNCTIONS, LAYERS, today
from dotpt.pickling.trust import Trust
from dotpt.pickling.values import GlobalName

_SHOWN = 6
Name = tuple[str, str]


class Resolver:
    """What the names of one record stand for.

    Args:
        architecture: the record.
        path: the file, for errors.
        trust: what the user trusts.
        stored: the modules in the file, if the user trusts them.
        given: classes that the user passed, by the name that they stand for.
    """

    def __init__(
        self,
        architecture: Architecture,
        path: str,
        trust: Trust,
        stored: StoredModules | None,
        given: Mapping[Name, Any],
    ) -> None:
        self._architecture = architecture
        self._path = path
        self._trust = trust
        self._stored = stored
        self._given = given

    def check(self, names: Iterable[Name]) -> None:
        """Raise unless each of these names may be used.

        Raises:
            UnsafeGlobal: the message names all that may not.
        """
        refused = list(dict.fromkeys(name for name in names if not self._allowed(name)))
        if refused:
            raise self._refused(refused)

    def _allowed(self, name: Name) -> bool:
        stored = self._stored is not None and name[0] in self._stored
        return name in self._given or is_of_torch(name) or stored or self._trust.covers(*name)

    def resolve(self, module: str, name: str) -> Any:
        """The class or function.

        Raises:
            UnsafeGlobal: it may not be used.
            CannotBuild: it may, and is not to be had; the message says where it may be now.
        """
        wanted = (module, name)
        if wanted in self._given:
            return self._given[wanted]
        if is_of_torch(wanted):
            home = today(module, name)
            return Trust.of([".".join(home)]).resolve(*home)
        if self._stored is not None and module in self._stored:
            return self._stored.find(module, name)
        if not self._trust.covers(module, name):
            raise self._refused([wanted])
        try:
            return self._trust.resolve(module, name)
        except CannotBuild as error:
            error.path, error.record, error.hint = self._path, ARCHITECTURE, self._instead(module, name, error)
            raise

    def origin(self, name: Name) -> str:
        """Where a class comes from, in words."""
        if name in self._given:
            return "the class that was passed"
        if is_of_torch(name):
            return "torch"
        return "the source in the file" if self._stored is not None and name[0] in self._stored else "import"

    # -- errors -------------------------------------------------------------------------------------------------------

    def _refused(self, names: list[Name]) -> UnsafeGlobal:
        full = [readable(".".join(name)) for name in names]
        shown = ", ".join(full[:_SHOWN]) + (f" and {len(full) - _SHOWN:,} more" if len(full) > _SHOWN else "")
        listed = ", ".join(f'"{name}"' for name in full[:_SHOWN])
        own = (self._architecture.module, self._architecture.name)
        steps = [f"trust=[{listed}] imports what is installed here under that name"]
        if own in names:
            steps.append("dotpt.load_model(path, Class) takes a class of yours")
        if self._architecture.stored and self._stored is None:
            steps.append(
                "trust_source=True runs the source in the file, if you trust its author as you trust a program"
            )
        error = UnsafeGlobal(
            f"The model is built with {shown}, and a file does not decide what is imported: you do.",
            path=self._path,
            record=ARCHITECTURE,
            found=full,
            hint="; ".join(steps),
        )
        error.globals = tuple(GlobalName(*name, known=False, offset=0) for name in names)
        return error

    def _instead(self, module: str, name: str, error: CannotBuild) -> str:
        """What to do where a trusted name leads nowhere."""
        steps = []
        moved = _elsewhere(module, name)
        full = f"{module}.{name}"
        if moved:
            steps.append(f'it may be {moved} now: trust=[({moved.rpartition(".")[2]}, "{full}")] puts that class there')
        package = module.partition(".")[0]
        if isinstance(error, ModuleMissing):
            steps.append(f"install {package}, or make it importable from here")
        elif isinstance(error, NameMissing) and module != "__main__":
            steps.append(_version_words(package, self._architecture.versions))
        steps.append("pass the class: dotpt.load_model(path, Class)")
        if self._architecture.stored:
            steps.append("trust_source=True runs the source in the file, if you trust its author")
        return "; ".join(step for step in steps if step)


def is_of_torch(name: Name) -> bool:
    """Whether a name is on the closed list of torch's layers and functions."""
    return name in LAYERS or name in FUNCTIONS


def _elsewhere(module: str, name: str) -> str | None:
    """A class of the same name in a module that is imported already, the nearest one. Nothing is imported."""
    last = name.rpartition(".")[2]
    top = module.partition(".")[0]
    found = []
    for home, held in list(sys.modules.items()):
        value = vars(held).get(last) if held is not None and hasattr(held, "__dict__") else None
        if isinstance(value, type) and value.__module__ == home and home != module and hasattr(value, "state_dict"):
            found.append((home.partition(".")[0] != top, f"{home}.{value.__qualname__}"))
    return min(found)[1] if found else None


def _version_words(package: str, versions: Mapping[str, str]) -> str:
    saved, here = versions.get(package), installed(package)
    if saved is None or saved == here:
        return ""
    return f"it was saved with {package} {saved}, and {here or 'none'} is installed"
