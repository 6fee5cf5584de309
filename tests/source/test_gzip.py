"""Gzip streams, by isal and by zlib."""

from __future__ import annotations

import gzip
import io
import random
import sys
import zlib
from pathlib import Path

import pytest

from dotpt import errors
from dotpt.limits import Limits
from dotpt.source import gzip_, open_source, spool
from dotpt.source.base import Source
from dotpt.source.local import FileSource

DATA = random.Random(3).randbytes(3_000_000) + b"text " * 20_000


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "isal":
        pytest.importorskip("isal.isal_zlib")
    else:
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
        assert gzip_._library() is zlib


def member(data: bytes, flags: int = 0, extra: bytes = b"") -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(data) + deflate.flush()
    trailer = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + extra + body + trailer


def content(data: bytes) -> bytes:
    with open_source(data) as source:
        assert source.wrapped == "gzip"  # type: ignore[attr-defined]
        return source.read(0, source.size)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_content(level: int) -> None:
    assert content(gzip.compress(DATA, level)) == DATA


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_of_any_size(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip_, "_PIECE", piece)
    small = DATA[:500] + b"a" * 2000
    assert content(member(small, 0x1E, b"\x03\0abcname\0comment\0\x12\x34") + member(small) + bytes(9)) == small * 2


def test_of_every_origin(tmp_path: Path) -> None:
    path = tmp_path / "a.pt.gz"
    path.write_bytes(gzip.compress(DATA))
    with open_source(path) as source:
        assert source.name == str(path)
        assert source.read(0, source.size) == DATA
    with path.open("rb") as stream, open_source(stream) as source:
        assert source.size == len(DATA)
        assert stream.tell() == 0
    assert open_source(io.BytesIO(gzip.compress(DATA))).size == len(DATA)


def test_empty_content_and_members() -> None:
    assert content(gzip.compress(b"")) == b""
    assert content(member(b"") * 100 + member(b"x")) == b"x"


def test_large_content_goes_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY", 100_000)
    with open_source(gzip.compress(DATA)) as source:
        assert isinstance(source, FileSource)
        assert source.wrapped == "gzip"
        assert source.read(0, source.size) == DATA
        assert source.name == "<bytes>"


def test_only_one_layer_and_only_gzip() -> None:
    assert content(gzip.compress(gzip.compress(b"x")))[:3] == gzip_.MAGIC
    for other in (b"", b"\x1f\x8b", b"PK\x03\x04"):
        assert getattr(open_source(other), "wrapped", None) is None


def test_every_cut() -> None:
    whole = member(DATA[:300], 0x1E, b"\x03\0abcname\0comment\0\x12\x34")
    for length in range(3, len(whole)):
        with pytest.raises(errors.TruncatedFile):
            open_source(whole[:length])


def test_cut_in_the_middle_of_a_large_one() -> None:
    whole = gzip.compress(DATA)
    for length in range(100, len(whole), 400_001):
        with pytest.raises(errors.TruncatedFile) as caught:
            open_source(whole[:length])
        assert caught.value.offset == length


@pytest.mark.parametrize(("place", "what"), [(-8, "checksum"), (-1, "length")])
def test_wrong_trailer(place: int, what: str) -> None:
    whole = bytearray(member(DATA))
    whole[place] ^= 1
    with pytest.raises(errors.ChecksumMismatch, match=what):
        open_source(whole)


def test_every_flipped_byte_of_the_stream_is_an_error_of_ours() -> None:
    whole = member(b"text " * 100)
    for place in range(10, len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        with pytest.raises(errors.ContainerError):
            open_source(damaged)


@pytest.mark.parametrize("after", [b"garbage", b"\0\0garbage", b"\x1f\x8b\x07" + bytes(20)])
def test_something_else_follows(after: bytes) -> None:
    with pytest.raises(errors.ContainerError, match="damaged"):
        open_source(member(b"abc") + after)


def test_header_of_another_kind() -> None:
    with pytest.raises(errors.ContainerError, match="header"):
        open_source(member(b"abc", flags=0x80))
    with pytest.raises(errors.ContainerError, match="name"):
        open_source(member(b"abc", flags=0x08, extra=b"n" * 3_000_000))


def test_limits() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(errors.LimitExceeded) as caught:
        open_source(bomb)
    assert caught.value.limit == "inflate_ratio"
    with pytest.raises(errors.LimitExceeded) as caught:
        open_source(bomb, limits=Limits(inflated_bytes=1_000_000))
    assert caught.value.limit == "inflated_bytes"
    assert open_source(bomb, limits=Limits(inflate_ratio=2000)).size == 50_000_000
    assert open_source(gzip.compress(bytes(1_000_000))).size == 1_000_000  # small ones may be all zeros


def test_opened_file_is_closed_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Source] = []
    close = FileSource.close

    def noted(source: FileSource) -> None:
        closed.append(source)
        close(source)

    monkeypatch.setattr(FileSource, "close", noted)
    path = tmp_path / "a.pt.gz"
    path.write_bytes(gzip.compress(DATA)[:-1])
    with pytest.raises(errors.TruncatedFile):
        open_source(path)
    assert closed
