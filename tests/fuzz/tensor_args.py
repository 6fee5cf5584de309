"""Tensors as pickles describe them, with arguments that do not fit: sizes, strides, offsets, storages, functions."""

from __future__ import annotations

import struct

from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

from .choices import Choices
from .values import FLOATS, NUMBERS

STORAGES = {
    "0": bytes(range(64)),
    "1": struct.pack("<8q", 0, 1, 0, 1, 2, 0, 1, 3),
    "2": struct.pack("<6q", 0, 1, 2, 2, 3, 4),
    "3": struct.pack("<12f", *range(12)),
    "4": b"",
}
_KINDS = {
    "FloatStorage": 4, "LongStorage": 8, "ByteStorage": 1, "DoubleStorage": 8, "HalfStorage": 2, "BoolStorage": 1,
    "ComplexFloatStorage": 8, "BFloat16Storage": 2, "IntStorage": 4, "QUInt8Storage": 1, "QInt8Storage": 1,
    "QInt32Storage": 4, "QUInt4x2Storage": 1, "UntypedStorage": 1,
}  # fmt: skip
_SHAPES = ((2,), (2, 2), (), (0,), (1,), (2, 3), (4,), (1, 1, 1, 2), (0, 3), (3, 0, 2), (8,))
_DTYPES = ("float32", "int64", "uint16", "bool", "float8_e5m2", "complex64", "quint8", "float64", "bits8", "uint64")


def tensors(choices: Choices) -> bytes:
    """A torch zip with one to three tensors that are described more or less well."""
    maker = _Maker(choices)
    parts = [p.text(f"t{n}") + maker.tensor() for n in range(1 + choices.below(3))]
    stream = p.pickled(p.empty_dict(), p.mark(), *parts, p.setitems())
    storages = dict(STORAGES)
    if choices.once_in(12):
        storages[choices.pick(tuple(storages))] = choices.blob(64)
    if choices.once_in(12):
        del storages[choices.pick(tuple(storages))]
    return pt(stream, storages)


class _Maker:
    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.size = 16

    def wrong(self) -> bool:
        return self.choices.once_in(10)

    def number(self, right: int) -> bytes:
        """A number, or what is none."""
        if not self.wrong():
            return p.long1(right) if not -(2**31) <= right < 2**31 else p.number(right)
        if self.choices.once_in(3):
            return self.choices.pick((p.none(), p.true(), p.binfloat(1.0), p.text("1"), p.empty_tuple(), p.ints(1)))
        return p.long1(self.choices.pick(NUMBERS))

    def numbers(self, right: tuple[int, ...]) -> bytes:
        if self.wrong():
            right = right[1:] if self.choices.below(2) else (*right, *[1] * self.choices.pick((1, 2, 64, 65)))
        body = b"".join(map(self.number, right))
        how = self.choices.below(24)
        if how == 22:
            return p.mark() + body + p.list_()
        if how == 23:
            return p.call("torch", "Size", p.mark() + body + p.tuple_())
        return p.mark() + body + p.tuple_()

    def flag(self) -> bytes:
        return self.choices.pick((p.false(), p.true(), p.number(1), p.none())) if self.wrong() else p.false()

    def hooks(self) -> bytes:
        if self.wrong():
            return self.choices.pick(
                (p.none(), p.empty_dict(), p.call("collections", "Counter"), p.true(), p.number(1))
            )
        return p.call("collections", "OrderedDict")

    def storage(self, kind: str | None = None, key: str | None = None) -> bytes:
        """A storage whose size is mostly that of its record."""
        choices = self.choices
        kind = choices.pick(tuple(_KINDS)) if kind is None or self.wrong() else kind
        key = choices.pick(("0", "3", "1", "2", "4")) if key is None or self.wrong() else key
        self.size = len(STORAGES[key]) // _KINDS[kind]
        count = self.size
        location = choices.pick(("cpu", "cuda:0", "meta", "cuda", "mps", "\x1b[31m", "")) if self.wrong() else "cpu"
        pid = [p.text("storage"), p.global_("torch", kind), p.text(key), p.text(location), self.number(count)]
        if self.wrong():
            pid.append(p.none())
        return p.stream(p.mark(), *pid, p.tuple_(), p.binpersid())

    def layout(self) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Offset, shape and strides that fit the last storage, if anything does."""
        choices = self.choices
        shape = choices.pick(_SHAPES)
        strides = _contiguous(shape)
        how = choices.below(6)
        if how == 1:
            strides = strides[::-1]
        elif how == 2:
            strides = tuple(0 for _ in shape)
        elif how == 3:
            strides = tuple(choices.below(4) for _ in shape)
        offset = choices.below(3) if choices.once_in(3) else 0
        if choices.once_in(6):  # right to the end, or one beyond it
            extent = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if 0 not in shape else 0
            offset = max(self.size - extent, 0) + choices.below(2)
        return offset, shape, strides

    def tensor(self) -> bytes:
        return self.choices.pick((
            self.v2, self.v2, self.v2, self.v1, self.v3, self.parameter, self.quantized, self.coo, self.compressed,
            self.nested, self.meta, self.typed, self.wrapper, self.old, self.numpy, self.other,
        ))()  # fmt: skip

    def plain(self, kind: str | None = None, key: str | None = None) -> bytes:
        source = self.storage(kind, key)
        offset, shape, strides = self.layout()
        return p.stream(source, self.number(offset), self.numbers(shape), self.numbers(strides))

    def v1(self) -> bytes:
        return p.call("torch._utils", "_rebuild_tensor", self.plain())

    def v2(self, kind: str | None = None, key: str | None = None) -> bytes:
        parts = [self.plain(kind, key), self.flag(), self.hooks()]
        if self.choices.once_in(5):
            marks = ((b"", b""), (p.text("conj"), p.true()), (p.text("neg"), p.true()), (p.text("x"), p.none()))
            name, value = self.choices.pick(marks)
            parts.append(p.empty_dict() + (name + value + p.setitem() if name else b""))
        return p.call("torch._utils", "_rebuild_tensor_v2", *parts)

    def v3(self) -> bytes:
        dtype = p.global_("torch", self.choices.pick(_DTYPES))
        source = self.plain("UntypedStorage")
        return p.call("torch._utils", "_rebuild_tensor_v3", source, self.flag(), self.hooks(), dtype)

    def parameter(self) -> bytes:
        if self.choices.below(2):
            return p.call("torch._utils", "_rebuild_parameter", self.v2("FloatStorage"), self.flag(), self.hooks())
        state = self.choices.pick((p.empty_dict(), p.none(), p.empty_dict() + p.text("a") + p.number(1) + p.setitem()))
        return p.call(
            "torch._utils", "_rebuild_parameter_with_state", self.v2("FloatStorage"), self.flag(), self.hooks(), state
        )

    def quantized(self) -> bytes:
        source = self.plain(self.choices.pick(("QUInt8Storage", "QInt32Storage", "QUInt4x2Storage", "QInt8Storage"))
                            if self.choices.once_in(2) else "QUInt8Storage")  # fmt: skip
        if self.choices.below(2):
            scale = p.binfloat(self.choices.pick(FLOATS) if self.wrong() else 0.5)
            scheme = p.mark() + p.global_("torch", "per_tensor_affine") + scale + self.number(3) + p.tuple_()
        else:
            kind = self.choices.pick(("per_channel_affine", "per_channel_affine_float_qparams", "per_tensor_symmetric"))
            scales, points = self.v2("DoubleStorage", "0"), self.v2("LongStorage", "1")
            scheme = p.mark() + p.global_("torch", kind) + scales + points + self.number(0) + p.tuple_()
        return p.call("torch._utils", "_rebuild_qtensor", source, scheme, self.flag(), self.hooks())

    def _layout(self, name: str) -> bytes:
        return p.call("torch.serialization", "_get_layout", p.text(name))

    def coo(self) -> bytes:
        indices = p.stream(self.storage("LongStorage", "1"), p.number(0), self.numbers((2, 4)), self.numbers((4, 1)))
        indices = p.call("torch._utils", "_rebuild_tensor_v2", indices, self.flag(), self.hooks())
        values = p.stream(self.storage("FloatStorage", "3"), p.number(0), self.numbers((4,)), self.numbers((1,)))
        values = p.call("torch._utils", "_rebuild_tensor_v2", values, self.flag(), self.hooks())
        parts = [indices, values, self.numbers(self.choices.pick(((3, 4), (4, 4), (1, 1), (3, 4, 2))))]
        if self.choices.below(2):
            parts.append(self.flag())
        data = p.mark() + b"".join(parts) + p.tuple_()
        return p.call("torch._utils", "_rebuild_sparse_tensor", self._layout("torch.sparse_coo"), data)

    def compressed(self) -> bytes:
        name = self.choices.pick(("torch.sparse_csr", "torch.sparse_csc", "torch.sparse_bsr", "torch.strided"))
        rows = p.stream(self.storage("LongStorage", "2"), p.number(0), self.numbers((4,)), self.numbers((1,)))
        rows = p.call("torch._utils", "_rebuild_tensor_v2", rows, self.flag(), self.hooks())
        columns = p.stream(self.storage("LongStorage", "1"), p.number(0), self.numbers((2,)), self.numbers((1,)))
        columns = p.call("torch._utils", "_rebuild_tensor_v2", columns, self.flag(), self.hooks())
        values = p.stream(self.storage("FloatStorage", "3"), p.number(0), self.numbers((2,)), self.numbers((1,)))
        values = p.call("torch._utils", "_rebuild_tensor_v2", values, self.flag(), self.hooks())
        data = p.mark() + rows + columns + values + self.numbers((3, 4)) + p.tuple_()
        return p.call("torch._utils", "_rebuild_sparse_csr_tensor", self._layout(name), data)

    def nested(self) -> bytes:
        def part(key: str, kind: str, shape: tuple[int, ...], offset: int = 0) -> bytes:
            body = p.stream(
                self.storage(kind, key), self.number(offset), self.numbers(shape), self.numbers(_contiguous(shape))
            )
            return p.call("torch._utils", "_rebuild_tensor_v2", body, self.flag(), self.hooks())

        parts = [
            part("3", "FloatStorage", (12,)),
            part("1", "LongStorage", (2, 2), 3),
            part("2", "LongStorage", (2, 2)),
        ]
        return p.call("torch._utils", "_rebuild_nested_tensor", *parts, part("1", "LongStorage", (2,)))

    def meta(self) -> bytes:
        _, shape, strides = self.layout()
        dtype = p.global_("torch", self.choices.pick(_DTYPES))
        return p.call(
            "torch._utils",
            "_rebuild_meta_tensor_no_storage",
            dtype,
            self.numbers(shape),
            self.numbers(strides),
            self.flag(),
        )

    def typed(self) -> bytes:
        function = p.global_(
            "torch._utils", self.choices.pick(("_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter"))
        )
        args = p.mark() + self.plain("FloatStorage") + self.flag() + self.hooks() + p.tuple_()
        kind = p.global_(
            *self.choices.pick((("torch", "Tensor"), ("torch.nn", "Parameter"), ("torch.nn.parameter", "Buffer")))
        )
        state = self.choices.pick(
            (p.empty_dict(), p.empty_dict() + p.text("tag") + p.number(1) + p.setitem(), p.none())
        )
        return p.call("torch._tensor", "_rebuild_from_type_v2", function, kind, args, state)

    def wrapper(self) -> bytes:
        _, shape, strides = self.layout()
        parts = [
            p.global_("torch", "Tensor"),
            p.global_("torch", "float32"),
            self.numbers(shape),
            self.numbers(strides),
        ]
        parts += [self.number(0), self._layout("torch.strided"), p.call("torch", "device", p.text("cpu")), self.flag()]
        return p.call("torch._utils", "_rebuild_wrapper_subclass", *parts)

    def old(self) -> bytes:
        made = p.global_("torch", self.choices.pick(("FloatTensor", "LongTensor"))) + p.empty_tuple()
        state = p.mark() + self.plain("FloatStorage") + p.tuple_()
        return made + self.choices.pick((p.reduce_(), p.newobj())) + state + p.build()

    def numpy(self) -> bytes:
        made = p.call(
            "numpy.core.multiarray", "_reconstruct", p.global_("numpy", "ndarray"), p.ints(0), p.binbytes(b"b")
        )
        letters = self.choices.pick(("f4", "i8", "O8", "V4", "U1", "M8"))
        dtype = p.call("numpy", "dtype", p.text(letters), p.false(), p.true())
        order = p.mark() + p.number(3) + p.text("<") + p.none() * 3 + p.long1(-1) * 2 + self.number(0) + p.tuple_()
        body = self.choices.pick((p.binbytes(bytes(16)), p.binbytes(b""), p.empty_list(), p.text("\0" * 16)))
        state = (
            p.mark() + self.number(1) + self.numbers((4,)) + dtype + order + p.build() + self.flag() + body + p.tuple_()
        )
        return made + state + p.build()

    def other(self) -> bytes:
        """Another function, with the arguments of a tensor."""
        name = self.choices.pick(("_rebuild_device_tensor_from_numpy", "_rebuild_xla_tensor", "_flatten_dense",
                                  "_rebuild_device_tensor_from_cpu_tensor", "_element_size", "os"))  # fmt: skip
        return p.call("torch._utils", name, self.v2(), p.global_("torch", "float32"), p.text("cpu"), self.flag())


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in shape[::-1]:
        strides.append(step)
        step *= max(size, 1)
    return tuple(strides[::-1])
