"""Small files that ask for much, by name. Each is built here and handed to a child process that has little.

The rows are those of our notes on denial of service, and what a reader of our own might add to them: everything
that copies, hashes, walks or names what it read.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable

from tests.corpus import pickles as p
from tests.corpus.streams import STREAMS
from tests.corpus.torch_zip import Style, pt

BOMBS: dict[str, Callable[[], bytes]] = {}
PRIME = (1 << 61) - 1
FOO = p.global_("foo", "Bar")


def _bomb(make: Callable[[], bytes]) -> Callable[[], bytes]:
    BOMBS[make.__name__] = make
    return make


def zipped(*ops: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    return pt(p.pickled(*ops), storages)


# -- the memo and the stack -----------------------------------------------------------------------------------------


@_bomb
def memo_index_1e8() -> bytes:
    return zipped(p.none(), p.long_binput(10**8))


@_bomb
def memo_index_max() -> bytes:
    return zipped(p.none(), p.long_binput(2**32 - 1), p.put(10**12))


@_bomb
def memo_filled_in_order() -> bytes:
    return zipped(p.none(), b"".join(b"r" + struct.pack("<I", n) for n in range(4_100_000)))


@_bomb
def memo_filled_sparsely() -> bytes:
    return zipped(p.none(), b"".join(b"r" + struct.pack("<I", 7 * n + 1) for n in range(2_000_000)))


@_bomb
def five_million_dups() -> bytes:
    return zipped(p.none(), p.dup() * 5_000_000)


@_bomb
def five_million_marks() -> bytes:
    return zipped(p.none(), p.mark() * 5_000_000)


@_bomb
def five_million_nones() -> bytes:
    return zipped(p.none() * 5_000_000)


@_bomb
def lists_of_nones_again_and_again() -> bytes:
    return zipped(p.mark(), (p.mark() + p.none() * 900_000 + p.list_()) * 30, p.list_())


# -- nesting --------------------------------------------------------------------------------------------------------


@_bomb
def a_million_lists() -> bytes:
    return zipped(p.empty_list() * 10**6, p.append() * (10**6 - 1))


@_bomb
def a_million_tuples() -> bytes:
    return zipped(p.empty_tuple(), p.tuple1() * 10**6)


@_bomb
def a_million_dictionaries() -> bytes:
    return zipped((p.empty_dict() + p.none()) * 10**6, p.none(), p.setitem() * 10**6)


@_bomb
def a_tuple_key_of_a_million_levels() -> bytes:
    return zipped(p.empty_dict(), p.empty_tuple(), p.tuple1() * 10**6, p.none(), p.setitem())


@_bomb
def a_set_member_of_a_million_levels() -> bytes:
    return zipped(p.empty_set(), p.mark(), p.empty_tuple(), p.tuple1() * 10**6, p.additems())


@_bomb
def frozensets_of_frozensets() -> bytes:
    return zipped(p.mark() * 300_000, p.frozenset_() * 300_000)


@_bomb
def a_deep_member_of_a_set_made_by_a_call() -> bytes:
    return zipped(
        p.global_("builtins", "set"),
        p.empty_list(),
        p.empty_tuple(),
        p.tuple1() * 10**6,
        p.append(),
        p.tuple1(),
        p.reduce_(),
    )


@_bomb
def a_deep_shape() -> bytes:
    return zipped(p.global_("torch", "Size"), p.empty_tuple(), p.tuple1() * 10**6, p.tuple1(), p.reduce_())


@_bomb
def deep_inert_objects() -> bytes:
    return zipped(p.none(), (p.tuple1() + p.binput(0) + p.pop() + FOO + p.binget(0) + p.reduce_()) * 200_000)


@_bomb
def deep_inert_states() -> bytes:
    return zipped(
        FOO, p.binput(0), (p.binget(0) + p.empty_tuple() + p.newobj()) * 200_000, p.build() * 199_999, p.tuple2()
    )


@_bomb
def deep_inert_callees() -> bytes:
    return zipped(FOO, (p.empty_tuple() + p.reduce_()) * 400_000)


@_bomb
def deep_tensor_attributes() -> bytes:
    start = p.stream(
        p.tensor(),
        p.binput(0),
        p.pop(),
        p.global_("torch._utils", "_rebuild_parameter_with_state"),
        p.binput(1),
        p.pop(),
    )
    layer = p.stream(
        p.binget(1),
        p.mark(),
        p.binget(0),
        p.false(),
        p.none(),
        p.empty_dict(),
        p.text("a"),
        p.binget(0),
        p.setitem(),
        p.tuple_(),
        p.reduce_(),
        p.binput(0),
        p.pop(),
    )
    return zipped(start, layer * 50_000, p.binget(0), storages={"0": bytes(16)})


@_bomb
def a_tensor_that_is_its_own_attribute() -> bytes:
    return zipped(
        p.global_("torch._utils", "_rebuild_parameter_with_state"),
        p.mark(),
        p.tensor(),
        p.false(),
        p.none(),
        p.empty_dict(),
        p.text("a"),
        p.empty_list(),
        p.binput(0),
        p.setitem(),
        p.tuple_(),
        p.reduce_(),
        p.binput(1),
        p.binget(0),
        p.binget(1),
        p.append(),
        p.pop(),
        storages={"0": bytes(16)},
    )


@_bomb
def deep_from_type() -> bytes:
    head = p.stream(
        p.global_("torch._tensor", "_rebuild_from_type_v2"),
        p.binput(0),
        p.pop(),
        p.global_("torch", "Tensor"),
        p.binput(1),
        p.pop(),
    )
    return zipped(
        head,
        p.empty_tuple(),
        p.binput(2),
        p.pop(),
        (p.mark() + p.binget(0) + p.binget(1) + p.binget(2) + p.empty_dict() + p.tuple_() + p.binput(2) + p.pop())
        * 100_000,
        p.binget(0),
        p.binget(2),
        p.reduce_(),
    )


@_bomb
def deep_object_arrays() -> bytes:
    start = p.stream(
        p.global_("numpy.core.multiarray", "_reconstruct"),
        p.binput(0),
        p.pop(),
        p.mark(),
        p.global_("numpy", "ndarray"),
        p.ints(0),
        p.binbytes(b"b"),
        p.tuple_(),
        p.binput(1),
        p.pop(),
        p.call("numpy", "dtype", p.text("O8"), p.false(), p.true()),
        p.binput(2),
        p.pop(),
        p.none(),
        p.binput(3),
        p.pop(),
    )
    layer = p.stream(
        p.binget(0),
        p.binget(1),
        p.reduce_(),
        p.mark(),
        p.number(1),
        p.ints(1),
        p.binget(2),
        p.false(),
        p.empty_list(),
        p.binget(3),
        p.append(),
        p.tuple_(),
        p.build(),
        p.binput(3),
        p.pop(),
    )
    return zipped(start, layer * 50_000, p.binget(3))


@_bomb
def deep_structured_dtypes() -> bytes:
    start = p.stream(
        p.global_("numpy", "dtype"),
        p.binput(0),
        p.pop(),
        p.mark(),
        p.text("V8"),
        p.false(),
        p.true(),
        p.tuple_(),
        p.binput(1),
        p.pop(),
        p.call("numpy", "dtype", p.text("f8"), p.false(), p.true()),
        p.binput(2),
        p.pop(),
    )
    layer = p.stream(
        p.binget(0),
        p.binget(1),
        p.reduce_(),
        p.mark(),
        p.number(3),
        p.text("|"),
        p.none(),
        p.text("a"),
        p.tuple1(),
        p.empty_dict(),
        p.text("a"),
        p.binget(2),
        p.number(0),
        p.tuple2(),
        p.setitem(),
        p.number(8),
        p.number(1),
        p.number(0),
        p.tuple_(),
        p.build(),
        p.binput(2),
        p.pop(),
    )
    order = p.stream(p.mark(), p.number(3), p.text("<"), p.none(), p.none(), p.none(), p.tuple_(), p.build())
    return zipped(start, layer * 60_000, p.binget(2), order)


@_bomb
def deep_namespaces() -> bytes:
    layer = p.stream(p.global_("argparse", "Namespace"), p.empty_tuple(), p.newobj(), p.empty_dict(), p.text("a"))
    return zipped(layer * 100_000, p.none(), (p.setitem() + p.build()) * 100_000)


@_bomb
def deep_ordered_dictionaries() -> bytes:
    layer = p.stream(p.global_("collections", "OrderedDict"), p.empty_tuple(), p.reduce_(), p.text("a"))
    return zipped(layer * 100_000, p.none(), p.setitem() * 100_000)


# -- few objects, many paths ----------------------------------------------------------------------------------------


def _laughs(levels: int, open_: bytes, close: bytes) -> bytes:
    doubled = [
        p.stream(open_, p.long_binget(n), p.long_binget(n), close, p.long_binput(n + 1), p.pop()) for n in range(levels)
    ]
    return p.stream(p.empty_list(), p.long_binput(0), p.pop(), *doubled, p.long_binget(levels))


@_bomb
def laughs_20() -> bytes:
    return zipped(_laughs(20, p.mark(), p.list_()))


@_bomb
def laughs_30_tuples() -> bytes:
    return zipped(_laughs(30, p.mark(), p.tuple_()))


@_bomb
def laughs_900_lists() -> bytes:
    return zipped(_laughs(900, p.mark(), p.list_()))


@_bomb
def laughs_inert() -> bytes:
    return zipped(_laughs(300, p.stream(FOO, p.mark()), p.stream(p.tuple_(), p.reduce_())))


@_bomb
def laughs_around_a_tensor() -> bytes:
    doubled = [p.stream(p.mark(), p.binget(n), p.binget(n), p.list_(), p.binput(n + 1), p.pop()) for n in range(40)]
    return zipped(p.tensor(), p.binput(0), p.pop(), *doubled, p.binget(40), storages={"0": bytes(16)})


@_bomb
def laughs_as_a_key() -> bytes:
    doubled = [p.stream(p.binget(n), p.binget(n), p.tuple2(), p.binput(n + 1), p.pop()) for n in range(30)]
    return zipped(p.empty_tuple(), p.binput(0), p.pop(), *doubled, p.empty_dict(), p.binget(30), p.none(), p.setitem())


@_bomb
def one_tensor_at_a_million_places() -> bytes:
    return zipped(
        p.tensor(), p.binput(0), p.pop(), p.mark(), p.binget(0) * 900_000, p.list_(), storages={"0": bytes(16)}
    )


@_bomb
def long_keys_on_the_way_to_a_tensor() -> bytes:
    head = p.stream(p.text("k" * 1_000_000), p.binput(0), p.pop())
    return zipped(head, (p.empty_dict() + p.binget(0)) * 900, p.tensor(), p.setitem() * 900, storages={"0": bytes(16)})


@_bomb
def many_tensors_below_long_keys() -> bytes:
    head = p.stream(p.text("k" * 100_000), p.binput(0), p.pop(), p.tensor(), p.binput(1), p.pop())
    return zipped(
        head,
        (p.empty_dict() + p.binget(0)) * 90,
        p.mark(),
        p.binget(1) * 5_000,
        p.list_(),
        p.setitem() * 90,
        storages={"0": bytes(16)},
    )


# -- keys -----------------------------------------------------------------------------------------------------------


@_bomb
def colliding_integers_64k() -> bytes:
    return zipped(
        p.empty_dict(), p.mark(), b"".join(p.long1(k * PRIME) + p.none() for k in range(1, 64_001)), p.setitems()
    )


@_bomb
def colliding_members_of_a_set() -> bytes:
    numbers = b"".join(p.long1(k * PRIME) for k in range(1, 32_001))
    return zipped(p.global_("builtins", "set"), p.mark(), numbers, p.list_(), p.tuple1(), p.reduce_())


@_bomb
def colliding_members_of_a_frozenset() -> bytes:
    return zipped(p.mark(), b"".join(p.long1(k * PRIME) for k in range(1, 32_001)), p.frozenset_())


@_bomb
def colliding_keys_one_at_a_time() -> bytes:
    return zipped(p.empty_dict(), b"".join(p.long1(k * PRIME) + p.none() + p.setitem() for k in range(1, 32_001)))


@_bomb
def colliding_keys_of_a_counter() -> bytes:
    numbers = b"".join(p.long1(k * PRIME) + p.number(1) for k in range(1, 32_001))
    return zipped(p.global_("collections", "Counter"), p.mark(), numbers, p.dict_(), p.tuple1(), p.reduce_())


@_bomb
def many_dictionaries_just_below_the_limit() -> bytes:
    keys = b"".join(p.long1(k * PRIME) + p.long_binput(k - 1) + p.pop() for k in range(1, 1_000))
    one = p.stream(p.empty_dict(), p.mark(), b"".join(p.long_binget(n) + p.none() for n in range(999)), p.setitems())
    return zipped(keys, p.mark(), one * 1_200, p.list_())


@_bomb
def a_wide_key_again_and_again() -> bytes:
    head = p.stream(p.mark(), p.none() * 900_000, p.tuple_(), p.binput(0), p.pop())
    return zipped(head, p.empty_dict(), p.mark(), (p.binget(0) + p.none()) * 400_000, p.setitems())


@_bomb
def two_long_equal_keys_in_turn() -> bytes:
    head = p.stream(p.text("k" * 1_000_000), p.binput(0), p.pop(), p.text("k" * 1_000_000), p.binput(1), p.pop())
    return zipped(
        head, p.empty_dict(), p.mark(), (p.binget(0) + p.none() + p.binget(1) + p.none()) * 200_000, p.setitems()
    )


@_bomb
def a_million_number_keys() -> bytes:
    return zipped(
        p.empty_dict(), (p.mark() + b"".join(p.binfloat(n + 0.5) + p.none() for n in range(400_000)) + p.setitems()) * 3
    )


# -- lengths and numbers --------------------------------------------------------------------------------------------


@_bomb
def frame_of_2_62() -> bytes:
    return pt(p.stream(p.proto(4), p.frame(p.none(), 2**62), p.stop()))


@_bomb
def bytes_of_2_62() -> bytes:
    return zipped(p.binbytes8(b"abc", 2**62))


@_bomb
def bytearray_of_2_62() -> bytes:
    return zipped(p.bytearray8(b"abc", 2**62))


@_bomb
def bytearray_just_below_the_limit() -> bytes:
    return zipped(p.bytearray8(b"abc", 120 << 20))


@_bomb
def text_of_2_63() -> bytes:
    return zipped(p.binunicode8(b"abc", 2**63))


@_bomb
def long4_of_4000_bytes() -> bytes:
    return zipped(p.long4(b"\1" * 4_000))


@_bomb
def long4_of_a_million_bytes() -> bytes:
    return zipped(p.long4(b"\1" * 1_000_000))


@_bomb
def a_million_digits() -> bytes:
    return zipped(p.int_("9" * 1_000_000))


@_bomb
def a_million_digits_of_a_long() -> bytes:
    return zipped(p.long_("9" * 1_000_000))


@_bomb
def a_million_digits_of_a_float() -> bytes:
    return zipped(p.float_("9" * 1_000_000))


@_bomb
def a_long_name() -> bytes:
    return zipped(p.global_("m" * 10_000_000, "x"))


@_bomb
def half_a_million_names() -> bytes:
    return zipped(p.mark(), b"".join(b"ca%d\nb\n" % n for n in range(500_000)), p.list_())


# -- copies ---------------------------------------------------------------------------------------------------------


def _again(head: bytes, once: bytes, times: int) -> bytes:
    return zipped(head, p.binput(0), p.pop(), p.mark(), once * times, p.list_())


@_bomb
def one_text_encoded_again_and_again() -> bytes:
    codec = p.stream(p.global_("_codecs", "encode"), p.binget(0), p.text("latin1"), p.tuple2(), p.reduce_())
    return _again(p.text("x" * 1_000_000), codec, 2_000)


@_bomb
def one_bytearray_copied_again_and_again() -> bytes:
    copied = p.stream(p.global_("builtins", "bytearray"), p.binget(0), p.tuple1(), p.reduce_())
    return _again(p.binbytes(b"x" * 1_000_000), copied, 2_000)


@_bomb
def one_list_copied_again_and_again() -> bytes:
    copied = p.stream(p.global_("builtins", "list"), p.binget(0), p.tuple1(), p.reduce_())
    return _again(p.stream(p.mark(), p.none() * 900_000, p.list_()), copied, 2_000)


@_bomb
def one_dictionary_copied_again_and_again() -> bytes:
    pairs = b"".join(p.number(n) + p.none() for n in range(100_000))
    copied = p.stream(p.global_("collections", "OrderedDict"), p.binget(0), p.tuple1(), p.reduce_())
    return _again(p.stream(p.mark(), pairs, p.dict_()), copied, 2_000)


@_bomb
def one_dictionary_as_attributes_again_and_again() -> bytes:
    pairs = b"".join(p.text(f"a{n}") + p.none() for n in range(100_000))
    copied = p.stream(p.global_("argparse", "Namespace"), p.empty_tuple(), p.newobj(), p.binget(0), p.build())
    return _again(p.stream(p.mark(), pairs, p.dict_()), copied, 2_000)


@_bomb
def one_dictionary_reconstructed_again_and_again() -> bytes:
    pairs = b"".join(p.number(n) + p.none() for n in range(100_000))
    made = p.stream(
        p.global_("copy_reg", "_reconstructor"),
        FOO,
        p.global_("builtins", "dict"),
        p.binget(0),
        p.tuple3(),
        p.reduce_(),
    )
    return _again(p.stream(p.mark(), pairs, p.dict_()), made, 2_000)


@_bomb
def one_array_copied_again_and_again() -> bytes:
    made = p.stream(
        p.global_("numpy.core.numeric", "_frombuffer"),
        p.mark(),
        p.binget(0),
        p.call("numpy", "dtype", p.text("u1")),
        p.ints(1_000_000),
        p.text("C"),
        p.tuple_(),
        p.reduce_(),
    )
    return _again(p.binbytes(b"x" * 1_000_000), made, 2_000)


@_bomb
def paths_of_long_parts() -> bytes:
    return zipped(
        p.text("a/" * 500_000),
        p.binput(0),
        p.pop(),
        p.global_("pathlib", "PosixPath"),
        p.mark(),
        p.binget(0) * 4_000,
        p.tuple_(),
        p.reduce_(),
    )


@_bomb
def one_embedded_file_again_and_again() -> bytes:
    inside = p.stream(p.proto(2), p.mark(), p.empty_dict() * 50_000, p.list_(), p.stop())
    made = p.stream(p.global_("torch.storage", "_load_from_bytes"), p.binget(0), p.tuple1(), p.reduce_())
    return _again(p.binbytes(inside), made, 5_000)


@_bomb
def one_small_embedded_file_again_and_again() -> bytes:
    made = p.stream(p.global_("torch.storage", "_load_from_bytes"), p.binget(0), p.tuple1(), p.reduce_())
    return _again(p.binbytes(p.pickled(p.none())), made, 100_000)


@_bomb
def files_in_files_in_files() -> bytes:
    inner = p.pickled(p.none())
    for _ in range(50):
        inner = p.pickled(p.call("torch.storage", "_load_from_bytes", p.binbytes(inner)))
    return pt(inner)


# -- tensors --------------------------------------------------------------------------------------------------------


@_bomb
def expanded_to_2_31() -> bytes:
    return zipped(p.tensor(size=(2**31 - 1,), stride=(0,)), storages={"0": bytes(16)})


@_bomb
def expanded_in_64_dimensions() -> bytes:
    return zipped(p.tensor(size=(2**30,) * 64, stride=(0,) * 64), storages={"0": bytes(16)})


@_bomb
def expanded_just_below_the_limit_and_conjugated() -> bytes:
    source = p.storage(kind="ComplexFloatStorage", count=4)
    hooks, marks = p.call("collections", "OrderedDict"), p.stream(p.empty_dict(), p.text("conj"), p.true(), p.setitem())
    one = p.call(
        "torch._utils", "_rebuild_tensor_v2", source, p.number(0), p.ints(1 << 24), p.ints(0), p.false(), hooks, marks
    )
    return zipped(p.mark(), one * 100, p.list_(), storages={"0": bytes(32)})


@_bomb
def a_nested_tensor_of_millions_of_components() -> bytes:
    long = p.storage("1", 4, "LongStorage")
    sizes = p.tensor((30_000_000, 1), (0, 0), source=long)
    offsets = p.tensor((30_000_000,), (0,), source=long)
    made = p.call("torch._utils", "_rebuild_nested_tensor", p.tensor(), sizes, sizes, offsets)
    return zipped(made, storages={"0": bytes(16), "1": bytes(32)})


@_bomb
def a_storage_that_is_not_there() -> bytes:
    return zipped(
        p.tensor(
            size=(2**40,),
            source=p.stream(
                p.mark(),
                p.text("storage"),
                p.global_("torch", "FloatStorage"),
                p.text("0"),
                p.text("cpu"),
                p.long1(2**40),
                p.tuple_(),
                p.binpersid(),
            ),
        )
    )


@_bomb
def a_packed_quantized_tensor_of_2_40() -> bytes:
    source = p.storage(kind="QUInt4x2Storage", count=4)
    scheme = p.stream(p.mark(), p.global_("torch", "per_tensor_affine"), p.binfloat(1.0), p.number(0), p.tuple_())
    size, stride = p.stream(p.long1(2**40), p.tuple1()), p.stream(p.number(0), p.tuple1())
    return zipped(
        p.call("torch._utils", "_rebuild_qtensor", source, p.number(0), size, stride, scheme, p.false(), p.none()),
        storages={"0": bytes(4)},
    )


# -- containers -----------------------------------------------------------------------------------------------------


@_bomb
def zeros_deflated() -> bytes:
    return pt(
        p.pickled(p.tensor((1 << 28,), source=p.storage(count=1 << 28))), {"0": bytes(100 << 20)}, Style(deflated=None)
    )


@_bomb
def zeros_gzipped() -> bytes:
    return gzip.compress(bytes(1 << 20), 9) * 600


@_bomb
def two_hundred_thousand_records() -> bytes:
    return pt(p.pickled(p.none()), {str(n): b"" for n in range(200_000)})


@_bomb
def a_hundred_thousand_legacy_objects() -> bytes:
    magic = p.pickled(p.long1(0x1950A86A20F9469CFC6C))
    one = p.stream(
        magic, p.pickled(p.number(1001)), p.pickled(p.empty_dict()), p.pickled(p.none()), p.pickled(p.empty_list())
    )
    return one * 100_000


@_bomb
def a_bare_pickle_of_lists() -> bytes:
    return p.pickled(p.empty_list() * 10**6, p.append() * (10**6 - 1))


@_bomb
def a_bare_array() -> bytes:
    return p.pickled(
        p.global_("numpy.core.numeric", "_frombuffer"),
        p.mark(),
        p.binbytes(bytes(40_000_000)),
        p.call("numpy", "dtype", p.text("u1")),
        p.stream(p.mark(), p.binint(40_000_000), p.tuple_()),
        p.text("C"),
        p.tuple_(),
        p.reduce_(),
    )


for _name, _stream in STREAMS.items():
    BOMBS[f"stream_{_name}"] = lambda data=_stream.data: pt(data, {"0": bytes(16)})
    BOMBS[f"bare_{_name}"] = lambda data=_stream.data: data
