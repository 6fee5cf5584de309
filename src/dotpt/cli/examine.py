"""What crosses this boundary: a tensor of a file in; its statistics, a preview and the state of its checksum out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dotpt.cli.addresses import Target
from dotpt.cli.pieces import Streamed, blocks, streams
from dotpt.cli.progress import Watch
from dotpt.cli.statistics import Statistics
from dotpt.errors import ChecksumMismatch, UsageError
from dotpt.tensors.refs import TensorRef, contiguous_strides

RIGHT, WRONG, NONE, UNCHECKED = "right", "wrong", "none", "not checked"
_COUNTED = ("float", "int", "uint", "bool", "complex", "quantized")


@dataclass(slots=True)
class Examined:
    """What was found out about a tensor, or about a part of it.

    Attributes:
        shape: of the part that was asked for.
        strides: likewise.
        checksum: ``right``, ``wrong``, ``none`` (the file has none) or ``not checked`` (only a part was read).
        statistics: of its values; None where they are no numbers.
        array: the values, or a small array that prints like them if there are too many; None if it has none.
        whole: whether ``array`` has all the values.
        of: what the statistics count, where that is not the tensor's values themselves.
        details: (label, text) of what its layout adds.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    checksum: str
    statistics: Statistics | None = None
    array: Any = None
    whole: bool = True
    of: str = ""
    details: tuple[tuple[str, str], ...] = ()


def examine(target: Target, edge: int, watch: Watch) -> Examined:
    """Read a tensor (or part of it) once, and say what is in it.

    Raises:
        UsageError: the index does not fit the tensor.
        DotptError: the values cannot be read. A wrong checksum is no error here but a finding.
    """
    ref: TensorRef = target.value
    wanted = ref if target.index is None else _part(ref, target)
    if isinstance(wanted, TensorRef) and streams(wanted, part=wanted is not ref):
        return _streamed(wanted, edge, watch)
    checksum = _recorded(ref)
    try:
        value = wanted.numpy() if isinstance(wanted, TensorRef) and wanted is ref else None
    except ChecksumMismatch:
        value, checksum = ref.numpy(verify=False), WRONG
    if wanted is not ref:
        checksum = UNCHECKED if checksum == RIGHT else checksum
        value = wanted[...] if isinstance(wanted, TensorRef) else wanted
    examined = _of_value(ref, value)
    examined.checksum = checksum
    return examined


def examine_array(array: np.ndarray[Any, Any]) -> Examined:
    """The same for an array that lies in the pickle itself."""
    examined = Examined(array.shape, tuple(s // max(array.itemsize, 1) for s in array.strides), NONE, array=array)
    if array.dtype.kind in "biufc":
        examined.statistics = _count(array)
    return examined


def _part(ref: TensorRef, target: Target) -> Any:
    """A reference to the part, or its values where a part cannot be referred to."""
    from dotpt.archive.slices import window_on

    try:
        window = window_on(ref, target.index)
        if window is not None:
            window.name, window.archive = ref.name + target.text, ref.archive
            return window
        value = ref.numpy()
        if not isinstance(value, np.ndarray):
            raise UsageError(f"Only a part of a strided tensor can be shown; this one is {ref.layout}.", key=ref.name)
        return np.asarray(value[target.index])
    except (IndexError, ValueError) as error:
        problem = f"The index {target.text} does not fit the shape {list(ref.shape)}: {error}."
        raise UsageError(problem, key=ref.name, hint="an index as numpy takes it, such as [0,:3]") from None


def _recorded(ref: TensorRef) -> str:
    for part in ref.strided_parts():
        storage = part.storage
        record = None if storage is None else (storage.view_of[0] if storage.view_of else storage).record
        if record is not None and record.crc is not None:
            return RIGHT
    return NONE


def _streamed(ref: TensorRef, edge: int, watch: Watch) -> Examined:
    pieces = Streamed(ref, watch)
    statistics = Statistics()
    for piece in pieces:
        statistics.add(piece)
    states = {True: RIGHT, False: WRONG, None: UNCHECKED if _recorded(ref) == RIGHT else NONE}
    checksum = states[pieces.verified]
    return Examined(ref.shape, ref.strides, checksum, statistics, pieces.corners(edge), whole=False)


def _of_value(ref: TensorRef, value: Any) -> Examined:
    from dotpt.tensors.arrays import MetaArray, NestedArray, QuantizedArray, SparseArray

    made = Examined(ref.shape, ref.strides, NONE)
    if isinstance(value, MetaArray):
        made.details = (("Values", "none: the tensor was saved on the meta device"),)
        return made
    if isinstance(value, QuantizedArray):
        if ref.dtype.bits:
            made.array, made.of = value.values, f"raw bytes, {ref.dtype.bits} bits an element"
        else:
            made.array, made.of = value.dequantize(), "dequantized"
        made.details = (("Quantized", _quantizer(value)),)
    elif isinstance(value, SparseArray):
        made.array, made.of = value.parts["values"], "stored values"
        stored = int(made.array.size)
        share = f" of {ref.numel:,} ({100 * stored / ref.numel:.3g} %)" if ref.numel else ""
        made.details = (("Stored", f"{stored:,} values{share}, layout {ref.layout}"),)
    elif isinstance(value, NestedArray):
        made.array, made.of = value.parts.get("values", value.parts.get("buffer")), "all components"
        shapes = ", ".join(str(list(component.shape)) for component in value.components[:4])
        more = ", ..." if len(value.components) > 4 else ""
        made.details = (("Nested", f"{len(value.components):,} components: {shapes}{more}"),)
    else:
        made.array = np.asarray(value)
        made.shape, made.strides = made.array.shape, tuple(s // max(made.array.itemsize, 1) for s in made.array.strides)
        if ref.dtype.bits:
            made.of = f"raw bytes, {ref.dtype.bits} bits an element"
    if ref.dtype.kind in _COUNTED and not ref.dtype.bits:
        made.statistics = _count(made.array)
    return made


def _quantizer(value: Any) -> str:
    if value.axis is None:
        return f"scale {float(value.scale):.6g}, zero point {value.zero_point}"
    scales = np.asarray(value.scale, np.float64)
    ends = f" from {scales.min():.4g} to {scales.max():.4g}" if scales.size else ""
    return f"{scales.size:,} channels along axis {value.axis}, scales{ends}"


def _count(array: np.ndarray[Any, Any]) -> Statistics:
    statistics = Statistics()
    for block in blocks(array.shape, contiguous_strides(array.shape)):
        statistics.add(array[block])
    return statistics
