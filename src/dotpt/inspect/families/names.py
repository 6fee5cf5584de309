"""Names without what wrappers put into them, and the places where a network may begin in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dotpt.inspect.prefixes import RESERVED

_WITHIN = tuple(f"{part}." for part in RESERVED)
_MOST_ROOTS = 8
_MAJORITY = 0.4  # an encoder and a decoder: the smaller of the two is not looked into


def unwrapped(name: str) -> str:
    """A name without what ``torch.compile``, FSDP and activation checkpointing put into it.

    Example:
        >>> unwrapped("_orig_mod.layer1._checkpoint_wrapped_module.0.conv1.weight")
        'layer1.0.conv1.weight'
    """
    if "_" in name:
        for mark in _WITHIN:
            name = name.replace(mark, "")
    return name


def roots_of(names: Iterable[str]) -> list[str]:
    """Where a network may begin: at the front, and beneath each prefix that many of the names have.

    Example:
        >>> roots_of(["module.bert.a", "module.bert.b", "module.classifier.weight"])
        ['', 'module.', 'module.bert.']
    """
    found, inner, root = [""], list(names), ""
    enough = len(inner) * _MAJORITY
    while len(found) < _MOST_ROOTS:
        parts = Counter(name[len(root) :].partition(".")[0] for name in inner)
        part, count = parts.most_common(1)[0] if parts else ("", 0)
        root = f"{root}{part}."
        inner = [name for name in inner if name.startswith(root)]
        if count < enough or len(inner) < enough or not inner:
            break
        found.append(root)
    return found
