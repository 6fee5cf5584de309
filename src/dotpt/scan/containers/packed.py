"""Compressed files and members: unpacked within the limits, and examined.

Invariant: one budget for all that a scan unpacks, so that bombs within bombs cost no more than one; what was unpacked
lies in memory up to 16 MiB, and beyond in a temporary file.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import Any

from dotpt.container.sniff.result import Sniffed
from dotpt.scan.raw import search_names
from dotpt.scan.session import Session
from dotpt.source.base import Source
from dotpt.source.spool import PIECE, Spool

IN_MEMORY = 16 << 20
_LZMA_MEMORY = 64 << 20
_HEAD = 1 << 14


class CannotUnpack(Exception):
    """Why a stream gives nothing, or not all."""


def scan_packed(session: Session, source: Source, sniffed: Sniffed) -> str:
    """Unpack and examine; gives what it is, in words."""
    if _decoder(sniffed.kind) is None:
        session.add("not-supported", f"It is {sniffed.label}, which dotpt does not unpack.", hint=sniffed.hint)
        search_names(session, source)
        return sniffed.label
    return _scan(session, source, sniffed.kind, sniffed.label.partition(" (")[0])


def scan_bare(session: Session, source: Source) -> str | None:
    """The same for a stream without a name of its kind (zlib, lzma), as joblib writes; None if it is no such stream."""
    for kind, label in (("zlib", "a zlib stream"), ("lzma", "an lzma stream")):
        if _begins_as(kind, source.read(0, min(source.size, _HEAD))):
            return _scan(session, source, kind, label)
    return None


def _scan(session: Session, source: Source, kind: str, label: str) -> str:
    from dotpt.scan.examine import examine

    with Spool(source.name, IN_MEMORY) as spool:
        end, refusal = 0, None
        try:
            # gzip, bzip2 and xz files may be several streams one after another, which readers take for one
            while end < source.size and (end == 0 or _begins_as(kind, source.read(end, min(source.size - end, 16)))):
                end += unpack(session, source, _decoder(kind), spool, end)
        except CannotUnpack as error:
            refusal = str(error)
        with spool.finish() as content, session.inside(kind) as allowed:
            inner = examine(session, content, whole=False, doubtful=refusal is not None) if allowed else "too deep"
    if refusal is not None:
        session.add("truncated" if "short" in refusal else "malformed-container", refusal, severity="unreadable")
    elif end < source.size:
        _examine_rest(session, source, end)
    return f"{label}: {inner}"


def _examine_rest(session: Session, source: Source, end: int) -> None:
    from dotpt.scan.examine import examine
    from dotpt.source.part import PartSource

    rest = source.size - end
    if rest <= PIECE and not source.read(end, rest).strip(b"\0"):  # tapes and block devices pad
        return
    session.add("trailing-data", f"{rest:,} bytes follow the compressed stream.", offset=end)
    with session.inside(f"from byte {end:,} on") as allowed:
        if allowed:
            examine(session, PartSource(source, end, rest, source.name), whole=False)


def _begins_as(kind: str, head: bytes) -> bool:
    """Whether bytes begin as a stream of a kind does. The kinds without a magic are tried."""
    magics = {"gzip": b"\x1f\x8b\x08", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}
    if kind in magics:
        return head.startswith(magics[kind])
    if kind == "zlib":
        if len(head) < 8 or head[0] & 0x8F != 8 or (head[0] << 8 | head[1]) % 31 or head[1] & 0x20:
            return False
    elif len(head) < 14 or head[0] != 0x5D or head[1:3] != b"\0\0":  # what all writers of .lzma choose
        return False
    try:
        _decoder(kind).decompress(head, 1 << 12)
    except (zlib.error, lzma.LZMAError):
        return False
    return True


def _decoder(kind: str) -> Any:
    if kind in ("gzip", "zlib"):
        return zlib.decompressobj(wbits=31 if kind == "gzip" else 15)
    if kind == "bzip2":
        return bz2.BZ2Decompressor()
    forms = {"xz": lzma.FORMAT_XZ, "lzma": lzma.FORMAT_ALONE}
    return lzma.LZMADecompressor(forms[kind], memlimit=_LZMA_MEMORY) if kind in forms else None


def unpack(session: Session, source: Source, decoder: Any, spool: Spool, start: int = 0, end: int | None = None) -> int:
    """Unpack one stream into a spool.

    Args:
        session: whose budget is spent.
        source: where the stream lies.
        decoder: of `zlib`, `bz2` or `lzma`.
        spool: what is filled.
        start, end: the bytes that it lies in.

    Returns:
        How many bytes the stream has.

    Raises:
        CannotUnpack: it is broken, or ends before its end, or the budget is spent; the spool holds what there was.
    """
    at, end, waiting, plain = start, source.size if end is None else end, b"", b""
    while not decoder.eof:
        if not waiting and getattr(decoder, "needs_input", True):
            if at >= end and not plain:
                raise CannotUnpack("The compressed stream is cut short.")
            waiting = source.read(at, min(PIECE, end - at))
            at += len(waiting)
        try:
            plain = decoder.decompress(waiting, PIECE)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise CannotUnpack(f"It cannot be unpacked: {error!s:.100}") from None
        # zlib gives back what it did not take; the others keep it until they are asked for more
        waiting = getattr(decoder, "unconsumed_tail", b"")
        if not session.may_unpack(len(plain)):
            raise CannotUnpack("It unpacks to very much more than the file holds, and was not unpacked to its end.")
        spool.write(plain)
    return at - start - len(decoder.unused_data)
