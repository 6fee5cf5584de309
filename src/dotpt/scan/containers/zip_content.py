"""The content of one member of a zip file, as a file to look into.

Invariant: a member is looked into even if its checksum or its size is not what the archive says: readers that do not
check go on, so a scan does, and says so.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dotpt.container.crc import crc32
from dotpt.container.record import DEFLATED, STORED
from dotpt.scan.containers.packed import IN_MEMORY, CannotUnpack, unpack
from dotpt.scan.containers.saved_zip import COMPARED
from dotpt.scan.containers.zip_views import Place
from dotpt.scan.session import Session
from dotpt.source.base import Source
from dotpt.source.part import PartSource
from dotpt.source.spool import Spool

_BZIP2, _LZMA = 12, 14
_LARGEST_DICTIONARY = 64 << 20
_ENCRYPTED = 0x2041


@contextmanager
def content_of(session: Session, source: Source, place: Place, size: int | None = None) -> Iterator[Source | None]:
    """The content of a member; None, and a finding, if nothing of it can be read.

    Args:
        session: where findings go.
        source: the archive.
        place: where the member lies.
        size: how long the archive says that its content is, if anyone believes it.
    """
    length = max(0, min(place.stored, source.size - place.offset))
    if length < place.stored:
        session.add("truncated", "The file ends before the record does.", record=place.name, offset=place.offset)
    part = PartSource(source, place.offset, length, f"{source.name}!{place.name}")
    if place.flags & _ENCRYPTED:
        session.add("encrypted-record", "The record is encrypted.", severity="unreadable", record=place.name,
                    hint="unpack it with its password, and scan what is in it")  # fmt: skip
    if place.method == STORED:
        if length == place.stored:
            _compare(session, place, part, length <= COMPARED)
        yield part
    else:
        with Spool(part.name, IN_MEMORY) as spool:
            if not _unpacked(session, part, place, spool):
                yield None
                return
            with spool.finish() as content:
                if size is not None and content.size != size:
                    text = f"The record unpacks to {content.size:,} bytes, and {size:,} were announced."
                    session.add("local-header-mismatch", text, record=place.name, offset=place.offset)
                _compare(session, place, content, True)
                yield content


def _unpacked(session: Session, part: Source, place: Place, spool: Spool) -> bool:
    """Fill the spool with what a packed member holds, as far as it can be unpacked."""
    if not session.may_unpack(0):
        session.add("limit-exceeded", "It unpacks to very much more than the file holds; the rest was not unpacked.")
        return False
    try:
        decoder, start = _decoder(part, place.method)
        end = start + unpack(session, part, decoder, spool, start)
    except CannotUnpack as error:
        if not place.flags & _ENCRYPTED:  # which some readers do not look at, and some writers of attacks set
            session.add("cannot-read", str(error), record=place.name, offset=place.offset)
        return spool.size > 0
    if end != part.size:
        text = f"{part.size - end:,} bytes follow the compressed content."
        session.add("trailing-data", text, record=place.name, offset=place.offset + end)
    return True


def _decoder(part: Source, method: int) -> tuple[Any, int]:
    """What unpacks a method, and where its stream begins."""
    if method == DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS), 0
    if method == _BZIP2:
        return bz2.BZ2Decompressor(), 0
    if method == _LZMA and part.size >= 9:
        _, length, properties, dictionary = struct.unpack("<HHBL", part.read(0, 9))
        if length == 5 and properties < 225 and dictionary <= _LARGEST_DICTIONARY:
            rest, lc = divmod(properties, 9)
            pb, lp = divmod(rest, 5)
            form = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[form]), 9
    raise CannotUnpack(f"It is packed with method {method}, which dotpt does not unpack.")


def _compare(session: Session, place: Place, content: Source, wanted: bool) -> None:
    if not place.crc or not (wanted or session.policy.verify) or session.policy.verify is False:
        return
    found = crc_of(content)
    if found != place.crc:
        text = f"The record's bytes have the checksum {found:08x}, {place.crc:08x} was written."
        session.add("checksum-mismatch", text, record=place.name, offset=place.offset)


def crc_of(content: Source) -> int:
    """The CRC-32 of a whole source."""
    crc = 0
    for at in range(0, content.size, 1 << 20):
        crc = crc32(content.read(at, min(1 << 20, content.size - at)), crc)
    return crc
