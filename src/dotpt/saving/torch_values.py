"""What torch's own objects become in a pickle: tensors of every kind, parameters, storages.

Plain strided tensors are written from their facts. Every other kind is asked for its own description, as torch.save
asks it (``__reduce_ex__``), whose storages, offsets and strides are then written by the same `TensorWriter`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.serialization import _package_registry, location_tag

from dotpt.errors import TensorError, UnsupportedError
from dotpt.pickling.encode_objects import steps_of_reduced
from dotpt.pickling.encoder import Encoder, Save
from dotpt.saving.tensors import Mark, Plan, Storage, Tensor, TensorWriter
from dotpt.saving.torch_staging import Stager
from dotpt.tensors.compact import View
from dotpt.tensors.dtypes import DTYPES, UINT8, DType

_STRIDED = torch.strided
_REBUILDS = (torch._utils._rebuild_tensor_v2, torch._utils._rebuild_tensor_v3, torch._utils._rebuild_qtensor)
_PLAIN_DEVICES = frozenset(("cpu", "cuda", "mps", "xpu", "hpu"))
_DTYPES: dict[Any, DType] = {getattr(torch, name): dtype for name, dtype in DTYPES.items() if hasattr(torch, name)}
_UntypedStorage, _TypedStorage = torch.UntypedStorage, torch.storage.TypedStorage


class TorchValues:
    """Writes torch's objects through an encoder.

    Args:
        writer: names the tensors and gathers the storages.
        protocol: of pickle, which tensors that describe themselves are told.
        legacy: whether the file is of torch's old format, where the source text of module classes is kept.
    """

    def __init__(self, writer: TensorWriter, protocol: int, *, legacy: bool = False) -> None:
        self._writer = writer
        self._protocol = protocol
        self._legacy = legacy
        self._classes: set[type] = set()
        # nobody has registered a package that is asked before torch's own: the tag of CPU memory is known
        self._cpu_is_cpu = _package_registry[0][1].__module__ == torch.serialization.__name__
        self._plans: dict[tuple[Any, ...], tuple[Plan, Tensor, bool]] = {}
        self._stager = Stager()

    @property
    def types(self) -> dict[type, Save]:
        """How each exact type is written."""
        return {
            torch.Tensor: self._tensor,
            Mark: self._writer.write_mark,
            _UntypedStorage: self._storage,
            _TypedStorage: self._storage,
        }  # fmt: skip

    def reduce(self, value: Any) -> Any:
        """The description of a tensor that is not of the plain type, its numbers marked; else NotImplemented."""
        if not isinstance(value, torch.Tensor):
            return NotImplemented
        describe: Any = value.__reduce_ex__
        return self._described(value, describe(self._protocol))

    # -- tensors ------------------------------------------------------------------------------------------------------

    def _tensor(self, encoder: Encoder, tensor: Any) -> Iterator[Any] | None:
        if encoder.get(tensor):
            return None
        if not _is_plain(tensor):
            return steps_of_reduced(encoder, tensor, self.reduce(tensor))
        look = (
            tensor.dtype,
            tensor.size(),
            tensor.stride(),
            tensor.storage_offset(),
            tensor.requires_grad,
            tensor.device,
        )
        known = self._plans.get(look)
        untyped = tensor.untyped_storage()
        if known is not None:
            plan, facts, cpu = known
            identity, nbytes = untyped._cdata, untyped.nbytes()
            if identity not in self._writer.storages and nbytes == plan.nbytes:
                if cpu and self._cpu_is_cpu:
                    address = untyped.data_ptr()
                    storage = self._writer.add(identity, facts.dtype, "cpu", nbytes, untyped, address)
                else:
                    storage = self._add(identity, untyped, facts.dtype, None)
                self._writer.write_like(encoder, plan, storage, tensor)
                return None
        dtype = _dtype(tensor.dtype)
        facts = Tensor(
            dtype, View(tensor.storage_offset(), tuple(tensor.size()), tensor.stride()), tensor.requires_grad
        )
        storage = self._known(untyped, dtype)
        learned = self._writer.write(encoder, storage, facts, tensor)
        if learned is not None:
            self._plans[look] = learned, facts, storage.fetch is None
        return None

    def _described(self, tensor: Any, described: Any) -> Any:
        """What ``__reduce_ex__`` gave, with marks for a storage that is cut down to what the views use."""
        if not isinstance(described, tuple):
            return described
        function, arguments, *rest = described
        if function is torch._utils._rebuild_parameter:
            self._writer.stands_for[id(tensor)] = arguments[0]
        else:
            self._writer.plain = False
        if function is torch._tensor._rebuild_from_type_v2:
            inner, cls, inner_arguments, state = arguments
            inner, inner_arguments = self._described(tensor, (inner, inner_arguments))
            return (function, (inner, cls, inner_arguments, state), *rest)
        if function not in _REBUILDS or not isinstance(arguments[0], (_UntypedStorage, _TypedStorage)):
            return described
        given, offset, size, strides, *others = arguments
        untyped = isinstance(given, _UntypedStorage)
        dtype = _dtype(others[2] if untyped else given.dtype)
        storage = self._known(given if untyped else given._untyped_storage, dtype, getattr(given, "_fake_device", None))
        facts = Tensor(dtype, View(offset, tuple(size), tuple(strides)))
        marks = self._writer.marks(storage, facts, untyped, tensor)
        return (function, (marks[0], marks[1], size, marks[2], *others), *rest)

    # -- storages -----------------------------------------------------------------------------------------------------

    def _storage(self, encoder: Encoder, value: Any) -> None:
        """A storage that is saved by itself."""
        storage, dtype, untyped = self._alone(value)
        self._writer.write_storage(encoder, storage, dtype, untyped)

    def module_id(self, value: Any) -> tuple[Any, ...] | None:
        """What the legacy format puts in the place of a module's class, once: the class and its source text."""
        if not (isinstance(value, type) and issubclass(value, torch.nn.Module)) or value in self._classes:
            return None
        self._classes.add(value)
        try:
            lines, _ = inspect.getsourcelines(value)
            file = inspect.getsourcefile(value)
        except (OSError, TypeError):
            warnings.warn(
                f"The source of {value.__name__} cannot be found: a change of it will not be noticed on loading.",
                stacklevel=2,
            )
            return "module", value, None, None
        return "module", value, file and Path(file).name, "".join(lines)  # no folder: it differs between machines

    def persistent_id(self, value: Any) -> tuple[Any, ...] | None:
        """A persistent id as an object, for a pickler that is not ours."""
        if not isinstance(value, (_UntypedStorage, _TypedStorage)):
            return self.module_id(value) if self._legacy else None
        storage, dtype, untyped = self._alone(value)
        cls = _UntypedStorage if untyped else getattr(torch, str(dtype.storage))
        numel = storage.nbytes // (1 if untyped else dtype.itemsize)
        return ("storage", cls, storage.key, storage.location, numel, *([None] if self._legacy else []))

    def _alone(self, value: Any) -> tuple[Storage, DType, bool]:
        untyped = isinstance(value, _UntypedStorage)
        dtype = UINT8 if untyped else _dtype(value.dtype)
        storage = self._known(value if untyped else value._untyped_storage, dtype, getattr(value, "_fake_device", None))
        storage.whole = True
        return storage, dtype, untyped

    def _known(self, untyped: Any, dtype: DType, location: Any = None) -> Storage:
        """The storage in the file for one in memory. One that is looked at as two types cannot be named."""
        identity = untyped._cdata
        storage = self._writer.storages.get(identity)
        if storage is None:
            return self._add(identity, untyped, dtype, location)
        if storage.dtype is not dtype and storage.nbytes and _named_as(storage.dtype) is not _named_as(dtype):
            raise _two_types(storage.dtype, dtype)
        return storage

    def _add(self, identity: int, untyped: Any, dtype: DType, location: Any) -> Storage:
        """A storage met for the first time."""
        cpu = _is_on_cpu(untyped)
        if location is None:
            location = "cpu" if cpu and self._cpu_is_cpu else location_tag(untyped)
        nbytes = untyped.nbytes()
        if cpu:
            return self._writer.add(identity, dtype, location, nbytes, untyped, untyped.data_ptr())
        return self._writer.add(identity, dtype, str(location), nbytes, untyped, 0, self._stager.fetcher(untyped))


def _is_on_cpu(untyped: Any) -> bool:
    return bool(untyped.device.type == "cpu")


def _is_plain(tensor: Any) -> bool:
    """Whether a tensor of the plain type is described by storage, offset, shape and strides alone."""
    return (
        tensor.layout is _STRIDED
        and (tensor.is_cpu or tensor.device.type in _PLAIN_DEVICES)
        and not (
            tensor.is_quantized
            or tensor.is_nested
            or tensor.__dict__
            or tensor._backward_hooks
            or tensor.is_conj()
            or tensor.is_neg()
            or tensor._is_zerotensor()
        )
    )


def _dtype(dtype: Any) -> DType:
    found = _DTYPES.get(dtype)
    if found is None or (found.bits and found.kind in ("int", "uint")):
        raise UnsupportedError(
            f"torch has no way to store tensors of type {dtype}.",
            hint="save them as int8 or uint8 (tensor.view(torch.uint8)), and note the type beside them",
        )
    return found


def _named_as(dtype: DType) -> DType:
    """The type of the storage class that torch names: the newer types have none but the untyped one."""
    return dtype if dtype.storage else UINT8


def _two_types(first: DType, second: DType) -> TensorError:
    return TensorError(
        "Cannot save multiple tensors or storages that view the same data as different types "
        f"({first} and {second}): torch's format has one type for a storage.",
        hint="clone() one of them first; or save the storage once and view it after loading",
    )
