"""TorchScript archives without their code: tensors as `torch.jit.load(f).state_dict()` has them, the rest inert."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.container.zip import ZipContainer
from dotpt.errors import PickleError, UnsafeGlobal, UnsupportedError
from dotpt.formats import ReadOptions, read_contents
from dotpt.formats.torchscript import module_tree
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine
from dotpt.pickling.values import InertObject
from dotpt.source.memory import BytesSource
from dotpt.tensors.refs import TensorRef
from tests.corpus import pickles as p
from tests.formats.hostile import check_changes, check_cuts


def stored(records: dict[str, bytes], root: str = "m") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in records.items():
            archive.writestr(zipfile.ZipInfo(f"{root}/{name}"), body)
    return buffer.getvalue()


def read(data: bytes) -> Any:
    return read_contents(BytesSource(data), ReadOptions())


EMPTY = p.pickled(p.empty_tuple())


def instance(name: str, *items: bytes) -> bytes:
    """An object of a TorchScript class, whose attributes are keys and values by turns."""
    cls = p.global_("__torch__", name)
    return p.stream(cls, p.empty_tuple(), b"\x81", p.empty_dict(), p.mark(), *items, p.setitems(), b"b")


def tensor(key: str, numel: int) -> bytes:
    return p.tensor((numel,), source=p.storage(key, numel))


def archive(**records: bytes) -> bytes:
    root = instance("Net", p.text("weight"), tensor("0", 2), p.text("training"), p.true())
    names = {"data_pkl": "data.pkl", "constants_pkl": "constants.pkl", "bytecode_pkl": "bytecode.pkl"}
    parts = {
        "data.pkl": p.pickled(root),
        "data/0": b"\0\0\x80\x3f\0\0\0\x40",
        "constants.pkl": EMPTY,
        "version": b"3\n",
    }
    return stored(parts | {names.get(name, name): body for name, body in records.items()})


# -- without torch ------------------------------------------------------------------------------------------------


def test_a_module_is_inert_and_its_tensors_are_readable() -> None:
    with dotpt.open(archive()) as opened:
        assert opened.format == "torchscript"
        assert opened["weight"].numpy().tolist() == [1, 2]
        assert [str(name) for name in opened.unknown_globals] == ["__torch__.Net"]
        assert module_tree(opened.tree) == [("", "Net")]


def test_load_refuses_the_classes_and_gives_them_inert() -> None:
    with pytest.raises(UnsafeGlobal, match="TorchScript class") as caught:
        dotpt.load(archive())
    assert "inert" in str(caught.value.hint)
    loaded = dotpt.load(archive(), unknown="inert", backend="numpy")
    assert type(loaded) is InertObject
    assert loaded.attributes["weight"].tolist() == [1, 2]


def test_only() -> None:
    root = instance("Net", p.text("a"), tensor("0", 2), p.text("b"), tensor("0", 2))
    loaded = dotpt.load(archive(data_pkl=p.pickled(root)), unknown="inert", backend="numpy", only="b")
    assert list(loaded.attributes) == ["b"]


def test_constants_are_an_attribute_of_the_root() -> None:
    data = archive(constants_pkl=p.pickled(p.mark(), tensor("0", 1), p.number(3), p.tuple_()))
    whole = stored(
        {name.removeprefix("m/"): body for name, body in unzipped(data).items()} | {"constants/0": b"\0\0\x40\x40"}
    )
    with dotpt.open(whole) as opened:
        assert list(opened.tensors) == ["weight", "CONSTANTS.c0"]
        assert opened["CONSTANTS.c0"].numpy().tolist() == [3]
        assert opened.contents.extra["constants"][1] == 3
        assert set(opened.contents.storages) == {"0", "constants/0"}
        assert not opened.aliases


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive_:
        return {name: archive_.read(name) for name in archive_.namelist()}


def test_constants_that_are_no_tuple() -> None:
    with pytest.raises(PickleError, match="not a tuple"):
        read(archive(constants_pkl=p.pickled(p.number(3))))


def test_bytecode() -> None:
    contents = read(archive(bytecode_pkl=p.pickled(p.mark(), p.number(8), p.text("f"), p.tuple_())))
    assert contents.facts["bytecode_version"] == 8
    assert contents.extra["bytecode"] == (8, "f")


@pytest.mark.parametrize("body", [b"", b"\x80\x02", p.pickled(p.text("x")), EMPTY, p.pickled(tensor("9", 2))])
def test_malformed_bytecode_is_noted(body: bytes) -> None:
    contents = read(archive(bytecode_pkl=body))
    assert "bytecode.pkl" in contents.notes[0]
    assert "bytecode_version" not in contents.facts
    assert set(contents.storages) == {"0"}


def test_a_module_at_two_addresses_is_named_at_both() -> None:
    inner = p.stream(instance("Inner", p.text("w"), tensor("0", 2), p.text("training"), p.true()), p.put(90))
    root = instance("Net", p.text("a"), inner, p.text("b"), p.get(90))
    with dotpt.open(archive(data_pkl=p.pickled(root))) as opened:
        assert list(opened.tensors) == ["a.w", "b.w"]
        assert opened["a.w"].storage is opened["b.w"].storage
        assert module_tree(opened.tree) == [("", "Net"), ("a", "Inner"), ("b", "Inner")]


def test_a_module_within_itself() -> None:
    cls = p.global_("__torch__", "Net")
    items = p.stream(p.mark(), p.text("me"), p.get(90), p.text("w"), tensor("0", 2), p.setitems())
    root = p.stream(cls, p.empty_tuple(), b"\x81", p.put(90), p.empty_dict(), items, b"b")
    with dotpt.open(archive(data_pkl=p.pickled(root))) as opened:
        assert list(opened.tensors) == ["w"]


def test_more_paths_than_can_be_listed() -> None:
    body = p.stream(instance("N", p.text("w"), tensor("0", 2)), p.put(100))
    for depth in range(60):
        body = p.stream(instance("N", p.text("a"), body, p.text("b"), p.get(100 + depth)), p.put(101 + depth))
    contents = read(archive(data_pkl=p.pickled(body)))
    assert "not all of their addresses" in contents.notes[0]


@pytest.mark.parametrize("name", ["model.json", "attributes.pkl", "tensors.pkl"])
def test_older_formats_are_named(name: str) -> None:
    with pytest.raises(UnsupportedError, match="TorchScript archive"):
        read(stored({"version": b"1\n", name: b"{}", "tensors/0": b"", "code/a.py": b""}))


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("build_intlist", p.stream(p.empty_list(), p.tuple1()), []),
        ("build_tensorlist", p.stream(p.empty_list(), p.tuple1()), []),
        ("build_doublelist", p.stream(p.empty_list(), p.tuple1()), []),
        ("build_boollist", p.stream(p.empty_list(), p.tuple1()), []),
        ("build_tensor_from_id", p.stream(p.number(3), p.tuple1()), 3),
        ("restore_type_tag", p.stream(p.mark(), p.empty_dict(), p.text("Dict[str, int]"), p.tuple_()), {}),
    ],
)
def test_functions_of_the_script_pickler(name: str, argument: bytes, value: Any) -> None:
    def run(*parts: bytes) -> Any:
        return Machine(p.pickled(p.global_("torch.jit._pickle", name), *parts, b"R"), Context()).load()

    assert run(argument) == value
    for bad in (
        p.empty_tuple(),
        p.stream(p.mark(), p.none(), p.none(), p.none(), p.tuple_()),
        p.stream(p.none(), p.tuple1()),
    ):
        with pytest.raises(PickleError):
            run(bad)


def test_sparse_arguments_that_nobody_writes() -> None:
    for layout in (0, 1, 2, 7):
        args = p.stream(p.mark(), p.number(layout), p.empty_tuple(), p.none(), p.tuple_())
        with pytest.raises(PickleError):
            Machine(p.pickled(p.global_("torch._utils", "_rebuild_sparse_tensor"), args, b"R"), Context()).load()


# -- with torch ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("torch")
    from tests.corpus.script import SCRIPTS
    from tests.formats.scripts import MORE_SCRIPTS

    folder = tmp_path_factory.mktemp("script")
    return {name: write(folder / f"{name}.pt") for name, write in (SCRIPTS | MORE_SCRIPTS).items()}


def jit_load(path: Path) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch: TorchScript is deprecated
        return torch.jit.load(path)


NAMES = (
    *("script", "script_half", "trace", "containers", "shared_script", "shared_trace", "shared_object"),
    *("types", "sparse", "quantized", "frozen"),
)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_those_of_the_state_dict(name: str, written: dict[str, Path]) -> None:
    torch = pytest.importorskip("torch")
    expected = jit_load(written[name]).state_dict()
    with dotpt.open(written[name]) as opened:
        for key, reference in expected.items():
            wanted = reference
            found = opened[key].torch().detach()
            assert found.dtype is wanted.dtype, key
            assert found.shape == wanted.shape, key
            if found.layout is not torch.strided:
                found, wanted = found.to_dense(), wanted.to_dense()
            elif found.is_quantized:
                assert found.qscheme() == wanted.qscheme()
                found, wanted = found.dequantize(), wanted.dequantize()
            assert torch.equal(bits(found), bits(wanted)), key
        more = [key for key in opened.tensors if key not in expected]
        assert more == {
            "containers": ["list_of_tensors.0", "list_of_tensors.1", "dict_of_tensors.k", "plain"],
            "trace": ["CONSTANTS.c0", "CONSTANTS.c1", "CONSTANTS.c2"],
            "frozen": ["CONSTANTS.c0", "CONSTANTS.c1"],
        }.get(name, [])
        assert not opened.contents.notes


def bits(tensor_: Any) -> Any:
    import torch

    return tensor_.resolve_conj().contiguous().reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("name", ["script", "trace", "containers", "shared_script"])
def test_modules_are_those_of_torch(name: str, written: dict[str, Path]) -> None:
    pytest.importorskip("torch")
    with dotpt.open(written[name]) as opened:
        found = dict(module_tree(opened.tree))
    modules = jit_load(written[name]).named_modules(remove_duplicate=False)
    expected = {key: module.original_name for key, module in modules}
    assert {key: cls.rpartition(".")[2] for key, cls in found.items()} == expected


def test_sharing_and_back_ends(written: dict[str, Path]) -> None:
    torch = pytest.importorskip("torch")
    for options in ({}, {"mmap": True}):
        loaded = dotpt.load(written["script"], unknown="inert", **options)
        attributes = loaded.attributes
        assert attributes["tied"].data_ptr() == attributes["inner"].attributes["linear"].attributes["weight"].data_ptr()
        assert attributes["inner"].attributes["names"] == ["a", "b"]
        plain = dotpt.load(written["script"], unknown="inert", backend="numpy", **options).attributes
        assert torch.equal(torch.from_numpy(plain["offset"]), attributes["offset"])


def test_code_extra_files_and_globals(written: dict[str, Path]) -> None:
    contents = dotpt.open(written["script"]).contents
    code = dict(contents.extra["code"])
    with zipfile.ZipFile(written["script"]) as archive_:
        sizes = {info.filename.partition("/")[2]: info.file_size for info in archive_.infolist()}
    assert code == {name: size for name, size in sizes.items() if name.startswith("code/")}
    assert list(contents.metadata) == ["labels.json", "note.txt"]
    assert all(type(text) is str and text for text in contents.metadata.values())
    assert {name.module for name in contents.globals if not name.known} >= {"__torch__.tests.corpus.script"}
    contents.close()


@pytest.mark.parametrize("name", ["lite", "frozen_lite"])
def test_the_lite_interpreter(name: str, written: dict[str, Path]) -> None:
    pytest.importorskip("torch")
    twin = {"lite": "script", "frozen_lite": "frozen"}[name]
    with dotpt.open(written[name]) as opened, dotpt.open(written[twin]) as plain:
        assert list(opened.tensors) == list(plain.tensors)
        assert all(opened[key].numpy().tolist() == plain[key].numpy().tolist() for key in plain)
        assert opened.contents.facts["bytecode_version"] == 8
        refs = [value for value in walk(opened.contents.extra["bytecode"]) if type(value) is TensorRef]
        assert {ref.storage_key for ref in refs} <= set(opened.contents.storages)


def walk(value: Any) -> Any:
    if isinstance(value, tuple):
        for item in value:
            yield from walk(item)
    else:
        yield value


def test_code_is_never_unpacked(written: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> bytes:
        raise AssertionError("a record was unpacked")

    monkeypatch.setattr("dotpt.container.inflate.inflate", refuse)
    with dotpt.open(written["script"]) as opened:
        assert opened.contents.extra["code"]
        opened["offset"].numpy()


def test_damage(written: dict[str, Path]) -> None:
    data = written["lite"].read_bytes()
    check_cuts(data, step=11)
    check_changes(data, count=1000)
    check_changes(archive(bytecode_pkl=EMPTY))
    check_cuts(archive())


def test_damage_within_the_pickles() -> None:
    pickle = ZipContainer(BytesSource(archive())).read("data.pkl")
    check_changes(pickle, lambda body: dotpt.load(archive(data_pkl=body), unknown="inert", backend="numpy"))
    check_changes(pickle, lambda body: read(archive(bytecode_pkl=body)), 1000)
    check_changes(pickle, lambda body: read(archive(constants_pkl=body)), 1000)
