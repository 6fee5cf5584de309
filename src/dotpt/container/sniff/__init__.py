"""What crosses this boundary: a source (or a folder) in, what it is out, in one or two small reads.

The first room on the road: every verb asks here what a file is, and users who gave something else are told
what it is and what to do. It reads at most the first 4 KiB and, of a zip file, the last 64 KiB; it decodes
nothing and believes nothing: a verdict picks the reader, and the reader checks.

* `result`: the answer            * `pickles`: walks over opcodes, runs none   * `zips`, `tars`: kinds of archives
* `foreign`: a table of magics    * `texts`: pointers and error pages          * `folders`: kinds of folders
* `words`: the answer as an error
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from urllib.parse import urlsplit

from dotpt.container.sniff.folders import diagnose_folder
from dotpt.container.sniff.foreign import by_magic, by_name, by_structure
from dotpt.container.sniff.pickles import Walk, legacy_protocol, seems_pickle, walk_pickle
from dotpt.container.sniff.result import Sniffed
from dotpt.container.sniff.tars import is_tar, sniff_tar
from dotpt.container.sniff.texts import sniff_text
from dotpt.container.sniff.words import not_a_torch_file, sentence
from dotpt.container.sniff.zips import TAIL, sniff_zip
from dotpt.source.base import Source

__all__ = ["Sniffed", "diagnose_folder", "not_a_torch_file", "sentence", "sniff"]

HEAD = 4096
_SAFETENSORS_HEADER = 100_000_000  # the limit of the format
_UNKNOWN_SIZE = 1 << 62
_AGAIN = "copy or download the file again"


def sniff(source: Source) -> Sniffed:
    """What kind of file ``source`` is.

    At most two reads: the first 4 KiB and, if it is a zip file, the last 64 KiB.

    Raises:
        SourceError: the bytes could not be read.
    """
    if source.size == 0:
        return Sniffed("empty", "an empty file", hint=_AGAIN)
    head = source.read(0, min(HEAD, source.size))
    if head.startswith(b"PK\x03\x04"):
        length = min(TAIL, source.size)
        tail = head if len(head) == source.size else source.read(source.size - length, length)
        return _partly(sniff_zip(head, tail, source.size), source)
    return _partly(_sniff_head(head, source.size, _base_name(source)), source)


def _sniff_head(head: bytes, size: int, name: str) -> Sniffed:
    """The kinds that the head alone tells apart. Their order is torch.load's, then from sure to unsure."""
    protocol = legacy_protocol(head)
    if protocol is not None:
        label = "a PyTorch file in the format before 1.6"
        return Sniffed("legacy", label, torch=True, details={"protocol": protocol})
    walk = walk_pickle(head, size)
    seen = _container(head, size) or by_magic(head)
    if walk.calls:
        # whatever it is dressed up as, pickle.load would run it
        return _pickle(walk, dressed_as=seen)
    if seen is not None:
        if seen.torch and not walk.failed:
            seen.details["also_pickle"] = True
        return _with_content(seen, head)
    if not head.strip(b"\0"):
        return Sniffed("zeros", "a file that begins with zero bytes", details={"zeros": len(head)}, hint=_AGAIN)
    if seems_pickle(walk, head):
        return _pickle(walk)
    known = sniff_text(head, whole=len(head) == size) or by_structure(head, size, name) or by_name(name)
    if known is not None:
        return known
    # a long string at its start can hide what a stream does, and it need not say that it is a pickle
    details = {"begins": head[:16].hex(" "), "also_pickle": not walk.failed}
    return Sniffed("unknown", "a file of an unknown kind", details=details)


def _container(head: bytes, size: int) -> Sniffed | None:
    """safetensors and tar."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length <= _SAFETENSORS_HEADER:
        details = {"header_bytes": length, "truncated": length > size - 8}
        hint = _AGAIN if details["truncated"] else None
        return Sniffed("safetensors", "a safetensors file", torch=True, details=details, hint=hint)
    return sniff_tar(head) if is_tar(head) else None


def _pickle(walk: Walk, dressed_as: Sniffed | None = None) -> Sniffed:
    details = {"protocol": walk.protocol or 0, "dressed_as": dressed_as.label if dressed_as else None}
    return Sniffed("pickle", "a plain pickle", torch=True, details=details)


def _with_content(seen: Sniffed, head: bytes) -> Sniffed:
    """For a gzip file, also what is in it."""
    if seen.kind != "gzip":
        return seen
    try:
        inner = zlib.decompressobj(wbits=31).decompress(head, HEAD)
    except zlib.error:
        return seen
    if not inner:
        return seen
    is_zip = inner.startswith(b"PK\x03\x04")
    within = Sniffed("zip", "a zip file") if is_zip else _sniff_head(inner, _UNKNOWN_SIZE, "")
    label = f"a gzip-compressed file ({within.label} is in it)" if within.kind != "gzip" else seen.label
    return replace(seen, label=label, details={"holds": within.kind})


def _partly(sniffed: Sniffed, source: Source) -> Sniffed:
    """Note that the name says "not finished", where the content does not say so itself."""
    unfinished = by_name(_base_name(source))
    if unfinished is None or unfinished.kind != "partial-download" or sniffed.kind == unfinished.kind:
        return sniffed
    if sniffed.torch:
        sniffed.details["unfinished_name"] = True
        return replace(sniffed, hint=sniffed.hint or unfinished.hint)
    return replace(unfinished, details={"holds": sniffed.kind}) if sniffed.kind in ("zeros", "unknown") else sniffed


def _base_name(source: Source) -> str:
    name = source.name
    if "://" in name:
        try:
            name = urlsplit(name).path
        except ValueError:
            return ""
    return name.replace("\\", "/").rpartition("/")[2]
