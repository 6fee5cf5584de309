"""The safetensors container: a JSON header, then the bytes of the tensors, without a gap between them.

Byte layout (numbers little-endian)::

    0      n, 8 bytes                      length of the header
    8      header, n bytes of JSON         {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]},
                                            "__metadata__": {"KEY": "TEXT"}}      spaces may follow, for alignment
    8+n    the tensors' bytes              BEGIN and END count from here

The rules of the format (safetensors' README, and its Rust code of 0.8): tensors are contiguous and little-endian,
they cover the whole rest of the file in some order without holes or overlaps, and no key stands twice. There are
no checksums. Every rule is checked on opening; nothing is aligned by necessity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dotpt.container.jsontext import is_text, parse_json
from dotpt.container.record import Record, RecordTable
from dotpt.errors import LimitExceeded, SafetensorsError, TruncatedFile
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source.base import Source

# name on the wire -> torch's name (None: torch has no such type), bits of one element
WIRE_TYPES: dict[str, tuple[str | None, int]] = {
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8), "U16": ("uint16", 16), "I16": ("int16", 16),
    "U32": ("uint32", 32), "I32": ("int32", 32), "U64": ("uint64", 64), "I64": ("int64", 64), "F16": ("float16", 16),
    "BF16": ("bfloat16", 16), "F32": ("float32", 32), "F64": ("float64", 64), "C64": ("complex64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8), "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F4": ("float4_e2m1fn_x2", 4), "F6_E2M3": (None, 6), "F6_E3M2": (None, 6),
}  # fmt: skip
METADATA = "__metadata__"
_FIELDS = ("dtype", "shape", "data_offsets")
_MAX_INT64 = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What the header says of one tensor: its type on the wire, and its shape in elements of that type."""

    dtype: str
    shape: tuple[int, ...]


class SafetensorsContainer(RecordTable):
    """An open safetensors file that obeys the rules of the format.

    Attributes:
        entries: what the header says of each tensor, in its order.
        metadata: what the author wrote beside them.
        header_bytes: length of the header.
        unknown_fields: fields of tensors that are not of the format (its own reader ignores them).
    """

    kind = "safetensors"
    absent = "The file has no such tensor."

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(source, limits)
        self.entries: dict[str, Entry] = {}
        self.metadata: dict[str, str] = {}
        self.unknown_fields: set[str] = set()
        header = self._read_header()
        metadata = header.pop(METADATA, None)
        if len(header) > limits.records:
            raise LimitExceeded("records", len(header), limits.records, path=source.name)
        if metadata is not None:
            self._take_metadata(metadata)
        for name, facts in header.items():
            self._take(name, facts)
        self._check_cover()

    # -- the header -----------------------------------------------------------------------------------------------

    def _read_header(self) -> dict[str, Any]:
        source = self.source
        if source.size < 8:
            raise self._cut(8, "the length of its header")
        self.header_bytes = length = int.from_bytes(source.read(0, 8), "little")
        if length > self.limits.header_bytes:
            raise LimitExceeded("header_bytes", length, self.limits.header_bytes, path=source.name, offset=0)
        if 8 + length > source.size:
            raise self._cut(8 + length, "its header")
        text = source.read(8, length)
        if text[:1] != b"{":
            raise self._broken("The header does not begin with a brace.", 8)
        header = parse_json(text, self.limits, lambda problem, at: self._broken(problem, 8 + (at or 0)))
        if type(header) is not dict:
            raise self._broken("The header is not a JSON object.", 8)
        return header

    def _take_metadata(self, metadata: Any) -> None:
        if type(metadata) is not dict or not all(is_text(text) for text in metadata.values()):
            raise self._broken(f"{METADATA} is not a JSON object of texts.", 8)
        self.metadata = metadata

    def _take(self, name: str, facts: Any) -> None:
        """Check what the header says of one tensor by itself."""
        if type(facts) is not dict or not facts.keys() >= set(_FIELDS):
            raise self._broken(f"The header does not give the tensor's {', '.join(_FIELDS)}.", 8, name)
        self.unknown_fields.update(facts.keys() - set(_FIELDS))
        dtype, shape, place = (facts[field] for field in _FIELDS)
        if type(dtype) is not str or dtype not in WIRE_TYPES:
            raise self._broken(f"The tensor is of the unknown type {dtype!r:.60}.", 8, name)
        if not _sizes(shape):
            raise self._broken("The tensor's shape is not a list of sizes.", 8, name)
        if len(shape) > self.limits.tensor_dims:
            raise LimitExceeded("tensor_dims", len(shape), self.limits.tensor_dims, path=self.source.name, key=name)
        if not _sizes(place) or len(place) != 2 or place[0] > place[1]:
            raise self._broken("The tensor's data_offsets are not two positions, first and last.", 8, name)
        begin, end = place
        bits = WIRE_TYPES[dtype][1]
        for size in shape:
            bits *= size
        if bits != 8 * (end - begin):
            raise self._broken(
                f"The tensor's shape and type need {bits / 8:,.10g} bytes, its data_offsets span {end - begin:,}."
                if bits < 1 << 60
                else "The tensor's shape has more elements than its data_offsets span.",
                8,
                name,
            )
        self.entries[name] = Entry(dtype, tuple(shape))
        self._records[name] = Record(name, 8 + self.header_bytes + begin, end - begin, end - begin)

    def _check_cover(self) -> None:
        """The tensors lie one after the other, from the header's end to the file's."""
        position = 8 + self.header_bytes
        for record in sorted(self._records.values(), key=lambda record: (record.offset, record.size)):
            if record.offset != position:
                what = f"{record.offset - position:,} bytes before the tensor belong to none"
                if record.offset < position:
                    what = "The tensor's bytes overlap those of another one"
                raise self._broken(f"{what}.", min(record.offset, position), record.name, record.offset, position)
            position += record.size
        if position > self.source.size:
            raise self._cut(position, "its tensors")
        if position < self.source.size:
            more = self.source.size - position
            raise self._broken(f"{more:,} bytes follow the last tensor.", position, None, self.source.size, position)

    # -- errors ---------------------------------------------------------------------------------------------------

    def _cut(self, needed: int, what: str) -> TruncatedFile:
        return TruncatedFile(
            f"The file was cut short: it ends at {self.source.size:,} of {needed:,} bytes, within {what}.",
            path=self.source.name,
            offset=self.source.size,
            found=self.source.size,
            expected=needed,
            hint="copy or download it again",
        )

    def _broken(
        self, problem: str, offset: int | None, key: str | None = None, found: Any = None, expected: Any = None
    ) -> SafetensorsError:
        return SafetensorsError(
            problem,
            path=self.source.name,
            offset=offset,
            key=key,
            found=found,
            expected=expected,
            hint="the file is damaged or made to mislead: get it again from its author",
        )


def _sizes(values: Any) -> bool:
    return type(values) is list and all(type(value) is int and 0 <= value <= _MAX_INT64 for value in values)
