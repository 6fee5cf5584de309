"""What a member is, and who looks into it: zips here, since most files are, everything else in `others`."""

from __future__ import annotations

from dotpt.scan.session import Session
from dotpt.source.base import Source


def examine(session: Session, source: Source, *, whole: bool, doubtful: bool = False) -> str:
    """Examine a member; gives what it is, in words.

    Args:
        session: where findings go.
        source: the member.
        whole: whether it is the file itself. A part of another file may be a text, or raw numbers without a name.
        doubtful: whether the file around it is broken, so that bytes which are nothing known are no news.
    """
    if source.size == 0:
        if whole:
            session.findings.other = True
            session.add("not-a-model", "The file is empty.")
        return "an empty file"
    if source.size >= 4 and source.read(0, 4) == b"PK\x03\x04":
        from dotpt.scan.containers.saved_zip import scan_zip

        return scan_zip(session, source)
    from dotpt.scan.others import examine_other

    return examine_other(session, source, whole=whole, doubtful=doubtful)
