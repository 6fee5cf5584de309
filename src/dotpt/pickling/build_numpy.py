"""Builders of numpy's arrays, scalars and dtypes, of both spellings of its modules. Sizes are checked first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dotpt.errors import PickleError
from dotpt.pickling.values import InertGlobal, InertObject, NumpyDType
from dotpt.pickling.vocabulary import Known, StateSetter, Vocabulary, bad

Args = tuple[Any, ...]
_MULTIARRAY = "numpy.core.multiarray numpy._core.multiarray"
_NUMERIC = "numpy.core.numeric numpy._core.numeric"
_DTYPE = re.compile(r"[|<>=]?[?biufcSUVaOmM]\d{0,9}(\[\d{0,6}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?")
_DEPTH = 16
_SCALARS = (
    "bool_ bool int8 int16 int32 int64 intc intp longlong uint8 uint16 uint32 uint64 uintc uintp "
    "ulonglong float16 float32 float64 complex64 complex128 str_ bytes_ datetime64 timedelta64 longdouble "
    "clongdouble"
).split()


class EmptyArray:
    """An array between its two steps: made empty, then given its state. BUILD sets the array, and how it was typed."""

    __slots__ = ("array", "dtype")

    def __init__(self) -> None:
        self.array: Any = None
        self.dtype: NumpyDType | None = None


def entries() -> Iterator[tuple[str, str, Any]]:
    """(modules, name, value) rows of the vocabulary."""
    yield _MULTIARRAY, "_reconstruct", Known("numpy._reconstruct", _reconstruct)
    yield _MULTIARRAY, "scalar", Known("numpy.scalar", _scalar)
    yield _NUMERIC, "_frombuffer", Known("numpy._frombuffer", _frombuffer)
    yield "numpy", "ndarray", Known("numpy.ndarray", _refuse)
    yield "numpy", "dtype", Known("numpy.dtype", _dtype)
    for name in _SCALARS:
        yield "numpy", name, Known(f"numpy.{name}", _refuse)
    for name in _SCALARS:
        label = {"bool_": "Bool", "bool": "Bool", "str_": "Str", "bytes_": "Bytes"}.get(name)
        label = label or name.replace("uint", "UInt").replace("int", "Int").capitalize().replace("Uint", "UInt")
        label = label.replace("Datetime64", "DateTime64").replace("Timedelta64", "TimeDelta64")
        yield "numpy.dtypes", f"{label}DType", Known(f"numpy.dtypes.{label}DType", _dtype_class(name))


def numpy_type(qualified: str) -> Any:
    """The class of numpy with this name, when a file holds the class itself as a value; None if it is none."""
    import numpy as np

    module, _, name = qualified.rpartition(".")
    if module == "numpy" and name in (*_SCALARS, "ndarray", "dtype"):
        return getattr(np, name, None)
    return getattr(np.dtypes, name, None) if module == "numpy.dtypes" else None


def _refuse(vocabulary: Vocabulary, args: Args) -> Any:
    raise bad("A numpy type")


def _dtype_class(name: str) -> Any:
    def build(vocabulary: Vocabulary, args: Args) -> NumpyDType:
        import numpy as np

        if any(type(arg) is not int for arg in args):
            raise bad("numpy.dtypes")
        return NumpyDType(np.dtype(name))

    return build


def _dtype(vocabulary: Vocabulary, args: Args) -> NumpyDType:
    import numpy as np

    code = args[0] if args else None
    if type(code) is Known and code.qualified.startswith("numpy."):
        code = code.qualified[6:]
        if code not in _SCALARS:
            raise bad("numpy.dtype")
    elif type(code) is bytes:
        code = code.decode("ascii")
    elif type(code) is InertGlobal:  # numpy.record, or a package's own class of records
        return NumpyDType(np.dtype("V"), scalar=code)
    if type(code) is not str or not (_DTYPE.fullmatch(code) or code in _SCALARS):
        if type(code) is str and code in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            from dotpt.tensors.dtypes import DTYPES

            return NumpyDType(DTYPES[code].to_numpy())
        raise bad("numpy.dtype")
    if any(type(arg) not in (bool, int) for arg in args[1:]):
        raise bad("numpy.dtype")
    return NumpyDType(np.dtype(code))


def _set_dtype(vocabulary: Vocabulary, target: NumpyDType, state: Any) -> bool:
    """State: (version, byte order, subarray, names, fields, itemsize, alignment, flags[, metadata])."""
    import numpy as np

    if type(state) is not tuple or not 5 <= len(state) <= 9:
        return False
    _, written, subarray, names, fields = state[:5]
    order: Any = written.decode("ascii") if type(written) is bytes else written
    if order not in ("<", ">", "|", "="):
        return False
    base = target.value
    if subarray is not None:
        if type(subarray) is not tuple or len(subarray) != 2:
            return False
        shape = (subarray[1],) if type(subarray[1]) is int else subarray[1]
        _check_size(vocabulary, shape, 1)
        target.value = np.dtype((_part(target, subarray[0]), shape))
    elif fields is not None:
        if type(names) is not tuple or not isinstance(fields, dict) or len(names) > 1 << 12:
            return False
        columns = [fields[name] for name in names]
        if any(type(name) is not str for name in names) or any(type(c) is not tuple or len(c) < 2 for c in columns):
            return False
        formats, offsets = [_part(target, column[0]) for column in columns], [column[1] for column in columns]
        itemsize = state[5] if len(state) > 5 else max(o + f.itemsize for o, f in zip(offsets, formats, strict=True))
        target.value = np.dtype({"names": list(names), "formats": formats, "offsets": offsets, "itemsize": itemsize})
    elif base.kind in "SUV" and len(state) > 5 and type(state[5]) is int and 0 <= state[5] < 1 << 30:
        target.value = np.dtype(f"{base.kind}{state[5] // (4 if base.kind == 'U' else 1)}").newbyteorder(order)
    elif base.kind in "mM" and len(state) > 8 and type(state[8]) is tuple and len(state[8]) == 2:
        unit = state[8][1][0] if type(state[8][1]) is tuple else None
        unit = unit.decode("ascii") if type(unit) is bytes else unit
        count = state[8][1][1] if unit else 1
        code = f"{base.kind}8" + (f"[{count}{unit}]" if unit and unit != "generic" else "")
        if not _DTYPE.fullmatch(code):
            return False
        target.value = np.dtype(code).newbyteorder(order)
    elif order in "<>":
        target.value = base.newbyteorder(order)
    return True


def _part(whole: NumpyDType, value: Any) -> Any:
    """The type of a field. numpy walks through structured types by recursion in C, so few may lie in each other."""
    part = _plain_dtype(value)
    if part.names is not None or part.subdtype is not None:
        whole.depth = max(whole.depth, value.depth + 1)
    if whole.depth > _DEPTH:
        raise bad("numpy.dtype")
    return part


def _plain_dtype(value: Any) -> Any:
    if type(value) is not NumpyDType:
        raise bad("numpy.dtype")
    return value.value


def _reconstruct(vocabulary: Vocabulary, args: Args) -> Any:
    """``_reconstruct(numpy.ndarray, (0,), b'b')``: an empty array that BUILD fills."""
    if len(args) != 3 or args[1] != (0,):
        raise bad("numpy._reconstruct")
    cls = args[0]
    if type(cls) is Known and cls.qualified == "numpy.ndarray":
        return EmptyArray()
    if type(cls) in (InertGlobal, InertObject):  # np.matrix, np.recarray, a package's own subclass
        return InertObject(cls, "array")
    raise bad("numpy._reconstruct")


def _set_array(vocabulary: Vocabulary, target: EmptyArray, state: Any) -> bool:
    """State: (version, shape, dtype, fortran order, bytes or list of objects)."""
    if type(state) is not tuple or len(state) != 5 or target.array is not None:
        return False
    _, shape, dtype, fortran, content = state
    if type(shape) is not tuple or type(fortran) not in (bool, int):
        return False
    array = _array(vocabulary, content, _plain_dtype(dtype), shape, "F" if fortran else "C")
    if not array.dtype.isnative and array.dtype.names is None:  # numpy turns it round as it unpickles
        array = array.astype(array.dtype.newbyteorder("="))
    target.array, target.dtype = array, dtype
    return True


def _frombuffer(vocabulary: Vocabulary, args: Args) -> Any:
    """Protocol 5: ``_frombuffer(bytes, dtype, shape, order)``."""
    if len(args) != 4 or args[3] not in ("C", "F") or type(args[2]) is not tuple:
        raise bad("numpy._frombuffer")
    filled = EmptyArray()
    filled.array = _array(vocabulary, args[0], _plain_dtype(args[1]), args[2], args[3])
    filled.dtype = args[1]
    return filled


def _check_size(vocabulary: Vocabulary, shape: Any, itemsize: int) -> int:
    total = 1
    for size in vocabulary.context.bounds.sizes(shape, "array shape"):
        total *= size
    if total * itemsize > vocabulary.context.limits.pickle_bytes:
        raise PickleError(f"A numpy array claims {total * itemsize:,} bytes, more than any pickle here may hold.")
    return total


def _array(vocabulary: Vocabulary, content: Any, dtype: Any, shape: Any, order: str) -> Any:
    import numpy as np

    count = _check_size(vocabulary, shape, max(dtype.itemsize, 1))
    if dtype.hasobject:
        if type(content) is not list or len(content) != count or dtype.names:
            raise bad("numpy array of objects")
        array = np.empty(count, dtype=object)
        for at, item in enumerate(content):
            array[at] = item
        rows = array.reshape(shape)  # numpy writes objects row by row, whatever the order in memory
        return np.asfortranarray(rows) if order == "F" else rows
    if type(content) is str:  # Python 2, read as latin1
        try:
            content = content.encode("latin1")
        except UnicodeEncodeError:
            raise PickleError("A numpy array that Python 2 wrote holds text.", hint='pass encoding="latin1"') from None
    if type(content) not in (bytes, bytearray) or len(content) != count * dtype.itemsize:
        raise PickleError("A numpy array's bytes are not as many as its shape needs.")
    if not dtype.itemsize:
        return np.empty(shape, dtype)
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _scalar(vocabulary: Vocabulary, args: Args) -> Any:
    if len(args) != 2:
        raise bad("numpy.scalar")
    dtype, content = _plain_dtype(args[0]), args[1]
    if dtype.hasobject:
        return content
    return _array(vocabulary, content, dtype, (), "C")[()]


SETTERS: dict[type, StateSetter] = {EmptyArray: _set_array, NumpyDType: _set_dtype}
