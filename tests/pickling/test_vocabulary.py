"""Every known name, called with whatever a stranger may give: a typed error or a harmless value. Needs no torch."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest

import dotpt
from dotpt.errors import DotptError
from dotpt.pickling.vocabulary import known_names
from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt
from tests.proofs.images import image

NAMES = sorted(known_names())
STORAGES = {"0": bytes(range(64)), "1": bytes(64)}
ROUNDS = 12


def _atoms() -> list[bytes]:
    call, name = p.call, p.global_
    longs = p.storage("1", 8, "LongStorage")
    return [
        p.none(),
        p.true(),
        p.false(),
        p.number(0),
        p.number(1),
        p.number(3),
        p.binint(-1),
        p.long1(2**63),
        p.long1(2**40),
        p.binfloat(0.5),
        p.binfloat(float("nan")),
        p.binfloat(float("inf")),
        p.text(""),
        p.text("cpu"),
        p.text("cuda:0"),
        p.text("torch.sparse_csr"),
        p.text("f4"),
        p.text("O8"),
        p.text("<"),
        p.text("latin1"),
        p.text("b"),
        p.text("items"),
        p.binbytes(b""),
        p.binbytes(b"\1" * 16),
        p.binbytes(bytes(10)),
        p.bytearray8(b"ab"),
        p.empty_list(),
        p.empty_tuple(),
        p.empty_dict(),
        p.empty_set(),
        p.ints(0),
        p.ints(4),
        p.ints(2, 2),
        p.ints(1, 1),
        p.ints(2, 1),
        p.stream(p.long1(2**62), p.tuple1()),
        p.stream(p.binint(-3), p.tuple1()),
        name("torch", "float32"),
        name("torch", "uint16"),
        name("torch", "quint8"),
        name("torch", "FloatStorage"),
        name("torch", "per_tensor_affine"),
        name("torch", "per_channel_affine"),
        name("torch", "sparse_coo"),
        name("numpy", "ndarray"),
        name("builtins", "list"),
        name("foo", "Bar"),
        name("torch._utils", "_rebuild_tensor_v2"),
        name("collections", "OrderedDict"),
        name("torch.nn.parameter", "Parameter"),
        p.storage("0", 16),
        p.storage("0", 16, "QInt32Storage"),
        longs,
        p.storage("1", 64, "UntypedStorage"),
        p.storage("1", 8, "ComplexFloatStorage"),
        p.storage("1", 64, "QUInt4x2Storage"),
        p.tensor((4,), (1,), source=p.storage("0", 16)),
        p.tensor((2, 2), (2, 1), source=longs),
        p.tensor((2,), (1,), source=longs),
        p.tensor((), (), source=longs),
        p.tensor((0,), (1,), source=longs),
        p.tensor((1, 4), (0, 1), source=longs),
        call("torch", "Size", p.ints(2, 2)),
        call("torch", "device", p.text("cuda")),
        call("torch", "device", p.text("nonsense")),
        call("numpy", "dtype", p.text("f4"), p.false(), p.true()),
        call("numpy", "dtype", p.text("O8"), p.false(), p.true()),
        call("numpy", "dtype", p.text("M8[D]")),
        call("numpy", "dtype", p.text("V4")),
        call("numpy", "dtype", p.text("U2")),
        call("numpy.core.multiarray", "_reconstruct", name("numpy", "ndarray"), p.ints(0), p.binbytes(b"b")),
        call(
            "numpy.core.numeric",
            "_frombuffer",
            p.binbytes(bytes(8)),
            call("numpy", "dtype", p.text("f4")),
            p.ints(2),
            p.text("C"),
        ),
        call("foo", "Bar"),
        call("torch.serialization", "_get_layout", p.text("torch.sparse_csr")),
        call("collections", "OrderedDict"),
        call(
            "torch._utils",
            "_rebuild_meta_tensor_no_storage",
            name("torch", "float32"),
            p.ints(2, 2),
            p.ints(2, 1),
            p.false(),
        ),
        call("torch._C", "Generator"),
        call("datetime", "timedelta", p.number(1)),
        p.stream(p.empty_dict(), p.text("conj"), p.true(), p.setitem()),
        p.stream(p.empty_dict(), p.number(1), p.number(2), p.setitem()),
        p.stream(p.mark(), p.text("a"), p.number(1), p.list_()),
        p.stream(p.mark(), p.number(1), p.number(2), p.frozenset_()),
        p.stream(p.mark(), name("torch", "per_tensor_affine"), p.binfloat(0.1), p.number(3), p.tuple_()),
    ]


ATOMS = _atoms()
LONGS = p.tensor((4,), (1,), source=p.storage("1", 8, "LongStorage"))
TENSOR = p.tensor(source=p.storage("0", 16))
#: Argument lists that come near to what a writer gives, so that the inner checks are reached.
SHAPES = [
    lambda dice: [dice.choice(ATOMS) for _ in range(dice.randrange(0, 9))],
    lambda dice: [
        p.storage("0", 16),
        p.number(dice.randrange(3)),
        p.ints(2, 2),
        p.ints(2, 1),
        dice.choice([p.true(), p.false()]),
        p.none(),
        *_some(dice),
    ],
    lambda dice: [TENSOR, dice.choice([p.true(), p.false()]), p.none(), *_some(dice)],
    lambda dice: [p.call("torch.serialization", "_get_layout", p.text("torch.sparse_coo")), _tuple(dice, 4)],
    lambda dice: [p.call("torch.serialization", "_get_layout", p.text("torch.sparse_bsr")), _tuple(dice, 4)],
    lambda dice: [TENSOR, *(dice.choice(ATOMS[-32:]) for _ in range(3))],
    lambda dice: [
        p.storage("0", 16, "QInt32Storage"),
        p.number(0),
        p.ints(2, 2),
        p.ints(2, 1),
        _tuple(dice, 4),
        p.false(),
        p.none(),
    ],
    lambda dice: [_dict(dice, "values", "offsets", "lengths", "_ragged_idx", "requires_grad", "_metadata_cache")],
    lambda dice: [
        p.global_("torch._utils", "_rebuild_tensor_v2"),
        p.global_("torch", "Tensor"),
        _tuple(dice, 6),
        dice.choice(ATOMS),
    ],
    lambda dice: [dice.choice(ATOMS), p.false(), p.true()],
    lambda dice: [dice.choice(ATOMS)],
    lambda dice: [],
    lambda dice: [p.global_("torch", "float32"), p.ints(2, 2), p.ints(2, 1), p.false()],
    lambda dice: [LONGS, LONGS, p.call("torch", "Size", p.ints(2, 2)), *_some(dice)],
]


def _some(dice: random.Random) -> list[bytes]:
    return [dice.choice(ATOMS) for _ in range(dice.randrange(3))]


def _tuple(dice: random.Random, length: int) -> bytes:
    return p.stream(p.mark(), *(dice.choice(ATOMS) for _ in range(length)), p.tuple_())


def _dict(dice: random.Random, *keys: str) -> bytes:
    return p.stream(
        p.empty_dict(), *(p.stream(p.text(key), dice.choice(ATOMS), p.setitem()) for key in keys if dice.randrange(5))
    )


def calls(seed: int, rounds: int) -> Any:
    dice = random.Random(seed)
    for _ in range(rounds):
        for module, name in NAMES:
            made = p.stream(p.global_(module, name), p.mark(), *dice.choice(SHAPES)(dice), p.tuple_())
            made += dice.choice([p.reduce_(), p.reduce_(), p.newobj(), p.stream(p.empty_dict(), p.newobj_ex())])
            if dice.randrange(3) == 0:
                made += dice.choice([dice.choice(ATOMS), _tuple(dice, dice.randrange(2, 10))]) + p.build()
            if dice.randrange(8) == 0:
                made = p.stream(p.empty_dict(), made, p.none(), p.setitem())
            yield f"{module}.{name}", pt(p.pickled(p.mark(), made, p.none(), p.list_()), STORAGES)


def survive(data: bytes, backend: str) -> bool:
    """Whether the file is read; any error but a typed one falls through."""
    try:
        with dotpt.open(data) as archive:
            for ref in archive.tensors.values():
                repr(ref), ref.describe(), ref.is_contiguous
                try:
                    ref.numpy()
                    ref[...]
                except DotptError:
                    continue
        found = dotpt.load(data, backend=backend, unknown="inert")
    except DotptError as error:
        str(error), error.to_dict()
        return False
    if backend == "numpy":
        image(found)
    return True


def test_any_arguments_give_a_typed_error_or_a_harmless_value() -> None:
    read = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's remarks on what it is asked for
        for _, data in calls(1, ROUNDS):
            read += survive(data, "numpy")
    assert read > 50


@pytest.mark.torch
def test_any_arguments_are_harmless_with_torch_too() -> None:
    pytest.importorskip("torch")
    from tests.corpus.objects import quiet

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, data in calls(2, ROUNDS // 2):
            survive(data, "torch")


def test_every_known_name_alone_is_harmless() -> None:
    for module, name in NAMES:
        found = dotpt.load(pt(p.pickled(p.global_(module, name))), backend="numpy")
        assert not callable(found) or isinstance(found, type), (module, name)


def test_the_table_names_nothing_that_runs_code() -> None:
    modules = {module for module, _ in NAMES}
    assert not {module.partition(".")[0] for module in modules} & {
        "os",
        "posix",
        "nt",
        "sys",
        "subprocess",
        "importlib",
        "pickle",
        "ctypes",
        "operator",
    }
    assert not {name for module, name in NAMES if module in ("builtins", "__builtin__")} & {
        "eval",
        "exec",
        "getattr",
        "open",
        "compile",
        "__import__",
    }
