"""What crosses this boundary: a stranger's JSON text in (a header, an index), plain values out.

Python's own parser does the work, with its liberties taken away: a key may stand once, NaN and Infinity are no
numbers, names are real text. What the text would cost in memory and depth is counted before it is parsed, in a
few passes at the speed of `bytes.count`, because a parser only notices when it is too late.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from dotpt.errors import DotptError, LimitExceeded
from dotpt.limits import Limits

DEPTH = 16  # a header has three levels, an index two; what authors add is shallow too
_DIGITS = 40

# The error for a problem at a byte of the text.
Fail = Callable[[str, "int | None"], DotptError]


class _RefusedError(Exception):
    """A value that the parser accepts and that we do not."""


def parse_json(text: bytes, limits: Limits, fail: Fail, *, depth: int = DEPTH) -> Any:
    """The value that ``text`` stands for.

    Args:
        fail: makes the error for a problem, from its sentence and the byte of the text (or None).
        depth: how many levels it may have.

    Raises:
        LimitExceeded: it would take more than `Limits.decoded_bytes`.
    """
    _check_cost(text, limits, fail, depth)
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise fail("The JSON text is not UTF-8.", error.start) from None
    try:
        return json.loads(
            decoded, object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
        )
    except _RefusedError as error:
        raise fail(str(error), None) from None
    except json.JSONDecodeError as error:
        raise fail(f"The JSON text is malformed ({error.msg}).", len(decoded[: error.pos].encode())) from None
    except (ValueError, RecursionError) as error:
        raise fail(f"The JSON text is malformed ({error!s:.80}).", None) from None


def _check_cost(text: bytes, limits: Limits, fail: Fail, depth: int) -> None:
    """About 80 bytes an object or list, 40 a string, 36 any other item; strings are left out of the counting."""
    quotes = text.count(b'"')
    cost = len(text) + 20 * quotes
    if cost > limits.decoded_bytes:
        raise LimitExceeded("decoded_bytes", cost, limits.decoded_bytes)
    bare = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(bare.split(b'"')[::2])
    brackets = outside.translate(None, bytes(set(range(256)) - set(b"[]{}")))
    cost += 40 * len(brackets) + 36 * outside.count(b",")
    if cost > limits.decoded_bytes:
        raise LimitExceeded("decoded_bytes", cost, limits.decoded_bytes)
    for _ in range(depth):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise fail(f"The JSON text nests deeper than {depth} levels, or its brackets do not match.", None)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _RefusedError(f"The name {twice!r:.100} stands twice in one JSON object.")
    for name in found:
        if not name.isascii() and not is_text(name):
            raise _RefusedError(f"The name {name!r:.100} is not real text: half of a character is missing.")
    return found


def is_text(value: Any) -> bool:
    """Whether a value is a string that can be written as UTF-8 (JSON can spell half characters)."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _RefusedError(f"A number of {len(digits):,} digits stands in the JSON text.")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > 2 * _DIGITS:
        raise _RefusedError(f"A number of {len(digits):,} digits stands in the JSON text.")
    return float(digits)


def _constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name} stands in the JSON text, which is no number of JSON.")
