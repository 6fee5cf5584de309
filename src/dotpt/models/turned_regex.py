"""Regular expressions that can be turned round: plain text and groups on both sides.

What crosses this boundary: a pattern and its replacement in, the pair that leads back out, or None. Invariant: what is
not understood whole is not turned round.
"""

from __future__ import annotations

import re

_TEMPLATE = re.compile(r"\\g<(?P<name>\w+)>|\\(?P<number>[1-9]\d?)|\\(?P<escape>\\)|(?P<text>[^\\]+)")
_LITERAL = re.compile(r"\\(?P<escaped>[^\w\s])|(?P<plain>[\w\s/:,;=@%&~`'\"<>!-])")
_SPECIAL = frozenset("()[]{}.*+?|^$\\")

Pieces = list[str | int]  # plain texts, and groups by their numbers


def turned(pattern: str, replacement: str) -> tuple[str, str] | None:
    """The pattern and replacement that undo these, None if there are none.

    Example:
        >>> turned(r"^blocks\\.(\\d+)\\.", r"layers.\\1.")
        ('^layers\\\\.(\\\\d+)\\\\.', 'blocks.\\\\1.')
    """
    start, end = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern[start : len(pattern) - end]
    parsed, target = _parse_pattern(body), _parse_template(replacement)
    if parsed is None or target is None:
        return None
    pieces, groups = parsed
    used = [piece for piece in target if type(piece) is int]
    if sorted(used) != list(range(1, len(groups) + 1)):
        return None
    if not target and not (start or end):
        return None  # nothing, put somewhere
    number = {group: at for at, group in enumerate(used, 1)}
    back = "".join(groups[piece - 1] if type(piece) is int else re.escape(str(piece)) for piece in target)
    to = "".join(f"\\g<{number[piece]}>" if type(piece) is int else _escaped(str(piece)) for piece in pieces)
    return "^" * start + back + "$" * end, _short(to)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\")


def _short(template: str) -> str:
    """``\\1`` for ``\\g<1>`` where no digit follows."""
    return re.sub(r"\\g<(\d)>(?!\d)", r"\\\1", template)


def _parse_pattern(pattern: str) -> tuple[Pieces, list[str]] | None:
    pieces: Pieces = []
    groups: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "(":
            end = _end_of_group(pattern, at)
            if end is None:
                return None
            groups.append(pattern[at:end])
            pieces.append(len(groups))
            at = end
        else:
            found = _LITERAL.match(pattern, at)
            if found is None:
                return None
            pieces.append(found["escaped"] or found["plain"])
            at = found.end()
        if at < len(pattern) and pattern[at] in "*+?{":
            return None  # a repeated piece: how often is not said
    return pieces, groups


def _end_of_group(pattern: str, start: int) -> int | None:
    """Where a group of its own ends: one without groups, references or alternatives of the whole in it."""
    at, in_class = start + 1, False
    if pattern[at : at + 1] == "?":
        return None
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            if pattern[at + 1 : at + 2].isdigit() or pattern[at + 1 : at + 2] in ("b", "B", "A", "Z"):
                return None
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
            at += pattern[at + 1 : at + 2] == "^"
            at += pattern[at + 1 : at + 2] == "]"
        elif char == ")":
            return at + 1
        elif char in "(^$":
            return None
        at += 1
    return None


def _parse_template(template: str) -> Pieces | None:
    pieces: Pieces = []
    at = 0
    while at < len(template):
        found = _TEMPLATE.match(template, at)
        if found is None or (found["name"] and not found["name"].isdigit()):
            return None
        if found["name"] or found["number"]:
            pieces.append(int(found["name"] or found["number"]))
        else:
            pieces.append(found["escape"] or found["text"])
        at = found.end()
    return pieces
