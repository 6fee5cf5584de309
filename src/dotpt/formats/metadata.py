"""The record ``.dotpt/metadata.json``: what the user noted in a file, as JSON. torch ignores it.

::

    {"epoch":3,"license":"mit"}                                   in a small file, and where it is long
    {"epoch":3,"license":"mit"}   ...   spaces and tabs, 4,096    a slot, in files of 1 MiB and more

It is the last record, so a file can be given another one by copying what lies before it. In a slot it is replaced in
place: the content begins at a multiple of 4,096 and is one page, which the system writes whole; and padding is chosen
such that the CRC-32 stays (`container.slot`), so nothing else of the file changes. Reading trusts nothing: it is a
stranger's text, bounded in size, depth and types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from dotpt.container import jsontext
from dotpt.container.record import Container
from dotpt.container.slot import STEERING, padded
from dotpt.container.zipwrite import ALIGNMENT, ZipWriter
from dotpt.errors import ChecksumMismatch, LimitExceeded, ManifestError, UsageError
from dotpt.formats.json_records import facts_of
from dotpt.formats.record_names import METADATA
from dotpt.limits import DEFAULT_LIMITS, MIB
from dotpt.source.overwrite import PAGE

SLOT_FROM = MIB  # bytes before the record: copying less is no trouble, and a page would be much of it
MOST = 16 * MIB
CRC = 0x64742E70  # of every slot, so that a file does not depend on what was in it before
_DIGITS = 39  # of an integer: with a sign, what is read back
_EMPTY = b"{}"
_TRIES = 3
_HINT = (
    "metadata is what JSON has: dict with str keys, list, str, int, float, bool, None; "
    "int(...), float(...) and str(...) make these of other things"
)


def metadata_text(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as it is written: JSON in UTF-8, keys sorted, no spaces.

    Raises:
        UsageError: it holds something that would not be read back as it is; ``key`` says where.

    Example:
        >>> metadata_text({"b": [1, None], "a": "ö"})
        b'{"a":"\\xc3\\xb6","b":[1,null]}'
    """
    if not isinstance(metadata, Mapping):
        raise UsageError(f"Metadata is a dictionary, not of type {type(metadata).__name__}.", hint='{"epoch": 3}')
    checked = _plain(metadata, "", 1)
    text = json.dumps(checked, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    try:
        if len(text) > MOST:
            raise LimitExceeded("header_bytes", len(text), MOST)
        jsontext.parse_json(text, DEFAULT_LIMITS, lambda problem, _: UsageError(problem))
    except LimitExceeded as error:
        raise UsageError(
            f"The metadata is too large to be read back: {error.actual:,} bytes where {error.allowed:,} are read.",
            hint="put large things into the object that is saved",
        ) from None
    return text


def _plain(value: Any, place: str, depth: int) -> Any:
    """``value`` in types that JSON has; a number of numpy's that is also Python's becomes Python's."""
    if value is None or type(value) is bool:
        return value
    if isinstance(value, str):
        if jsontext.is_text(value):
            return str.__str__(value)
        raise _refused("is a text with half a character (a lone surrogate) in it", place)
    if isinstance(value, int):
        if abs(value) < 10**_DIGITS:
            return int(value)
        raise _refused(f"is an integer of more than {_DIGITS} digits", place)
    if isinstance(value, float):
        if isfinite(value):
            return float(value)
        raise _refused(f"is {float(value)}, which JSON does not have", place)
    if depth > jsontext.DEPTH:
        raise _refused(f"lies deeper than {jsontext.DEPTH} levels", place)
    if isinstance(value, Mapping):
        return {
            _key(key, place): _plain(item, f"{place}.{key}" if place else key, depth + 1) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item, f"{place}[{at}]", depth + 1) for at, item in enumerate(value)]
    raise _refused(f"is of type {type(value).__name__}", place)


def _key(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise _refused(f"has the key {key!r:.60}, which is no text", place)
    if not jsontext.is_text(key):
        raise _refused(f"has the key {key!r:.60}, which holds half a character", place)
    return str.__str__(key)


def _refused(what: str, place: str) -> UsageError:
    subject = "A value of the metadata" if place else "The metadata"
    return UsageError(f"{subject} {what}.", key=place or None, hint=_HINT)


def add_metadata(writer: ZipWriter, text: bytes) -> None:
    """Write the record, if there is something to write or room to be kept for later. It must be the last one.

    Args:
        text: as `metadata_text` gives it.
    """
    if writer.position >= SLOT_FROM and fits_slot(text):
        writer.add(METADATA, padded(text, PAGE, CRC), alignment=PAGE, checksum=True)
    elif text != _EMPTY:
        writer.add(METADATA, text, alignment=ALIGNMENT, checksum=True)


def fits_slot(text: bytes) -> bool:
    """Whether one page holds the text and the padding that it needs."""
    return len(text) + STEERING <= PAGE


def _read(container: Container) -> bytes:
    """The record's content. A page that somebody is replacing at this moment is read again."""
    for _ in range(_TRIES):
        try:
            return container.read(METADATA)
        except ChecksumMismatch as error:
            damaged = error
    damaged.hint = "`dotpt metadata FILE --clear KEY=VALUE` writes it anew; the tensors are not concerned"
    raise damaged


def read_record(container: Container) -> dict[str, Any]:
    """The metadata in a container; empty if it has none.

    Raises:
        ChecksumMismatch: the record is damaged.
        ManifestError: it is not what dotpt writes.
    """
    if container.kind != "zip" or METADATA not in container:
        return {}
    size = container.record(METADATA).size
    facts = facts_of(container, METADATA)
    if size > MOST:
        raise ManifestError(f"The metadata has {size:,} bytes; at most {MOST:,} are read.", **facts)
    content = _read(container)
    found = jsontext.parse_json(content, container.limits, lambda problem, _: ManifestError(problem, **facts))
    if type(found) is not dict:
        raise ManifestError("The metadata is not a JSON object.", **facts)
    return found
