"""Writes the zip format of torch, record by record as torch 2.13 does, and dotpt's own records among them.

::

    data.pkl  .format_version  .storage_alignment  byteorder  data/0  data/1  ...
    .dotpt/manifest.json  .dotpt/...  version  .data/serialization_id  .dotpt/metadata.json

The root folder is always ``archive`` and the id follows from the content, so that the same object gives the same
bytes under any name. (torch uses the file's name for the one; its id depends on the machine.)
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from dotpt.container.crc import crc32
from dotpt.container.digest import Range, RangeHashes, hash_of
from dotpt.container.zipwrite import ALIGNMENT, SMALL, ZipWriter
from dotpt.formats import manifest
from dotpt.formats.delta import base_bytes
from dotpt.formats.draft import Draft, Link
from dotpt.formats.metadata import add_metadata, metadata_text
from dotpt.formats.record_names import BASE, MANIFEST
from dotpt.tensors.outgoing import Outgoing

Progress = Callable[[int, int], None]
_STEP = 32 << 20  # bytes between two reports of progress
_OVERHEAD = 1 << 14  # bytes of a file beside its records, about
_RECORD = 1 << 10  # and of a record beside its content, where its name is long


def write(
    draft: Draft,
    sink: Any,
    *,
    metadata: Mapping[str, Any] | None = None,
    alignment: int = ALIGNMENT,
    checksums: bool = True,
    holes: bool = False,
    written: str | None = None,
    records: Mapping[str, bytes] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write ``draft`` into a sink.

    Args:
        metadata: what the user wants to be noted in the file.
        alignment: every record begins at a multiple of this many bytes.
        checksums: whether CRCs are written; torch can be told not to.
        holes: leave the storages' bytes out, to be filled in by somebody else (torch's ``skip_data``).
        written: when, if that is to be noted.
        records: more of dotpt's own, by name; torch ignores them.
        progress: called with (bytes written, bytes in all).
    """
    beside = records or {}
    noted = metadata_text(metadata or {})
    sink.reserve(_about(draft, alignment) + len(noted) + sum(len(data) + _RECORD for data in beside.values()))
    writer = ZipWriter(sink, alignment=alignment, checksums=checksums)
    writer.add("data.pkl", draft.pickle)
    unchanged = draft.unchanged
    delta = unchanged is not None and unchanged.shared is None
    if not delta:  # by this record torch believes that it can compute where each storage lies
        writer.add(".format_version", b"1")
    writer.add(".storage_alignment", b"%d" % alignment)
    writer.add("byteorder", sys.byteorder.encode())
    storages = _Storages(draft, writer, progress)
    if holes:
        storages.leave_out()
    else:
        storages.write()
        listed = manifest.manifest_bytes(draft.tensors, storages.sizes, storages.hashes, written)
        writer.add(MANIFEST, listed, checksum=True)  # a wrong hash in it would blame a tensor that is whole
    if unchanged is not None and delta:
        writer.add(BASE, base_bytes(unchanged), checksum=True)
    for name, data in beside.items():
        writer.add(name, data, checksum=True)
    writer.add("version", b"3\n")
    writer.add(".data/serialization_id", serialization_id(writer))
    add_metadata(writer, noted)
    writer.close()


class _Storages:
    """The records of the storages.

    Attributes:
        hashes: of each range of a storage that a tensor looks at, by the storage's key and the range.
        sizes: bytes of each storage in the file, by its key.
    """

    def __init__(self, draft: Draft, writer: ZipWriter, progress: Progress | None) -> None:
        self._draft = draft
        self._writer = writer
        self._progress = progress
        self._total = draft.nbytes
        self._done = 0
        self._unchanged = draft.unchanged
        self._links: Mapping[str, Link] = draft.unchanged.links if draft.unchanged is not None else {}
        self.sizes = {storage.key: storage.written for storage in draft.storages}
        self.hashes: dict[tuple[str, Range], str] = {}

    def leave_out(self) -> None:
        """Write the records without their bytes."""
        for storage in self._draft.storages:
            self._writer.hole(f"data/{storage.key}", storage.written)

    def write(self) -> None:
        """Write the records, and hash what the tensors look at as it passes."""
        ranges = manifest.hashed_ranges(self._draft.tensors, self.sizes)
        for small, storages in groupby(self._draft.storages, self._is_small):
            if small:
                self._writer.add_many(self._small(storages, ranges))
            else:
                for storage in storages:
                    if storage.key in self._links:
                        self._leave_to_the_base(storage.key)
                    else:
                        self._write_large(storage, ranges.get(storage.key, []))

    def _is_small(self, storage: Outgoing) -> bool:
        return storage.written <= SMALL and storage.key not in self._links

    def _leave_to_the_base(self, key: str) -> None:
        """A storage that the file before has: nothing is written, or its blocks are shared."""
        link, unchanged = self._links[key], self._unchanged
        self.hashes[key, (0, link.nbytes)] = link.hash
        if unchanged is not None and unchanged.shared is not None:
            container = unchanged.shared
            self._writer.copy(f"data/{key}", container.source, container.record(link.record))

    def _small(self, storages: Iterable[Outgoing], ranges: Mapping[str, list[Range]]) -> Iterator[tuple[str, bytes]]:
        hashes, report = self.hashes, self._progress
        for storage in storages:
            key, content = storage.key, storage.content()
            for place in ranges.get(key, ()):
                whole = place == (0, len(content))
                hashes[key, place] = hash_of(content if whole else content[place[0] : place[1]])
            yield f"data/{key}", content
            self._done += len(content)
            if report is not None:
                report(self._done, self._total)

    def _write_large(self, storage: Outgoing, wanted: list[Range]) -> None:
        hashes = RangeHashes(wanted)
        self._writer.stream(f"data/{storage.key}", storage.written, self._told(storage), digest=hashes)
        for place, found in hashes.found.items():
            self.hashes[storage.key, place] = found

    def _told(self, storage: Outgoing) -> Iterator[memoryview]:
        """The pieces, with progress between them."""
        for piece in storage.pieces():
            for at in range(0, len(piece), _STEP):
                part = piece[at : at + _STEP]
                yield part
                self._done += len(part)
                if self._progress is not None:
                    self._progress(self._done, self._total)


def _about(draft: Draft, alignment: int) -> int:
    """Bytes of the file, a little more rather than less."""
    records = len(draft.storages)
    return (
        _OVERHEAD
        + 8 * alignment
        + len(draft.pickle)
        + draft.nbytes
        + records * (alignment + 200)
        + 150 * len(draft.tensors)
    )


def serialization_id(writer: ZipWriter) -> bytes:
    """40 digits that name the content: 20 of the records' names, 20 of their checksums."""
    names = b"\0".join([record.name for record in writer.records])
    sums = struct.pack(f"<{len(writer.records)}L", *[record.crc for record in writer.records])
    return b"".join(b"%020d" % (crc32(half) << 32 | crc32(half[::-1])) for half in (names, sums))
