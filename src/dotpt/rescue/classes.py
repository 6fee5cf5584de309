"""The classes that a file names, and which of them are code that is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dotpt.formats.contents import Contents


@dataclass(frozen=True, slots=True)
class NeededClass:
    """A class (or function) that building the object of the file would have taken.

    Attributes:
        name: module and name, joined by a dot.
        of_torch: whether it is one of torch's.
        source: its source text, which torch before 1.6 wrote into the file; else None.
    """

    name: str
    of_torch: bool
    source: str | None = None

    @property
    def unknown(self) -> bool:
        """Whether it is code that has to come from elsewhere."""
        return not self.of_torch

    def to_dict(self) -> dict[str, Any]:
        """The class as plain values."""
        return {"name": self.name, "of_torch": self.of_torch, "source": self.source}


def classes_of(contents: Contents) -> list[NeededClass]:
    """Every class that the file names and that a state dict does not need, in the order of the file."""
    if contents.format == "torchscript":
        return []  # the code of these is in the file
    sources: Mapping[str, str] = contents.extra.get("module_sources", {})
    names = dict.fromkeys(str(name) for name in contents.globals if not name.known)
    names |= dict.fromkeys(sources)
    return [NeededClass(name, name.startswith("torch."), sources.get(name)) for name in names]
