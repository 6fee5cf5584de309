"""What a file is, from its first and last bytes. Every input is built by hand; nothing here needs torch."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from dotpt.container.sniff import Sniffed, diagnose_folder, not_a_torch_file, sentence, sniff
from dotpt.errors import NotATorchFile, SourceError, SourceNotFound
from dotpt.source.base import Source

MAGIC = 0x1950A86A20F9469CFC6C
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 438012345\n"


class Bytes(Source):
    """Bytes in memory that count the reads."""

    remote = True

    def __init__(self, content: bytes, name: str = "model.pt") -> None:
        self.content, self.size, self.name = content, len(content), name
        self.reads: list[tuple[int, int]] = []

    def read_into(self, offset: int, target: memoryview) -> None:
        self.reads.append((offset, len(target)))
        target[:] = self.content[offset : offset + len(target)]


def kind(content: bytes, name: str = "model.pt") -> str:
    return sniff(Bytes(content, name)).kind


def message(content: bytes, name: str = "model.pt") -> str:
    source = Bytes(content, name)
    return str(not_a_torch_file(sniff(source), source))


def zipped(names: list[str], size: int = 10) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x" * size)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT, comment: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if comment:
                info.pax_headers = {"comment": "extension header first"}
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# --- torch's own


@pytest.mark.parametrize("protocol", range(6))
def test_legacy_in_every_protocol(protocol: int) -> None:
    found = sniff(Bytes(pickle.dumps(MAGIC, protocol) + pickle.dumps(1001, protocol) + bytes(100)))
    assert found.kind == "legacy"
    assert found.torch


def test_legacy_spelled_otherwise() -> None:
    digits = MAGIC.to_bytes(10, "little")
    for stream in (
        bytes.fromhex("80028a0a6cfc9c46f920 6aa850192e"),
        b"\x80\x02\x8b\x0a\0\0\0" + digits + b".",
        b"\x80\x02\x8a\x0c" + digits + b"\0\0.",
        f"L{MAGIC}\n.".encode(),
        f"I{MAGIC}\n.".encode(),
    ):
        assert kind(stream + pickle.dumps(1001, 2)) == "legacy"
    assert kind(b"\x80\x02\x8a\x0a" + digits[:-1] + b"\x18." + bytes(9)) == "pickle"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value", [1, None, "words", [1, 2], {"a": 1.5}, (1, 2), b"abc", list(range(5000)), OSError("x")]
)
def test_plain_pickles(protocol: int, value: object) -> None:
    found = sniff(Bytes(pickle.dumps(value, protocol)))
    assert (found.kind, found.torch) == ("pickle", True)


@pytest.mark.parametrize(
    "text",
    [
        "N.B. this is a text.", "I'm here.\n", "(see below)", "Very important\nVery\n", "]hello",
        "class Foo:\n    pass\n", "import torch\n", "cat\ndog\n", "0. zero\n1. one\n", "a.", "N\n",
        "Int\nInclude\n.", "cos\nsystem\n", "V" * 9000,
        "café, naïve: déjà vu " * 300,
    ],
)  # fmt: skip
def test_text_is_not_a_pickle(text: str) -> None:
    assert kind(text.encode()) == "text"


def test_a_stream_that_calls_is_a_pickle_even_if_broken_or_disguised() -> None:
    call = b"cos\nsystem\n(S'id'\ntR"
    assert kind(call + b"\xff\x00garbage") == "pickle"
    found = sniff(Bytes(b"GIF8aaaaa0" + call + b"."))  # G takes eight bytes, 0 drops the number
    assert found.kind == "pickle"
    assert found.details["dressed_as"] == "a GIF image"
    safetensors = struct.pack("<Q", 0x242)  # B takes two bytes, which are zero ...
    assert kind(safetensors + b'{"' + bytes(0x240)) == "safetensors"
    hidden = b"B\x05\0\0\0\0\0\0{ 0" + call + b"." + bytes(2000)  # ... and here the header's start
    assert kind(hidden) == "pickle"


def test_a_pickle_hidden_behind_a_long_string_is_noted() -> None:
    stream = b"X" + struct.pack("<L", 9000) + b"\xff" * 9000 + b"0cos\nsystem\n(S'id'\ntR."
    found = sniff(Bytes(stream))
    assert found.kind == "unknown"
    assert found.details["also_pickle"]


def test_torch_zips() -> None:
    found = sniff(Bytes(zipped(["m/data.pkl", "m/data/0", "m/version"])))
    assert (found.kind, found.torch, found.details["looks_like"]) == ("zip", True, "torch")
    assert found.details["root"] == "m"
    assert not found.details["truncated"]


@pytest.mark.parametrize(
    ("names", "looks_like"),
    [
        (["a/DATA.PKL", "a/version"], "torch"),
        (["a/data/0", "a/data.pkl", "a/code/__torch__.py", "a/constants.pkl"], "torchscript"),
        (["a/.data/extern_modules", "a/res/model.pkl"], "torch.package"),
        (["a/archive_format", "a/models/model.json"], "pt2"),
        (["serialized_exported_program.json", "version"], "pt2"),
    ],
)
def test_kinds_of_torch_zips(names: list[str], looks_like: str) -> None:
    found = sniff(Bytes(zipped(names)))
    assert (found.kind, found.torch, found.details["looks_like"]) == ("zip", True, looks_like)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.npy", "b.npy"], "npz"),
        (["config.json", "metadata.json", "model.weights.h5"], "keras"),
        (["[Content_Types].xml", "word/document.xml"], "office"),
        (["xl/workbook.xml"], "office"),
        (["AndroidManifest.xml", "META-INF/MANIFEST.MF"], "apk"),
        (["META-INF/MANIFEST.MF", "A.class"], "jar"),
        (["MAR-INF/MANIFEST.json", "model.pt"], "mar"),
        (["data", "policy.pth", "pytorch_variables.pth"], "stable-baselines3"),
        (["readme.txt", "model.pt"], "zip-archive"),
    ],
)
def test_zips_of_others(names: list[str], expected: str) -> None:
    found = sniff(Bytes(zipped(names)))
    assert (found.kind, found.torch) == (expected, False)


def test_zip_reads_head_and_tail_only() -> None:
    source = Bytes(zipped(["m/data.pkl", *(f"m/data/{i}" for i in range(3000)), "m/version"], size=1000))
    found = sniff(source)
    assert found.torch
    assert found.details["looks_like"] == "torch"
    assert source.reads == [(0, 4096), (source.size - 65558, 65558)]


def test_cut_zip() -> None:
    content = zipped(["m/data.pkl", "m/data/0"], size=100_000)
    found = sniff(Bytes(content[:150_000]))
    assert (found.kind, found.torch, found.details["truncated"]) == ("zip", True, True)
    assert "copy or download it again" in message(content[:150_000])


def test_zips_one_after_another() -> None:
    one = zipped(["m/data.pkl", "m/version"])
    assert sniff(Bytes(one + one)).details["directory_gap"] == len(one)


def test_zip_of_one_model_says_its_name() -> None:
    assert message(zipped(["readme", "sub/best.pth"])).endswith("Try: unzip it, and open sub/best.pth")


def test_tar() -> None:
    torch_tar = {"sys_info": b"x" * 60, "pickle": b"y", "tensors": b"z", "storages": b"w"}
    for comment in (False, True):
        found = sniff(Bytes(tarred(torch_tar, comment=comment)))
        assert (found.kind, found.torch) == ("tar", True)
        assert found.details["members"][:2] == ["sys_info", "pickle"]
    assert kind(tarred({"model/x.pt": b"1"}, tarfile.GNU_FORMAT)) == "tar-archive"
    assert kind(tarred({"./model_config.yaml": b"1", "./model_weights.ckpt": b"2"})) == "nemo"


def test_safetensors() -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(4)
    found = sniff(Bytes(content))
    assert (found.kind, found.torch, found.details["truncated"]) == ("safetensors", True, False)
    assert sniff(Bytes(content[:30])).details["truncated"]
    assert kind(struct.pack("<Q", 1 << 40) + b"{" + bytes(50)) != "safetensors"


# --- what people have instead


def test_empty() -> None:
    source = Bytes(b"")
    assert sniff(source).kind == "empty"
    assert not source.reads
    assert message(b"") == "The file is empty. (model.pt) Try: copy or download the file again"


def test_git_lfs() -> None:
    found = sniff(Bytes(LFS))
    assert (found.kind, found.label) == ("git-lfs", "a git-lfs pointer")
    assert found.details["size"] == 438_012_345
    assert found.details["oid"] == "sha256:" + "ab" * 32
    assert message(LFS) == (
        "This is a git-lfs pointer, not the file itself: the real file has 438,012,345 bytes "
        "(oid sha256:abababababab...). (model.pt) Try: run `git lfs pull` in the repository"
    )


def test_html() -> None:
    page = b"<!DOCTYPE html>\n<html><head><title>Sign in &middot; GitLab</title></head>"
    assert "an HTML page (title: 'Sign in \xb7 GitLab'), most likely an error or login page" in message(page)
    assert "gdown" in message(b"<html><head><title>Google Drive - Quota exceeded</title>")
    assert "raw" in message(b"\xef\xbb\xbf<!-- x --><html><title>model.pt at main - GitHub</title>")
    assert kind(b"<html>" + "caf\xe9".encode("latin-1")) == "html"


def test_server_errors() -> None:
    denied = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
    assert kind(denied) == "xml"
    assert "'AccessDenied: Access Denied'" in message(denied)
    assert "'Repository not found'" in message(b'{"error":"Repository not found"}')
    assert "'no \xe9'" in message(b'{"error": {"code": 4, "message": "no \\u00e9"}}')
    assert "'Entry not found'" in message(b"Entry not found")
    assert sniff(Bytes(b"404: Not Found\n")).details["reads_as"] == "error"


def test_json() -> None:
    assert kind(b'{"metadata": {"total_size": 1}, "weight_map": {"a": "b.bin"}}') == "shard-index"
    assert sniff(Bytes(b'{"architectures": ["Bert"]}')).label == "a model's JSON configuration"
    assert kind(b"[" * 5000) == "json"  # no parser that recurses
    assert kind(b'{"a": ' + b"9" * 5000) == "json"


def test_pointers_of_other_tools() -> None:
    assert kind(b"/annex/objects/MD5E-s3--acbd18db4cc2f85cedef654fccc4a4d8.pt\n") == "git-annex"
    assert kind(b"outs:\n- md5: acbd18db4cc2f85cedef654fccc4a4d8\n  path: model.pt\n") == "dvc"


def test_text_in_other_dress() -> None:
    assert kind("Not Found".encode("utf-16")) == "text"
    assert "base64 -d" in message(b"UEsDBAAACAgAAAAAAAAAAAAAAAAAAAAA\n")
    assert kind(b"\x80\x02\x8a".decode("latin-1").encode() + b"\xef\xbf\xbd" * 9 + b"\0") == "mangled"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07\x01\x00", "rar"), (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\x00", "xz"), (b"BZh91AY&SY", "bzip2"), (b"\x04\x22\x4d\x18", "lz4"), (b"\x93NUMPY\x01\x00", "npy"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"), (b"GGUF\x03\0\0\0", "gguf"), (b"lmgg", "ggml"), (b"\x1c\0\0\0TFL3", "tflite"),
        (b"\x1c\0\0\0PTMF", "flatbuffer-mobile"), (b"\x1c\0\0\0ET12", "executorch"), (b"PYTORCH1", "pytorch-preview"),
        (b"\x7fELF\x02", "executable"), (b"\xcf\xfa\xed\xfe", "executable"), (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\xff\xd8\xff\xe0", "image"), (b"%PDF-1.7", "pdf"), (b"SQLite format 3\x00", "sqlite"),
        (b"PK\x05\x06", "zip-archive"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", "executable"), (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1", "torch7"),
        (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:\x10", "onnx"), (b"\x08\x08\x3a\x10", "onnx"),
        (bytes(range(1, 60)), "unknown"), (b"\x18" + bytes(20) + b"\x1a\x0dbrain.Event:2", "tf-event"),
    ],
)  # fmt: skip
def test_magics(head: bytes, expected: str) -> None:
    found = sniff(Bytes(head + bytes(64)))
    assert (found.kind, found.torch) == (expected, False)
    assert found.label.startswith(("a ", "an ", "one "))


def test_names_help_where_bytes_do_not() -> None:
    noise = bytes(range(1, 60))
    assert kind(noise, "https://host/a/model.pt.crdownload?x=1") == "partial-download"
    assert kind(noise, "C:\\x\\model.ckpt-100.data-00000-of-00001") == "tensorflow-checkpoint"
    assert kind(b"\x08\x01\x12\x80\x08abc", "saved_model.pb") == "tensorflow-savedmodel"
    assert kind(struct.pack("<3i", 0, 2, 5) + noise, "yolov3.weights") == "darknet"
    found = sniff(Bytes(zipped(["m/data.pkl"])[:50], "model.pt.part"))
    assert found.torch
    assert found.details["unfinished_name"]


def test_zeros() -> None:
    assert "4,096 zero bytes" in message(bytes(10_000))
    assert sniff(Bytes(bytes(10_000), "m.pt.part")).kind == "partial-download"


def test_gzip_says_what_is_in_it() -> None:
    found = sniff(Bytes(gzip.compress(zipped(["m/data.pkl"]))))
    assert (found.kind, found.details["holds"]) == ("gzip", "zip")
    assert sniff(Bytes(gzip.compress(b"hello"))).details["holds"] == "text"
    assert kind(b"\x1f\x8b\x08broken") == "gzip"
    assert sniff(Bytes(gzip.compress(bytes(1 << 20)))).details["holds"] == "zeros"


def test_what_the_file_says_is_cut_and_made_visible() -> None:
    words = message(b"<html><title>" + b"\x1b[31m" + b"x" * 500 + b"</title>")
    assert "\x1b" not in words
    assert "x" * 100 in words
    assert "x" * 120 not in words
    assert "\x1b" not in message(b"\x1b]0;title\x07words")


def test_the_error_carries_the_facts() -> None:
    source = Bytes(LFS)
    error = not_a_torch_file(sniff(source), source)
    assert isinstance(error, NotATorchFile)
    assert (error.path, error.found, error.expected) == ("model.pt", "git-lfs", "a PyTorch file")
    assert sentence(Sniffed("7z", "a 7-Zip archive")) == "This is a 7-Zip archive, not a PyTorch file."


def test_every_start_of_every_input_has_an_answer() -> None:
    """Cut anywhere, no input may raise: the sniff stands in front of all errors."""
    inputs = [
        zipped(["m/data.pkl", "m/version"]), tarred({"sys_info": b"x"})[:1100], LFS,
        pickle.dumps({"a": OSError("b")}, 0), pickle.dumps({"a": OSError("b")}, 4), pickle.dumps(MAGIC, 2),
        gzip.compress(b"words"), b'{"error": "a\\u00e9"}',
        b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:\x10" + bytes(16), struct.pack("<Q", 20) + b'{"a":{}}',
        "caf\xe9".encode(),
    ]  # fmt: skip
    for content in inputs:
        for cut in range(len(content)):
            source = Bytes(content[:cut])
            assert str(not_a_torch_file(sniff(source), source))


def test_every_opcode_first() -> None:
    for first in range(256):
        for rest in (b"", b"\xff" * 40, b"\n" * 40, b"0" * 40):
            sniff(Bytes(bytes([first]) + rest))


# --- folders


def build(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


INDEX = b'{"metadata": {}, "weight_map": {"a": "x.bin"}}'


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"], "sharded"),
        (["custom.index.json", "hf_model_0001_0.pt"], "sharded"),
        ([".metadata", "__0_0.distcp"], "dcp"),
        (["config.json", "model.safetensors"], "hf-model"),
        (["trainer_state.json", "optimizer.pt", "model.safetensors"], "hf-trainer"),
        (["model.safetensors", "optimizer.bin", "random_states_0.pkl"], "accelerate"),
        (["hparams.yaml", "checkpoints/epoch=3-step=40.ckpt"], "lightning"),
        (["latest", "global_step10/mp_rank_00_model_states.pt", "zero_to_fp32.py"], "deepspeed"),
        (["mp_rank_00/model_optim_rng.pt"], "megatron"),
        (["data.pkl", "data/0", "version"], "unzipped-torch"),
        (["model/data.pkl", "model/data/0", "model/version"], "unzipped-torch"),
        (["a.txt", "b.pt"], "folder"),
        ([], "folder"),
    ],
)
def test_folders(tmp_path: Path, names: list[str], expected: str) -> None:
    found = diagnose_folder(build(tmp_path, dict.fromkeys(names, INDEX)))
    assert found.kind == expected
    assert found.details["kinds"][-1] == "folder"
    assert sentence(found)


def test_folder_lists_its_models(tmp_path: Path) -> None:
    found = diagnose_folder(str(build(tmp_path, {"a.pt": b"1", "b.pth": b"123", "c.txt": b"", "best/d.ckpt": b"12"})))
    assert found.details["files"] == [
        {"name": "b.pth", "size": 3}, {"name": "best/d.ckpt", "size": 2}, {"name": "a.pt", "size": 1},
    ]  # fmt: skip
    assert found.torch
    assert found.hint == "give one of the model files in it, such as b.pth"


def test_folder_index_must_map_weights(tmp_path: Path) -> None:
    assert diagnose_folder(build(tmp_path, {"x.index.json": b"{}"})).kind == "folder"


def test_unpacked_file_says_how_to_pack_it(tmp_path: Path) -> None:
    hint = diagnose_folder(build(tmp_path, {"m/data.pkl": b"", "m/data/0": b""})).hint
    assert hint is not None
    assert "zip -0 -D -r model.pt m" in hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_folder_opens_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors.index.json")
    assert diagnose_folder(tmp_path).kind == "folder"


def test_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        diagnose_folder(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError):
        diagnose_folder(tmp_path / "file")
