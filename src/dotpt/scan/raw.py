"""Bytes that nothing decodes, searched for the names that an attack would need.

A pickle that breaks off, a container that two readers take differently: dotpt stops where it is in doubt, and another
reader may go on. What these bytes would name is looked for without decoding them, by the two ways in which pickles
write names. Invariant: this only ever makes a verdict worse; memory is one window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice

from dotpt.pickling.name_kinds import meaning_of
from dotpt.scan.session import Session
from dotpt.source.base import Source

WINDOW, _OVERLAP = 4 << 20, 1 << 12
_MOST, _MOST_TOGETHER = 64 << 20, 128 << 20  # bytes that are searched, of a part and of all parts of a file
_AT_LEAST = 1 << 20  # of each part, in any case
_CANDIDATES = 5_000  # places in a window that are looked at closely
_FARTHEST = 480  # bytes that the two texts before a STACK_GLOBAL have
# GLOBAL and INST: found by the line between their two words, since that costs no more than a step a byte
_BETWEEN = re.compile(rb"\n(?<=[\w.]\n)(?=([A-Za-z_][\w.]{0,200})\n)")
_MODULE = re.compile(rb"[ci]([A-Za-z_][\w.]{1,200})\Z")
# STACK_GLOBAL: found by the end of the text before it, or of the opcode that puts that into the memo
_BEFORE = re.compile(rb"\w\w(?:\x94|q.|r....)?\x93", re.DOTALL)
_TEXT = rb"(?:[\x8cU].|[XTB]....|\x8d........)([A-Za-z_][\w.]{1,200}?)(?:\x94|q.|r....)?"
_STACK_GLOBAL = re.compile(_TEXT + _TEXT + rb"\Z", re.DOTALL)


def search_names(session: Session, source: Source, start: int = 0) -> None:
    """Report dangerous names in the bytes from ``start`` on."""
    most = _MOST if session.searched < _MOST_TOGETHER else _AT_LEAST
    session.searched += min(most, max(0, source.size - start))
    for offset, module, name in _names(source, start, most):
        meaning = meaning_of(module, name)
        if meaning.severity == "dangerous":
            session.add(
                "names-in-broken-part", f"Bytes that are not decoded name {module}.{name}: it {meaning.what}.",
                offset=offset, name=f"{module}.{name}",
            )  # fmt: skip


def _names(source: Source, start: int, most: int) -> Iterator[tuple[int, str, str]]:
    end = min(source.size, start + most)
    for at in range(start, end, WINDOW):
        window = source.read(at, min(WINDOW + _OVERLAP, end - at))
        for place, module, name in chain(_in_lines(window), _in_texts(window)):
            yield at + place, module.decode("latin-1"), name.decode("latin-1")


def _in_lines(window: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    for found in islice(_BETWEEN.finditer(window), _CANDIDATES):
        before = _MODULE.search(window, max(0, found.start() - 202), found.start())
        while before is not None:  # any c or i before it may be the opcode
            yield before.start(), before[1], found[1]
            before = _MODULE.search(window, before.start() + 1, found.start())


def _in_texts(window: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    for ends in islice(_BEFORE.finditer(window), _CANDIDATES):
        at = ends.end() - 1
        found = _STACK_GLOBAL.search(window, max(0, at - _FARTHEST), at)
        if found is not None:
            yield found.start(), found[1], found[2]
