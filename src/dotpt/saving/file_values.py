"""What references into another file become in a pickle: the tensors they stand for, copied from file to file.

A tree as `dotpt.open` gives it goes in; the same opcodes come out that torch writes for the real tensors, and the
bytes of their storages are read, a piece at a time, when they are written. No tensor is ever in memory as a whole,
and torch is not needed. What is read is compared with the checksums of the file that it comes from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from dotpt.archive.memories import Memories
from dotpt.container.crc import crc32
from dotpt.container.record import STORED, checksum_mismatch
from dotpt.errors import UnsupportedError
from dotpt.formats.contents import Contents
from dotpt.pickling.encoder import Encoder, Save
from dotpt.pickling.values import Device, GeneratorState, ReturnType, Size, Symbol
from dotpt.saving.tensors import Mark, Storage, Tensor, TensorWriter
from dotpt.tensors.compact import View
from dotpt.tensors.dtypes import DType
from dotpt.tensors.outgoing import PIECE
from dotpt.tensors.refs import StorageRef, TensorRef

_LAYOUTS = frozenset(("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "_mkldnn"))
_OUTSIDE = ("attributes", "device")  # what is told around the tensor itself


class _Name:
    """A name of torch's, to be written as a global."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name


class _Call:
    """A call of a function of torch's, to be written as one."""

    __slots__ = ("args", "name")

    def __init__(self, module: str, name: str, *args: Any) -> None:
        self.name = _Name(module, name)
        self.args = args


class FileValues:
    """Writes references into files through an encoder."""

    def __init__(self, writer: TensorWriter) -> None:
        self._writer = writer
        self._buffer = memoryview(b"")

    @property
    def types(self) -> dict[type, Save]:
        """How each exact type is written."""
        return {
            TensorRef: self._tensor,
            StorageRef: self._storage_alone,
            DType: lambda encoder, dtype: encoder.name("torch", dtype.name),
            Symbol: self._symbol,
            Device: self._device,
            Size: self._size,
            ReturnType: self._return_type,
            GeneratorState: self._generator,
            Mark: self._writer.write_mark,
            _Name: lambda encoder, name: encoder.name(name.module, name.name),
            _Call: _call,
        }

    # -- tensors ------------------------------------------------------------------------------------------------------

    def _tensor(self, encoder: Encoder, ref: TensorRef) -> Iterator[Any] | None:
        if encoder.get(ref):
            return None
        if ref.flavor == "tensor" and not ref.extra and not ref.parts and ref.storage is not None:
            self._writer.write(encoder, self._storage(ref.storage, ref.dtype), _facts(ref), ref)
            return None
        return self._described(encoder, ref)

    def _described(self, encoder: Encoder, ref: TensorRef) -> Iterator[Any]:
        yield from _call(encoder, self._call_of(ref))
        encoder.memoize(ref)

    def _call_of(self, ref: TensorRef) -> _Call:
        """The call with which torch would rebuild a tensor that is not plain."""
        attributes = (ref.extra or {}).get("attributes")
        if attributes or ref.flavor == "buffer":
            cls = _Name("torch.nn.parameter", "Buffer") if ref.flavor == "buffer" else _Name("torch", "Tensor")
            if ref.flavor != "parameter":
                inner = self._bare(ref)
                return _Call("torch._tensor", "_rebuild_from_type_v2", inner.name, cls, inner.args, attributes or {})
        if ref.flavor == "parameter":
            data = _without(ref)
            self._writer.stands_for[id(ref)] = data
            state = (attributes,) if attributes else ()
            function = "_rebuild_parameter_with_state" if attributes else "_rebuild_parameter"
            return _Call("torch._utils", function, data, ref.requires_grad, OrderedDict(), *state)
        return self._bare(ref)

    def _bare(self, ref: TensorRef) -> _Call:
        """The same without its Python attributes."""
        self._writer.plain = False
        if ref.parts:
            return _composite(ref)
        if ref.storage is None:
            if "array" in (ref.extra or {}):
                raise _unsupported(ref, "a tensor of a device without storages")
            facts = (ref.dtype, Size(ref.shape), ref.strides, ref.requires_grad)
            return _Call("torch._utils", "_rebuild_meta_tensor_no_storage", *facts)
        extra = ref.extra or {}
        if "device" in extra:
            moved = (str(extra["device"]), ref.requires_grad)
            return _Call("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", _without(ref), ref.dtype, *moved)
        untyped = ref.dtype.storage is None
        storage, offset, strides = self._writer.marks(self._storage(ref.storage, ref.dtype), _facts(ref), untyped, ref)
        numbers = (storage, offset, ref.shape, strides)
        rest: tuple[Any, ...] = (ref.requires_grad, OrderedDict())
        if "scheme" in extra:
            return _Call("torch._utils", "_rebuild_qtensor", *numbers, _quantizer(extra), *rest)
        bits = {bit: True for bit in ("conj", "neg") if extra.get(bit)}
        last = (*((ref.dtype,) if untyped else ()), *((bits,) if bits else ()))
        return _Call("torch._utils", f"_rebuild_tensor_v{3 if untyped else 2}", *numbers, *rest, *last)

    # -- storages -----------------------------------------------------------------------------------------------------

    def _storage_alone(self, encoder: Encoder, ref: StorageRef) -> None:
        storage = self._storage(ref, ref.dtype)
        storage.whole = True
        self._writer.write_storage(encoder, storage, ref.dtype, ref.untyped)

    def _storage(self, ref: StorageRef, dtype: DType) -> Storage:
        """The storage in the new file for one of the old."""
        storage = self._writer.storages.get(ref)
        if storage is None:
            copied = _Copied(self, ref, dtype)
            storage = self._writer.add(ref, dtype, ref.location, ref.nbytes, copied, 0, copied.fetch)
            copied.storage = storage
        return storage

    def buffer(self, length: int) -> memoryview:
        """Memory for one piece; all storages take turns."""
        if len(self._buffer) < length:
            self._buffer = memoryview(bytearray(length))
        return self._buffer[:length]

    def read(self, ref: StorageRef, dtype: DType) -> memoryview:
        """A whole storage whose bytes do not lie in the file as they are in memory: packed, or turned round."""
        container = (ref.view_of[0] if ref.view_of else ref).container
        return Memories(Contents("", None, container)).of(ref, dtype).view

    # -- small values -------------------------------------------------------------------------------------------------

    def _symbol(self, encoder: Encoder, symbol: Symbol) -> Iterator[Any] | None:
        if symbol.name in _LAYOUTS:
            return _call(encoder, _layout(symbol.name))
        encoder.name("torch", symbol.name)
        return None

    def _device(self, encoder: Encoder, device: Device) -> Iterator[Any]:
        index = () if device.index is None else (device.index,)
        return _call(encoder, _Call("torch", "device", device.type, *index))

    def _size(self, encoder: Encoder, size: Size) -> Iterator[Any]:
        return _call(encoder, _Call("torch", "Size", tuple(size)))

    def _generator(self, encoder: Encoder, generator: GeneratorState) -> Iterator[Any] | None:
        if encoder.get(generator):
            return None
        return _generator_steps(encoder, generator)

    def _return_type(self, encoder: Encoder, value: ReturnType) -> Iterator[Any]:
        return _call(encoder, _Call("torch.return_types", value.name, value.values))


class _Copied:
    """One storage on its way from file to file.

    Attributes:
        storage: what is written of it.
    """

    def __init__(self, values: FileValues, ref: StorageRef, dtype: DType) -> None:
        self._values = values
        self._ref = ref
        self._dtype = dtype
        self._crc, self._checked = 0, 0
        self._memory: memoryview | None = None
        self.storage: Storage | None = None

    def fetch(self, begin: int, end: int) -> memoryview:
        """The bytes of a range. Ranges come in order."""
        record = None if self._ref.swap or self._ref.view_of else self._ref.record
        if record is None or record.method != STORED:
            if self._memory is None:
                self._memory = self._values.read(self._ref, self._dtype)
            if end == self._ref.nbytes:
                memory, self._memory = self._memory, None
                return memory[begin:end]
            return self._memory[begin:end]
        if begin > self._checked:  # only parts of it are written: the checksum is that of all
            self._read(record, begin)
        view = self._piece(record, begin, end)
        if end == self._last():
            self._read(record, record.size)
            view = self._piece(record, begin, end)
        return view

    def _last(self) -> int:
        ranges = self.storage.ranges if self.storage is not None else None
        return ranges[-1][1] if ranges else self._ref.nbytes

    def _read(self, record: Any, end: int) -> None:
        """Read up to ``end`` for the checksum's sake."""
        while self._checked < end:
            self._piece(record, self._checked, min(end, self._checked + PIECE))

    def _piece(self, record: Any, begin: int, end: int) -> memoryview:
        source = self._ref.container.source
        view = self._values.buffer(end - begin)
        source.read_into(record.offset + begin, view)
        if begin <= self._checked < end:
            self._crc = crc32(view[self._checked - begin :], self._crc)
            self._checked = end
            if end == record.size and record.crc is not None and self._crc != record.crc:
                raise checksum_mismatch(source, record, self._crc)
        return view


def _call(encoder: Encoder, call: _Call) -> Iterator[Any]:
    encoder.name(call.name.module, call.name.name)
    yield call.args
    encoder.parts.append(b"R")


def _generator_steps(encoder: Encoder, generator: GeneratorState) -> Iterator[Any]:
    yield from _call(encoder, _Call("torch._C", "Generator", generator.device))
    encoder.memoize(generator)
    yield generator.seed, generator.offset, generator.state
    encoder.parts.append(b"b")


def _facts(ref: TensorRef) -> Tensor:
    return Tensor(ref.dtype, View(ref.offset, tuple(ref.shape), tuple(ref.strides)), ref.requires_grad)


def _without(ref: TensorRef) -> TensorRef:
    """The tensor within a parameter."""
    data = TensorRef(ref.storage, ref.dtype, ref.offset, ref.shape, ref.strides)
    data.layout, data.parts = ref.layout, ref.parts
    data.extra = {key: value for key, value in (ref.extra or {}).items() if key not in _OUTSIDE} or None
    return data


def _quantizer(extra: dict[str, Any]) -> tuple[Any, ...]:
    if "scale" in extra:
        return Symbol("per_tensor_affine"), extra["scale"], extra["zero_point"]
    return Symbol("per_channel_affine"), extra["scales"], extra["zero_points"], extra["axis"]


def _composite(ref: TensorRef) -> _Call:
    """A tensor that is made of others."""
    parts, extra = ref.parts or {}, ref.extra or {}
    if ref.layout == "nested":
        made = (parts["buffer"], parts["sizes"], parts["strides"], parts["offsets"])
        return _Call("torch._utils", "_rebuild_nested_tensor", *made)
    if ref.layout not in _LAYOUTS:
        raise _unsupported(ref, f"a tensor of the layout {ref.layout}")
    indices = tuple(part for role, part in parts.items() if role != "values")
    values = (*indices, parts["values"], Size(ref.shape))
    if ref.layout == "sparse_coo":
        values += (bool(extra.get("coalesced")),)
    return _Call("torch._utils", "_rebuild_sparse_tensor", _layout(ref.layout), values)


def _layout(name: str) -> _Call:
    return _Call("torch.serialization", "_get_layout", f"torch.{name}")


def _unsupported(ref: TensorRef, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what[0].upper()}{what[1:]} cannot be copied from file to file.",
        key=ref.name or None,
        hint="load it, and save what dotpt.load gives",
    )
