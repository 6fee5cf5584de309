"""Python objects as pickle itself writes them, in every protocol, by its writer in C and the one in Python."""

from __future__ import annotations

import io
import pickle
from collections import Counter, OrderedDict, defaultdict
from typing import Any

from .choices import Choices
from .values import FLOATS, TEXTS, number, text


def pickled(choices: Choices) -> bytes:
    """An honest pickle of plain values, some of them shared and some in themselves."""
    protocol = choices.below(6)
    root = _Builder(choices).value(0)
    if choices.below(2):
        return pickle.dumps(root, protocol)
    buffer = io.BytesIO()
    pickle._Pickler(buffer, protocol).dump(root)  # type: ignore[attr-defined]
    return buffer.getvalue()


class _Builder:
    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.made: list[Any] = []

    def value(self, depth: int) -> Any:
        choices = self.choices
        if self.made and choices.once_in(6):
            return choices.pick(self.made)
        kind = choices.below(12 if depth < 4 else 5)
        if kind < 5:
            return self.atom(kind)
        items = [self.value(depth + 1) for _ in range(choices.below(5))]
        made = self.container(kind, items, depth)
        self.made.append(made)
        if isinstance(made, list) and choices.once_in(8):
            made.append(made)
        return made

    def atom(self, kind: int) -> Any:
        choices = self.choices
        if kind == 0:
            return choices.pick((None, True, False, range(3), range(1, -9, -2), 1j, complex("nan")))
        if kind == 1:
            return number(choices)
        if kind == 2:
            return choices.pick(FLOATS)
        if kind == 3:
            return text(choices)
        return choices.pick((bytes, bytearray))(choices.blob(300))

    def container(self, kind: int, items: list[Any], depth: int) -> Any:
        keys = [self.key(depth) for _ in items]
        pairs = list(zip(keys, items, strict=True))
        if kind == 5:
            return items
        if kind == 6:
            return tuple(items)
        if kind == 7:
            return dict(pairs)
        if kind == 8:
            return self.choices.pick((set, frozenset))(keys)
        if kind == 9:
            ordered = OrderedDict(pairs)
            if self.choices.once_in(2):
                ordered._metadata = {"version": 1}  # type: ignore[attr-defined]
            return ordered
        if kind == 10:
            return self.choices.pick((Counter(map(str, keys)), defaultdict(list, pairs), defaultdict(None, pairs)))
        return slice(*keys[:2], None) if all(type(k) in (int, str) for k in keys[:2]) and keys else items

    def key(self, depth: int) -> Any:
        choices = self.choices
        kind = choices.below(5)
        if kind == 3 and depth < 4:
            return tuple(self.key(depth + 1) for _ in range(choices.below(3)))
        return (choices.pick(TEXTS), number(choices), choices.pick((None, True, 1.5)), None, choices.blob(4))[kind]
