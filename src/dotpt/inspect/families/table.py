"""The table of families: the files of ``data/`` in, records out.

Invariant: an entry that does not hold together (an unknown word, a shape that is none, a family that it includes and
that is not there) is an error when the table is read, never a family that silently matches nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from dotpt.inspect.families.patterns import Count, Shaped, expand, template, wild

_KEYS = frozenset((
    "name", "title", "library", "needs", "never", "names", "measures", "includes", "counts", "has", "variants", "about",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """A known architecture, in the layout of one library.

    Attributes:
        name: its word: ``resnet``, ``bert``; a family may have an entry for each library that lays it out its own way.
        title: its name for people: ``ResNet``.
        library: whose names for the weights these are: ``torchvision or timm``.
        about: what else to know, a few words; may be empty.
        needs: names that must be there, with what their shapes must be or tell.
        never: names of which none may be there, as templates.
        names: templates of all names that it can have.
        wild: what stands for names that templates cannot, where there are such.
        measures: names whose shapes tell something, if they are there.
        counts: what is counted, by the word for it.
        has: names whose presence tells something, by the word for it.
        variants: the published sizes: what was measured, by the word for the variant.
    """

    name: str
    title: str
    library: str
    about: str
    needs: tuple[Shaped, ...]
    never: frozenset[str]
    names: frozenset[str]
    wild: re.Pattern[str] | None
    measures: tuple[Shaped, ...]
    counts: Mapping[str, Count]
    has: Mapping[str, str]
    variants: Mapping[str, Mapping[str, int | str | bool]]

    def __str__(self) -> str:
        return f"{self.name}: {self.title}, as {self.library} names its weights"


@cache
def known_families() -> tuple[Family, ...]:
    """Every family of the table, by name."""
    entries = [entry for text in _texts() for entry in parse(text).get("family", [])]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_name.setdefault(entry["name"], []).append(entry)
    return tuple(sorted((family_of(entry, by_name) for entry in entries), key=lambda family: family.name))


def _texts() -> list[str]:
    folder = resources.files("dotpt.inspect.families") / "data"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return [file.read_text(encoding="utf-8") for file in files]


def parse(text: str) -> dict[str, Any]:
    """The values of a TOML file."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]
    found: dict[str, Any] = tomllib.loads(text)
    return found


def family_of(entry: Mapping[str, Any], others: Mapping[str, list[dict[str, Any]]]) -> Family:
    """The record of one entry.

    Args:
        entry: as it stands in the file.
        others: all entries, by name: those that it includes are looked up here.

    Raises:
        ValueError: the entry has a key that means nothing, or says something that is no pattern.
        KeyError: it lacks a key, or includes a family that is not there.
    """
    strange = sorted(entry.keys() - _KEYS)
    if strange:
        raise ValueError(f"the entry {entry.get('name')} has a key that means nothing: {', '.join(strange)}")
    needs = tuple(Shaped.parse(text) for pattern in entry["needs"] for text in expand(pattern))
    measures = tuple(Shaped.parse(text) for pattern in entry.get("measures", ()) for text in expand(pattern))
    names = {template(name) for name in [*_names(entry, others), *(item.name for item in (*needs, *measures))]}
    stars = sorted(name for name in names if "*" in name)
    return Family(
        name=entry["name"],
        title=entry["title"],
        library=entry["library"],
        about=entry.get("about", ""),
        needs=needs,
        never=frozenset(template(name) for pattern in entry.get("never", ()) for name in expand(pattern)),
        names=frozenset(names.difference(stars)),
        wild=re.compile("|".join(wild(star).pattern for star in stars)) if stars else None,
        measures=measures,
        counts={word: Count(tuple(places.split())) for word, places in entry.get("counts", {}).items()},
        has=dict(entry.get("has", {})),
        variants=dict(entry.get("variants", {})),
    )


def _names(entry: Mapping[str, Any], others: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """The names that an entry can have, those of the families in it included."""
    found = [name for pattern in entry.get("names", "").split() for name in expand(pattern)]
    for prefix, included in entry.get("includes", {}).items():
        for other in (other for name in included.split() for other in others[name]):
            texts = [Shaped.parse(text).name for key in ("needs", "measures") for text in other.get(key, ())]
            inner = [*_names(other, others), *(name for text in texts for name in expand(text))]
            found += [prefix + name for name in inner]
    return found
