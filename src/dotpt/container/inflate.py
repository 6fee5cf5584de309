"""Compressed records: decompressed to exactly the size the directory states, never beyond the limits."""

from __future__ import annotations

import zlib
from typing import Any

from dotpt.container.record import Record
from dotpt.errors import ContainerError, LimitExceeded
from dotpt.limits import MIB, Limits
from dotpt.source.base import Source

PIECE = MIB


def inflate(source: Source, record: Record, limits: Limits) -> bytes:
    """The content of a deflated record.

    Raises:
        LimitExceeded: it would expand to more than `Limits.inflated_bytes`, or `Limits.inflate_ratio` times.
        ContainerError: the stream is broken or does not give the stated size.
    """
    facts: dict[str, Any] = {"path": source.name, "record": record.name, "offset": record.offset}
    if record.size > limits.inflated_bytes:
        raise LimitExceeded("inflated_bytes", record.size, limits.inflated_bytes, **facts)
    if record.size > MIB and record.size > record.stored * limits.inflate_ratio:
        raise LimitExceeded("inflate_ratio", record.size // max(record.stored, 1), limits.inflate_ratio, **facts)
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    content = bytearray()
    position, end = record.offset, record.offset + record.stored
    try:
        while position < end and not decoder.eof:
            length = min(PIECE, end - position)
            content += decoder.decompress(source.read(position, length), record.size - len(content) + 1)
            position += length
            while decoder.unconsumed_tail and len(content) <= record.size:
                content += decoder.decompress(decoder.unconsumed_tail, record.size - len(content) + 1)
            if len(content) > record.size:
                break
    except zlib.error as error:
        raise ContainerError(f"The compressed record cannot be unpacked: {error}.", **facts) from None
    if len(content) != record.size or not decoder.eof or decoder.unused_data or position != end:
        raise ContainerError(
            f"The compressed record unpacks to other than the {record.size:,} bytes that the directory states.", **facts
        )
    return bytes(content)
