"""The metadata record: what may be noted, how it lies in a file, and what of a stranger's is believed."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dotpt.container.crc import crc32
from dotpt.container.slot import STEERING
from dotpt.container.zip import ZipContainer
from dotpt.container.zipwrite import ZipWriter
from dotpt.errors import ChecksumMismatch, LimitExceeded, ManifestError, UsageError
from dotpt.formats.metadata import CRC, METADATA, MOST, SLOT_FROM, add_metadata, metadata_text, read_record
from dotpt.source import open_source
from dotpt.source.overwrite import PAGE
from tests.container.test_slot import VALUES
from tests.corpus.torch_zip import write


class Out(bytearray):
    """A destination in memory."""

    def write(self, data: bytes) -> None:
        self += data

    def skip(self, size: int) -> None:
        self += bytes(size)


def file_of(text: bytes, size: int = 0) -> ZipContainer:
    """A file with ``size`` bytes before this metadata."""
    out = Out()
    writer = ZipWriter(out)
    writer.add("data.pkl", b"N.")
    writer.add("data/0", bytes(size))
    add_metadata(writer, text)
    writer.close()
    return ZipContainer(open_source(bytes(out)))


class Color(str, Enum):
    RED = "red"


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5), st.sampled_from([0, SLOT_FROM]))
def test_what_is_noted_is_read_back(metadata: dict[str, Any], size: int) -> None:
    text = metadata_text(metadata)
    container = file_of(text, size)
    container.check_layout()
    assert read_record(container) == metadata
    assert json.loads(text) == metadata


def test_the_text_is_canonical() -> None:
    assert metadata_text({"b": 1, "a": {"d": [], "c": "ö"}}) == '{"a":{"c":"ö","d":[]},"b":1}'.encode()
    assert metadata_text({}) == b"{}"
    assert metadata_text({"kind": Color.RED, "loss": np.float64(0.5), "on": True}) == (
        b'{"kind":"red","loss":0.5,"on":true}'
    )


REFUSED: dict[str, tuple[Any, str | None, str]] = {
    "a list": ([1], None, "dictionary"),
    "None": (None, None, "dictionary"),
    "a number as a key": ({1: 2}, None, "key 1"),
    "a key within": ({"a": {"b": {2: 3}}}, "a.b", "key 2"),
    "a tuple": ({"a": (1, 2)}, "a", "type tuple"),
    "bytes": ({"a": [b"x"]}, "a[0]", "type bytes"),
    "an array": ({"a": np.ones(2)}, "a", "type ndarray"),
    "an integer of numpy's": ({"a": np.int64(1)}, "a", "type int64"),
    "a set": ({"a": {"b": {1}}}, "a.b", "type set"),
    "NaN": ({"a": [0, float("nan")]}, "a[1]", "nan"),
    "infinity": ({"a": -float("inf")}, "a", "inf"),
    "half a character": ({"a": "\ud800"}, "a", "half a character"),
    "half a character in a key": ({"\ud800": 1}, None, "half a character"),
    "a huge integer": ({"a": 10**39}, "a", "39 digits"),
}


@pytest.mark.parametrize(("value", "key", "words"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_be_read_back_is_refused(value: Any, key: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        metadata_text(value)
    assert raised.value.key == key
    assert raised.value.hint


def test_depth_and_size_have_an_end() -> None:
    value: Any = 1
    for _ in range(15):
        value = [value]
    assert read_record(file_of(metadata_text({"a": value}))) == {"a": value}
    with pytest.raises(UsageError, match="deeper than 16"):
        metadata_text({"a": [value]})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="deeper than 16"):
        metadata_text({"a": endless})
    with pytest.raises(UsageError, match="too large to be read back"):
        metadata_text({"a": "x" * MOST})
    with pytest.raises(UsageError, match="too large to be read back"):
        metadata_text({"a": [0] * 4_000_000})
    for integer in (10**39 - 1, -(10**39) + 1):
        assert read_record(file_of(metadata_text({"a": integer}))) == {"a": integer}


def test_a_small_file_has_the_record_only_if_something_is_noted() -> None:
    assert METADATA not in file_of(b"{}")
    container = file_of(b'{"a":1}')
    assert container.content(container.record(METADATA)) == b'{"a":1}'


@pytest.mark.parametrize("text", [b"{}", b'{"a":1}', metadata_text({"a": "x" * (PAGE - STEERING - 8)})])
def test_a_large_file_has_a_page_of_its_own_for_it(text: bytes) -> None:
    container = file_of(text, SLOT_FROM)
    record = container.record(METADATA)
    assert (record.offset % PAGE, record.size, record.crc) == (0, PAGE, CRC)
    assert crc32(container.content(record)) == CRC
    assert container.content(record).strip() == text


def test_what_is_longer_than_the_page_stands_as_it_is() -> None:
    text = metadata_text({"a": "x" * (PAGE - STEERING - 7)})
    container = file_of(text, SLOT_FROM)
    assert container.content(container.record(METADATA)) == text


def strange(text: bytes | str) -> ZipContainer:
    """A file with any text for metadata."""
    data = text.encode() if isinstance(text, str) else text
    return ZipContainer(open_source(write([("data.pkl", b"N."), (METADATA, data)])))


BROKEN: dict[str, bytes | str] = {
    "nothing": "",
    "no JSON": "{a}",
    "no object": "[1]",
    "a text": '"a"',
    "not UTF-8": b'{"a":"\xff"}',
    "a key twice": '{"a":1,"a":2}',
    "NaN": '{"a":NaN}',
    "half a character in a key": '{"\\ud800":1}',
    "too deep": "[" * 20 + "]" * 20,
    "a very long integer": '{"a":' + "1" * 100 + "}",
    "something behind": "{} x",
    "too large": b"{}" + b" " * MOST,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_record_is_one_error(text: bytes | str) -> None:
    with pytest.raises(ManifestError) as raised:
        read_record(strange(text))
    assert raised.value.record == METADATA


def test_a_record_that_would_fill_the_memory() -> None:
    with pytest.raises(LimitExceeded):
        read_record(strange(b'{"a":[' + b"0," * 4_000_000 + b"0]}"))


def test_a_damaged_record_says_how_to_write_it_anew() -> None:
    data = bytearray(write([("data.pkl", b"N."), (METADATA, b'{"a":1}')]))
    data[data.index(b'{"a":1}') + 5] ^= 1
    with pytest.raises(ChecksumMismatch, match="dotpt metadata"):
        read_record(ZipContainer(open_source(bytes(data))))
