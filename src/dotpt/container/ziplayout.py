"""What crosses this boundary: names and sizes in, the length of the file that torch's writer makes of them out.

The layout is fixed, so it can be computed (torch's own `calculate_storage_offsets` relies on that):

    header 30 | name | [zip64 20 + 8] | FB 4 + padding | content | descriptor 16 or 24, none for an empty one
    ... one directory entry each: 46 | name | [zip64 4 + 8 + 16] ... zip64 end 56 | its locator 20 | end 22
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotpt.container.salvage import Salvaged

BIG = 0xFFFFFFFF
_AT_CLOSE = {"version": 2, ".data/serialization_id": 40}  # "3" and a newline; 40 digits
HEADER, ENTRY, END = 30, 46, 56 + 20 + 22


def descriptor_length(header: int, size: int) -> int:
    """Bytes of the descriptor behind a record of ``size`` bytes whose header is at ``header``."""
    return 24 if header >= BIG or size >= BIG else 16


def content_start(header: int, name_length: int, size: int, alignment: int) -> int:
    """Where the content of the record whose header is at ``header`` begins."""
    zip64 = 16 * (size >= BIG) + 8 * (header >= BIG)
    bare = header + HEADER + name_length + (4 + zip64 if zip64 else 0) + 4
    return -(-bare // alignment) * alignment


def next_header(start: int, header: int, size: int) -> int:
    """Where the header after the record with its content at ``start`` begins."""
    return start + size + (descriptor_length(header, size) if size else 0)


def entry_length(header: int, name_length: int, size: int) -> int:
    """Bytes of a record's entry in the directory."""
    zip64 = 16 * (size >= BIG) + 8 * (header >= BIG)
    return ENTRY + name_length + (4 + zip64 if zip64 else 0)


def expected_size(seen: Iterable[Salvaged], sizes: Mapping[str, int], root: str, alignment: int) -> int | None:
    """The length of the whole file: the records ``seen``, the others of ``sizes`` in order, and torch's own at the end.

    None if a record's size is unknown. An estimate: another writer, or a later torch, may add records.
    """
    prefix = len(root.encode("utf-8", "surrogatepass")) + 1 if root else 0
    at, directory, names = 0, 0, set()
    for item in seen:
        record = item.record
        stored = record.stored if item.size_known else _AT_CLOSE.get(record.name)
        if stored is None:
            return None
        names.add(record.name)
        directory += entry_length(item.header, prefix + _length(record.name), stored)
        at = next_header(record.offset, item.header, stored)
    rest = {name: size for name, size in sizes.items() if name not in names}
    if sizes:
        rest |= _trailing(names | rest.keys())
    for name, size in rest.items():
        length = prefix + _length(name)
        directory += entry_length(at, length, size)
        at = next_header(content_start(at, length, size, alignment), at, size)
    return at + directory + END


def _trailing(names: set[str]) -> dict[str, int]:
    """The small records that torch writes when it closes the file, as far as they are not there already."""
    modern = "byteorder" in names  # torch >= 2.1, which also writes an id
    last = _AT_CLOSE if modern else {"version": _AT_CLOSE["version"]}
    return {name: size for name, size in last.items() if name not in names}


def _length(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))
