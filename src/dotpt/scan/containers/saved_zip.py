"""Zip files as torch saves them: read as load reads them, and every record accounted for."""

from __future__ import annotations

from dotpt.container.crc import crc32
from dotpt.container.record import STORED, ReadAt, Record
from dotpt.container.zip import ZipContainer
from dotpt.formats.contents import Contents
from dotpt.scan.session import Session
from dotpt.scan.strict import read_as_load
from dotpt.source.base import Source
from dotpt.source.windows import Windows

COMPARED = 64 << 20  # bytes of tensors up to which their checksums are compared without being asked
_PIECE = 1 << 20
_PROGRAM = ("constants.pkl", "bytecode.pkl")
_READ_BY_FACTS = frozenset(
    ("version", "byteorder", ".format_version", ".storage_alignment", ".data/version", ".data/serialization_id")
)


def scan_zip(session: Session, source: Source) -> str:
    """Examine a zip file; gives what it is, in words."""
    reading = read_as_load(session, source)
    if reading.contents is not None:
        return account(session, reading.contents)
    from dotpt.scan.containers.zips import scan_unusual

    return scan_unusual(session, source, reading)


def account(session: Session, contents: Contents) -> str:
    """Every record is one that the loader has read, the bytes of a tensor, or is examined now."""
    container = contents.container
    assert isinstance(container, ZipContainer)  # noqa: S101 - what was read is a zip
    tensors = [storage.index for storage in contents.storages.values() if storage.container is container]
    read = {*tensors, *(container.positions.get(name, -1) for name in (*_READ_BY_FACTS, "data.pkl"))}
    is_script = contents.format == "torchscript"
    if is_script:
        read |= {container.positions[name] for name in _PROGRAM if name in contents.container}
        session.add("torchscript", "It holds a TorchScript program.")
        from dotpt.scan.containers import script_code

        script_code.judge_contents(session, contents)
    rest = [name for name, index in container.positions.items() if index not in read]
    session.findings.members += len(container.positions) - len(rest)
    if rest:
        from dotpt.scan.containers.zips import examine_records

        examine_records(session, container, rest, code="code/" if is_script else None)
    _compare(session, container, tensors)
    return "a TorchScript program" if is_script else "a PyTorch file"


def _compare(session: Session, container: ZipContainer, tensors: list[int]) -> None:
    """The tensors' bytes against their checksums, if there are not too many of them, or the user wants it."""
    sizes = container.sizes
    wanted = session.policy.verify
    if wanted is None:
        wanted = sum(sizes[index] for index in tensors) <= COMPARED and not container.source.remote
    if not tensors:
        return
    session.findings.compared = bool(wanted)
    if not wanted:
        return
    without, read = 0, Windows(container.source).read
    for record in sorted(map(container.checked_record, tensors), key=lambda record: record.offset):
        if record.crc is None:
            without += 1
        elif record.method == STORED and _crc(read, record) != record.crc:
            session.add(
                "checksum-mismatch", "The bytes of a tensor are not those that were written.", record=record.name
            )
    if without:
        session.add("no-checksum", f"{without:,} tensors have no checksum, so damage to them would not be noticed.")


def _crc(read: ReadAt, record: Record) -> int:
    at, end = record.offset, record.offset + record.stored
    crc = crc32(read(at, min(_PIECE, end - at)))
    for start in range(at + _PIECE, end, _PIECE):
        crc = crc32(read(start, min(_PIECE, end - start)), crc)
    return crc
