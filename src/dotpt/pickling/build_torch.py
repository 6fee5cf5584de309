"""Builders of torch's types: tensors of every layout become `TensorRef`, the rest plain values.

The argument lists are those of torch/_utils.py and torch/_tensor.py (2.13) and of every release before; each
builder says in one line what the file holds. Every number is checked by `Bounds` against the storage.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from dotpt.errors import LimitExceeded, TensorError
from dotpt.pickling.build_numpy import EmptyArray
from dotpt.pickling.values import (
    Device,
    GeneratorState,
    InertGlobal,
    InertObject,
    ReturnType,
    Size,
    StorageClass,
    Symbol,
)
from dotpt.pickling.vocabulary import Known, StateSetter, Vocabulary, bad
from dotpt.tensors.dtypes import ALIASES, BY_STORAGE, DTYPES, UINT8, DType
from dotpt.tensors.refs import StorageRef, TensorRef

Args = tuple[Any, ...]
_UTILS = "torch._utils"
_EMBEDDED = 1 << 14  # bytes that an embedded file counts at least: opening one takes time
_QUANTIZERS = ("per_tensor_affine", "per_channel_affine", "per_channel_affine_float_qparams", "per_tensor_symmetric",
               "per_channel_symmetric")  # fmt: skip
_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged", "_mkldnn")
_COMPRESSED = ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
RETURN_TYPES = frozenset(
    (
        "aminmax cummax cummin eig frexp geqrf histogram histogramdd kthvalue linalg_cholesky_ex linalg_eig "
        "linalg_eigh linalg_inv_ex linalg_ldl_factor linalg_ldl_factor_ex linalg_lstsq linalg_lu "
        "linalg_lu_factor linalg_lu_factor_ex linalg_qr linalg_slogdet linalg_solve_ex linalg_svd lu_unpack "
        "max median min mode nanmedian qr slogdet sort svd symeig topk triangular_solve unpack_dual"
    ).split()
)
_TENSOR_CLASSES = {name[: -len("Storage")] + "Tensor": dtype for name, dtype in BY_STORAGE.items()}


def entries() -> Iterator[tuple[str, str, Any]]:
    """(modules, name, value) rows of the vocabulary."""
    for name, dtype in DTYPES.items():
        yield "torch", name, dtype
    for alias, name in ALIASES.items():
        yield "torch", alias, DTYPES[name]
    for name, dtype in BY_STORAGE.items():
        yield "torch torch.cuda torch.storage", name, StorageClass(dtype)
    for name in ("UntypedStorage", "_UntypedStorage"):
        yield "torch torch.cuda torch.storage", name, StorageClass(UINT8, untyped=True)
    for name in _QUANTIZERS:
        yield "torch", name, Symbol(name)
    for name in _LAYOUTS:
        yield "torch", name, Symbol(name)
    yield "torch.serialization", "_get_layout", Known("torch.serialization._get_layout", _layout)
    yield "torch", "Size", Known("torch.Size", _size)
    yield "torch", "device", Known("torch.device", _device)
    yield "torch._C torch", "Generator", Known("torch.Generator", _generator)
    for name, dtype in _TENSOR_CLASSES.items():
        yield "torch torch.cuda", name, Known(f"torch.{name}", _old_tensor(dtype), dtype)
    yield "torch torch._tensor torch.tensor", "Tensor", Known("torch.Tensor", _old_tensor(DTYPES["float32"]))
    yield "torch.nn.parameter torch.nn", "Parameter", Known("torch.nn.Parameter", _old_parameter)
    yield "torch.nn.parameter torch.nn", "Buffer", Known("torch.nn.Buffer", _refuse)
    yield "torch.autograd.variable torch.autograd", "Variable", Known("torch.autograd.Variable", _old_parameter)
    for name, build in (
        ("_rebuild_tensor", _tensor_v1), ("_rebuild_tensor_v2", _tensor_v2), ("_rebuild_tensor_v3", _tensor_v3),
        ("_rebuild_parameter", _parameter), ("_rebuild_parameter_with_state", _parameter),
        ("_rebuild_qtensor", _quantized),
        ("_rebuild_sparse_tensor", sparse), ("_rebuild_sparse_csr_tensor", sparse), ("_rebuild_nested_tensor", _nested),
        ("_rebuild_meta_tensor_no_storage", _meta), ("_rebuild_device_tensor_from_numpy", _from_numpy),
        ("_rebuild_xla_tensor", _from_numpy), ("_rebuild_device_tensor_from_cpu_tensor", _from_cpu),
        ("_rebuild_wrapper_subclass", _wrapper),
    ):  # fmt: skip
        yield _UTILS, name, Known(f"torch._utils.{name}", build)
    for name in ("_rebuild_from_type", "_rebuild_from_type_v2"):
        yield "torch._tensor torch.tensor", name, Known(f"torch._tensor.{name}", _from_type)
    yield "torch.nested._internal.nested_tensor", "_rebuild_njt", Known("torch.nested._rebuild_njt", _jagged)
    yield "torch.nested._internal.nested_tensor", "NestedTensor", Known("torch.nested.NestedTensor", _refuse)
    yield "torch._dynamo.decorators", "_DimRange", Known("torch._dynamo.decorators._DimRange", _range_record)
    yield "torch.storage", "_load_from_bytes", Known("torch.storage._load_from_bytes", _embedded)
    for name in RETURN_TYPES:
        yield "torch.return_types", name, Known(f"torch.return_types.{name}", _return_type(name))


# -- strided tensors --------------------------------------------------------------------------------------------------


def _storage_of(value: Any, name: str) -> StorageRef:
    if type(value) is not StorageRef:
        raise bad(name)
    return value


def _tensor_v1(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(storage, offset, size, stride): torch 0.3 and before."""
    if len(args) != 4:
        raise bad("torch._utils._rebuild_tensor")
    storage = _storage_of(args[0], "torch._utils._rebuild_tensor")
    return vocabulary.context.bounds.tensor(storage, storage.dtype, *args[1:])


def _tensor_v2(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(typed storage, offset, size, stride, requires_grad, hooks[, metadata])."""
    if not 6 <= len(args) <= 7:
        raise bad("torch._utils._rebuild_tensor_v2")
    storage = _storage_of(args[0], "torch._utils._rebuild_tensor_v2")
    ref = vocabulary.context.bounds.tensor(storage, storage.dtype, *args[1:5])
    return _with_marks(ref, args[6:])


def _tensor_v3(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(untyped storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])."""
    if not 7 <= len(args) <= 8 or type(args[6]) is not DType:
        raise bad("torch._utils._rebuild_tensor_v3")
    storage = _storage_of(args[0], "torch._utils._rebuild_tensor_v3")
    return _with_marks(vocabulary.context.bounds.tensor(storage, args[6], *args[1:5]), args[7:])


def _with_marks(ref: TensorRef, metadata: Args) -> TensorRef:
    """The conjugate and negative bits, which change what the bytes mean."""
    marks = metadata[0] if metadata else None
    if marks:
        if not isinstance(marks, dict) or any(type(key) is not str or key not in ("conj", "neg") for key in marks):
            raise bad("torch._utils._rebuild_tensor_v2")
        ref.extra = {key: True for key, value in marks.items() if value is True}
    return ref


def _derived(ref: Any, name: str) -> TensorRef:
    """A tensor of its own that looks at the same bytes."""
    if type(ref) is not TensorRef:
        raise bad(name)
    return copy.copy(ref)


def _parameter(vocabulary: Vocabulary, args: Args) -> Any:
    """(data, requires_grad, hooks[, state])."""
    if not 3 <= len(args) <= 4 or type(args[1]) is not bool:
        raise bad("torch._utils._rebuild_parameter")
    if type(args[0]) is InertObject and args[0].how != "parameter":  # a parameter around a tensor subclass
        inert = InertObject(args[0], "parameter", (), {"requires_grad": args[1]})
        inert.states.extend(args[3:])
        return inert
    ref = _derived(args[0], "torch._utils._rebuild_parameter")
    ref.flavor = "parameter"
    ref.look(requires_grad=args[1])
    return _with_attributes(ref, args[3] if len(args) > 3 else None)


def _with_attributes(ref: TensorRef, state: Any) -> TensorRef:
    """Python attributes that were set on a tensor."""
    parts = state if type(state) is tuple else (state,)
    attributes: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, dict):
            attributes.update({key: value for key, value in part.items() if type(key) is str})
    if attributes:
        ref.extra = (ref.extra or {}) | {"attributes": attributes}
    return ref


def _from_type(vocabulary: Vocabulary, args: Args) -> Any:
    """(rebuild function, class, its arguments, state): subclasses, and tensors with attributes."""
    if len(args) != 4 or type(args[0]) not in (Known, InertGlobal) or type(args[2]) is not tuple:
        raise bad("torch._tensor._rebuild_from_type_v2")
    function, cls, arguments, state = args
    if type(function) is not Known:
        return _subclass(InertObject(function, "call", arguments), cls, state)
    base = function.call(vocabulary, arguments)
    if type(cls) is not Known or type(base) is not TensorRef:
        return _subclass(base, cls, state)
    if cls.qualified == "torch.nn.Buffer":
        base.flavor = "buffer"
    elif cls.qualified == "torch.nn.Parameter":
        base.flavor = "parameter"
    return _with_attributes(base, state)


def _subclass(base: Any, cls: Any, state: Any) -> InertObject:
    inert = InertObject(cls, "subclass", (base,))
    inert.states.append(state)
    return inert


def _wrapper(vocabulary: Vocabulary, args: Args) -> InertObject:
    """(class, dtype, size, stride, offset, layout, device, requires_grad): the data is in the state alone."""
    if len(args) != 8:
        raise bad("torch._utils._rebuild_wrapper_subclass")
    names = ("dtype", "shape", "strides", "offset", "layout", "device", "requires_grad")
    return InertObject(args[0], "wrapper", (), dict(zip(names, args[1:], strict=True)))


def _meta(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(dtype, size, stride, requires_grad): a shape without values."""
    if len(args) != 4 or type(args[0]) is not DType or type(args[3]) is not bool:
        raise bad("torch._utils._rebuild_meta_tensor_no_storage")
    sizes = vocabulary.context.bounds.sizes
    shape, strides = sizes(args[1], "shape"), sizes(args[2], "strides")
    vocabulary.context.bounds.measure(shape, strides)
    return TensorRef(None, args[0], 0, shape, strides, args[3])


def _from_cpu(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(cpu tensor, dtype, device, requires_grad): a device whose memory cannot be written directly."""
    if len(args) != 4 or type(args[1]) is not DType or type(args[3]) is not bool:
        raise bad("torch._utils._rebuild_device_tensor_from_cpu_tensor")
    ref = _derived(args[0], "torch._utils._rebuild_device_tensor_from_cpu_tensor")
    if ref.dtype is not args[1]:  # torch would convert it, which it never has to
        raise bad("torch._utils._rebuild_device_tensor_from_cpu_tensor")
    ref.look(requires_grad=args[3])
    ref.extra = (ref.extra or {}) | {"device": str(args[2])}
    return ref


def _from_numpy(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(numpy array, dtype, device, requires_grad): the values lie in the pickle itself."""
    if len(args) != 4 or type(args[0]) is not EmptyArray or type(args[1]) is not DType or type(args[3]) is not bool:
        raise bad("torch._utils._rebuild_device_tensor_from_numpy")
    array = args[0].array
    if array is None or array.dtype.hasobject:
        raise bad("torch._utils._rebuild_device_tensor_from_numpy")
    strides = tuple(step // max(array.itemsize, 1) for step in array.strides)
    ref = TensorRef(None, args[1], 0, array.shape, strides, args[3])
    ref.extra = {"array": array, "device": str(args[2])}
    return ref


# -- other layouts ----------------------------------------------------------------------------------------------------


def _composite(layout: str, dtype: DType, shape: tuple[int, ...], parts: dict[str, Any], **extra: Any) -> TensorRef:
    ref = TensorRef(None, dtype, 0, shape, ())
    ref.layout, ref.parts = layout, parts
    ref.extra = extra or None
    return ref


def _strided(values: Any, name: str) -> TensorRef:
    if type(values) is not TensorRef or values.parts:
        raise bad(name)
    return values


def sparse(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(layout, (indices, values, size[, coalesced])) or (layout, (compressed, plain, values, size))."""
    name = "torch._utils._rebuild_sparse_tensor"
    if len(args) != 2 or type(args[0]) is not Symbol or type(args[1]) is not tuple:
        raise bad(name)
    layout, data = args[0].name, args[1]
    if layout == "sparse_coo" and 3 <= len(data) <= 4:
        parts = {"indices": _strided(data[0], name), "values": _strided(data[1], name)}
        shape = vocabulary.context.bounds.sizes(data[2], "shape")
        ref = _composite(layout, parts["values"].dtype, shape, parts, coalesced=data[3] if len(data) > 3 else None)
    elif layout in _COMPRESSED and len(data) == 4:
        roles = (
            ("crow_indices", "col_indices")
            if layout in ("sparse_csr", "sparse_bsr")
            else ("ccol_indices", "row_indices")
        )
        parts = {role: _strided(part, name) for role, part in zip((*roles, "values"), data[:3], strict=True)}
        ref = _composite(layout, parts["values"].dtype, vocabulary.context.bounds.sizes(data[3], "shape"), parts)
    else:
        raise bad(name)
    return ref


def _quantized(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(typed storage, offset, size, stride, quantizer parameters, requires_grad, hooks)."""
    name = "torch._utils._rebuild_qtensor"
    if len(args) != 7 or type(args[4]) is not tuple or not args[4] or type(args[4][0]) is not Symbol:
        raise bad(name)
    storage = _storage_of(args[0], name)
    if storage.dtype.kind != "quantized":
        raise bad(name)
    offset, size, stride, parameters, requires_grad = args[1:6]
    dtype = storage.dtype
    if dtype.bits:  # several elements share a byte: the storage holds fewer bytes than the tensor has elements
        ref = _packed(vocabulary, storage, offset, size, stride, requires_grad)
    else:
        ref = vocabulary.context.bounds.tensor(storage, dtype, offset, size, stride, requires_grad)
    scheme = parameters[0].name
    if scheme == "per_tensor_affine" and len(parameters) == 3:
        if type(parameters[1]) not in (float, int) or type(parameters[2]) is not int:
            raise bad(name)
        ref.extra = {"scheme": scheme, "scale": float(parameters[1]), "zero_point": parameters[2]}
    elif scheme in ("per_channel_affine", "per_channel_affine_float_qparams") and len(parameters) == 4:
        axis = parameters[3]
        if type(axis) is not int or not 0 <= axis < len(ref.shape):
            raise TensorError(
                "A quantized tensor's channel axis is none of its dimensions.", found=axis, expected=ref.shape
            )
        scales, zero_points = (_channel_values(part, ref.shape[axis]) for part in parameters[1:3])
        ref.extra = {"scheme": scheme, "axis": axis, "scales": scales, "zero_points": zero_points}
    else:
        raise bad(name)
    return ref


def _packed(vocabulary: Vocabulary, storage: StorageRef, offset: Any, size: Any, stride: Any, grad: Any) -> TensorRef:
    sizes = vocabulary.context.bounds.sizes
    shape, strides = sizes(size, "shape"), sizes(stride, "strides")
    if type(offset) is not int or offset < 0 or type(grad) is not bool or len(shape) != len(strides):
        raise bad("torch._utils._rebuild_qtensor")
    ref = TensorRef(storage, storage.dtype, offset, shape, strides, grad)
    per_byte = 8 // storage.dtype.bits
    if -(-(offset + ref.extent) // per_byte) > storage.nbytes:
        raise TensorError("The packed tensor reaches outside its storage.", key=storage.key)
    if (expanded := ref.numel // per_byte - storage.nbytes) > vocabulary.context.limits.expanded_bytes:
        raise LimitExceeded("expanded_bytes", expanded, vocabulary.context.limits.expanded_bytes, key=storage.key)
    return ref


def _channel_values(part: Any, channels: int) -> Any:
    if type(part) is TensorRef and part.shape == (channels,):
        return part
    if type(part) in (list, tuple) and len(part) == channels and all(type(v) in (int, float) for v in part):
        return list(part)
    raise TensorError("A quantized tensor has not one scale and zero point for each channel.", expected=channels)


def _compact(part: TensorRef) -> None:
    """Each component has its own numbers: an expanded tensor would stand for millions of them."""
    if part.numel > part.extent:
        raise TensorError("The sizes of a nested tensor's components are an expanded tensor.", key=part.storage_key)


def _nested(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(buffer, sizes, strides, storage offsets)."""
    name = "torch._utils._rebuild_nested_tensor"
    if len(args) != 4:
        raise bad(name)
    parts = {role: _strided(p, name) for role, p in zip(("buffer", "sizes", "strides", "offsets"), args, strict=True)}
    for role in ("sizes", "strides", "offsets"):
        _compact(parts[role])
    count = parts["sizes"].shape[:1]
    dims = parts["sizes"].shape[1] + 1 if len(parts["sizes"].shape) == 2 else 1
    return _composite("nested", parts["buffer"].dtype, count + (-1,) * (dims - 1), parts)


def _jagged(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """({values, offsets, lengths, _ragged_idx, _metadata_cache, requires_grad},)."""
    name = "torch.nested._rebuild_njt"
    state = args[0] if len(args) == 1 else None
    if not isinstance(state, dict) or not {"values", "offsets"} <= state.keys():
        raise bad(name)
    parts = {
        role: _strided(state[role], name) for role in ("values", "offsets", "lengths") if state.get(role) is not None
    }
    for role in parts.keys() - {"values"}:
        _compact(parts[role])
    ragged = state.get("_ragged_idx", 1)
    values, batch = parts["values"].shape, max(parts["offsets"].numel - 1, 0)
    if type(ragged) is not int or not 1 <= ragged <= len(values):
        raise bad(name)
    shape = (batch, *values[: ragged - 1], -1, *values[ragged:])
    cache = state.get("_metadata_cache")
    return _composite("jagged", parts["values"].dtype, shape, parts, ragged=ragged, cache=cache,
                      requires_grad=state.get("requires_grad") is True)  # fmt: skip


# -- torch 0.1 to 0.3 -------------------------------------------------------------------------------------------------


def _old_tensor(dtype: DType) -> Any:
    def build(vocabulary: Vocabulary, args: Args) -> TensorRef:
        """A tensor class called without arguments; BUILD then points it into its storage."""
        if args:
            raise bad("torch.Tensor")
        return _empty(dtype)

    return build


def _empty(dtype: DType) -> TensorRef:
    """An empty tensor with a storage of its own: without one it would be a tensor of the meta device."""
    return TensorRef(StorageRef("", dtype, "cpu", 0), dtype, 0, (0,), (1,))


def _old_parameter(vocabulary: Vocabulary, args: Args) -> TensorRef:
    """(data[, requires_grad]), the rest in the state."""
    if not args:
        ref = _empty(DTYPES["float32"])
    elif len(args) <= 2 and type(args[-1]) in (bool, TensorRef):
        ref = _derived(args[0], "torch.nn.Parameter")
        ref.look(requires_grad=args[1] if len(args) == 2 else True)
    else:
        raise bad("torch.nn.Parameter")
    ref.flavor = "parameter"
    return ref


def _set_tensor(vocabulary: Vocabulary, target: TensorRef, state: Any) -> bool:
    """(storage, offset, size, stride) of an old tensor, or a Variable's state of three to five items."""
    if type(state) is not tuple:
        return False
    if len(state) == 4 and type(state[0]) is StorageRef:
        found = vocabulary.context.bounds.tensor(state[0], state[0].dtype, *state[1:])
        target.storage, target.window = found.storage, found.window
        return True
    if len(state) == 5 and type(state[0]) is TensorRef:  # data, gradient, creator, volatile, requires_grad ...
        data, flavor = state[0], target.flavor
        for slot in ("storage", "window", "layout", "extra", "parts"):
            setattr(target, slot, getattr(data, slot))
        target.flavor, state = flavor, (state[3], state[4], state[2])
    if len(state) == 3 and type(state[0]) is bool:
        target.look(requires_grad=state[0])
        return True
    return False


# -- the rest ---------------------------------------------------------------------------------------------------------


def _refuse(vocabulary: Vocabulary, args: Args) -> Any:
    raise bad("A class that torch does not pickle this way")


def _range_record(vocabulary: Vocabulary, args: Args) -> InertObject:
    """A range of sizes that torch's compiler notes on a tensor, also on those in a jagged tensor's cache."""
    return InertObject(InertGlobal("torch._dynamo.decorators", "_DimRange"), "new", args)


def _layout(vocabulary: Vocabulary, args: Args) -> Symbol:
    name = _text(args[0]).removeprefix("torch.") if len(args) == 1 else ""
    if name not in _LAYOUTS:
        raise bad("torch.serialization._get_layout")
    return Symbol(name)


def _size(vocabulary: Vocabulary, args: Args) -> Size:
    if len(args) > 1:
        raise bad("torch.Size")
    return Size(vocabulary.context.bounds.sizes(args[0], "size") if args else ())


def _text(value: Any) -> str:
    """A name: a text, or what Python 2 wrote for one where its texts are kept as bytes."""
    if type(value) is bytes and value.isascii():
        return value.decode("ascii")
    return value if type(value) is str else ""


def _device(vocabulary: Vocabulary, args: Args) -> Device:
    name = _text(args[0]) if 1 <= len(args) <= 2 else ""
    if not name or any(type(arg) is not int for arg in args[1:]):
        raise bad("torch.device")
    if len(args) == 2:
        return Device(name, args[1])
    kind, colon, index = name.partition(":")
    if colon and not (index.isascii() and index.isdigit() and len(index) < 6):
        raise bad("torch.device")
    return Device(kind, int(index) if colon else None)


def _generator(vocabulary: Vocabulary, args: Args) -> GeneratorState:
    if len(args) > 1 or (args and type(args[0]) is not Device):
        raise bad("torch.Generator")
    return GeneratorState(args[0] if args else Device("cpu"))


def _set_generator(vocabulary: Vocabulary, target: GeneratorState, state: Any) -> bool:
    """(seed, offset or None, state bytes)."""
    if type(state) is not tuple or len(state) != 3 or type(state[0]) is not int or type(state[2]) is not TensorRef:
        return False
    if type(state[1]) not in (int, type(None)):
        return False
    target.seed, target.offset, target.state = state
    return True


def _return_type(name: str) -> Any:
    def build(vocabulary: Vocabulary, args: Args) -> ReturnType:
        if not 1 <= len(args) <= 2 or type(args[0]) not in (tuple, list) or args[1:] not in ((), ({},)):
            raise bad(f"torch.return_types.{name}")
        return ReturnType(name, tuple(args[0]))

    return build


def _embedded(vocabulary: Vocabulary, args: Args) -> Any:
    """(bytes of a whole legacy file): how ``pickle.dumps`` writes a storage."""
    if len(args) != 1 or type(args[0]) is not bytes:
        raise bad("torch.storage._load_from_bytes")
    context = vocabulary.context
    if context.nested is None:
        allowed = context.limits.nested_files
        raise LimitExceeded("nested_files", allowed + 1, allowed)
    context.charge(_EMBEDDED)
    tree, names, decoded = context.nested(args[0], context.room())
    context.charge(decoded)
    context.embedded += names
    return tree


SETTERS: dict[type, StateSetter] = {TensorRef: _set_tensor, GeneratorState: _set_generator}
