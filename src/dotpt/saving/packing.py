"""`pack`: a delta and its base as one plain file, streamed and verified.

The new file is, byte for byte, the one that would have been written as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from dotpt.archive.opening import open_contents
from dotpt.container.crc import crc32
from dotpt.container.digest import RangeHashes
from dotpt.container.record import Record, checksum_mismatch
from dotpt.container.zip import ZipContainer
from dotpt.container.zipwrite import ALIGNMENT, ZipWriter
from dotpt.errors import ChecksumMismatch
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.metadata import add_metadata, metadata_text, read_record
from dotpt.formats.pt_zip_writer import serialization_id
from dotpt.formats.record_names import BASE, METADATA
from dotpt.saving.read_back import ReadBack
from dotpt.source.base import Source
from dotpt.source.sink import open_sink

Progress = Callable[[int, int], None]
_PIECE = 1 << 20
_OVERHEAD = 1 << 16
_OURS = ".dotpt/"


def pack(
    source: str | os.PathLike[str],
    dest: Any,
    *,
    durable: bool = True,
    verify: bool = True,
    progress: Progress | None = None,
) -> int:
    """Write a checkpoint, wherever its tensors lie, as one plain file; returns its bytes.

    Args:
        source: the checkpoint.
        dest: where to; the same path replaces it.
        durable: wait until the disk has it.
        verify: read it back from the disk before it takes its place.
        progress: called with (bytes written, bytes in all).

    Raises:
        BaseMissing, BaseChanged: the file that unchanged tensors lie in is not there.
        ChecksumMismatch: a record is damaged; nothing was written.
    """
    contents = open_contents(source, ReadOptions())
    try:
        with open_sink(dest, durable=durable) as sink:
            out = ReadBack(sink) if verify else sink
            size = _Packing(contents, progress).write(out)
            if isinstance(out, ReadBack):
                out.compare()
            sink.commit()
        return size
    finally:
        contents.close()


class _Packing:
    def __init__(self, contents: Contents, progress: Progress | None) -> None:
        self._container: Any = contents.container
        self._joined = contents.joined
        self._keys = list(contents.storages)
        self._progress = progress
        self._total = sum(storage.nbytes for storage in contents.storages.values())
        self._done = 0

    def write(self, out: Any) -> int:
        container = self._container
        beside = [name for name in container.names if name.startswith(_OURS) and name not in (BASE, METADATA)]
        out.reserve(self._total + sum(container.record(name).size for name in ("data.pkl", *beside)) + self._room())
        noted = metadata_text(read_record(container))
        alignment = int(container.read(".storage_alignment")) if ".storage_alignment" in container else ALIGNMENT
        writer = ZipWriter(out, alignment=alignment)
        writer.add("data.pkl", container.read("data.pkl"))
        writer.add(".format_version", b"1")
        writer.add(".storage_alignment", b"%d" % alignment)
        writer.add("byteorder", container.read("byteorder"))
        for key in self._keys:
            self._storage(writer, f"data/{key}")
        for name in beside:
            writer.add(name, container.read(name), checksum=True)
        writer.add("version", container.read("version"))
        writer.add(".data/serialization_id", serialization_id(writer))
        add_metadata(writer, noted)
        writer.close()
        return writer.position

    def _room(self) -> int:
        return _OVERHEAD + 400 * len(self._keys)

    def _storage(self, writer: ZipWriter, name: str) -> None:
        link = self._joined.links.get(name) if self._joined is not None else None
        if link is None or self._joined is None:
            record = self._container.record(name)
            writer.stream(name, record.size, self._checked(self._container, record, None))
            return
        record = self._joined.container.record(link.record)
        writer.stream(name, record.size, self._checked(self._joined.container, record, link.hash))

    def _checked(self, container: ZipContainer, record: Record, expected: str | None) -> Iterator[memoryview]:
        """The bytes of a record; its checksum, and the hash that is expected of it, are compared at the end."""
        source: Source = container.source
        hashes = RangeHashes([(0, record.size)])
        buffer, crc = memoryview(bytearray(min(_PIECE, record.size))), 0
        for at in range(0, record.size, _PIECE):
            piece = buffer[: min(_PIECE, record.size - at)]
            source.read_into(record.offset + at, piece)
            crc = crc32(piece, crc)
            if expected is not None:
                hashes.update(piece)
            yield piece
            self._done += len(piece)
            if self._progress is not None:
                self._progress(self._done, self._total)
        if record.crc is not None and crc != record.crc:
            raise checksum_mismatch(source, record, crc)
        if expected is not None and hashes.found.get((0, record.size)) != expected:
            raise ChecksumMismatch(
                "A tensor is not the one that the checkpoint needs: its bytes have another hash.",
                path=source.name,
                record=record.name,
                expected=expected,
                hint="go on from another checkpoint",
            )
