"""Members that are no zip: pickles, safetensors, tar, arrays, what is compressed; texts; and what nobody knows."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable

from dotpt.container.sniff import sniff
from dotpt.container.sniff.result import Sniffed
from dotpt.scan.pickles import scan_pickles
from dotpt.scan.raw import search_names
from dotpt.scan.session import Session
from dotpt.scan.strict import read_as_load
from dotpt.source.base import Source

_TEXTS = frozenset(("text", "json", "html", "xml", "git-lfs", "git-annex", "dvc", "shard-index"))
_MEDIA = frozenset(("image", "pdf", "zeros"))
_EMPTY_ZIP = 22  # bytes of an end record, which is all there is
_MOST_TEXT = 64 << 20
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


def examine_other(session: Session, source: Source, *, whole: bool, doubtful: bool) -> str:
    """As `examine`, for what is no zip."""
    sniffed = sniff(source)
    scan = _scanner(sniffed.kind)
    if scan is not None:
        return scan(session, source, sniffed)
    if sniffed.kind not in _TEXTS | _MEDIA and sniffed.details.get("also_pickle"):
        scan_pickles(session, source, sniffed)
        return sniffed.label
    if _is_text(source):
        if not whole and _names_classes(source):
            session.add("not-supported", "It is a file of skops, which names classes to build; dotpt does not read it.")
            return "a file of skops"
        session.findings.other = whole
        if whole:
            session.add("not-a-model", f"This is {sniffed.label}, no file that torch or pickle loads.")
        return sniffed.label
    if sniffed.kind == "zip-archive" and source.size == _EMPTY_ZIP:
        return sniffed.label
    if sniffed.kind == "unknown":
        from dotpt.scan.containers.packed import scan_bare

        unpacked = scan_bare(session, source)
        if unpacked is not None:
            return unpacked
    _unknown(session, source, sniffed, whole=whole, doubtful=doubtful)
    return sniffed.label


Scanner = Callable[[Session, Source, Sniffed], str]


def _scanner(kind: str) -> Scanner | None:
    if kind in ("legacy", "pickle"):
        return scan_pickles
    if kind == "safetensors":
        return _scan_safetensors
    if kind in ("tar", "tar-archive", "nemo"):
        from dotpt.scan.containers.tars import scan_tar

        return scan_tar
    if kind == "npy":
        from dotpt.scan.containers.numpy_files import scan_npy

        return scan_npy
    if kind in ("gzip", "bzip2", "xz", "zstd", "lz4"):
        from dotpt.scan.containers.packed import scan_packed

        return scan_packed
    return None


def _scan_safetensors(session: Session, source: Source, sniffed: Sniffed) -> str:
    reading = read_as_load(session, source)
    if reading.error is not None:
        session.report(reading.error)
        search_names(session, source)
    if sniffed.details.get("also_pickle"):
        session.add("disguised", "It begins as a safetensors file and as a pickle.")
        scan_pickles(session, source, sniffed)
    return "a safetensors file"


def _unknown(session: Session, source: Source, sniffed: Sniffed, *, whole: bool, doubtful: bool) -> None:
    """Bytes that no reader of ours takes."""
    tail = source.read(max(0, source.size - (1 << 16)), min(source.size, 1 << 16))
    if b"PK\x05\x06" in tail:  # tools that go by the end of a file take it for a zip
        from dotpt.scan.containers.zips import scan_appended_zip

        session.add("disguised", f"It begins as {sniffed.label}, and ends as a zip archive.")
        scan_appended_zip(session, source)
        return
    search_names(session, source)
    if sniffed.kind in _MEDIA:
        session.findings.other = whole
    if doubtful:
        return
    known = sniffed.kind not in ("unknown", "zeros")
    rule = "not-a-model" if sniffed.kind in _MEDIA and whole else "not-supported" if known else "unknown-kind"
    session.add(rule, f"It is {sniffed.label}, which dotpt does not look into.")


def _names_classes(source: Source) -> bool:
    """Whether a JSON text is what skops builds objects from."""
    head = source.read(0, min(source.size, 1 << 16))
    return head.lstrip().startswith(b"{") and b'"__loader__"' in head and b'"__module__"' in head


def _is_text(source: Source) -> bool:
    """Whether all of it is text, which no loader of pickles takes for anything."""
    if source.size > _MOST_TEXT:
        return False
    decoder, length = getincrementaldecoder("utf-8")(), 1 << 12  # what is none mostly shows at once
    at = 0
    while at < source.size:
        content = source.read(at, min(length, source.size - at))
        at, length = at + len(content), 1 << 20
        if content.translate(None, _CONTROLS) != content:
            return False
        try:
            decoder.decode(content, final=at == source.size)
        except UnicodeDecodeError:
            return False
    return True
