"""Zip files that are not as torch saves them: other kinds, record by record; broken ones, by every reader's view."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from dotpt.container import ziprules
from dotpt.container.zip import ZipContainer
from dotpt.errors import DotptError, LimitExceeded, NotATorchFile, PickleError, TensorError, UnsupportedError
from dotpt.formats.decoding import TrailingBytes
from dotpt.scan.containers import script_code, zip_kinds
from dotpt.scan.containers.members import Members
from dotpt.scan.containers.saved_zip import account, scan_zip
from dotpt.scan.containers.zip_content import content_of
from dotpt.scan.containers.zip_views import Place, views
from dotpt.scan.session import Session
from dotpt.scan.strict import Reading, read_as_load
from dotpt.source.base import Source
from dotpt.source.memory import BytesSource
from dotpt.source.part import PartSource

# Not a rule broken, but another kind of zip: one that torch does not write.
_OTHER_KINDS = (
    NotATorchFile, UnsupportedError, ziprules.SecondRoot, ziprules.CompressedRecord, ziprules.BadRecordName,
)  # fmt: skip
_OF_A_PICKLE = (LimitExceeded, PickleError, TensorError)
_SEARCHED = 64 << 20  # bytes in which the beginning of an appended archive is looked for
_END_RECORD = 22


def scan_unusual(session: Session, source: Source, reading: Reading) -> str:
    """Examine a zip file that load refuses, for the reason in ``reading``; gives what it is, in words."""
    comment = _comment(source) if isinstance(reading.error, ziprules.TrailingData) else 0
    if comment:
        source, refusal = _Uncommented(source, comment), reading.error
        reading = read_as_load(session, source)
        if reading.contents is not None and refusal is not None:
            session.report(refusal)  # torch writes no comments
        else:
            session.add("trailing-data", "The archive has a comment.", severity="info")
    if reading.contents is not None:
        return account(session, reading.contents)
    if isinstance(reading.error, ziprules.CompressedRecord):  # torch reads it, and load where it is asked to
        unpacked = read_as_load(session, source, deflated=True)
        if unpacked.contents is not None:
            session.report(reading.error)
            return f"{account(session, unpacked.contents)}, packed again"
    if isinstance(reading.error, _OTHER_KINDS):
        return _other(session, source, reading)
    assert reading.error is not None  # noqa: S101 - there are contents, or a reason why not
    if isinstance(reading.error, ziprules.ZipError):
        from dotpt.scan.containers.distributed import scan_in_a_row

        kind = scan_in_a_row(session, source)
        if kind is not None:
            return kind
    session.report(reading.error)
    # what the machine took as far as it goes, it would not take farther a second time
    stopped = isinstance(reading.error, _OF_A_PICKLE) and not isinstance(reading.error, TrailingBytes)
    _every_view(session, source, but=reading.error.record if stopped else None)
    is_packed = isinstance(reading.error, (ziprules.UnsupportedMethod, ziprules.EncryptedRecord))
    return "a zip archive" if is_packed else "a PyTorch file that cannot be loaded"


# -- other zips -----------------------------------------------------------------------------------------------------


def _other(session: Session, source: Source, reading: Reading) -> str:
    """A zip of another kind: each of its records is accounted for by what its kind says, or is a file to examine."""
    error = reading.error
    try:
        container = ZipContainer(source, replace(session.limits, deflated=True), rooted=False)
        container.check_layout()
    except DotptError as broken:
        session.report(broken)
        _every_view(session, source)
        return "a zip archive"
    names = container.names
    looks_like_torchs = any(name.rpartition("/")[2].lower() == "data.pkl" for name in names)
    if looks_like_torchs and error is not None and not isinstance(error, UnsupportedError):
        session.report(error)  # load refuses it
    kind = zip_kinds.kind_of(names)
    accounted = kind.account(session, container)
    rest = [name for name in names if name not in accounted]
    examine_records(session, container, rest, code=kind.code, compiled=kind.compiled)
    return kind.label


def examine_records(
    session: Session, container: ZipContainer, names: Collection[str], *, code: str | None, compiled: bool = False
) -> None:
    """Look into records as files of their own.

    Args:
        session: where findings go.
        container: the archive.
        names: the records.
        code: the folder with TorchScript's texts, if there is one.
        compiled: whether sources in C are a part of its programs.
    """
    members = Members(session, compiled=compiled)
    for name in names:
        try:
            record = container.record(name)
        except DotptError as error:
            session.report(error)
            continue
        place = Place(name, record.offset, record.stored, record.method, 0, record.crc or 0)
        with content_of(session, container.source, place, record.size) as content:
            if content is None:
                continue
            if code is not None and code in name and name.endswith(".py"):
                script_code.judge(session, name, content)
            elif not members.look(name, content):
                break
    members.report()


# -- broken ones ----------------------------------------------------------------------------------------------------


def scan_appended_zip(session: Session, source: Source) -> None:
    """Look into a zip archive that stands behind something else."""
    if source.size == _END_RECORD:
        return  # an archive of nothing
    head = source.read(0, min(source.size, _SEARCHED))
    start = head.find(b"PK\x03\x04")
    if start < 0:
        session.add("truncated", f"The archive does not begin within the first {_SEARCHED:,} bytes.")
        return
    with session.inside(f"from byte {start:,} on") as allowed:
        if allowed:
            scan_zip(session, PartSource(source, start, source.size - start, source.name))


def _every_view(session: Session, source: Source, *, but: str | None = None) -> None:
    """Look into everything that any reader may take for a member. The verdict is not clean; it may become worse.

    Args:
        session: where findings go.
        source: the archive.
        but: a record, without its top folder, that was looked into already.
    """
    from dotpt.scan.raw import search_names

    try:
        found = views(source, session.limits)
    except DotptError as error:
        session.report(error)
        search_names(session, source)
        return
    for rule, text, name, offset in found.wrong:
        session.add(rule, text, record=name, offset=offset)
    if found.too_many:
        session.add("limit-exceeded", f"More than {len(found.places):,} members are claimed; not all were looked into.")
    members = Members(session, doubtful=True)
    for place in found.places:
        if but is not None and place.name.partition("/")[2] == but:
            continue
        if not session.may_doubt(place.stored):
            session.add("limit-exceeded", "Its members claim the same bytes too often; not all were looked into.")
            break
        with content_of(session, source, place) as content:
            if content is not None and not members.look(place.name, content):
                break
    members.report()
    search_names(session, source)


# -- comments -------------------------------------------------------------------------------------------------------


def _comment(source: Source) -> int:
    """The length of the comment of an archive, if its tail has exactly one end record, and the comment is text."""
    length = min(source.size, (1 << 16) + _END_RECORD)
    tail = source.read(source.size - length, length)
    at = tail.find(b"PK\x05\x06")
    if at < 0 or at != tail.rfind(b"PK\x05\x06") or at + _END_RECORD >= len(tail):
        return 0
    comment = tail[at + _END_RECORD :]
    is_text = comment.isascii() and comment.decode("ascii").replace("\r", "").replace("\n", "").isprintable()
    return len(comment) if is_text and int.from_bytes(tail[at + 20 : at + 22], "little") == len(comment) else 0


class _Uncommented(Source):
    """An archive without its comment."""

    def __init__(self, whole: Source, comment: int) -> None:
        self.name, self.remote = whole.name, whole.remote
        self.size = whole.size - comment
        self._body = PartSource(whole, 0, self.size - 2, whole.name)
        self._length = BytesSource(b"\0\0")

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with the bytes from ``offset`` on."""
        self.check_range(offset, len(target))
        body = max(0, min(len(target), self._body.size - offset))
        if body:
            self._body.read_into(offset, target[:body])
        if body < len(target):
            self._length.read_into(offset + body - self._body.size, target[body:])
