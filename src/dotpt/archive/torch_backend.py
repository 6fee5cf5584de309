"""Leaves of a tree as torch's own objects, on the device that ``map_location`` says (default: the CPU)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from dotpt.archive.memories import Memories
from dotpt.archive.torch_settings import AsSaved, for_loading
from dotpt.errors import DotptError, TensorError, UnsupportedError
from dotpt.pickling.tree import settle
from dotpt.pickling.values import Device, GeneratorState, ReturnType, Size, Symbol
from dotpt.pickling.vocabulary import Known
from dotpt.tensors.arrays import strided_array
from dotpt.tensors.composite import check_jagged, check_nested, check_sparse
from dotpt.tensors.dtypes import DType
from dotpt.tensors.memory import Memory
from dotpt.tensors.refs import StorageRef, TensorRef, contiguous_strides

_CLASSES = {
    "torch.Size": torch.Size, "torch.device": torch.device, "torch.Generator": torch.Generator,
    "torch.Tensor": torch.Tensor, "torch.nn.Parameter": torch.nn.Parameter, "torch.nn.Buffer": torch.nn.Buffer,
}  # fmt: skip
_from_numpy, _array = torch.from_numpy, np.ndarray
_UntypedStorage: Any = torch.UntypedStorage  # torch leaves their constructors without types
_TypedStorage: Any = torch.storage.TypedStorage
# Types that torch takes from numpy as they are; the others are taken as integers of their size and viewed.
_DIRECT = frozenset(
    ("float64 float32 float16 int64 int32 int16 int8 uint8 bool complex64 complex128 uint16 uint32 uint64").split()
)
_VIEWED = {1: "uint8", 2: "int16", 4: "int32"}


class TorchBackend:
    """Makes tensors on the memories of storages. A tensor that is all of its storage costs one call.

    Attributes:
        unread: whether no bytes are wanted, because torch is in a mode without data (`FakeTensorMode`, `skip_data`).
    """

    name = "torch"

    def __init__(self, memories: Memories, map_location: Any = None) -> None:
        self._memories = memories
        self._places = _Places(map_location)
        self._storages: dict[StorageRef, Any] = {}
        self._alone: dict[StorageRef, Any] = {}
        self._made: dict[TensorRef, Any] = {}
        self._plans: dict[tuple[Any, ...], _Plan | None] = {}
        self._fake = torch._guards.detect_fake_mode(None) is not None
        self._skips_data = for_loading().skip_data
        self.unread = self._fake or self._skips_data

    def leaf(self, value: Any) -> Any:
        """What a leaf becomes. One reference gives one tensor, wherever it appears."""
        kind = type(value)
        if kind is TensorRef:
            made = self._made.get(value)
            if made is None:
                made = self._made[value] = self.tensor(value)
            return made
        if kind is StorageRef:
            return self.storage(value)
        if kind is DType:
            return dtype_of(value)
        if kind is Size:
            return torch.Size(value)
        if kind is Device:
            return torch.device(value.type) if value.index is None else torch.device(value.type, value.index)
        if kind is Symbol:
            return getattr(torch, value.name)
        if kind is Known and value.qualified in _CLASSES:  # a class of torch that was saved as a value
            return _CLASSES[value.qualified]
        return settle(value)

    def finish(self, value: Any) -> Any:
        """Named tuples and generators of torch, their parts being torch's already."""
        if type(value) is ReturnType:
            return getattr(torch.return_types, value.name)(value.values)
        if type(value) is GeneratorState:
            return _generator(value)
        return settle(value)

    # -- storages -----------------------------------------------------------------------------------------------

    def storage(self, ref: StorageRef) -> Any:
        """A storage that was saved by itself, typed or untyped as it was."""
        return self._untyped(ref, ref.dtype) if ref.untyped else self.typed_storage(ref)

    def typed_storage(self, ref: StorageRef) -> Any:
        """A storage as torch's own rebuild functions take it."""
        untyped = self._untyped(ref, ref.dtype)
        return _TypedStorage(wrap_storage=untyped, dtype=dtype_of(ref.dtype), _internal=True)

    def _untyped(self, ref: StorageRef, dtype: DType) -> Any:
        """The storage that all its tensors share."""
        storage = self._storages.get(ref)
        if storage is None:
            alone = self._alone.get(ref)
            if alone is not None:
                storage = alone.untyped_storage()
            elif ref.view_of is not None:
                base, start = ref.view_of
                storage = self._untyped(base, dtype)[start : start + ref.nbytes]
            elif self._fake or self._places.is_meta(ref.location):
                storage = self._without_memory(ref)
            elif self._skips_data:
                storage = self._places.put(_UntypedStorage(ref.nbytes), ref.location)
            else:
                storage = self._places.put(_as_storage(self._memories.of(ref, dtype)), ref.location)
            self._storages[ref] = storage
        return storage

    def _without_memory(self, ref: StorageRef) -> Any:
        """A storage of the meta device. As torch does, it notes where its bytes are in the file, and their device."""
        storage = _UntypedStorage(ref.nbytes, device="meta")
        if ref.record is not None:
            storage._checkpoint_offset = ref.record.offset
        if self._fake:
            storage._fake_device = ref.location
        return storage

    # -- tensors ------------------------------------------------------------------------------------------------

    def tensor(self, ref: TensorRef) -> Any:
        """The tensor of a reference, whatever its layout."""
        storage = ref.storage
        if storage is None or ref.extra is not None or ref.flavor != "tensor" or storage in self._alone or self.unread:
            return self._any_tensor(ref)
        # The common case: a contiguous tensor that is all of its storage, and the first to look at it.
        window = ref.window
        key = (window, storage.nbytes, storage.location)
        try:
            plan = self._plans[key]
        except KeyError:
            plan = self._plans[key] = self._plan(ref, storage)
        if plan is None or storage in self._storages or storage.view_of is not None:
            return self._any_tensor(ref)
        memory = self._memories.of(storage, window.dtype)
        tensor = _from_numpy(_array(window.shape, plan.numpy, memory.buffer, memory.start))
        if plan.view is not None:
            tensor = tensor.view(plan.view)
        self._alone[storage] = tensor
        return tensor.requires_grad_(True) if window.requires_grad else tensor

    def _plan(self, ref: TensorRef, storage: StorageRef) -> _Plan | None:
        """How tensors of this description are made on the whole of a CPU storage, or None if they are not that."""
        whole = (
            ref.offset == 0
            and ref.numel * ref.dtype.itemsize == storage.nbytes
            and ref.strides == contiguous_strides(ref.shape)
            and self._places.target(storage.location) == "cpu"
        )
        return _numpy_view(ref.dtype) if whole else None

    def _any_tensor(self, ref: TensorRef) -> Any:
        if ref.layout == "strided":
            tensor = self._strided(ref, ref.storage) if ref.storage is not None else self._without_storage(ref)
        else:
            tensor = self._composite(ref)
        if ref.flavor == "parameter":
            tensor = torch.nn.Parameter(tensor, ref.requires_grad)
        elif ref.requires_grad and not tensor.requires_grad:
            tensor.requires_grad_(True)
        if ref.flavor == "buffer":
            tensor = torch.nn.Buffer(tensor)
        if ref.extra and "attributes" in ref.extra:
            self.set_attributes(tensor, self._attributes(ref.extra["attributes"]))
        return tensor

    def set_attributes(self, tensor: Any, attributes: dict[str, Any]) -> None:
        """Give a tensor the Python attributes that were saved with it."""
        tensor.__dict__.update(attributes)

    def _strided(self, ref: TensorRef, seen: StorageRef) -> Any:
        storage, extra = self._untyped(seen, ref.dtype), ref.extra or {}
        if "scheme" in extra:
            tensor = self._quantized(ref, extra)
        else:
            tensor = torch.empty((0,), dtype=dtype_of(ref.dtype), device=storage.device)
        tensor.set_(storage, ref.offset, ref.shape, ref.strides)
        if extra.get("conj"):
            tensor = _with_bit(tensor, torch._C._set_conj)
        if extra.get("neg"):
            tensor = _with_bit(tensor, torch._C._set_neg)
        if "device" in extra:  # xla and its like: the values were copied to the CPU to be saved
            tensor = self._places.move(tensor, str(extra["device"]))
        return tensor

    def _quantized(self, ref: TensorRef, extra: dict[str, Any]) -> Any:
        dtype = dtype_of(ref.dtype)
        if "scale" in extra:
            return torch._empty_affine_quantized(
                (0,), scale=extra["scale"], zero_point=extra["zero_point"], dtype=dtype
            )
        scales, zeros = (self._channel(extra[name]) for name in ("scales", "zero_points"))
        if zeros.dtype.is_floating_point and scales.dtype == torch.float64:
            scales = scales.to(torch.float32)
        return torch._empty_per_channel_affine_quantized(
            ref.shape, scales=scales, zero_points=zeros, axis=extra["axis"], dtype=dtype
        )

    def _channel(self, values: Any) -> Any:
        if type(values) is TensorRef:
            return self.leaf(values)
        integers = all(type(value) is int for value in values)
        return torch.tensor(values, dtype=torch.long if integers else torch.double)

    def _without_storage(self, ref: TensorRef) -> Any:
        array = (ref.extra or {}).get("array")
        if array is not None:
            tensor = torch.from_numpy(np.array(array)).to(dtype_of(ref.dtype))
            return self._places.move(tensor, str((ref.extra or {}).get("device", "cpu")))
        return torch.empty_strided(ref.shape, ref.strides, dtype=dtype_of(ref.dtype), device="meta")

    def _attributes(self, attributes: dict[str, Any]) -> dict[str, Any]:
        from dotpt.limits import DEFAULT_LIMITS
        from dotpt.pickling.tree import transform

        return transform(dict(attributes), self.leaf, DEFAULT_LIMITS.nesting, self.finish)  # type: ignore[no-any-return]

    # -- subclasses that the user trusts -------------------------------------------------------------------------

    def subclass(self, tensor: Any, cls: Any) -> Any:
        """A tensor seen as a subclass, as torch/_tensor.py's ``_rebuild_from_type_v2`` does it."""
        return tensor if type(tensor) is cls else tensor.as_subclass(cls)

    def wrapper(self, cls: Any, facts: dict[str, Any]) -> Any:
        """A tensor subclass without data of its own: its state holds the tensors that it wraps."""
        place = self._places.put(_UntypedStorage(0), str(facts["device"])).device
        return torch.Tensor._make_wrapper_subclass(
            cls, facts["shape"], strides=facts["strides"], storage_offset=facts["offset"], dtype=facts["dtype"],
            layout=facts["layout"], device=place, requires_grad=facts["requires_grad"],
        )  # fmt: skip

    def parameter(self, tensor: Any, requires_grad: bool) -> Any:
        """A parameter around a tensor subclass, which keeps its class."""
        return torch.nn.Parameter(tensor, requires_grad)

    def set_state(self, tensor: Any, state: Any) -> None:
        """The state of a subclass or a parameter: its own ``__setstate__``, or attributes."""
        own = getattr(type(tensor), "__setstate__", torch.Tensor.__setstate__)
        if own is not torch.Tensor.__setstate__:
            tensor.__setstate__(state)
        else:
            set_attributes: Any = torch._utils._set_obj_state
            set_attributes(tensor, state)

    # -- other layouts --------------------------------------------------------------------------------------------

    def _composite(self, ref: TensorRef) -> Any:
        parts, extra = ref.parts or {}, ref.extra or {}
        made = {role: self.leaf(part) for role, part in parts.items()}
        on_meta = any(part.is_meta for part in made.values())
        if not on_meta:
            self._check(ref)
        if ref.layout == "sparse_coo":
            return torch.sparse_coo_tensor(
                made["indices"],
                made["values"],
                ref.shape,
                is_coalesced=extra.get("coalesced"),
                check_invariants=not on_meta,
            )
        if ref.layout.startswith("sparse"):
            roles = [role for role in made if role != "values"]
            return torch.sparse_compressed_tensor(
                made[roles[0]], made[roles[1]], made["values"], ref.shape, layout=getattr(torch, ref.layout),
                check_invariants=not on_meta,
            )  # fmt: skip
        if ref.layout == "nested":
            return torch._nested_view_from_buffer(made["buffer"], made["sizes"], made["strides"], made["offsets"])
        return _jagged(ref, made, extra)

    def _check(self, ref: TensorRef) -> None:
        """The numbers inside, checked on the bytes that were read (without torch's opinion of them)."""
        arrays = {}
        for role, part in (ref.parts or {}).items():
            if role in ("values", "buffer"):
                arrays[role] = _shape_only(part)
            else:
                arrays[role] = strided_array(part, self._memories.of(part.storage, part.dtype))
        if ref.layout.startswith("sparse"):
            check_sparse(ref, arrays)
        elif ref.layout == "nested":
            check_nested(arrays)
        else:
            check_jagged(ref, arrays)


def dtype_of(dtype: DType) -> Any:
    """torch's dtype; `UnsupportedError` where this torch has none of the name."""
    found = getattr(torch, dtype.name, None)
    if found is None:
        raise UnsupportedError(
            f"The installed torch {torch.__version__} has no dtype {dtype.name}.",
            hint='pip install -U torch, or load with backend="numpy"',
        )
    return found


class _Plan(NamedTuple):
    """The numpy type that torch takes over, and the type it is then viewed as, if that is another."""

    numpy: np.dtype[Any]
    view: Any


def _numpy_view(dtype: DType) -> _Plan | None:
    if dtype.name in _DIRECT:
        return _Plan(np.dtype(dtype.numpy), None)
    if dtype.kind != "float" or dtype.itemsize not in _VIEWED:
        return None
    return _Plan(np.dtype(_VIEWED[dtype.itemsize]), dtype_of(dtype))


def _as_storage(memory: Memory) -> Any:
    if not memory.length:
        return _UntypedStorage(0)
    return torch.from_numpy(np.ndarray((memory.length,), np.uint8, memory.buffer, memory.start)).untyped_storage()


def _with_bit(tensor: Any, setter: Any) -> Any:
    setter(tensor, True)
    return tensor


def _shape_only(part: TensorRef) -> Any:
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), part.shape, (0,) * len(part.shape))


def _jagged(ref: TensorRef, made: dict[str, Any], extra: dict[str, Any]) -> Any:
    cache = extra.get("cache") or {}
    bounds = {}
    for name, key in (("min_seqlen", "min_seqlen"), ("max_seqlen", "max_seqlen")):
        value = cache.get(key) if isinstance(cache, dict) else None
        if type(value) is TensorRef and value.shape and value.shape[0] < 1 << 31:
            bounds[name] = value.shape[0]
    tensor = torch.nested.nested_tensor_from_jagged(
        made["values"], made["offsets"], made.get("lengths"), ref.extra.get("ragged", 1) if ref.extra else 1, **bounds
    )
    return tensor.requires_grad_(True) if extra.get("requires_grad") else tensor


def _generator(value: GeneratorState) -> Any:
    generator = torch.Generator(value.device.type if value.device.index is None else str(value.device))
    try:
        generator.set_state(value.state)
    except (RuntimeError, TypeError) as error:
        raise TensorError(f"A random generator's state is not one: {error!s:.100}.") from None
    return generator


class _Places:
    """``map_location`` in all of torch's forms: None, a name, a device, a dictionary of names, a function.

    Where it is silent, everything goes to the CPU; within `AsSaved`, to where it was saved from.
    """

    def __init__(self, map_location: Any) -> None:
        self._back = isinstance(map_location, AsSaved)
        wanted = map_location.map_location if isinstance(map_location, AsSaved) else map_location
        self._wanted: Any = str(wanted) if isinstance(wanted, (str, torch.device)) else wanted
        self._known: dict[str, str] = {}

    def target(self, tag: str) -> str:
        """The device that storages with the tag ``tag`` go to; ``?`` where only `put` knows."""
        found = self._known.get(tag)
        if found is None:
            found = self._known[tag] = self._decide(tag)
        return found

    def _decide(self, tag: str) -> str:
        wanted = self._wanted
        if wanted is None and not self._back and tag != "meta" and _packages():
            return "?"
        if wanted is None or isinstance(wanted, dict):
            unsaid = tag if self._back or tag == "meta" else "cpu"
            wanted = unsaid if wanted is None else str(wanted.get(tag, unsaid))
        elif callable(wanted):
            return "?"
        if wanted in ("cpu", "meta") and not _somebody_is_asked_first():
            return str(wanted)
        try:
            torch.device(wanted)
        except RuntimeError:
            if not self._back:
                raise DotptError(
                    f"map_location names no device: {wanted!r:.60}.", hint='use "cpu", "cuda:0", "mps" or "meta"'
                ) from None
            return "?"
        return "?" if self._back else str(wanted)

    def is_meta(self, tag: str) -> bool:
        """Whether storages with this tag get no memory at all."""
        return self.target(tag) == "meta"

    def put(self, storage: Any, tag: str) -> Any:
        """``storage`` (on the CPU) moved to its place."""
        target = self.target(tag)
        if target == "cpu":
            return storage
        if target == "?":
            return self._restored(storage, tag)
        return torch.empty((0,), dtype=torch.uint8).set_(storage).to(target).untyped_storage()

    def _restored(self, storage: Any, tag: str) -> Any:
        """As the user's function, or the packages registered with torch, say."""
        wanted = self._wanted
        if wanted is None and not self._back:
            found = (restore(storage, tag) for restore in _packages())
            moved = next((place for place in found if place is not None), storage)
        elif callable(wanted):
            moved = wanted(storage, tag)
            if moved is None and not self._back:
                return storage
        else:
            moved, tag = None, tag if wanted is None else wanted.get(tag, tag) if isinstance(wanted, dict) else wanted
        if moved is None:
            restore: Any = torch.serialization.default_restore_location
            moved = restore(storage, tag)
        return getattr(moved, "_untyped_storage", moved)

    def move(self, tensor: Any, tag: str) -> Any:
        """A whole tensor moved to its place."""
        target = self.target(tag)
        return tensor if target in ("cpu", "?") else tensor.to(target)


def _packages() -> list[Any]:
    """What users have registered to restore storages with (`torch.serialization.register_package`), not torch's own."""
    restorers = [entry[2] for entry in torch.serialization._package_registry]
    return [restore for restore in restorers if _home(restore) != torch.serialization.__name__]


def _home(function: Any) -> str:
    return str(getattr(getattr(function, "func", function), "__module__", ""))


def _somebody_is_asked_first() -> bool:
    """Whether a package is registered with torch that is asked about a storage before torch's own CPU is."""
    return _home(torch.serialization._package_registry[0][2]) != torch.serialization.__name__
