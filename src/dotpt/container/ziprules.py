"""The rules of a strict zip, one error class each.

torch, Python's zipfile and every scanner resolve an ambiguous zip in their own way, and attacks live in the
difference. dotpt has one rule set for every verb: a file that two readers could understand differently is
refused, with the rule's name and the byte offset.
"""

from __future__ import annotations

from typing import ClassVar

from dotpt.errors import ContainerError, TruncatedFile


class ZipError(ContainerError):
    """A rule of the strict zip is broken. Subclasses name the rule; `rule` is its stable id."""

    rule: ClassVar[str] = "zip"
    hint = "do not trust the file: get it again from its author; torch.load may read other data from it than others do"


class MissingEndRecord(ZipError, TruncatedFile):
    """The directory at the end of the file is not there: the file was cut short."""

    rule = "end-record-missing"
    hint = "the file was cut short: copy or download it again"


class TrailingData(ZipError):
    """Bytes follow the end record (a comment counts)."""

    rule = "trailing-data"


class LeadingData(ZipError):
    """Bytes precede the first record."""

    rule = "leading-data"


class EndRecordMismatch(ZipError):
    """The end record disagrees with itself, with its zip64 twin or with the file."""

    rule = "end-record-mismatch"


class DirectoryDamaged(ZipError):
    """The central directory cannot be parsed, or is not as long as it says."""

    rule = "directory-damaged"


class LocalHeaderMismatch(ZipError):
    """A record's local header disagrees with the central directory."""

    rule = "local-header-mismatch"


class DescriptorMismatch(ZipError):
    """A record's data descriptor disagrees with the central directory."""

    rule = "descriptor-mismatch"


class DuplicateRecord(ZipError):
    """Two records have one name, or names that differ only by case."""

    rule = "duplicate-record"


class SecondRoot(ZipError):
    """The records do not share one top folder."""

    rule = "second-root"


class BadRecordName(ZipError):
    """A name that readers take differently: backslashes, dots, NUL, bad UTF-8, absolute."""

    rule = "bad-record-name"


class OverlappingRecords(ZipError):
    """Two records share bytes."""

    rule = "overlapping-records"


class GapBetweenRecords(ZipError):
    """Bytes between two records belong to neither."""

    rule = "gap-between-records"


class EncryptedRecord(ZipError):
    """A record is encrypted."""

    rule = "encrypted-record"
    hint = "unpack it with its password and pack it again without compression"


class UnsupportedFlags(ZipError):
    """A header flag that no writer of torch sets, or the attribute of a folder on a record."""

    rule = "unsupported-flags"


class UnsupportedMethod(ZipError):
    """A compression method other than stored and deflate."""

    rule = "unsupported-method"


class CompressedRecord(ZipError):
    """A pickle or tensor is compressed, which torch never writes, and compression was not allowed."""

    rule = "compressed-record"
    hint = "if you packed it yourself, pass limits=dotpt.Limits(deflated=True) (command line: --deflated)"


class BadExtraField(ZipError):
    """An extra field does not parse, or lacks the 64-bit values it must hold."""

    rule = "bad-extra-field"
