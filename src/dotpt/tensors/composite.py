"""Checks of the numbers inside sparse and nested tensors: an index outside the shape is a write outside memory.

torch checks these only when asked to (torch.sparse.check_sparse_tensor_invariants); dotpt always does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dotpt.errors import TensorError
from dotpt.tensors.refs import TensorRef

Array = np.ndarray[Any, Any]


def _wrong(ref: TensorRef, problem: str, found: Any = None, expected: Any = None) -> TensorError:
    return TensorError(
        f"The {ref.layout} tensor is inconsistent: {problem}.",
        key=ref.name or None,
        found=found,
        expected=expected,
        hint="the file is damaged or hostile: get it again from its author",
    )


def check_sparse(ref: TensorRef, parts: Mapping[str, Array]) -> None:
    """Raise `TensorError` unless every index of a sparse tensor lies within its shape."""
    for role, part in parts.items():
        if role != "values" and part.dtype not in (np.dtype(np.int64), np.dtype(np.int32)):
            raise _wrong(ref, f"its {role} are {part.dtype}, not integers")
    if ref.layout == "sparse_coo":
        _check_coo(ref, parts["indices"], parts["values"])
    else:
        _check_compressed(ref, parts)


def _check_coo(ref: TensorRef, indices: Array, values: Array) -> None:
    if indices.ndim != 2 or values.ndim < 1 or indices.shape[1] != values.shape[0]:
        raise _wrong(ref, "it has not one index for each value", indices.shape, values.shape)
    dims = indices.shape[0]
    if dims + values.ndim - 1 != len(ref.shape) or tuple(values.shape[1:]) != ref.shape[dims:]:
        raise _wrong(ref, "its values do not fit its shape", values.shape, ref.shape)
    if indices.size and (indices.min() < 0 or bool((indices.max(axis=1) >= np.array(ref.shape[:dims])).any())):
        raise _wrong(ref, "an index lies outside its shape (the size is inconsistent with indices)", expected=ref.shape)


def _check_compressed(ref: TensorRef, parts: Mapping[str, Array]) -> None:
    by_row = ref.layout in ("sparse_csr", "sparse_bsr")
    pointers, plain = (
        parts[role] for role in (("crow_indices", "col_indices") if by_row else ("ccol_indices", "row_indices"))
    )
    values, batch = parts["values"], pointers.ndim - 1
    blocked = ref.layout in ("sparse_bsr", "sparse_bsc")
    if batch < 0 or plain.ndim != batch + 1 or len(ref.shape) < batch + 2 or values.ndim < batch + 1 + 2 * blocked:
        raise _wrong(ref, "its parts have the wrong number of dimensions")
    rows, columns = ref.shape[batch : batch + 2]
    if blocked:
        height, width = values.shape[batch + 1 : batch + 3]
        if not height or not width or rows % height or columns % width:
            raise _wrong(ref, "its blocks do not divide its shape", (height, width), (rows, columns))
        rows, columns = rows // height, columns // width
    dense = tuple(values.shape[batch + 1 + 2 * blocked :])
    if dense != ref.shape[batch + 2 :] or tuple(pointers.shape[:batch]) != ref.shape[:batch]:
        raise _wrong(ref, "its values do not fit its shape", values.shape, ref.shape)
    compressed, other = (rows, columns) if by_row else (columns, rows)
    if pointers.shape[-1] != compressed + 1 or values.shape[: batch + 1] != plain.shape:
        raise _wrong(ref, "its parts do not fit together", pointers.shape, (compressed + 1,))
    if plain.size and (plain.min() < 0 or plain.max() >= other):
        raise _wrong(ref, "an index points outside its shape", expected=ref.shape)
    if (pointers[..., 0] != 0).any():
        name = "crow_indices" if by_row else "ccol_indices"
        raise _wrong(ref, f"its pointers do not begin with 0: `{name}[..., 0] == 0` is not satisfied")
    steps = np.diff(pointers, axis=-1)
    if (pointers[..., -1] != plain.shape[-1]).any() or (steps < 0).any():
        raise _wrong(ref, "its pointers do not rise from 0 to the number of values")


def check_nested(parts: Mapping[str, Array]) -> list[Array]:
    """The components of a nested tensor, each checked to lie within the buffer."""
    buffer, sizes, strides, offsets = (parts[role] for role in ("buffer", "sizes", "strides", "offsets"))
    if sizes.shape != strides.shape or sizes.ndim > 2 or offsets.shape != sizes.shape[:1] or buffer.ndim != 1:
        raise TensorError("The nested tensor's sizes, strides and offsets do not fit together.")
    if sizes.ndim < 2:
        return []
    components = []
    for size, stride, offset in zip(sizes.tolist(), strides.tolist(), offsets.tolist(), strict=True):
        if min([offset, *size, *stride]) < 0:
            raise TensorError("A component of the nested tensor has a negative size.", found=size)
        last = offset + (sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1 if 0 not in size else 0)
        if last > buffer.shape[0]:
            raise TensorError(
                "A component of the nested tensor lies outside its buffer.", found=last, expected=len(buffer)
            )
        window = buffer[offset:]
        steps = [step * buffer.itemsize for step in stride]
        components.append(
            np.lib.stride_tricks.as_strided(window, size, steps) if 0 not in size else np.empty(size, buffer.dtype)
        )
    return components


def check_jagged(ref: TensorRef, parts: Mapping[str, Array]) -> list[Array]:
    """The components of a jagged tensor, its offsets and lengths checked against its values."""
    values, offsets, lengths = parts["values"], parts["offsets"], parts.get("lengths")
    axis = (ref.extra or {}).get("ragged", 1) - 1
    if offsets.ndim != 1 or not offsets.size or offsets.dtype.kind != "i" or axis >= values.ndim:
        raise TensorError("The jagged tensor's offsets are no list of integers.")
    starts, stops = offsets[:-1], offsets[1:]
    if lengths is not None:
        if lengths.shape != starts.shape or lengths.dtype.kind != "i" or (lengths < 0).any():
            raise TensorError("The jagged tensor's lengths are not one for each component.")
        stops = starts + lengths
    if offsets[0] < 0 or (np.diff(offsets) < 0).any() or (stops.size and stops.max() > values.shape[axis]):
        raise TensorError("The jagged tensor's offsets point outside its values.")
    pairs = zip(starts.tolist(), stops.tolist(), strict=True)
    return [values[(slice(None),) * axis + (slice(start, stop),)] for start, stop in pairs]
