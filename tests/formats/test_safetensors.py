"""safetensors files: every rule of the format has a test, and safetensors' own reader agrees on what is valid."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt.errors import LimitExceeded, RecordMissing, SafetensorsError, TruncatedFile, UnsupportedError
from dotpt.formats import ReadOptions, read_contents
from dotpt.formats import safetensors as reader
from dotpt.source.memory import BytesSource
from tests.formats.hostile import check_changes, check_cuts


def built(header: Any, data: bytes = b"", pad: int = 0) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * pad
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def read(data: bytes, **options: Any) -> Any:
    return reader.read(BytesSource(data), ReadOptions(**options))


GOOD = built(
    {
        "__metadata__": {"format": "pt"},
        "b": entry("F32", [2, 3], 2, 26),
        "a": entry("I8", [2], 0, 2),
        "none": entry("F16", [0, 4], 26, 26),
        "one": entry("BOOL", [], 26, 27),
    },
    bytes([1, 255]) + struct.pack("<6f", *range(6)) + b"\1",
)


def test_tensors_and_metadata() -> None:
    contents = read(GOOD)
    assert contents.format == "safetensors"
    assert contents.metadata == {"format": "pt"}
    assert list(contents.tree) == ["b", "a", "none", "one"]
    assert contents.tree["b"].byte_range == (len(GOOD) - 25, len(GOOD) - 1)
    assert contents.container.record("a").crc is None
    assert "a" in contents.container
    with pytest.raises(RecordMissing):
        contents.container.record("c")


@pytest.mark.parametrize("mmap", [False, True])
def test_values(tmp_path: Path, mmap: bool) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(GOOD)
    loaded = dotpt.load(path, backend="numpy", mmap=mmap)
    assert loaded["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["a"].tolist() == [1, -1]
    assert loaded["none"].shape == (0, 4)
    assert loaded["one"].item() is True
    assert list(dotpt.load(path, backend="numpy", mmap=mmap, only="a")) == ["a"]


def test_open() -> None:
    with dotpt.open(GOOD) as archive:
        assert list(archive) == ["b", "a", "none", "one"]
        assert archive.metadata == {"format": "pt"}
        assert archive["b"][1].tolist() == [3, 4, 5]


def test_an_empty_file_of_the_format() -> None:
    assert read(built({})).tree == {}
    assert read(built({"__metadata__": None})).metadata == {}


def test_bytes_are_swapped_on_a_big_endian_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", "big")
    assert read(GOOD).tree["b"].storage.swap
    assert dotpt.load(GOOD, backend="numpy", only="b")["b"].tolist() != [[0, 1, 2], [3, 4, 5]]  # it was turned round


def test_unknown_fields_are_noted() -> None:
    data = built({"a": entry("U8", [1], 0, 1) | {"future": 3}}, b"x")
    assert "future" in read(data).notes[0]


BAD: dict[str, tuple[bytes, str]] = {
    "no brace": (built(b" {}"), "brace"),
    "not an object": (built(b"[]"), "brace"),
    "not JSON": (built(b'{"a":}'), "malformed"),
    "two values": (built(b"{}{}"), "malformed"),
    "a name twice": (built(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}'), "twice"),
    "a field twice": (built(b'{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "twice"),
    "not UTF-8": (built(b'{"\xff":1}'), "UTF-8"),
    "half a character": (built(b'{"\\ud800":1}'), "half of a character"),
    "NaN": (built(b'{"a":NaN}'), "NaN"),
    "endless number": (built(b'{"a":' + b"1" * 100 + b"}"), "digits"),
    "endless fraction": (built(b'{"a":1.' + b"1" * 100 + b"}"), "digits"),
    "deep": (built(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"), "deeper"),
    "unclosed": (built(b'{"a":' + b"[" * 100), "deeper"),
    "no shape": (built({"a": {"dtype": "U8", "data_offsets": [0, 0]}}), "dtype, shape"),
    "no tensor": (built({"a": 3}), "dtype, shape"),
    "strange type": (built({"a": entry("F128", [0], 0, 0)}), "unknown type"),
    "type no text": (built({"a": entry([], [0], 0, 0)}), "unknown type"),  # type: ignore[arg-type]
    "negative size": (built({"a": entry("U8", [-1], 0, 0)}), "shape"),
    "a true size": (built({"a": entry("U8", [True], 0, 1)}, b"x"), "shape"),
    "a broken size": (built({"a": entry("U8", [1.0], 0, 1)}, b"x"), "shape"),  # type: ignore[list-item]
    "huge size": (built({"a": entry("U8", [2**63], 0, 0)}), "shape"),
    "product of sizes": (built({"a": entry("U8", [2**40, 2**40], 0, 0)}), "more elements"),
    "one offset": (built({"a": {"dtype": "U8", "shape": [], "data_offsets": [0]}}), "two positions"),
    "backwards": (built({"a": entry("U8", [0], 1, 0)}, b"x"), "two positions"),
    "wrong size": (built({"a": entry("F32", [2], 0, 4)}, b"xxxx"), "need 8 bytes, its data_offsets span 4"),
    "half a byte": (built({"a": entry("F4", [3], 0, 1)}, b"x"), "1.5 bytes"),
    "a hole": (built({"a": entry("U8", [1], 1, 2)}, b"xx"), "belong to none"),
    "a hole between": (built({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"xxx"), "belong to none"),
    "an overlap": (built({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"xxx"), "overlap"),
    "a twin": (built({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 0, 2)}, b"xx"), "overlap"),
    "trailing": (built({"a": entry("U8", [1], 0, 1)}, b"xmore"), "4 bytes follow"),
    "metadata of numbers": (built({"__metadata__": {"a": 1}}), "texts"),
    "metadata no object": (built({"__metadata__": "a"}), "texts"),
}


@pytest.mark.parametrize("name", BAD)
def test_broken_rules(name: str) -> None:
    data, words = BAD[name]
    with pytest.raises(SafetensorsError, match=words) as caught:
        read(data)
    assert caught.value.offset is not None
    assert caught.value.hint


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("no brace", "not an object")])
def test_safetensors_refuses_them_too(name: str) -> None:
    safetensors = pytest.importorskip("safetensors")
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(BAD[name][0])


def test_cut_short() -> None:
    with pytest.raises(TruncatedFile, match=f"ends at {len(GOOD) - 3:,} of {len(GOOD):,} bytes") as caught:
        read(GOOD[:-3])
    assert caught.value.offset == len(GOOD) - 3
    with pytest.raises(TruncatedFile, match="within its header"):
        read(GOOD[:20])
    with pytest.raises(TruncatedFile, match="within the length"):
        read(GOOD[:4])


@pytest.mark.parametrize(
    ("data", "limits", "name"),
    [
        (struct.pack("<Q", 1 << 40) + b"{}", dotpt.Limits(), "header_bytes"),
        (built({str(n): entry("U8", [0], 0, 0) for n in range(20)}), dotpt.Limits(records=10), "records"),
        (built({"a": entry("U8", [0] * 65, 0, 0)}), dotpt.Limits(), "tensor_dims"),
        (built(b'{"a":' + b"[" + b"1," * 100_000 + b"1]}"), dotpt.Limits(decoded_bytes=1 << 20), "decoded_bytes"),
        (built(b'{"a":' + b"[" + b'"",' * 100_000 + b'""]}'), dotpt.Limits(decoded_bytes=1 << 20), "decoded_bytes"),
    ],
)
def test_limits(data: bytes, limits: dotpt.Limits, name: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(data, limits=limits)
    assert caught.value.limit == name


@pytest.mark.parametrize(("dtype", "shape", "size"), [("F6_E2M3", [4], 3), ("F4", [3, 2, 1], 3), ("F4", [2, 3], 3)])
def test_types_that_torch_has_not(dtype: str, shape: list[int], size: int) -> None:
    with pytest.raises(UnsupportedError):
        read(built({"a": entry(dtype, shape, 0, size)}, bytes(size)))


def test_every_type_as_safetensors_reads_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    from dotpt.container.safetensors import WIRE_TYPES

    rng = np.random.default_rng(0)
    header: dict[str, Any] = {}
    data = b""
    for name, (torch_name, bits) in WIRE_TYPES.items():
        if torch_name is not None:
            body = bytes(rng.integers(0, 2, 8 * bits // 8, dtype=np.uint8))
            header[name] = entry(name, [2, 4], len(data), len(data) + len(body))
            data += body
    path = tmp_path / "types.safetensors"
    path.write_bytes(built(header, data, pad=3))
    expected = safetensors.load_file(path)
    for mmap in (False, True):
        loaded = dotpt.load(path, mmap=mmap)
        assert loaded.keys() == expected.keys()
        for name, tensor in loaded.items():
            assert tensor.dtype is expected[name].dtype
            assert tensor.shape == expected[name].shape
            assert torch.equal(tensor.view(torch.uint8), expected[name].view(torch.uint8))
    assert set(dotpt.load(path, backend="numpy")) == set(expected)


def test_what_safetensors_writes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    state = {
        "ä": torch.randn(3, 4),
        "b": torch.ones(2, dtype=torch.bfloat16),
        "c": torch.zeros(0, 3),
        "d": torch.tensor(5),
    }
    path = tmp_path / "a.safetensors"
    safetensors.save_file(state, path, metadata={"format": "pt", "ö": "x"})
    loaded = dotpt.load(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    with dotpt.open(path) as archive:
        assert archive.metadata == {"format": "pt", "ö": "x"}


def test_sniffed() -> None:
    assert read_contents(BytesSource(GOOD), ReadOptions()).format == "safetensors"


def test_cuts() -> None:
    check_cuts(GOOD, lambda data: {name: ref.shape for name, ref in read(data).tree.items()})
    check_cuts(GOOD)


def test_changes() -> None:
    check_changes(GOOD, read)
    check_changes(GOOD)
