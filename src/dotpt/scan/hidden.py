"""Pickles within the texts and bytes of a pickle: as they are, or in base64, in hex, compressed.

A scanner that looks only at the outer opcodes passes them; a program that unpickles such a value runs them. What is
found is decoded by the same machine, and judged like any other pickle. Invariant: the work is bounded, by the number
of values tried, their sizes and the depth.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from itertools import islice
from typing import Any

from dotpt.errors import DotptError
from dotpt.pickling.context import Context
from dotpt.pickling.journal import SHORTEST_HIDDEN, Journal
from dotpt.pickling.machine import Machine
from dotpt.scan.session import Session
from dotpt.source.memory import BytesSource

_LARGEST = 16 << 20
_DEEPEST = 4
_MIB = 1 << 20
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_ESCAPED = re.compile(rb"(?:\\x[0-9a-fA-F]{2}){8,}")
# a pickle behind something else: it says its protocol, and begins as one that holds or names something does
_BEGINNING = re.compile(rb"\x80[\x02-\x05](?:\x95.{6}\0\0|[\]})(]|\x8c|[cX])", re.DOTALL)
_BEGINNINGS = 8
_FILES = (b"PK\x03\x04", b"\x93NUMPY", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")
_SPACE = re.compile(rb"\s+")
_PACKED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b")


def search_texts(session: Session, journal: Journal) -> None:
    """Report the pickles that hide in what a journal kept."""
    if journal.texts:
        # what is unpacked may be several times as much as is there, and no more: a bomb must not cost minutes
        _Search(session, 4 * _MIB + 4 * sum(map(len, journal.texts.values()))).search(journal, 0)


class _Search:
    """One search, and what it may still unpack."""

    def __init__(self, session: Session, room: int) -> None:
        self._session = session
        self._room = room

    def search(self, journal: Journal, depth: int) -> None:
        """Look into every text of a journal."""
        for (record, offset), value in journal.texts.items():
            self._try(f"{self._session.short(record)} byte {offset:,}".strip(), _as_bytes(value), depth)

    def _try(self, place: str, value: bytes, depth: int) -> None:
        session = self._session
        if value.startswith(_FILES):
            self._examine(place, value)
            return
        for how, content in self._readings(value):
            found = decoded(session, content)
            if found is None:
                continue
            inner, tree = found
            with session.inside(place + how) as allowed:
                if inner.names or inner.calls:
                    _report(session, how, inner, tree)
                if allowed and depth < _DEEPEST:
                    self.search(inner, depth + 1)
            if inner.names or inner.calls:
                return

    def _examine(self, place: str, value: bytes) -> None:
        """A whole file of another kind."""
        from dotpt.scan.examine import examine

        with self._session.inside(place) as allowed:
            if allowed:
                examine(self._session, BytesSource(value, place), whole=False, doubtful=True)

    def _readings(self, content: bytes) -> Iterator[tuple[str, bytes]]:
        """What a text may stand for."""
        if _may_be_pickle(content):
            yield "", content
        for found in islice(_BEGINNING.finditer(content, 1), _BEGINNINGS):
            yield f" from its byte {found.start():,} on", content[found.start() :]
        yield from self._unpacked("", content)
        if _ESCAPED.fullmatch(content):
            yield " in hex", bytes.fromhex(content.replace(b"\\x", b"").decode("ascii"))
        bare = _SPACE.sub(b"", content) if b"\n" in content[:200] or b" " in content[:80] else content
        if _HEX.fullmatch(bare):
            plain = bytes.fromhex(bare.decode("ascii"))
            if _may_be_pickle(plain):
                yield " in hex", plain
            yield from self._unpacked(" in hex", plain)
        if _BASE64.fullmatch(bare):
            try:
                plain = b64decode(bare.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(bare) % 4))
            except Base64Error:
                return
            yield from ((f" in base64{how}", inner) for how, inner in self._readings(plain))

    def _unpacked(self, how: str, content: bytes) -> Iterator[tuple[str, bytes]]:
        if not content.startswith(_PACKED):
            return
        most = min(_LARGEST, _MIB + 32 * len(content), max(self._room, 1))
        decoder = zlib.decompressobj(wbits=47)
        try:
            plain = decoder.decompress(content, most)
        except zlib.error:
            return
        self._room -= len(plain)
        if decoder.unconsumed_tail and plain.startswith(b"\x80"):
            self._session.add("texts-not-searched", "It holds more compressed text than is searched.")
        if _may_be_pickle(plain):
            yield f"{how}, compressed", plain
        elif len(plain) >= SHORTEST_HIDDEN and _BASE64.fullmatch(plain):
            yield from ((f"{how}, compressed{inner_how}", inner) for inner_how, inner in self._readings(plain))


def _report(session: Session, how: str, inner: Journal, tree: Any) -> None:
    from dotpt.scan.streams import judge, judge_layers

    judge(session, inner)
    judge_layers(session, (noted.name for noted in inner.names), [tree])
    unknown = next((noted.name for noted in inner.names if not noted.name.known), None)
    if unknown is not None:
        session.add("hidden-pickle", f"A text is a pickle{how}, which names {unknown}.", name=str(unknown))


def _as_bytes(value: Any) -> bytes:
    return value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value)


def _may_be_pickle(content: bytes) -> bool:
    """Whether the bytes end as a pickle does, and can name something."""
    return len(content) >= SHORTEST_HIDDEN and b"." in content and (
        (b"\n" in content and (b"c" in content or b"i" in content))
        or b"\x93" in content
        or b"\x82" in content
        or content.startswith(b"\x80")
    )  # fmt: skip


def decoded(session: Session, content: bytes) -> tuple[Journal, Any] | None:
    """What decodes as a pickle, or breaks off after it has called something; None for anything else."""
    journal = Journal()
    machine = Machine(content, Context(session.limits, journal=journal), encoding="latin1")
    try:
        return journal, machine.load()
    except DotptError:
        return (journal, None) if journal.calls else None
