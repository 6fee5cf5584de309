"""The record ``.dotpt/manifest.json``: where each tensor of a file lies, and the hash of its bytes. torch ignores it.

::

    {"dotpt":1,"hash":"xxh3_128","tensors":{
        "bias":{"hash":"<32 hex digits>","record":"data/1"},
        "head":{"hash":"<32 hex digits>","range":[0,40],"record":"data/0"}
    },"writer":"dotpt 0.1.0"}

JSON with sorted keys and without spaces. An address is the one that `dotpt.open` gives; a composite tensor is listed
by its parts (``x.indices``, ``x.values``; of one quantized per channel also ``x.scales``), one without elements not at
all. A hash covers the bytes of the file in ``range``, counted in the record, and all of the record where there is
none. There is no time, no path and no machine in it: the same object gives the same bytes.

Reading trusts nothing: it is a stranger's text. What is wrong with it is an error here, and a remark for whoever
loads the file, for no tensor depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from dotpt.container.jsontext import is_text
from dotpt.container.record import Container
from dotpt.errors import ManifestError, UnsupportedError
from dotpt.formats.draft import NamedRange
from dotpt.formats.json_records import facts_of, read_header, versioned
from dotpt.formats.record_names import MANIFEST
from dotpt.limits import Limits
from dotpt.pickling.tree import named_tensors
from dotpt.tensors.refs import StorageRef, TensorRef

HASH = "xxh3_128"
FOLDER = "data/"
VERSION = 1
COVERED = 4  # the ranges of one record are at most so many times its size: views of views are hashed with the record
_LONGEST_WRITER = 200
_is_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").fullmatch
_is_hash = re.compile(r"[0-9a-f]{32}").fullmatch

# First byte in a record, and first byte behind the range.
Range = tuple[int, int]


class Listed(NamedTuple):
    """What a manifest says of a tensor: its record, its range in it (None: all of it), and the hash of these bytes."""

    record: str
    range: Range | None
    hash: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What dotpt noted when it wrote a file.

    Attributes:
        writer: name and version of the program.
        tensors: every tensor by its address.
        written: when, in UTC, as ISO 8601 has it, if the user wanted that to be noted.
    """

    writer: str
    tensors: dict[str, Listed]
    written: str | None = None


# -- writing ----------------------------------------------------------------------------------------------------------


def hashed_ranges(tensors: Iterable[NamedRange], sizes: Mapping[str, int]) -> dict[str, list[Range]]:
    """The ranges of each storage that are to be hashed, by the storage's key.

    Args:
        sizes: bytes of each storage in the file.

    Example:
        >>> hashed_ranges([NamedRange("a", "0", 0, 8), NamedRange("tied", "0", 0, 8)], {"0": 8})
        {'0': [(0, 8)]}
    """
    found: dict[str, list[Range]] = {}
    for _, key, begin, end in tensors:
        if begin == end:
            continue
        if key in found:
            found[key].append((begin, end))
        else:
            found[key] = [(begin, end)]
    return {key: ranges if len(ranges) == 1 else _bounded(ranges, sizes[key]) for key, ranges in found.items()}


def _bounded(ranges: list[Range], size: int) -> list[Range]:
    """Each range once, or one for all of the record where they overlap so much that hashing each takes long."""
    distinct = set(ranges)
    return sorted(distinct) if covers(distinct) <= COVERED * size else [(0, size)]


def covers(ranges: Iterable[Range]) -> int:
    """Bytes of all ranges, each counted."""
    return sum(end - begin for begin, end in ranges)


def manifest_bytes(
    tensors: Iterable[NamedRange],
    sizes: Mapping[str, int],
    hashes: Mapping[tuple[str, Range], str],
    written: str | None = None,
) -> bytes:
    """The record, of a file that is being written.

    Args:
        sizes: bytes of each storage in the file.
        hashes: of the ranges that `hashed_ranges` gives, by storage and range.
        written: when, if that is to be noted.
    """
    from dotpt import __version__

    rows: dict[str, str] = {}
    for name, key, begin, end in tensors:
        if begin == end:
            continue
        found = hashes.get((key, (begin, end)))
        whole = end - begin == sizes[key]
        if found is None:
            found, whole = hashes[key, (0, sizes[key])], True
        place = "" if whole else f'"range":[{begin},{end}],'
        rows[readable_name(name)] = f'{{"hash":"{found}",{place}"record":"{FOLDER}{key}"}}'
    time = "" if written is None else f',"written":"{written}"'
    listed = ",".join([f"{encode_basestring(name)}:{row}" for name, row in sorted(rows.items())])
    text = f'{{"dotpt":{VERSION},"hash":"{HASH}","tensors":{{{listed}}},"writer":"dotpt {__version__}"{time}}}'
    return text.encode()


def readable_name(address: str) -> str:
    """An address as JSON can hold it: half a character (a lone surrogate) is spelled out.

    Example:
        >>> readable_name(chr(0xD800) + "é")
        '\\\\ud800é'
    """
    return address if address.isascii() or is_text(address) else address.encode(errors="backslashreplace").decode()


# -- what a pickle says ----------------------------------------------------------------------------------------------


def ranges_in(
    tree: Any, limits: Limits, container: Container | None = None, base: Container | None = None
) -> Iterator[NamedRange]:
    """Every tensor of a decoded pickle that has elements, by the address that a manifest gives it.

    Args:
        tree: the object, with `TensorRef` leaves.
        container: where its storages lie; tensors that lie elsewhere (in a file within the pickle) are left out.
        base: where else they may lie: the file that unchanged ones are in.
    """
    taken: set[str] = set()
    for address, known in named_tensors(tree, limits.nesting, limits.decoded_bytes):
        for name, ref in _leaves(address or "tensor", known):
            storage = ref.storage
            if storage is None or storage.view_of is not None:
                continue
            if storage.container is not container and (base is None or storage.container is not base):
                continue
            unique, number = name, 2
            while unique in taken:
                unique, number = f"{name}#{number}", number + 1
            taken.add(unique)
            begin, end = _range_of(ref, storage)
            if begin < end:
                yield NamedRange(unique, storage.key, begin, end)


def _leaves(name: str, ref: TensorRef) -> Iterator[tuple[str, TensorRef]]:
    """A tensor, or the strided ones that it is made of; those that it is quantized with, too."""
    if not ref.parts and not ref.extra:
        yield name, ref
        return
    waiting = [(name, ref)]
    while waiting:
        name, ref = waiting.pop()
        if not ref.parts:
            yield name, ref
        made_of = (ref.parts or {}) | (ref.extra or {})
        parts = [(f"{name}.{role}", part) for role, part in made_of.items() if type(part) is TensorRef]
        waiting += reversed(parts)


def _range_of(ref: TensorRef, storage: StorageRef) -> Range:
    """Its first byte in the storage, and the one behind its last."""
    if 0 in ref.shape:
        return 0, 0
    item = ref.dtype.itemsize
    begin, end = ref.offset * item, (ref.offset + ref.extent) * item
    if ref.dtype.bits or end > storage.nbytes:  # several elements share a byte
        return 0, storage.nbytes
    return begin, end


# -- reading ----------------------------------------------------------------------------------------------------------


def read_manifest(container: Container) -> Manifest | None:
    """The manifest of a file; None if it has none.

    Raises:
        ChecksumMismatch: the record is damaged.
        ManifestError: it is not what dotpt writes.
        UnsupportedError: a later dotpt wrote it, in a way that this one does not know.
        LimitExceeded: it is too large.
    """
    if container.kind != "zip" or MANIFEST not in container:
        return None
    facts = facts_of(container, MANIFEST)
    found = versioned(read_header(container, MANIFEST), "The manifest", ManifestError, facts, container.limits)
    if found["dotpt"] != VERSION or found.get("hash") != HASH:
        raise UnsupportedError(
            f"The manifest is of version {found['dotpt']!r:.40} with hashes of the kind {found.get('hash')!r:.40}; "
            f"version {VERSION} with {HASH} is known.",
            hint="a newer dotpt may read it: pip install -U dotpt",
            **facts,
        )
    writer, tensors = found.get("writer"), found.get("tensors")
    if type(writer) is not str or len(writer) > _LONGEST_WRITER or type(tensors) is not dict:
        raise ManifestError("The manifest does not give its writer and the tensors.", **facts)
    written = found.get("written")
    if written is not None and not (type(written) is str and _is_time(written)):
        raise ManifestError("The manifest's time is none.", **facts)
    return Manifest(writer, {name: _listed(name, entry, facts) for name, entry in tensors.items()}, written)


def _listed(name: str, entry: Any, facts: Mapping[str, Any]) -> Listed:
    if type(entry) is not dict:
        raise ManifestError("The manifest's entry for a tensor is no JSON object.", key=name[:200], **facts)
    record, place, found = entry.get("record"), entry.get("range"), entry.get("hash")
    if type(record) is not str or type(found) is not str or not _is_hash(found):
        raise ManifestError("The manifest does not give a tensor's record and hash.", key=name[:200], **facts)
    if place is None:
        return Listed(record, None, found)
    if type(place) is not list or [type(at) for at in place] != [int, int] or not 0 <= place[0] <= place[1]:
        raise ManifestError("The manifest's range of a tensor is not two positions.", key=name[:200], **facts)
    return Listed(record, (place[0], place[1]), found)
