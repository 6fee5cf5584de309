"""Why dotpt refuses a file that torch.load(weights_only=True) reads: every reason, each with what it is good for.

A refusal that is not in this table is a find. The left side is the error's class, and its rule, its limit, or the
beginning of its sentence.
"""

from __future__ import annotations

from typing import Any

#: One that keeps a promise of the strict zip: torch (miniz) and Python's zipfile resolve it differently, or not at all.
_TWO_READERS = "two readers of zip files can read two things"
_NOBODY = "no writer of torch's or Python's writes it, and other readers take it differently"

REFUSALS: dict[tuple[str, str], str] = {
    ("ChecksumMismatch", ""): "the bytes are damaged: torch reads the damaged numbers",
    ("DescriptorMismatch", "descriptor-mismatch"): _TWO_READERS + ": torch reads no descriptor",
    ("TrailingData", "trailing-data"): _TWO_READERS + ": what is behind the end record may be another archive",
    ("LeadingData", "leading-data"): _TWO_READERS,
    ("EndRecordMismatch", "end-record-mismatch"): _TWO_READERS
    + ": torch ignores disks, counts and a broken zip64 record",
    ("MissingEndRecord", "end-record-missing"): _TWO_READERS + ": torch looks for an end record 64 KiB back",
    ("DirectoryDamaged", "directory-damaged"): _TWO_READERS + ": torch reads a part of the directory",
    ("DuplicateRecord", "duplicate-record"): _TWO_READERS + ": which of two wins depends on how they are sorted",
    ("GapBetweenRecords", "gap-between-records"): _TWO_READERS + ": a record may hide there",
    ("LocalHeaderMismatch", "local-header-mismatch"): _TWO_READERS + ": torch looks at the directory alone",
    ("OverlappingRecords", "overlapping-records"): _TWO_READERS,
    ("CompressedRecord", "compressed-record"): "small files that become large; `Limits.deflated` allows them",
    ("BadRecordName", "bad-record-name"): _TWO_READERS,
    ("BadExtraField", "bad-extra-field"): _TWO_READERS,
    ("SecondRoot", "second-root"): _TWO_READERS,
    ("UnsupportedFlags", "unsupported-flags"): _TWO_READERS,
    ("EncryptedRecord", "encrypted-record"): _TWO_READERS,
    ("UnsupportedMethod", "unsupported-method"): _TWO_READERS + ": torch looks at the method of records that it reads",
    ("RecordMissing", ""): "torch finds names in any case (DATA.PKL for data.pkl); others do not",
    (
        "ContainerError",
        "The record is not the short text it should be",
    ): "a record about the file is damaged; torch reads few",
    ("ContainerError", "The file is of version"): "the version is damaged: torch reads the leading digits",
    (
        "NotATorchFile",
        "This zip archive is not a PyTorch file: it has no data.pkl",
    ): "torch finds it in any case, likewise",
    ("ContainerError", "The file has no version record"): "torch looks for it without its folder, or not at all",
    ("ContainerError", "The byte order is"): "the byte order is damaged",
    ("PickleError", "bytes follow the pickle"): "something is hidden behind the pickle",
    ("TrailingBytes", ""): "something is hidden behind the file's content",
    ("LegacyError", ""): "something is hidden behind the file's content",
    ("PickleError", "The pickle ends with"): "CPython leaves them, torch drops them: a stream that no pickler writes",
    ("PickleError", "The pickle is of protocol"): "protocols above 5 do not exist",
    ("PickleError", "A number is not written as Python writes it"): _NOBODY,
    ("PickleError", "The pickle is malformed"): _NOBODY,
    (
        "PickleError",
        "torch._utils.",
    ): "arguments that torch's own writer never gives: flags that are no booleans, marks unknown",
    ("PickleError", "The pickle calls a StorageClass"): "torch makes an empty storage; no pickler calls its class",
    ("PickleError", "torch._tensor."): "arguments that torch's own writer never gives",
    ("PickleError", "torch.Size is called"): "arguments that torch's own writer never gives",
    ("TensorError", "A tensor's"): "sizes, strides or an offset that are no counts: negative, or True for 1",
    ("TensorError", "The tensor has"): "sizes and strides of different lengths, where the tensor is empty",
    (
        "TensorError",
        "The tensor reaches outside its storage",
    ): "packed elements (quint4x2) outside of a quantized tensor",
    ("TensorError", "The sparse_"): "indices outside the shape, which torch checks on demand only",
    ("TensorError", "The pickle gives one storage two sizes"): "torch believes the first of two sizes",
    ("TensorError", "The record holds"): "torch reads a part of the record",
    ("TensorError", "The tensor is of"): _NOBODY,
    (
        "TensorError",
        "The file's objects cannot be built (ValueError: array is too big",
    ): "2**63 times nothing is no array",
    ("PickleError", "A storage reference of the pickle has"): "True for a number of elements",
    ("LimitExceeded", ""): "a limit; `Limits` raises it",
}
DIFFERENCES: dict[str, str] = {
    "UnknownQuantizer": "a quantized type in a call for plain tensors: both give a tensor that torch cannot even print",
    "values.StorageClass' in a, 'torch.serialization.StorageType'": "a storage class as a value: both keep a stand-in",
    "not implemented for": "torch cannot compute with the type, so the two cannot be compared",
    "values.InertGlobal' in a, 'builtins.builtin_function_or_method'": "a function by itself stays a name",
    "values.InertGlobal' in a, 'builtins.function'": "a function by itself stays a name",
}


def of_refusal(error: dict[str, Any]) -> str | None:
    """The reason for a refusal; None if there is none."""
    for (kind, what), reason in REFUSALS.items():
        if error["error"] == kind and (
            what in ("", error["rule"]) or error["problem"].lstrip("0123456789, ").startswith(what)
        ):
            return reason
    return None


def of_difference(text: str, byteorder: str) -> str | None:
    """The reason for a difference between the two trees; None if there is none."""
    if byteorder == "big" and " byte " in text:
        return "big-endian-untyped, as docs/differences.md has it"
    return next((reason for part, reason in DIFFERENCES.items() if part in text), None)
