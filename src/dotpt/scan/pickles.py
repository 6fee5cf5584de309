"""Pickles that are a file, or a part of one: torch's format before 1.6, and any other, one or several in a row."""

from __future__ import annotations

from dotpt.archive.opening import TrailingBytes
from dotpt.container.sniff.result import Sniffed
from dotpt.errors import NotATorchFile, PickleError
from dotpt.scan.containers.joblib_files import is_joblib, scan_joblib
from dotpt.scan.raw import search_names
from dotpt.scan.session import Session
from dotpt.scan.strict import read_as_load
from dotpt.source.base import Source
from dotpt.source.part import PartSource


def scan_pickles(session: Session, source: Source, sniffed: Sniffed) -> str:
    """Examine pickles; gives what they are, in words."""
    disguise = sniffed.details.get("dressed_as")
    if disguise:
        session.add("disguised", f"It begins as {disguise}, and is a pickle that calls something.")
    if sniffed.kind == "pickle" and is_joblib(source):
        return scan_joblib(session, source)
    reading = read_as_load(session, source)
    contents, error = reading.contents, reading.error
    if contents is not None:
        if len(contents.shards) > 1 or contents.shards:
            session.add("several-pickles", f"It holds {1 + len(contents.shards):,} objects one after the other.")
        return "a PyTorch file in the format before 1.6" if contents.format == "legacy" else "a pickle"
    assert error is not None  # noqa: S101 - there are contents, or a reason why not
    session.report(error)
    if isinstance(error, TrailingBytes) and error.offset:
        _examine_rest(session, source, error.offset)
    elif isinstance(error, (PickleError, NotATorchFile)) or session.findings.findings:
        search_names(session, source)
    return "a PyTorch file in the format before 1.6" if sniffed.kind == "legacy" else "a pickle"


def _examine_rest(session: Session, source: Source, start: int) -> None:
    """What stands behind the end."""
    from dotpt.scan.examine import examine

    with session.inside(f"from byte {start:,} on") as allowed:
        if allowed:
            examine(session, PartSource(source, start, source.size - start, source.name), whole=False, doubtful=True)
