"""Folders of shards: read as one file, compared with their shards, and never outside their folder."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.container.legacy import MAGIC
from dotpt.errors import (
    ContainerError,
    DotptError,
    LimitExceeded,
    NotATorchFile,
    ShardError,
    SourceError,
    TruncatedFile,
    UnsafeGlobal,
    UnsupportedError,
)
from dotpt.formats import ReadOptions, sharded
from dotpt.source.local import FileSource
from tests.corpus import pickles as p
from tests.formats.hostile import check_changes, check_cuts

ST_INDEX, BIN_INDEX = sharded.INDEXES


def safetensors(**values: list[float]) -> bytes:
    header, data = {}, b""
    for name, numbers in values.items():
        begin = len(data)
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": [len(numbers)], "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def legacy(**values: list[float]) -> bytes:
    keys = [str(number) for number in range(len(values))]
    items = [
        p.stream(p.text(name), p.tensor((len(numbers),), source=p.storage(key, len(numbers))))
        for key, (name, numbers) in zip(keys, values.items(), strict=True)
    ]
    parts = [
        p.pickled(p.long1(MAGIC)), p.pickled(p.number(1001)), p.pickled(p.empty_dict()),
        p.pickled(p.empty_dict(), p.mark(), *items, p.setitems()),
        p.pickled(p.empty_list(), p.mark(), *map(p.text, keys), p.appends()),
        *(struct.pack(f"<q{len(numbers)}f", len(numbers), *numbers) for numbers in values.values()),
    ]  # fmt: skip
    return b"".join(parts)


def folder(path: Path, files: dict[str, bytes], weights: Any, name: str = ST_INDEX, **more: Any) -> Path:
    path.mkdir(exist_ok=True)
    for file, body in files.items():
        (path / file).write_bytes(body)
    (path / name).write_text(json.dumps({"weight_map": weights, **more}))
    return path


FILES = {"one.safetensors": safetensors(b=[3, 4], a=[1, 2]), "two.bin": legacy(c=[5], d=[6, 7, 8])}
WEIGHTS = {"d": "two.bin", "a": "one.safetensors", "b": "one.safetensors", "c": "two.bin"}
VALUES = {"d": [6, 7, 8], "a": [1, 2], "b": [3, 4], "c": [5]}


def read(path: Path, **options: Any) -> Any:
    return sharded.read(path, ReadOptions(**options))


def values(path: Any, **options: Any) -> dict[str, Any]:
    return {name: array.tolist() for name, array in dotpt.load(path, backend="numpy", **options).items()}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return folder(tmp_path / "model", FILES, WEIGHTS, metadata={"total_size": 32, "by": "me"})


def test_one_dictionary_in_the_order_of_the_index(good: Path) -> None:
    assert list(dotpt.load(good, backend="numpy")) == list(WEIGHTS)
    for path in (good, str(good), good / ST_INDEX, str(good / ST_INDEX)):
        assert values(path) == VALUES
        assert values(path, mmap=True) == VALUES
    assert values(good, verify=False) == VALUES


def test_contents(good: Path) -> None:
    contents = read(good)
    assert contents.format == "sharded"
    assert contents.metadata == {"total_size": 32, "by": "me"}
    assert contents.facts == {"index": ST_INDEX, "shards": ["two.bin", "one.safetensors"], "byteorder": "little"}
    assert set(contents.storages) == {"two.bin/0", "two.bin/1", "one.safetensors/a", "one.safetensors/b"}
    assert all(storage.key == key for key, storage in contents.storages.items())
    assert {str(name) for name in contents.globals} >= {"torch.FloatStorage"}
    assert contents.notes == []
    assert contents.container.names == [ST_INDEX]
    assert ST_INDEX in contents.container
    assert b"weight_map" in contents.container.read(ST_INDEX)
    with pytest.raises(ContainerError):
        contents.container.record("two.bin")
    assert len(contents.containers) == 3
    contents.close()


def test_open(good: Path) -> None:
    with dotpt.open(good) as archive:
        assert archive.name == str(good)
        assert archive["d"][1:].tolist() == [7, 8]
        assert archive["a"].numpy(mmap=True).tolist() == [1, 2]
        assert not archive.aliases
    with pytest.raises(DotptError):
        archive["a"].numpy()


def test_only_the_shards_that_are_needed_are_read(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_into, seen = FileSource.read_into, []

    def spy(self: FileSource, offset: int, target: memoryview) -> None:
        seen.append(Path(self.name).name)
        read_into(self, offset, target)

    with dotpt.open(good):
        monkeypatch.setattr(FileSource, "read_into", spy)
        assert values(good, only="a") == {"a": [1, 2]}
        opening = seen.count("two.bin")
        seen.clear()
        dotpt.open(good).close()
        assert seen.count("two.bin") == opening


def test_progress_is_of_all_shards_together(good: Path) -> None:
    told: list[tuple[int, int]] = []
    dotpt.load(good, backend="numpy", progress=lambda done, of: told.append((done, of)))
    assert told == sorted(told)
    assert {of for _, of in told} == {32}
    assert told[-1] == (32, 32)


def test_files_are_closed(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[FileSource] = []
    create = FileSource.__init__

    def spy(self: FileSource, *args: Any, **options: Any) -> None:
        create(self, *args, **options)
        opened.append(self)

    monkeypatch.setattr(FileSource, "__init__", spy)
    read(good).close()
    (good / "two.bin").write_bytes(FILES["two.bin"][:-1])
    with pytest.raises(TruncatedFile):
        read(good)
    for bad in ({"a": "two.bin"}, {"a": "missing"}, {"a": "../x"}):
        with pytest.raises(DotptError):
            read(folder(good, {}, bad))
    assert len(opened) >= 8
    assert all(source._descriptor is None for source in opened)


def test_notes(tmp_path: Path) -> None:
    weights = {"a": "one.safetensors", "d": "two.bin"}
    contents = read(folder(tmp_path, FILES, weights, metadata={"total_size": 1.0}))
    assert contents.notes == [
        "one.safetensors holds 1 entries that the index does not place there: b.",
        "two.bin holds 1 entries that the index does not place there: c.",
        "The index states a total size of 1.0 bytes; the tensors have 20.",
    ]
    contents.close()


# -- which index --------------------------------------------------------------------------------------------------


def test_of_two_indexes_the_one_whose_shards_are_there(tmp_path: Path) -> None:
    folder(tmp_path, {"two.bin": FILES["two.bin"]}, {"c": "two.bin"}, BIN_INDEX)
    folder(tmp_path, {}, {"a": "one.safetensors"}, ST_INDEX)
    assert values(tmp_path) == {"c": [5]}
    folder(tmp_path, {"one.safetensors": FILES["one.safetensors"]}, {"a": "one.safetensors"}, ST_INDEX)
    assert values(tmp_path) == {"a": [1, 2]}
    (tmp_path / BIN_INDEX).write_text("{")
    (tmp_path / "one.safetensors").unlink()
    with pytest.raises(ShardError, match="missing"):
        read(tmp_path)


def test_an_index_of_another_name(tmp_path: Path) -> None:
    folder(tmp_path, FILES, WEIGHTS, "diffusion.index.json", metadata={"long": "x" * 10_000})
    assert values(tmp_path) == VALUES
    folder(tmp_path, {}, WEIGHTS, "another.index.json")
    with pytest.raises(ShardError, match=r"2 indexes: another.index.json, diffusion.index.json") as caught:
        read(tmp_path)
    assert "one of them" in str(caught.value.hint)
    assert values(tmp_path / "diffusion.index.json") == VALUES


def test_links_are_followed(tmp_path: Path) -> None:
    """The cache of Hugging Face keeps the files elsewhere and links to them."""
    folder(tmp_path / "blobs", FILES, WEIGHTS)
    (tmp_path / "model").mkdir()
    for file in (*FILES, ST_INDEX):
        (tmp_path / "model" / file).symlink_to(tmp_path / "blobs" / file)
    assert values(tmp_path / "model") == VALUES


# -- bad indexes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../one.safetensors",
        "/etc/passwd",
        "a/b.bin",
        "a\\b.bin",
        "..",
        ".",
        "",
        "C:x",
        "x\0",
        "\ud800",
        3,
        None,
        ["a"],
        "x" * 300,
    ],
)
def test_names_outside_the_folder(good: Path, name: Any) -> None:
    with pytest.raises(ShardError, match="outside its folder"):
        read(folder(good, {}, {"a": name}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "malformed"),
        (b"[]", "no weight_map"),
        (b'{"weight_map": {}}', "no weight_map"),
        (b'{"weight_map": []}', "no weight_map"),
        (b'{"weight_map": {"a": "one.safetensors", "a": "two.bin"}}', "twice"),
        (b'{"weight_map": ' + b"[" * 1000, "deeper"),
        (b'\xff{"weight_map": {}}', "UTF-8"),
    ],
)
def test_bad_indexes(good: Path, text: bytes, words: str) -> None:
    (good / ST_INDEX).write_bytes(text)
    with pytest.raises(ShardError, match=words) as caught:
        read(good)
    assert caught.value.path == str(good)


def test_limits_of_the_index(good: Path) -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(good, limits=dotpt.Limits(records=2))
    assert caught.value.limit == "records"
    with pytest.raises(LimitExceeded) as caught:
        read(good, limits=dotpt.Limits(header_bytes=2))
    assert caught.value.limit == "header_bytes"


# -- bad shards ---------------------------------------------------------------------------------------------------


def test_a_missing_shard(good: Path) -> None:
    (good / "two.bin").unlink()
    with pytest.raises(ShardError, match="missing") as caught:
        read(good)
    assert caught.value.path == str(good / "two.bin")


def test_a_name_that_is_not_in_its_shard(good: Path) -> None:
    with pytest.raises(ShardError, match="is not in it") as caught:
        read(folder(good, {}, WEIGHTS | {"c": "one.safetensors"}))
    assert (caught.value.key, caught.value.record) == ("c", "one.safetensors")
    assert "two.bin" in str(caught.value.hint)
    with pytest.raises(ShardError, match="is not in it"):
        read(folder(good, {}, WEIGHTS | {"z": "one.safetensors"}))


def test_a_name_of_something_else(good: Path) -> None:
    parts = (p.pickled(p.long1(MAGIC)), p.pickled(p.number(1001)), p.pickled(p.empty_dict()))
    body = b"".join((*parts, p.pickled(p.empty_dict(), p.text("c"), p.number(3), b"s"), p.pickled(p.empty_list())))
    with pytest.raises(ShardError, match="something else"):
        read(folder(good, {"two.bin": body}, {"c": "two.bin"}))
    body = b"".join((*parts, p.pickled(p.number(3)), p.pickled(p.empty_list())))
    with pytest.raises(ShardError, match="no dictionary"):
        read(folder(good, {"two.bin": body}, {"c": "two.bin"}))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", NotATorchFile),
        (b"hello", NotATorchFile),
        (FILES["two.bin"][:-3], TruncatedFile),
        (FILES["two.bin"] + b"x", ShardError),
    ],
)
def test_a_damaged_shard(good: Path, body: bytes, kind: type[DotptError]) -> None:
    (good / "two.bin").write_bytes(body)
    with pytest.raises(kind) as caught:
        read(good)
    assert caught.value.path == str(good / "two.bin")


def test_a_shard_that_is_a_folder_or_the_index(good: Path) -> None:
    with pytest.raises(NotATorchFile):
        read(folder(good, {}, {"a": ST_INDEX}))
    (good / "sub").mkdir()
    with pytest.raises(SourceError):
        read(folder(good, {}, {"a": "sub"}))


def test_unknown_classes_of_any_shard_are_refused(good: Path) -> None:
    item = p.stream(p.text("evil"), p.global_("os", "system"), p.stream(p.mark(), p.text("true"), p.tuple_()), b"R")
    parts = (p.pickled(p.long1(MAGIC)), p.pickled(p.number(1001)), p.pickled(p.empty_dict()))
    tensor = p.stream(p.text("c"), p.tensor((1,), source=p.storage("0", 1)))
    body = b"".join((
        *parts, p.pickled(p.empty_dict(), p.mark(), item, tensor, p.setitems()),
        p.pickled(p.empty_list(), p.text("0"), b"a"), struct.pack("<qf", 1, 5),
    ))  # fmt: skip
    folder(good, {"two.bin": body}, WEIGHTS | {"c": "two.bin", "d": "three.bin"})
    (good / "three.bin").write_bytes(FILES["two.bin"])
    with pytest.raises(UnsafeGlobal, match=r"os\.system"):
        dotpt.load(good, backend="numpy")
    assert values(good, unknown="inert") == VALUES


# -- folders that are something else ------------------------------------------------------------------------------


def test_folders_of_other_kinds(tmp_path: Path) -> None:
    def check(kind: type[DotptError], words: str, hint: str, *files: str) -> None:
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.mkdir()
        for file in files:
            (path / file).write_bytes(b"x")
        with pytest.raises(kind, match=words) as caught:
            dotpt.open(path)
        assert caught.value.path == str(path)
        assert hint in str(caught.value.hint)

    check(NotATorchFile, "This is a folder, not", "none lies in this folder")
    check(NotATorchFile, "This is a folder, not", "model.safetensors", "model.safetensors")
    check(NotATorchFile, "Hugging Face", "pytorch_model.bin", "config.json", "pytorch_model.bin")
    check(
        UnsupportedError,
        r"distributed checkpoint folder.*torch\.distributed\.checkpoint",
        "dcp_to_torch",
        ".metadata",
        "__0_0.distcp",
    )
    check(UnsupportedError, "unpacked PyTorch file", "zip", "data.pkl", "version")
    check(NotATorchFile, "This is a folder, not", "none lies", "a.index.json")


def test_json_that_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": []}')
    with pytest.raises(NotATorchFile, match="JSON"):
        dotpt.open(tmp_path / "config.json")


# -- as the ecosystem writes them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hf_bin", "hf_bin_odd", "hf_safetensors"])
def test_as_written_by_torch_and_safetensors(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    if kind == "hf_safetensors":
        pytest.importorskip("safetensors")
    from tests.corpus.folders import FOLDERS, model_state

    path, expected = FOLDERS[kind](tmp_path / "model"), model_state()
    for options in ({}, {"mmap": True}, {"mmap": True, "verify": False}):
        loaded = dotpt.load(path, **options)
        assert loaded.keys() == expected.keys()
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)
        plain = dotpt.load(path, backend="numpy", **options)
        assert all(torch.equal(torch.from_numpy(plain[name]), expected[name]) for name in expected)
    name = next(iter(expected))
    assert list(dotpt.load(path, only=name)) == [name]
    with dotpt.open(path) as archive:
        assert not archive.aliases
        assert not archive.contents.notes
        assert torch.equal(archive[name].torch(), expected[name])


def test_a_distributed_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.corpus.folders import FOLDERS

    with pytest.raises(UnsupportedError, match=r"torch\.distributed\.checkpoint"):
        dotpt.load(FOLDERS["distributed"](tmp_path / "dcp"))


# -- damage -------------------------------------------------------------------------------------------------------


def test_damage(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    for file in (ST_INDEX, *FILES):

        def load(body: bytes, file: str = file) -> Any:
            (copy / file).write_bytes(body)
            return values(copy, unknown="inert")

        whole = (good / file).read_bytes()
        check_cuts(whole, load)
        check_changes(whole, load, 1000)
        load(whole)
