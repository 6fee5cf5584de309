"""What `dotpt.verify` found, as records for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotpt.errors import DotptError

if TYPE_CHECKING:
    from dotpt.signing.check import SignatureCheck

SCHEMA = "dotpt.verify/1"


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """What became of one record.

    Attributes:
        name: the record's name (of a sharded file: with its shard's before it).
        size: bytes of its content.
        status: ``ok``, ``damaged`` (its bytes are not those that were written), ``no checksum``, ``unreadable``.
    """

    name: str
    size: int
    status: str

    def to_dict(self) -> dict[str, Any]:
        """The facts as plain values."""
        return {"name": self.name, "size": self.size, "status": self.status}


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """A record whose bytes are not those that were written, and the tensors that live in it."""

    name: str
    size: int
    tensors: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The facts as plain values."""
        return {"name": self.name, "size": self.size, "tensors": list(self.tensors)}


@dataclass(frozen=True, slots=True)
class Deviation:
    """A rule that the file breaks.

    Attributes:
        rule: a stable id: of a zip, `ZipError.rule`; else the name of the error's class.
        text: what is wrong, a sentence.
        offset: the byte at which it was seen, or None.
        record: the record concerned, or None.
    """

    rule: str
    text: str
    offset: int | None = None
    record: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The facts as plain values."""
        return {"rule": self.rule, "text": self.text, "offset": self.offset, "record": self.record}


@dataclass(slots=True)
class Verification:
    """The outcome of `dotpt.verify`.

    Attributes:
        path: the file as the user named it.
        format: its container.
        records: every record, in the order of the file.
        damaged: those that are damaged or unreadable, with the tensors that live in them.
        deviations: rules that the file breaks.
        tensors: how many tensors' bounds were checked.
        writer: what wrote the file, as its manifest says; None if it has none (then there are no hashes).
        hashed: how many tensors were compared with the hashes in the manifest.
        bytes: bytes that were read and compared with a checksum or a hash.
        seconds: how long it took.
        notes: what could not be compared, and why, one sentence each.
        signature: what became of the signature; None if no key was given to compare it with.
    """

    path: str
    format: str
    records: list[RecordCheck] = field(default_factory=list)
    damaged: list[DamagedRecord] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)
    tensors: int = 0
    bytes: int = 0
    seconds: float = 0.0
    writer: str | None = None
    hashed: int = 0
    notes: list[str] = field(default_factory=list)
    signature: SignatureCheck | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Records without a checksum or a hash are not wrong, only `unverified`."""
        return not self.damaged and not self.deviations

    @property
    def unverified(self) -> list[str]:
        """Names of the records that have no checksum to compare with."""
        return [record.name for record in self.records if record.status == "no checksum"]

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, with a stable layout (``"schema": "dotpt.verify/1"``)."""
        return {
            "schema": SCHEMA,
            "path": self.path,
            "format": self.format,
            "ok": self.ok,
            "records": [record.to_dict() for record in self.records],
            "damaged": [record.to_dict() for record in self.damaged],
            "unverified": self.unverified,
            "deviations": [deviation.to_dict() for deviation in self.deviations],
            "tensors": self.tensors,
            "writer": self.writer,
            "hashed": self.hashed,
            "notes": list(self.notes),
            "signature": self.signature.to_dict() if self.signature is not None else None,
            "bytes": self.bytes,
            "seconds": self.seconds,
        }


def deviation_of(error: DotptError) -> Deviation:
    """An error as a line of a `Verification`."""
    rule = getattr(error, "rule", None) or type(error).__name__
    return Deviation(rule, error.problem, error.offset, error.record)
