"""Values of a file as JSON can hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from dotpt.errors import readable

_MOST_ITEMS = 1_000
_LONGEST = 10_000


def as_line(value: Any) -> str:
    """``value`` for people: a text as it is, anything else as JSON on one line.

    Example:
        >>> as_line("mit"), as_line({"epoch": 3, "final": None})
        ('mit', '{"epoch": 3, "final": null}')
    """
    return value if type(value) is str else json.dumps(plain(value), ensure_ascii=False)


def plain(value: Any, depth: int = 4) -> Any:
    """``value`` as JSON can hold it; what it cannot hold becomes readable text.

    Example:
        >>> plain({1: (True, float("nan"))})
        {'1': [True, 'nan']}
    """
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is str:
        return value[:_LONGEST].encode("utf-8", "backslashreplace").decode()  # a lone surrogate is no JSON
    if type(value) is float:
        return value if isfinite(value) else str(value)
    if isinstance(value, Mapping) and depth:
        return {str(plain(str(key))): plain(item, depth - 1) for key, item in list(value.items())[:_MOST_ITEMS]}
    if isinstance(value, (list, tuple)) and depth:
        return [plain(item, depth - 1) for item in value[:_MOST_ITEMS]]
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) or hasattr(value, "shape"):
        return f"({type(value).__name__})"  # its repr may be long, or recurse as deep as a stranger likes
    return readable(repr(value))[:200]
