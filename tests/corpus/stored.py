"""The stored fixtures and what their index says of them. Needs no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class Stored:
    """One fixture.

    Attributes:
        path: the file, or the folder of a sharded or distributed checkpoint.
        object: the name of what it holds.
        variant: how it was written.
        torch_reads: whether torch reads it back, whole and right.
        safe: whether ``weights_only=True`` would open the object as a zip.
        tags: the object's tags.
        tensors: a fact for each tensor, as `describe` in describe.py says.
    """

    path: Path
    object: str
    variant: str
    torch_reads: bool
    safe: bool
    tags: frozenset[str]
    tensors: list[dict[str, Any]]


def _read() -> dict[str, Stored]:
    index = json.loads((FIXTURES / "index.json").read_text(encoding="utf-8"))
    stored = {}
    for path, file in index["files"].items():
        fact = index["objects"][file["object"]]
        stored[path] = Stored(
            FIXTURES / path, **file, safe=fact["safe"], tags=frozenset(fact["tags"]), tensors=fact["tensors"]
        )
    return stored


#: By path below the folder, such as ``zip/state_dict.pt``.
STORED = _read()


def chosen(*tags: str, variant: str | None = None) -> dict[str, Stored]:
    """The fixtures whose object has all of `tags`, written as `variant` if one is given."""
    return {
        path: file
        for path, file in STORED.items()
        if file.tags.issuperset(tags) and (variant is None or file.variant == variant)
    }
