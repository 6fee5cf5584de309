"""A text that is padded to a size and a checksum: any text, any checksum, and every reader sees the text."""

from __future__ import annotations

import json
import zlib

from hypothesis import given
from hypothesis import strategies as st

from dotpt.container import crc
from dotpt.container.slot import STEERING, padded
from dotpt.formats.metadata import metadata_text

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_any_text_reaches_any_checksum(text: bytes, room: int, wanted: int) -> None:
    size = len(text) + STEERING + room
    found = padded(text, size, wanted)
    assert (len(found), zlib.crc32(found)) == (size, wanted)
    assert found.startswith(text)
    assert set(found[len(text) :]) <= set(b" \t")
    assert set(found[len(text) : size - STEERING]) <= set(b" ")


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5), st.integers(0, 2**32 - 1))
def test_any_reader_of_json_sees_the_text(metadata: dict[str, object], wanted: int) -> None:
    text = metadata_text(metadata)
    found = padded(text, max(4096, len(text) + STEERING), wanted)
    assert json.loads(found) == metadata


def test_there_is_one_padding_for_a_checksum_whichever_library_computes_it() -> None:
    assert padded(b"{}", 4096, 7) == padded(b"{}", 4096, 7)
    assert crc.crc32(padded(b"{}", 34, 0xFFFFFFFF)) == 0xFFFFFFFF
    assert len({padded(b"{}", 34, wanted) for wanted in range(1000)}) == 1000
