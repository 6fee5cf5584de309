"""The tables of names and shapes of real architectures (`make_families.py` wrote them), and what each should be."""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures" / "families"
Shapes = dict[str, tuple[int, ...]]


@cache
def tables(library: str) -> dict[str, Shapes]:
    """Every model of one library's table, by name."""
    found: dict[str, Shapes] = {}
    current: Shapes = {}
    for line in lzma.open(FOLDER / f"{library}.txt.xz", "rt", encoding="utf-8").read().splitlines():
        if line.startswith("= "):
            current = found[line[2:]] = {}
        elif line:
            name, _, rest = line.partition(" ")
            sizes = rest.partition(" ")[2]
            current[name] = tuple(map(int, sizes.split(","))) if sizes else ()
    return found


def shapes_of(model: str) -> Shapes:
    """The names and shapes of ``library/name``, a copy of one's own."""
    library, _, name = model.partition("/")
    return dict(tables(library)[name])


@cache
def all_models() -> tuple[str, ...]:
    """Every model of every table, as ``library/name``."""
    libraries = sorted(path.name.partition(".")[0] for path in FOLDER.glob("*.txt.xz"))
    return tuple(f"{library}/{name}" for library in libraries for name in tables(library))


@cache
def expected() -> dict[str, tuple[str, str, str]]:
    """Family, library and words of each model, by ``library/name``."""
    lines = (FOLDER / "expected.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return {model: (family, library, words) for model, family, library, words in rows}
