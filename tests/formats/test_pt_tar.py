"""The tar of torch 0.1, in both forms, as far as torch reads it compared with torch."""

from __future__ import annotations

import io
import struct
import sys
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.container.tar import TarContainer
from dotpt.errors import (
    DotptError,
    LimitExceeded,
    PickleError,
    RecordMissing,
    TarError,
    TensorError,
    TruncatedFile,
    UnsafeGlobal,
)
from dotpt.formats import ReadOptions, pt_tar
from dotpt.pickling.values import InertGlobal
from dotpt.source.memory import BytesSource
from tests.corpus import legacy_tar as lt
from tests.corpus import pickles as p
from tests.formats.hostile import check_changes, check_cuts, load

LATER, EARLY = lt.EXAMPLES["tar"], lt.EXAMPLES["tar_early"]


def tar(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT, **changes: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for fact, value in changes.get(name, {}).items():
                setattr(info, fact, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def members(data: bytes = LATER) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def read(data: bytes, **options: Any) -> Any:
    return pt_tar.read(BytesSource(data), ReadOptions(**options))


def values(data: bytes) -> dict[str, Any]:
    return {name: array.tolist() for name, array in dotpt.load(data, backend="numpy").items()}


COMMON = {
    "weight": [[0, 1, 2], [3, 4, 5]],
    "transposed": [[0, 3], [1, 4], [2, 5]],
    "tied": [[0, 1, 2], [3, 4, 5]],
    "count": [7, 8],
}


def test_values_of_both_forms() -> None:
    assert values(LATER) == COMMON | {"tail": [4, 5]}
    assert values(EARLY) == COMMON


def test_facts() -> None:
    contents = read(LATER)
    assert contents.format == "tar"
    assert contents.facts["byteorder"] == "little"
    assert contents.facts["protocol"] == 1000
    assert not contents.facts["early"]
    assert read(EARLY).facts["early"]
    assert set(contents.storages) == {"2001", "2002", "2003"}
    assert contents.container.names[4:] == ["storages/2001", "storages/2002"]
    assert "pickle" in contents.container
    assert {str(name) for name in contents.globals} >= {"torch.FloatStorage", "torch.FloatTensor"}
    assert all(name.known for name in contents.globals)


def test_bytes_are_read_from_the_file_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(LATER)
    with dotpt.open(path) as archive:
        first, stop = archive["weight"].byte_range
        assert LATER[first:stop] == struct.pack("<6f", *range(6))
        assert archive["weight"][1].tolist() == [3, 4, 5]
        assert archive["tail"].numpy().tolist() == [4, 5]
        assert archive["tail"][1:].tolist() == [5]
        assert archive.aliases["2001"] == ["weight", "transposed", "tied"]
    assert dotpt.load(path, backend="numpy", mmap=True)["transposed"].tolist() == COMMON["transposed"]
    assert list(dotpt.load(path, backend="numpy", only="cou*")) == ["count"]


@pytest.mark.parametrize("data", [LATER, EARLY])
def test_sharing_survives(data: bytes) -> None:
    torch = pytest.importorskip("torch")
    loaded = dotpt.load(data)
    assert loaded["tied"] is loaded["weight"]
    loaded["transposed"][0, 0] = 9.0
    assert loaded["weight"][0, 0] == 9.0
    if "tail" in loaded:
        loaded["tail"][0] = 8.0
        assert loaded["weight"][1, 1] == 8.0
    assert loaded["weight"].dtype is torch.float32


def test_as_torch_reads_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    path.write_bytes(LATER)
    expected, loaded = torch.load(path, weights_only=False), dotpt.load(path)
    assert loaded.keys() == expected.keys()
    for name, tensor in loaded.items():
        assert torch.equal(tensor, expected[name])
        assert tensor.stride() == expected[name].stride()


def test_tensors_without_elements() -> None:
    names = b"".join(p.text(str(key)) + lt.reference(key) for key in (1, 2, 3))
    obj = p.pickled(p.empty_dict(), p.mark(), names, p.setitems())
    tensors = [
        lt.Tensor(1, None, "Double", (), ()),
        lt.Tensor(2, 10, "Byte", (), ()),
        lt.Tensor(3, 11, "Float", (), ()),
    ]
    storages = [lt.Storage(10, "Byte", b""), lt.Storage(11, "Float", struct.pack("<f", 2))]
    for early in (False, True):
        loaded = dotpt.load(lt.write(obj, tensors, storages, early=early), backend="numpy")
        assert loaded["1"].shape == (0,)
        assert loaded["1"].dtype == "float64"
        assert loaded["2"].shape == (0,)
        assert loaded["3"].item() == 2


def test_no_tensors_at_all() -> None:
    for early in (False, True):
        assert dotpt.load(lt.write(p.pickled(p.number(5)), [], [], early=early)) == 5


def test_storages_by_themselves_and_views_of_views() -> None:
    obj = p.pickled(p.empty_list(), p.mark(), lt.reference(10), lt.reference(12), p.appends())
    data = lt.write(
        obj,
        [],
        [lt.Storage(10, "Short", struct.pack("<5h", *range(5)), "cuda:1")],
        [lt.View(11, 10, 1, 4), lt.View(12, 11, 1, 2)],
    )
    whole, part = dotpt.load(data, backend="numpy")
    assert whole.tolist() == [0, 1, 2, 3, 4]
    assert part.tolist() == [2, 3]
    assert read(data).storages["12"].location == "cuda:1"


def test_text_persistent_ids() -> None:
    data = tar(members() | {"pickle": b"(dS'w'\nP1001\ns."})
    assert values(data) == {"w": COMMON["weight"]}
    data = tar(members() | {"pickle": b"\x80\x02}q\x00U\x01wq\x01U\x041001Qs."})  # as Python 2 wrote it
    assert values(data) == {"w": COMMON["weight"]}
    assert dotpt.load(data, backend="numpy", encoding="bytes")[b"w"].tolist() == COMMON["weight"]


def test_module_sources() -> None:
    cls = p.global_("my_net", "Net")
    triple = p.stream(p.mark(), cls, p.text("net.py"), p.text("class Net: ..."), p.tuple_(), p.binpersid())
    tagged = p.stream(p.mark(), p.text("module"), cls, p.text("net.py"), p.text("x"), p.tuple_(), p.binpersid())
    for pid in (triple, tagged):
        contents = read(tar(members() | {"pickle": p.pickled(pid)}))
        assert type(contents.tree) is InertGlobal
        assert list(contents.extra["module_sources"]) == ["my_net.Net"]
        assert [str(name) for name in contents.globals if not name.known] == ["my_net.Net"]
    with pytest.raises(UnsafeGlobal):
        dotpt.load(tar(members() | {"pickle": p.pickled(triple)}))


def test_early_cuda_storages() -> None:
    record = p.pickled(p.mark(), p.long1(7), p.global_("torch.cuda", "FloatStorage"), p.tuple_())
    body = p.pickled(p.number(1)) + record + struct.pack("<qf", 1, 2.0)
    data = tar(
        members(EARLY) | {"storages": body, "tensors": p.pickled(p.number(0)), "pickle": p.pickled(lt.reference(7))}
    )
    assert read(data).storages["7"].location == "cuda"


def big_endian() -> bytes:
    """The later form, as a big-endian machine wrote it."""
    parts = members()
    storage = p.pickled(p.mark(), p.long1(1), p.text("cpu"), p.global_("torch", "FloatStorage"), p.tuple_())
    tensor = p.pickled(p.mark(), p.long1(2), p.long1(1), p.global_("torch", "FloatTensor"), p.tuple_())
    parts["sys_info"] = lt.sys_info(1000, little_endian=False)
    parts["storages"] = p.pickled(p.number(1)) + storage + struct.pack(">q4f", 4, *range(4)) + p.pickled(p.empty_list())
    parts["tensors"] = p.pickled(p.number(1)) + tensor + struct.pack(">6q", 2, 2, 2, 2, 1, 0)
    parts["pickle"] = p.pickled(lt.reference(2))
    return tar(parts)


def test_the_other_byte_order() -> None:
    assert dotpt.load(big_endian(), backend="numpy").tolist() == [[0, 1], [2, 3]]
    contents = read(big_endian())
    assert contents.facts["byteorder"] == "big"
    assert contents.storages["1"].swap is (sys.byteorder == "little")


# -- the tar ------------------------------------------------------------------------------------------------------


def changed(data: bytes, at: int, new: bytes) -> bytes:
    """The tar with bytes of its first header changed, the checksum corrected."""
    block = bytearray(data[:512])
    block[at : at + len(new)] = new
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


PARTS = members()
BAD_TARS: dict[str, tuple[bytes, str]] = {
    "link": (tar(PARTS, pickle={"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}), "symbolic link"),
    "hard link": (tar(PARTS, pickle={"type": tarfile.LNKTYPE, "linkname": "tensors", "size": 0}), "hard link"),
    "device": (tar(PARTS, pickle={"type": tarfile.CHRTYPE, "size": 0}), "a device"),
    "pipe": (tar(PARTS, pickle={"type": tarfile.FIFOTYPE, "size": 0}), "a pipe"),
    "folder": (tar(PARTS | {"more": b""}, more={"type": tarfile.DIRTYPE}), "a folder"),
    "sparse": (tar(PARTS, pickle={"type": tarfile.GNUTYPE_SPARSE}), "a sparse file"),
    "odd kind": (tar(PARTS, pickle={"type": b"Z"}), "unknown kind"),
    "absolute": (tar(PARTS | {"/etc/passwd": b"x"}), "never wrote"),
    "climbing": (tar(PARTS | {"../pickle": b"x"}), "never wrote"),
    "long name": (tar(PARTS | {"x" * 200: b"x"}, tarfile.GNU_FORMAT), "GNU long name"),
    "pax name": (tar(PARTS | {"ä" * 20: b"x"}), "path"),
    "folder before": (changed(tar(PARTS), 345, b"etc"), "folder before it"),
    "pax sparse": (tar(PARTS, pickle={"pax_headers": {"GNU.sparse.major": "1"}}), "GNU.sparse.major"),
    "pax size": (tar(PARTS, pickle={"pax_headers": {"size": "1e3"}}), "not a number"),
    "global header": (changed(tar(PARTS), 156, b"g"), "global header"),
    "magic": (changed(tar(PARTS), 257, b"tsaru"), "magic"),
    "checksum": (tar(PARTS)[:100] + b"\1" + tar(PARTS)[101:], "checksum"),
    "size no number": (changed(tar(PARTS), 124, b"9" * 11), "not octal"),
    "wide size": (changed(tar(PARTS), 124, b"\x80" + bytes(11)), "not octal"),
    "no size": (changed(tar(PARTS), 124, bytes(12)), "not octal"),
    "behind the end": (tar(PARTS) + b"x", "follow the end"),
    "megabytes behind the end": (tar(PARTS) + bytes(2 << 20), "follow the end"),
}


@pytest.mark.parametrize("name", BAD_TARS)
def test_bad_tars(name: str) -> None:
    data, words = BAD_TARS[name]
    with pytest.raises(TarError, match=words):
        read(data)


def test_a_member_twice() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for name in ("pickle", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(TarError, match="two members"):
        TarContainer(BytesSource(buffer.getvalue()))


def test_a_member_missing() -> None:
    with pytest.raises(RecordMissing, match="no tensors"):
        read(tar({name: body for name, body in PARTS.items() if name != "tensors"}))


def test_hidden_padding() -> None:
    data = bytearray(LATER)
    at = 512 + len(PARTS["sys_info"])
    assert at % 512
    data[at] = 1
    with pytest.raises(TarError, match="padding"):
        read(bytes(data))


def test_pax_headers_that_python_writes() -> None:
    data = tar(
        PARTS, storages={"mtime": 1.5, "uname": "ü"}, pickle={"pax_headers": {"size": str(len(PARTS["pickle"]))}}
    )
    assert b"mtime=1.5" in data
    assert values(data) == values(LATER)
    with pytest.raises(LimitExceeded):
        read(tar(PARTS, storages={"pax_headers": {"comment": "x" * 40_000}}))


# -- the tables ---------------------------------------------------------------------------------------------------


def storage_row(*fields: bytes) -> bytes:
    return p.pickled(p.mark(), *fields, p.tuple_())


FLOATS = p.global_("torch", "FloatStorage")
TENSORS = p.global_("torch", "FloatTensor")
ONE = p.pickled(p.number(1))
CPU = p.text("cpu")
NO_VIEWS = p.pickled(p.empty_list())
ROW = storage_row(p.long1(2001), CPU, FLOATS) + struct.pack("<q6f", 6, *range(6))


def view(*numbers: int) -> bytes:
    row = p.stream(p.mark(), *map(p.long1, numbers), p.tuple_())
    return ONE + ROW + p.pickled(p.empty_list(), p.mark(), row, p.appends())


def tensor(ndim: int, *numbers: int, key: int = 1, fields: bytes | None = None) -> bytes:
    head = storage_row(p.long1(key), p.long1(2001), TENSORS) if fields is None else fields
    return ONE + head + struct.pack(f"<q{len(numbers)}q", ndim, *numbers)


BAD_STORAGES: dict[str, bytes] = {
    "no count": p.pickled(p.text("1")),
    "negative count": p.pickled(p.stream(b"J\xff\xff\xff\xff")),
    "huge count": p.pickled(p.long1(1 << 40)),
    "fewer": p.pickled(p.number(2)) + ROW + NO_VIEWS,
    "one field": ONE + storage_row(p.long1(1)),
    "no tuple": ONE + p.pickled(p.number(1)),
    "key no number": ONE + storage_row(p.text("1"), CPU, FLOATS) + struct.pack("<q", 0) + NO_VIEWS,
    "class unknown": ONE + storage_row(p.long1(1), CPU, p.global_("os", "system")) + struct.pack("<q", 0) + NO_VIEWS,
    "class untyped": ONE + storage_row(p.long1(1), CPU, p.global_("torch", "UntypedStorage")) + bytes(8) + NO_VIEWS,
    "place no text": ONE + storage_row(p.long1(1), p.number(1), FLOATS) + struct.pack("<q", 0) + NO_VIEWS,
    "negative elements": ONE + storage_row(p.long1(1), CPU, FLOATS) + struct.pack("<q", -1) + NO_VIEWS,
    "too many elements": ONE + storage_row(p.long1(1), CPU, FLOATS) + struct.pack("<q", 1 << 62) + NO_VIEWS,
    "cut in a number": ONE + storage_row(p.long1(1), CPU, FLOATS) + b"\1\0",
    "twice": p.pickled(p.number(2)) + ROW + ROW + NO_VIEWS,
    "negative key": ONE + storage_row(b"\x8a\x01\xff", CPU, FLOATS) + struct.pack("<q", 0) + NO_VIEWS,
    "two forms": p.pickled(p.number(2)) + ROW + storage_row(p.long1(5), FLOATS) + struct.pack("<q", 0),
    "no views": ONE + ROW + p.pickled(p.number(1)),
    "more": ONE + ROW + NO_VIEWS + b"hidden",
    "view of nothing": view(5, 6, 0, 1),
    "view of three": ONE + ROW + p.pickled(p.empty_list(), p.mark(), p.number(1), p.appends()),
    "view with a known key": view(2001, 2001, 0, 1),
}
BAD_TENSORS: dict[str, bytes] = {
    "no tuple": ONE + p.pickled(p.number(1)),
    "no class": tensor(0, 0, fields=storage_row(p.long1(1), p.long1(2001), p.long1(2))),
    "no such storage": tensor(0, 0, fields=storage_row(p.long1(1), p.long1(5), TENSORS)),
    "storage no number": tensor(0, 0, fields=storage_row(p.long1(1), p.text("2001"), TENSORS)),
    "early in a later file": tensor(0, 0, fields=storage_row(p.long1(1), TENSORS, p.long1(2001))),
    "another class": tensor(0, 0, fields=storage_row(p.long1(1), p.long1(2001), p.global_("__builtin__", "int"))),
    "negative dimensions": tensor(-1, 0),
    "cut": tensor(2, 1, 1),
    "key of a storage": tensor(0, 0, key=2001),
    "more": tensor(0, 0) + b"hidden",
}


@pytest.mark.parametrize("name", BAD_STORAGES)
def test_bad_storages(name: str) -> None:
    with pytest.raises((TarError, PickleError)) as caught:
        read(tar(PARTS | {"storages": BAD_STORAGES[name], "tensors": p.pickled(p.number(0))}))
    assert caught.value.record == "storages"
    assert caught.value.offset is not None


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_bad_tensors(name: str) -> None:
    with pytest.raises(TarError) as caught:
        read(tar(PARTS | {"storages": ONE + ROW + NO_VIEWS, "tensors": BAD_TENSORS[name]}))
    assert caught.value.record == "tensors"


@pytest.mark.parametrize(
    "body",
    [tensor(1, 7, 1, 0), tensor(1, 1, 1, 6), tensor(1, -1, 1, 0), tensor(1, 2, -1, 3), tensor(1, 1, 1, -1),
     tensor(2, 1 << 62, 1 << 62, 1, 1, 0), tensor(1, 2, 1 << 62, 0)],
)  # fmt: skip
def test_tensors_outside_their_storage(body: bytes) -> None:
    with pytest.raises(TensorError):
        read(tar(PARTS | {"storages": ONE + ROW + NO_VIEWS, "tensors": body}))


def test_a_tensor_of_another_type_than_its_storage() -> None:
    body = tensor(0, 0, fields=storage_row(p.long1(1), p.long1(2001), p.global_("torch", "IntTensor")))
    with pytest.raises(TensorError, match="int32, its storage of float32"):
        read(tar(PARTS | {"storages": ONE + ROW + NO_VIEWS, "tensors": body}))


@pytest.mark.parametrize("numbers", [(5, 2001, 5, 2), (5, 2001, -1, 2)])
def test_views_outside_their_storage(numbers: tuple[int, ...]) -> None:
    row = p.stream(
        p.mark(), *(b"\x8a\x08" + number.to_bytes(8, "little", signed=True) for number in numbers), p.tuple_()
    )
    body = ONE + ROW + p.pickled(p.empty_list(), p.mark(), row, p.appends())
    with pytest.raises(TensorError, match="view"):
        read(tar(PARTS | {"storages": body}))


def test_too_many_dimensions() -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(tar(PARTS | {"storages": ONE + ROW + NO_VIEWS, "tensors": tensor(1 << 40)}))
    assert caught.value.limit == "tensor_dims"


def test_too_many_entries() -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(LATER, limits=dotpt.Limits(records=1))
    assert caught.value.limit == "records"


def test_a_large_object() -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(LATER, limits=dotpt.Limits(pickle_bytes=20))
    assert caught.value.limit == "pickle_bytes"


def test_a_small_pickle_of_more_than_one_window() -> None:
    name = p.text("x" * 50_000)
    body = ONE + storage_row(p.long1(2001), name, FLOATS) + struct.pack("<q6f", 6, *range(6)) + NO_VIEWS
    contents = read(tar(PARTS | {"storages": body, "tensors": tensor(0, 0), "pickle": p.pickled(p.none())}))
    assert len(contents.storages["2001"].location) == 50_000


@pytest.mark.parametrize(
    "pickle",
    [p.pickled(lt.reference(5)), p.pickled(p.number(5), p.binpersid()), p.pickled(p.text("x"), p.binpersid()), b""],
)
def test_bad_references(pickle: bytes) -> None:
    with pytest.raises((TarError, PickleError)) as caught:
        read(tar(PARTS | {"pickle": pickle}))
    assert caught.value.record == "pickle"


@pytest.mark.parametrize(
    "info", [p.pickled(p.none()), lt.sys_info(1001), p.pickled(p.empty_dict()), lt.sys_info(1000) + b"hidden"]
)
def test_bad_sys_info(info: bytes) -> None:
    with pytest.raises((TarError, PickleError)):
        read(tar(PARTS | {"sys_info": info}))


def test_bytes_behind_the_pickle() -> None:
    with pytest.raises(PickleError, match="follow the pickle"):
        read(tar(PARTS | {"pickle": PARTS["pickle"] + b"x"}))


# -- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [LATER, EARLY, big_endian()])
def test_cuts(data: bytes) -> None:
    check_cuts(data, step=1 if data is LATER else 7)


def test_cut_short() -> None:
    with pytest.raises(TruncatedFile) as caught:
        read(LATER[:3000])
    assert caught.value.offset == 3000


@pytest.mark.parametrize("data", [LATER, EARLY])
def test_changes(data: bytes) -> None:
    end = read(data).container.end
    check_changes(data[:end])


def test_changes_within_the_members() -> None:
    """Bytes of the tables and the pickle only, where the checksums of the headers do not help."""
    for name in PARTS:
        check_changes(PARTS[name], partial(load_with, name), 700)


def load_with(name: str, body: bytes) -> Any:
    return load(tar(PARTS | {name: body}))


def test_cuts_within_the_members() -> None:
    for name in ("storages", "tensors", "pickle"):
        for length in range(len(PARTS[name])):
            with pytest.raises(DotptError):
                read(tar(PARTS | {name: PARTS[name][:length]}))
