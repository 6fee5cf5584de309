"""What crosses this boundary: the TENSOR arguments of `show` in, the tensors and values they mean out."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from dotpt.archive.archive import Archive, NoSuchTensor
from dotpt.pickling.tree import named_children, spelled
from dotpt.tensors.refs import TensorRef

_INDEX = re.compile(r"(.*)\[([-\d:,.\s]*)\]", re.DOTALL)
_NOTHING = object()
_MOST_VISITED = 100_000


@dataclass(frozen=True, slots=True)
class Target:
    """Something to show.

    Attributes:
        address: where it is.
        value: a `TensorRef`, or any other value of the tree.
        index: the part of a tensor that is wanted; None for all of it.
        text: the index as it was written.
    """

    address: str
    value: Any
    index: tuple[Any, ...] | None = None
    text: str = ""


def resolve(archive: Archive, wanted: str) -> list[Target]:
    """What ``wanted`` means: an address, the end of one, an address with an index, or a glob on addresses.

    Raises:
        NoSuchTensor: nothing of this name is in the file; says what comes near.
    """
    found = _exact(archive, wanted)
    if found is not None:
        return [found]
    indexed = _INDEX.fullmatch(wanted)
    if indexed is not None:
        index, base = parse_index(indexed[2]), _exact(archive, indexed[1])
        if base is not None and index is not None:
            return [Target(base.address, base.value, index, f"[{indexed[2]}]")]
    if glob.has_magic(wanted):
        matching = [Target(name, ref) for name, ref in archive.tensors.items() if fnmatchcase(name, wanted)]
        if matching:
            return matching
    raise _nothing(archive, indexed[1] if indexed else wanted)


def parse_index(text: str) -> tuple[Any, ...] | None:
    """An index such as ``0,:3,...`` as numpy takes it; None if it is none.

    Example:
        >>> parse_index("0, 2:, ...")
        (0, slice(2, None, None), Ellipsis)
    """
    items: list[Any] = []
    for part in (part.strip() for part in text.split(",")):
        if part == "...":
            items.append(Ellipsis)
        elif re.fullmatch(r"-?\d{1,18}", part):
            items.append(int(part))
        elif re.fullmatch(r"(-?\d{1,18})?(:(-?\d{1,18})?){1,2}", part):
            items.append(slice(*(int(bound) if bound else None for bound in part.split(":"))))
        else:
            return None
    return tuple(items)


def _exact(archive: Archive, address: str) -> Target | None:
    ref = archive.tensors.get(address)
    if ref is not None:
        return Target(address, ref)
    value = value_at(archive.tree, address)
    if value is not _NOTHING:
        return Target(address, value)
    # the weights may lie deeper than the name that a model gives them: conv1.weight for state_dict.conv1.weight
    ends = [name for name in archive.tensors if name.endswith("." + address)]
    return Target(ends[0], archive.tensors[ends[0]]) if len(ends) == 1 else None


def value_at(tree: Any, address: str) -> Any:
    """The value at an address of the tree. Keys may hold dots themselves, so every way to read it is tried."""
    ways = [(tree, address)]
    visited = 0
    while ways:
        value, rest = ways.pop()
        if not rest:
            return value
        if isinstance(value, TensorRef):
            continue
        for key, child in named_children(value):
            visited += 1
            name = spelled(key)
            if rest == name:
                ways.append((child, ""))
            elif name and rest.startswith(name + "."):
                ways.append((child, rest[len(name) + 1 :]))
        if visited > _MOST_VISITED:
            break
    return _NOTHING


def _nothing(archive: Archive, address: str) -> NoSuchTensor:
    names = list(dict.fromkeys([*archive.tensors, *_outer_addresses(archive.tree)]))[:10_000]
    ends = [name for name in names if name.endswith("." + address)]
    near = ends[:3] or get_close_matches(address, names, 3, 0.5) or _by_last_part(address, names)
    hint = " or ".join(near) if near else "`dotpt ls FILE` lists the tensors, `dotpt show FILE` the rest"
    return NoSuchTensor(f"The file has nothing called {address}.", path=archive.name, hint=hint)


def _by_last_part(address: str, names: list[str]) -> list[str]:
    tails = {name.rpartition(".")[2]: name for name in reversed(names)}
    return [tails[tail] for tail in get_close_matches(address.rpartition(".")[2], tails, 3, 0.6)]


def _outer_addresses(tree: Any, depth: int = 3) -> Iterator[str]:
    level = [("", tree)]
    for _ in range(depth):
        following: list[tuple[str, Any]] = []
        for address, value in level:
            for key, child in named_children(value):
                name = f"{address}.{spelled(key)}" if address else spelled(key)
                yield name
                if len(following) < 1000 and not isinstance(child, (str, bytes, int, float, TensorRef)):
                    following.append((name, child))
        level = following
