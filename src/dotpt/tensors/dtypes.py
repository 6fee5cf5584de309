"""The one table of element types: torch's name, numpy's equal, size, and the storage class that stands for it.

Sources: torch/storage.py (the frozen list of typed storages) and torch/_tensor.py (`_reduce_ex_internal`
writes the types of `V3` with an untyped storage and the dtype beside it), torch 2.13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotpt.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type. There is one object of each, so they are compared by identity.

    Attributes:
        name: torch's name without ``torch.``.
        itemsize: bytes of one element (packed types: of one packed byte).
        numpy: the numpy type of the same bits, ``ml_dtypes.NAME`` where numpy itself has none.
        swap: bytes of the unit whose order depends on the machine (a complex number has two units).
        kind: float, int, uint, bool, complex, quantized or bits.
        storage: the legacy typed storage class, if there is one.
        bits: bits of one logical element, where several share a byte.
    """

    name: str
    itemsize: int
    numpy: str
    kind: str
    storage: str | None = None
    swap: int = 0
    bits: int = 0

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _named, (self.name,)

    @property
    def is_floating(self) -> bool:
        """Whether elements are real floating-point numbers (which may be NaN or infinite)."""
        return self.kind == "float"

    def to_numpy(self) -> np.dtype[np.generic]:
        """The numpy type of the same bits, in this machine's byte order.

        Raises:
            MissingDependency: for bfloat16 and the 8-bit floats, when ``ml_dtypes`` is not installed.
        """
        found = _numpy_types.get(self.name)
        if found is None:
            found = _numpy_types[self.name] = self._find_numpy()
        return found

    def _find_numpy(self) -> np.dtype[np.generic]:
        import numpy as np

        module, _, name = self.numpy.rpartition(".")
        if not module:
            return np.dtype(name)
        try:
            import ml_dtypes
        except ImportError:
            raise MissingDependency(f"numpy has no type for torch.{self.name}.", hint="pip install ml_dtypes") from None
        if not hasattr(ml_dtypes, name):
            raise MissingDependency(
                f"The installed ml_dtypes has no type for torch.{self.name}.", hint="pip install -U ml_dtypes"
            )
        found: np.dtype[np.generic] = np.dtype(getattr(ml_dtypes, name))
        return found


_numpy_types: dict[str, np.dtype[np.generic]] = {}


def _plain(
    name: str, numpy: str, itemsize: int, kind: str, storage: str | None = None, swap: int | None = None
) -> DType:
    return DType(name, itemsize, numpy, kind, storage, itemsize if swap is None else swap)


_ALL = (
    _plain("float64", "float64", 8, "float", "DoubleStorage"),
    _plain("float32", "float32", 4, "float", "FloatStorage"),
    _plain("float16", "float16", 2, "float", "HalfStorage"),
    _plain("bfloat16", "ml_dtypes.bfloat16", 2, "float", "BFloat16Storage"),
    _plain("int64", "int64", 8, "int", "LongStorage"),
    _plain("int32", "int32", 4, "int", "IntStorage"),
    _plain("int16", "int16", 2, "int", "ShortStorage"),
    _plain("int8", "int8", 1, "int", "CharStorage"),
    _plain("uint8", "uint8", 1, "uint", "ByteStorage"),
    _plain("bool", "bool", 1, "bool", "BoolStorage"),
    _plain("complex128", "complex128", 16, "complex", "ComplexDoubleStorage", swap=8),
    _plain("complex64", "complex64", 8, "complex", "ComplexFloatStorage", swap=4),
    _plain("qint8", "int8", 1, "quantized", "QInt8Storage"),
    _plain("quint8", "uint8", 1, "quantized", "QUInt8Storage"),
    _plain("qint32", "int32", 4, "quantized", "QInt32Storage"),
    DType("quint4x2", 1, "uint8", "quantized", "QUInt4x2Storage", 1, bits=4),
    DType("quint2x4", 1, "uint8", "quantized", "QUInt2x4Storage", 1, bits=2),
    # written with an untyped storage and the dtype beside it
    _plain("uint16", "uint16", 2, "uint"),
    _plain("uint32", "uint32", 4, "uint"),
    _plain("uint64", "uint64", 8, "uint"),
    # numpy has no half complex: two float16 each, given as complex64 (no bit is lost)
    _plain("complex32", "complex64", 4, "complex", swap=2),
    _plain("float8_e4m3fn", "ml_dtypes.float8_e4m3fn", 1, "float"),
    _plain("float8_e5m2", "ml_dtypes.float8_e5m2", 1, "float"),
    _plain("float8_e4m3fnuz", "ml_dtypes.float8_e4m3fnuz", 1, "float"),
    _plain("float8_e5m2fnuz", "ml_dtypes.float8_e5m2fnuz", 1, "float"),
    _plain("float8_e8m0fnu", "ml_dtypes.float8_e8m0fnu", 1, "float"),
    DType("float4_e2m1fn_x2", 1, "uint8", "bits", None, 1, bits=4),
    _plain("bits8", "uint8", 1, "bits"),
    _plain("bits16", "uint16", 2, "bits"),
    DType("bits1x8", 1, "uint8", "bits", None, 1, bits=1),
    DType("bits2x4", 1, "uint8", "bits", None, 1, bits=2),
    DType("bits4x2", 1, "uint8", "bits", None, 1, bits=4),
    # only ever seen as the dtype of a wrapper subclass: torch cannot store them by themselves
    *(
        DType(f"{sign}int{bits}", 1, f"{sign}int8", f"{sign}int", None, 1, bits)
        for sign in ("", "u")
        for bits in range(1, 8)
    ),
)

DTYPES: dict[str, DType] = {dtype.name: dtype for dtype in _ALL}
BY_STORAGE: dict[str, DType] = {dtype.storage: dtype for dtype in _ALL if dtype.storage}
ALIASES = {
    "float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32", "short": "int16",
    "cfloat": "complex64", "cdouble": "complex128", "chalf": "complex32",
}  # fmt: skip
UINT8 = DTYPES["uint8"]


def _named(name: str) -> DType:
    return DTYPES[name]
