"""NumPy's ``.npy`` files: numbers, or a pickle; one array, or several one after another."""

from __future__ import annotations

from math import prod

from dotpt.container.sniff.result import Sniffed
from dotpt.errors import MissingDependency
from dotpt.scan.containers.literals import parse_literal
from dotpt.scan.session import Session
from dotpt.source.base import Source
from dotpt.source.part import PartSource

_HEADER = 1 << 20
_MAGIC = b"\x93NUMPY"
_MOST = 100_000


def scan_npy(session: Session, source: Source, sniffed: Sniffed) -> str:
    """Examine an array file: of objects, its pickle; of numbers, whether there is anything else in it."""
    at, count = 0, 0
    while at < source.size and source.read(at, min(6, source.size - at)) == _MAGIC and count < _MOST:
        header = _header(session, source, at)
        if header is None:
            return sniffed.label
        start, size, has_objects = header
        if has_objects:
            with session.inside("objects") as allowed:
                if allowed:
                    _examine(session, source, start)
            return "a NumPy array of objects, which is a pickle"
        if start + size > source.size:
            session.add("truncated", f"The array is cut short: {start + size - source.size:,} bytes are missing.")
            return sniffed.label
        at, count = start + size, count + 1
    if count > 1:
        session.add("several-pickles", f"It holds {count:,} arrays one after the other.")
    if at < source.size:
        session.add("trailing-data", f"{source.size - at:,} bytes follow the array.", offset=at)
        with session.inside(f"from byte {at:,} on") as allowed:
            if allowed:
                _examine(session, source, at)
    return sniffed.label


def _header(session: Session, source: Source, at: int) -> tuple[int, int, bool] | None:
    """Where the content of the array at a position begins, its bytes, and whether it is a pickle."""
    try:
        from numpy.lib.format import descr_to_dtype
    except ImportError as missing:
        raise MissingDependency("numpy is not installed.", hint="pip install numpy") from missing
    try:
        text, start = _text(source, at)
        fields = parse_literal(text)
        shape = fields["shape"]
        if any(type(length) is not int or length < 0 for length in shape) or len(fields) != 3:
            raise ValueError("it has other fields")
        dtype = descr_to_dtype(fields["descr"])
    except (ValueError, OverflowError, MemoryError, RecursionError, TypeError, KeyError) as error:
        reason = f"The header of the array does not parse: {error!s:.100}"
        session.add("malformed-container", reason, severity="unreadable", offset=at)
        return None
    return start, prod(shape) * dtype.itemsize, dtype.hasobject


def _text(source: Source, at: int) -> tuple[str, int]:
    """The words of a header, and where they end."""
    head = source.read(at, min(12, source.size - at)).ljust(12, b"\0")
    wide = head[6] > 1
    length = int.from_bytes(head[8:12] if wide else head[8:10], "little")
    start = at + (12 if wide else 10)
    if not 1 <= head[6] <= 3 or length > _HEADER:
        raise ValueError("its version or its length is none that NumPy writes")
    if start + length > source.size:
        raise ValueError("it is cut short")
    return source.read(start, length).decode("utf-8" if head[6] == 3 else "latin-1"), start + length


def _examine(session: Session, source: Source, start: int) -> None:
    from dotpt.scan.examine import examine

    examine(session, PartSource(source, start, source.size - start, source.name), whole=False)
