"""How two checkpoints differ: which tensors and by how much, which values; read a piece at a time, without torch.

Tensors that dotpt wrote are first compared by their hashes, so what did not change between two steps is not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotpt.archive.archive import Archive
from dotpt.formats.manifest import readable_name
from dotpt.pickling.tree import ATOMS, named_children, spelled
from dotpt.tensors.refs import TensorRef
from dotpt.training.listing import Progress
from dotpt.training.streaming import Flat, pieces_of

if TYPE_CHECKING:
    import numpy as np

_ABSENT = object()


@dataclass(slots=True)
class TensorDifference:
    """What became of one tensor.

    Attributes:
        name: its address; of a composite tensor that of the part.
        what: ``changed``, ``added``, ``removed``, ``another shape``.
        before, after: its type and shape in each, or "".
        numel: how many elements it has, and of these
        changed: how many differ.
        largest: the largest absolute difference; NaN where one of them is NaN and the other is not.
        relative: the norm of the difference over the norm of what was there before; None where that is 0 or not finite.
    """

    name: str
    what: str
    before: str = ""
    after: str = ""
    numel: int = 0
    changed: int = 0
    largest: float = 0.0
    relative: float | None = None


@dataclass(slots=True)
class Differences:
    """The outcome of `compare`.

    Attributes:
        tensors: those that differ, in the order of the files.
        values: other values that differ, by address: (before, after) as text; "" where there is none.
        same: how many tensors are the same, and of these
        by_hash: how many were known to be by their hashes.
        read: bytes that were read of each file.
    """

    tensors: list[TensorDifference] = field(default_factory=list)
    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    same: int = 0
    by_hash: int = 0
    read: int = 0

    @property
    def none(self) -> bool:
        """Whether there is no difference."""
        return not self.tensors and not self.values


def compare(before: Archive, after: Archive, prefix: str = "", progress: Progress | None = None) -> Differences:
    """Compare two files, tensor by tensor and value by value.

    Args:
        before, after: opened files.
        prefix: what is put before the addresses.
        progress: called with (bytes done, bytes in all).
    """
    found = Differences()
    total, done = sum(ref.nbytes for ref in before.tensors.values()), 0
    for name, ref in before.tensors.items():
        other = after.tensors.get(name)
        if other is None:
            found.tensors.append(TensorDifference(prefix + name, "removed", before=_kind(ref)))
        elif _same_hash(before, after, name, ref, other):
            found.same += 1
            found.by_hash += 1
        else:
            _compare_tensors(prefix + name, ref, other, found)
        done += ref.nbytes
        if progress is not None:
            progress(done, total)
    for name, ref in after.tensors.items():
        if name not in before.tensors:
            found.tensors.append(TensorDifference(prefix + name, "added", after=_kind(ref)))
    _compare_values(before, after, prefix, found)
    return found


# -- tensors ----------------------------------------------------------------------------------------------------------


def _compare_tensors(name: str, ref: TensorRef, other: TensorRef, found: Differences) -> None:
    mine, theirs = list(ref.strided_parts()), list(other.strided_parts())
    if len(mine) != len(theirs) or ref.shape != other.shape or ref.layout != other.layout:
        found.tensors.append(TensorDifference(name, "another shape", _kind(ref), _kind(other)))
        return
    alike = True
    for one, two in zip(mine, theirs, strict=True):
        part = name if one is ref else f"{name}.{one.name.rpartition('.')[2]}"
        difference = _difference(part, one, two, found)
        if difference is not None:
            found.tensors.append(difference)
            alike = False
    found.same += alike


def _difference(name: str, ref: TensorRef, other: TensorRef, found: Differences) -> TensorDifference | None:
    if ref.shape != other.shape:
        return TensorDifference(name, "another shape", _kind(ref), _kind(other))
    result = TensorDifference(name, "changed", _kind(ref), _kind(other), ref.numel)
    if ref.storage is None or other.storage is None:
        return None if ref.storage is other.storage and ref.dtype is other.dtype else result
    sums = _Sums()
    one, two = Flat(ref), Flat(other)
    for place in pieces_of(ref.numel, max(ref.dtype.itemsize, other.dtype.itemsize)):
        sums.add(one[place], two[place])
    found.read += ref.nbytes
    result.changed, result.largest, result.relative = sums.changed, sums.largest, sums.relative
    return result if sums.changed or ref.dtype is not other.dtype else None


class _Sums:
    """What the pieces of two tensors differ by, all together."""

    def __init__(self) -> None:
        self.changed = 0
        self.largest = 0.0
        self._norm = self._distance = 0.0

    @property
    def relative(self) -> float | None:
        if not self._norm or not math.isfinite(self._norm) or not math.isfinite(self._distance):
            return None
        return math.sqrt(self._distance / self._norm)

    def add(self, one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> None:
        """Add a piece of each."""
        import numpy as np

        with np.errstate(all="ignore"):
            before = _numbers(one)
            self._norm += float(np.vdot(before, before).real)
            if one.dtype == two.dtype and one.tobytes() == two.tobytes():
                return
            after = _numbers(two)
            differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
            exact = one.dtype.kind in "iu" and two.dtype == one.dtype
            if exact:  # large integers differ where their nearest floats do not
                differs = one != two
            self.changed += int(np.count_nonzero(differs))
            distance = _distances(one, two)[differs] if exact else np.abs(after[differs] - before[differs])
            if distance.size:
                self.largest = float(np.max([self.largest, distance.max()]))  # NaN, if there is one
                self._distance += float(np.vdot(distance, distance).real)


def _numbers(piece: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    numbers: np.ndarray[Any, Any] = piece.astype(np.complex128 if piece.dtype.kind == "c" else np.float64)
    return numbers


def _distances(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How far integers lie apart, without a detour through floats that would round them."""
    import numpy as np

    low, high = np.minimum(one, two), np.maximum(one, two)
    apart: np.ndarray[Any, Any] = (high - low).view(f"u{one.dtype.itemsize}").astype(np.float64)
    return apart


def _same_hash(before: Archive, after: Archive, name: str, ref: TensorRef, other: TensorRef) -> bool:
    """Whether both files note the same hash for the same look at their bytes."""
    if before.manifest is None or after.manifest is None or ref.parts or ref.extra or other.parts or other.extra:
        return False
    looks = [(one.dtype, one.shape, one.strides, one.offset, one.layout) for one in (ref, other)]
    notes = [one.manifest.tensors.get(readable_name(name)) for one in (before, after) if one.manifest]
    known = [note and (note.range, note.hash) for note in notes]
    return looks[0] == looks[1] and known[0] is not None and known[0] == known[1]


def _kind(ref: TensorRef) -> str:
    layout = "" if ref.layout == "strided" else f" {ref.layout}"
    return f"{ref.dtype}{layout} {list(ref.shape)}"


# -- other values -----------------------------------------------------------------------------------------------------


def _compare_values(before: Archive, after: Archive, prefix: str, found: Differences) -> None:
    mine, theirs = dict(values_in(before.tree)), dict(values_in(after.tree))
    for address in [*mine, *(address for address in theirs if address not in mine)]:
        one, two = mine.get(address, _ABSENT), theirs.get(address, _ABSENT)
        if not _equal(one, two):
            found.values[prefix + address] = _text(one), _text(two)


def values_in(tree: Any) -> Iterator[tuple[str, Any]]:
    """(address, value) of everything that is no tensor. Lists of plain values are values themselves."""
    seen: set[int] = set()
    level: list[tuple[str, Any]] = [("", tree)]
    while level:
        address, value = level.pop()
        if type(value) is TensorRef or id(value) in seen:
            continue
        named = [] if type(value) in ATOMS else list(named_children(value))
        plain = isinstance(value, (list, tuple)) and all(type(child) in ATOMS for _, child in named)
        if not named or plain:
            if not isinstance(value, (dict, list, tuple)) or named:
                yield address or "value", value
            continue
        seen.add(id(value))
        children = [(f"{address}.{spelled(key)}" if address else spelled(key), child) for key, child in named]
        level += reversed(children)


def _equal(one: Any, two: Any) -> bool:
    if type(one) is not type(two):
        return False
    if type(one) is float and math.isnan(one):
        return math.isnan(two)
    if hasattr(one, "dtype") and hasattr(one, "tobytes"):
        return bool(one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes())
    return bool(one == two) or (type(one) not in ATOMS and repr(one) == repr(two))


def _text(value: Any) -> str:
    from dotpt.inspect.plain import as_line

    if value is _ABSENT:
        return ""
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"{len(value):,} values"
    return str(as_line(value))
