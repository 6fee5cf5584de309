"""From an object to a `Draft`: its pickle, the storages its tensors need, and each tensor's address."""

from __future__ import annotations

import sys
from collections.abc import Collection
from io import BytesIO
from typing import Any

from dotpt.errors import UsageError
from dotpt.formats.draft import Draft
from dotpt.pickling.encoder import Encoder
from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.saving.addresses import named_ranges
from dotpt.saving.file_values import FileValues
from dotpt.saving.tensors import TensorWriter

_RECORDS = (InertObject, InertGlobal)
ARRAYS = ("auto", "tensors", "numpy")


def draft_of(
    value: Any,
    *,
    protocol: int,
    compacting: bool,
    legacy: bool,
    arrays: str = "auto",
    pickle_module: Any = None,
    whole: Collection[int] = (),
) -> Draft:
    """``value``, encoded. Nothing is written yet, so an object that cannot be saved harms no file.

    Args:
        protocol: of pickle.
        compacting: whether storages are cut down to what their views use.
        legacy: whether it is meant for torch's old format.
        arrays: what numpy's arrays become: ``"tensors"``, ``"numpy"`` (they stay), or ``"auto"``.
        pickle_module: a module with a ``Pickler`` that is to write the object instead (dill, cloudpickle).
        whole: addresses in memory of storages that are never cut down.
    """
    if arrays not in ARRAYS:
        raise UsageError(f"arrays={arrays!r} is not understood.", hint='use "auto", "tensors" or "numpy"')
    writer = TensorWriter(compacting=compacting and pickle_module is None, legacy=legacy, whole=whole)
    types: dict[type, Any] = dict.fromkeys(_RECORDS, _refuse_record) | FileValues(writer).types
    if "dotpt.tensors.arrays" in sys.modules:  # else there is no record of its classes
        from dotpt.tensors.arrays import MetaArray, NestedArray, QuantizedArray, SparseArray

        types |= dict.fromkeys((MetaArray, NestedArray, QuantizedArray, SparseArray), _refuse_array)
    reduce = persistent = torch_values = None
    if "torch" in sys.modules:  # else there is no object of torch's
        from dotpt.saving.torch_values import TorchValues

        torch_values = TorchValues(writer, protocol, legacy=legacy)
        types |= torch_values.types
        reduce, persistent = torch_values.reduce, torch_values.module_id if legacy else None
    if pickle_module is not None:
        return _foreign(value, pickle_module, protocol, torch_values, writer)
    if "numpy" in sys.modules and arrays != "numpy":
        from dotpt.saving.numpy_values import NumpyValues, holds_arrays_alone

        if arrays == "tensors" or holds_arrays_alone(value):
            types |= NumpyValues(writer).types
    encoder = Encoder(protocol, types=types, reduce=reduce, persistent=persistent)
    encoder.start()
    encoder.save(value)
    storages = writer.settle(encoder)
    stream = encoder.finish()
    return Draft(stream, storages, named_ranges(value, stream, writer), keep=(encoder, writer))


def _refuse_record(encoder: Encoder, value: Any) -> None:
    """An inert record would be a name of ours in a file that torch is to read."""
    raise UsageError(
        f"An {type(value).__name__} stands for a class of another file ({value!r:.100}), and cannot be saved.",
        hint="dotpt.rescue gives the tensors and plain values of such a file",
    )


def _refuse_array(encoder: Encoder, value: Any) -> None:
    """Likewise the records that stand for tensors which numpy has no array for."""
    raise UsageError(
        f"A {type(value).__name__} stands for a tensor that numpy has no array for, and cannot be saved.",
        hint='save what dotpt.open(path).tree gives, or load the file with backend="torch"',
    )


def _foreign(value: Any, module: Any, protocol: int, torch_values: Any, writer: TensorWriter) -> Draft:
    """The object as somebody else's pickler writes it; the storages are ours."""
    buffer = BytesIO()

    class Pickler(module.Pickler):  # type: ignore[misc]
        def persistent_id(self, value: Any) -> Any:
            return None if torch_values is None else torch_values.persistent_id(value)

    Pickler(buffer, protocol=protocol).dump(value)
    stream = buffer.getvalue()
    storages = writer.settle(Encoder())
    writer.plain = False  # its tensors are found in the stream
    return Draft(stream, storages, named_ranges(value, stream, writer), keep=(value, writer))
