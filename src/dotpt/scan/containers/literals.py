"""The few literals of Python that NumPy writes before an array, parsed without Python's compiler.

{'descr': [('a', '<f4'), ('b', '|O', (2,))], 'fortran_order': False, 'shape': (3,), }
"""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>[bu]?'(?:[^'\\\n]|\\['\\])*'|[bu]?\"(?:[^\"\\\n]|\\[\"\\])*\")|(?P<number>-?\d{1,19})L?"
    r"|(?P<word>True|False|None)|(?P<mark>[{}()\[\],:]))\s*"
)
_WORDS = {"True": True, "False": False, "None": None}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_DEEPEST = 32


def parse_literal(text: str) -> Any:
    """The value of a text of strings, numbers, truth values, tuples, lists and dictionaries.

    Raises:
        ValueError: it is anything else.

    Example:
        >>> parse_literal("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4L), }")
        {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4)}
    """
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"character {at} begins no literal")
        tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
        at = found.end()
    tokens.append(("end", ""))
    value, after = _value(tokens, 0, 0)
    if tokens[after][0] != "end":
        raise ValueError("something follows the literal")
    return value


def _value(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Any, int]:
    kind, text = tokens[at]
    if kind == "text":
        bare = text.lstrip("bu")
        return re.sub(r"\\(.)", r"\1", bare[1:-1]), at + 1
    if kind == "number":
        return int(text), at + 1
    if kind == "word":
        return _WORDS[text], at + 1
    if kind != "mark" or text not in _CLOSING or depth > _DEEPEST:
        raise ValueError("a value is missing")
    return _several(tokens, at, depth)


def _several(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Any, int]:
    """What stands between brackets."""
    opening = tokens[at][1]
    keys, items, commas = [], [], 0
    at += 1
    while tokens[at] != ("mark", _CLOSING[opening]):
        item, at = _value(tokens, at, depth + 1)
        if opening == "{":
            if tokens[at] != ("mark", ":") or type(item) is not str:
                raise ValueError("a key is missing")
            keys.append(item)
            item, at = _value(tokens, at + 1, depth + 1)
        items.append(item)
        if tokens[at] == ("mark", ","):
            at, commas = at + 1, commas + 1
        elif tokens[at] != ("mark", _CLOSING[opening]):
            raise ValueError("a comma is missing")
    if opening == "{":
        return dict(zip(keys, items, strict=True)), at + 1
    if opening == "[":
        return items, at + 1
    return (items[0] if len(items) == 1 and not commas else tuple(items)), at + 1
