"""NumPy objects of the corpus; torch's ``weights_only`` refuses all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .entry import Table

ARRAYS = Table()

_STRUCTURED = np.dtype([("name", "U4"), ("xy", "<f4", (2,)), ("n", ">i2")])


@ARRAYS.entry("numpy")
def numpy_kinds() -> Any:
    """One array of every kind of dtype."""
    numbers = {code: np.array([0, 1, 2], dtype=code) for code in "?bBhHiIlLqQefdFD"}
    return {
        **{f"number_{np.dtype(code).str[1:]}_{ord(code)}": array for code, array in numbers.items()},
        "special": np.array([np.nan, np.inf, -0.0], dtype=np.float32),
        "unicode": np.array(["ab", "日本語"]),
        "bytes": np.array([b"ab", b"c"]),
        "void": np.array([b"\x01\x02", b"\x03\x04"], dtype="V2"),
        "datetime": np.array(["2024-02-29", "NaT"], dtype="datetime64[D]"),
        "timedelta": np.array([1, -1], dtype="timedelta64[ms]"),
        "structured": np.array([("a", (1.0, 2.0), 3)], dtype=_STRUCTURED),
        "big_endian": np.array([1.5, -2.0], dtype=">f4"),
        "big_endian_int": np.array([1, 258], dtype=">u2"),
    }


@ARRAYS.entry("numpy")
def numpy_shapes() -> Any:
    """Orders, sizes and views of arrays."""
    grid = np.arange(12.0).reshape(3, 4)
    return {
        "fortran": np.asfortranarray(grid),
        "transposed": grid.T,
        "sliced": grid[::2, 1:],
        "zero_d": np.array(1.5),
        "empty": np.empty((0, 3), dtype=np.int8),
        "five_d": np.zeros((1, 2, 1, 2, 1), dtype=np.uint8),
    }


@ARRAYS.entry("numpy", "object-array")
def numpy_objects() -> Any:
    """Object arrays hold any pickle: numbers, text, tensors."""
    array = np.empty(4, dtype=object)
    array[:] = [1, "two", None, [3]]
    tensors = np.empty(1, dtype=object)
    tensors[0] = torch.arange(3.0)
    return {"objects": array, "zero_d": np.array({"a": 1}, dtype=object), "tensors": tensors}


@ARRAYS.entry("numpy")
def numpy_scalars() -> Any:
    """NumPy scalars, as metrics often are."""
    return [
        *(np.float32(1.5), np.float64(np.nan), np.int64(-3), np.bool_(True), np.uint8(255), np.complex64(1 + 2j)),
        *(np.str_("naïve"), np.bytes_(b"ab"), np.datetime64("2024-02-29T01:02:03"), np.timedelta64(5, "s")),
        np.float16(0.5),
    ]


@ARRAYS.entry("numpy")
def numpy_dtypes() -> Any:
    """Dtypes as values."""
    return [np.dtype("<f4"), np.dtype(">i2"), np.dtype("O"), np.dtype("U3"), _STRUCTURED, np.dtype("datetime64[ns]")]


ARRAYS.add("numpy_types", lambda: [np.float32, np.ndarray, np.int64], "numpy")
ARRAYS.add("numpy_masked", lambda: np.ma.MaskedArray([1.0, 2.0], mask=[False, True]), "numpy")


@ARRAYS.entry("numpy", "sharing")
def numpy_shared() -> Any:
    """The same array twice, a tensor over the memory of another."""
    array = np.arange(4, dtype=np.float32)
    return {"a": array, "b": array, "tensor": torch.from_numpy(np.arange(3, dtype=np.int16))}


@ARRAYS.entry("numpy", "rng")
def numpy_generators() -> Any:
    """NumPy's old and new random generators."""
    return {"old": np.random.RandomState(3), "new": np.random.default_rng(3)}
