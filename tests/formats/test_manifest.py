"""The manifest: what is written is canonical JSON, and nothing that a stranger writes is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dotpt
from dotpt.container.zip import ZipContainer
from dotpt.errors import ChecksumMismatch, ContainerError, LimitExceeded, ManifestError, UnsupportedError
from dotpt.formats.draft import NamedRange
from dotpt.formats.manifest import MANIFEST, Listed, hashed_ranges, manifest_bytes, read_manifest, readable_name
from dotpt.limits import DEFAULT_LIMITS
from dotpt.source import open_source
from tests.corpus.torch_zip import write

ZERO = "0" * 32


def container(text: bytes | str, limits: dotpt.Limits = DEFAULT_LIMITS) -> ZipContainer:
    """A file with this manifest."""
    data = text.encode() if isinstance(text, str) else text
    return ZipContainer(open_source(write([("data.pkl", b"N."), (MANIFEST, data), ("version", b"3\n")])), limits)


def manifest(**changes: Any) -> str:
    """A manifest, some of its keys changed; None leaves one out."""
    whole = {"dotpt": 1, "hash": "xxh3_128", "tensors": {}, "writer": "dotpt 9"} | changes
    return json.dumps({key: value for key, value in whole.items() if value is not None})


@given(st.lists(st.tuples(st.text(max_size=10), st.integers(0, 3), st.integers(0, 20), st.integers(0, 20)), max_size=8))
def test_what_is_written_is_canonical_and_read_back(rows: list[tuple[str, int, int, int]]) -> None:
    sizes = {str(key): 20 for key in range(4)}
    tensors = list({name: NamedRange(name, str(key), min(a, b), max(a, b)) for name, key, a, b in rows}.values())
    wanted = hashed_ranges(tensors, sizes)
    hashes = {(key, place): f"{hash((key, place)) & 0xFFFF:032x}" for key, places in wanted.items() for place in places}
    text = manifest_bytes(tensors, sizes, hashes)
    value = json.loads(text)
    assert json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() == text
    found = read_manifest(container(text))
    assert found is not None
    assert found.writer == f"dotpt {dotpt.__version__}"
    assert set(found.tensors) == {tensor.name for tensor in tensors if tensor.begin < tensor.end}
    for name, key, begin, end in tensors:
        if begin < end:
            listed = found.tensors[name]
            place = listed.range or (0, 20)
            assert listed.record == f"data/{key}"
            assert place in ((begin, end), (0, 20))
            assert listed.hash == hashes[key, place]


def test_the_order_of_the_tensors_does_not_matter() -> None:
    tensors = [NamedRange(name, "0", 0, 4) for name in ("b", "a", "é", "B")]
    hashes = {("0", (0, 4)): ZERO}
    assert manifest_bytes(tensors, {"0": 4}, hashes) == manifest_bytes(tensors[::-1], {"0": 4}, hashes)


def test_ranges_that_overlap_too_much_give_way_to_the_record() -> None:
    windows = [NamedRange(str(at), "0", at, at + 100) for at in range(100)]
    assert hashed_ranges(windows, {"0": 200}) == {"0": [(0, 200)]}
    text = manifest_bytes(windows, {"0": 200}, {("0", (0, 200)): ZERO})
    found = read_manifest(container(text))
    assert found is not None
    assert set(found.tensors.values()) == {Listed("data/0", None, ZERO)}
    rows = [NamedRange(str(at), "0", at, at + 10) for at in range(0, 200, 10)]
    assert len(hashed_ranges(rows, {"0": 200})["0"]) == 20


def test_tensors_without_elements_are_not_listed() -> None:
    assert hashed_ranges([NamedRange("a", "0", 3, 3)], {"0": 9}) == {}
    assert b'"tensors":{}' in manifest_bytes([NamedRange("a", "0", 3, 3)], {"0": 9}, {})


def test_half_a_character_is_spelled_out() -> None:
    name = "a\ud800"
    text = manifest_bytes([NamedRange(name, "0", 0, 1)], {"0": 1}, {("0", (0, 1)): ZERO})
    found = read_manifest(container(text))
    assert found is not None
    assert list(found.tensors) == [readable_name(name)] == ["a\\ud800"]


def test_a_file_without_a_manifest() -> None:
    assert read_manifest(ZipContainer(open_source(write([("data.pkl", b"N."), ("version", b"3\n")])))) is None


ENTRY = {"hash": ZERO, "record": "data/0"}
BROKEN: dict[str, Any] = {
    "no JSON": "{",
    "no object": "[]",
    "not UTF-8": b"\xff\xfe",
    "no version": manifest(dotpt=None),
    "version is a truth": manifest(dotpt=True),
    "version is a text": manifest(dotpt="1"),
    "no tensors": manifest(tensors=None),
    "tensors are a list": manifest(tensors=[]),
    "no writer": manifest(writer=None),
    "writer is a number": manifest(writer=3),
    "writer is a book": manifest(writer="x" * 10_000),
    "entry is a list": manifest(tensors={"a": []}),
    "no hash": manifest(tensors={"a": {"record": "data/0"}}),
    "short hash": manifest(tensors={"a": ENTRY | {"hash": "00"}}),
    "hash in capitals": manifest(tensors={"a": ENTRY | {"hash": "A" * 32}}),
    "hash with a newline": manifest(tensors={"a": ENTRY | {"hash": ZERO + "\n"}}),
    "record is a number": manifest(tensors={"a": ENTRY | {"record": 0}}),
    "range is a text": manifest(tensors={"a": ENTRY | {"range": "01"}}),
    "range of three": manifest(tensors={"a": ENTRY | {"range": [0, 1, 2]}}),
    "range of floats": manifest(tensors={"a": ENTRY | {"range": [0.0, 1.0]}}),
    "range of truths": manifest(tensors={"a": ENTRY | {"range": [False, True]}}),
    "range backwards": manifest(tensors={"a": ENTRY | {"range": [5, 4]}}),
    "range before the record": manifest(tensors={"a": ENTRY | {"range": [-1, 4]}}),
    "a name twice": '{"dotpt":1,"hash":"xxh3_128","tensors":{"a":1,"a":2},"writer":"x"}',
    "too deep": manifest(tensors={"a": ENTRY | {"range": json.loads("[" * 40 + "]" * 40)}}),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_manifest_is_one_error(text: bytes | str) -> None:
    with pytest.raises(ManifestError) as raised:
        read_manifest(container(text))
    assert raised.value.record == MANIFEST
    assert isinstance(raised.value, ContainerError)


@pytest.mark.parametrize("changes", [{"dotpt": 2}, {"hash": "blake3"}, {"hash": None}])
def test_a_manifest_of_later_times_is_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="newer dotpt"):
        read_manifest(container(manifest(**changes)))


def test_keys_that_later_versions_add_are_passed_over() -> None:
    text = manifest(more=[1], tensors={"a": ENTRY | {"more": 1, "range": [0, 4]}})
    found = read_manifest(container(text))
    assert found is not None
    assert found.tensors == {"a": Listed("data/0", (0, 4), ZERO)}


def test_a_manifest_larger_than_the_limits() -> None:
    text = manifest(tensors={str(n): ENTRY for n in range(2000)})
    with pytest.raises(LimitExceeded, match="header_bytes"):
        read_manifest(container(text, dotpt.Limits(header_bytes=10_000)))
    with pytest.raises(LimitExceeded, match="decoded_bytes"):
        read_manifest(container(text, dotpt.Limits(decoded_bytes=100_000)))


def test_a_damaged_manifest() -> None:
    data = bytearray(write([("data.pkl", b"N."), (MANIFEST, manifest().encode()), ("version", b"3\n")]))
    data[data.index(b"dotpt 9") + 6] ^= 1
    with pytest.raises(ChecksumMismatch):
        read_manifest(ZipContainer(open_source(bytes(data))))
