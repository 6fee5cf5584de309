"""Buffers of the caller."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dotpt import errors
from dotpt.source import Source, open_source
from dotpt.source.memory import BytesSource


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_reads_every_kind_of_buffer(kind: type) -> None:
    with open_source(kind(b"abcdef")) as source:
        assert isinstance(source, BytesSource)
        assert (source.name, source.size, source.remote, source.is_file) == ("<bytes>", 6, False, False)
        assert source.read(1, 3) == b"bcd"
        assert source.read(6, 0) == b""
        target = bytearray(2)
        source.read_into(4, memoryview(target))
        assert target == b"ef"
        assert source.read_many([(0, 1), (5, 1)]) == [b"a", b"f"]


def test_view_is_the_same_memory_and_read_only() -> None:
    data = bytearray(b"abc")
    source = BytesSource(data)
    data[0] = ord("x")
    assert bytes(source.view) == b"xbc"
    assert source.view.readonly


@pytest.mark.parametrize(("offset", "length"), [(0, 4), (4, 0), (3, 1), (-1, 1), (0, -1), (2**63, 2**63)])
def test_a_range_outside_is_truncated_file(offset: int, length: int) -> None:
    with open_source(b"abc") as source, pytest.raises(errors.TruncatedFile):
        source.read(offset, length)


def test_views_of_other_shapes() -> None:
    words = memoryview(bytearray(8)).cast("I")
    assert open_source(words).size == 8
    assert open_source(memoryview(b"")).size == 0
    assert open_source(words[:0]).size == 0
    with pytest.raises(errors.UsageError, match="contiguous"):
        open_source(memoryview(b"abcdef")[::2])


def test_closed() -> None:
    source = open_source(b"abc")
    source.close()
    source.close()
    with pytest.raises(errors.SourceError, match="closed"):
        source.read(0, 1)
    with pytest.raises(errors.SourceError, match="closed"):
        source.read_into(0, memoryview(bytearray(1)))


def test_a_source_is_returned_as_it_is() -> None:
    source = BytesSource(b"\x1f\x8b\x08 not unwrapped")
    assert open_source(source) is source


@pytest.mark.parametrize("thing", [3, None, ["a.pt"], object()])
def test_things_that_hold_no_bytes(thing: object) -> None:
    with pytest.raises(errors.UsageError, match="pass a path"):
        open_source(thing)


def test_options_for_addresses_are_not_ignored() -> None:
    with pytest.raises(errors.UsageError, match="storage_options"):
        open_source(b"abc", storage_options={"anon": True})


def test_importing_is_light() -> None:
    heavy = "numpy torch fsspec urllib http tempfile difflib gzip zlib isal"
    code = f"import sys, dotpt.source; print([m for m in {heavy.split()} if m in sys.modules])"
    # -S: what site-packages import at start is not ours. zlib may be part of the interpreter's own start.
    path = [entry for entry in sys.path if entry.endswith("src")] or ["src"]
    run = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


def test_every_kind_is_a_source() -> None:
    assert isinstance(open_source(b""), Source)
