"""File objects, seekable and not."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dotpt import errors
from dotpt.limits import Limits
from dotpt.source import open_source, spool
from dotpt.source.local import FileSource
from dotpt.source.stream import FileObjectSource

DATA = bytes(range(256)) * 100


class OnlyRead:
    """What a network library may hand out: no readinto, no seekable(), reads that come back short."""

    def __init__(self, data: bytes) -> None:
        self.inner = io.BytesIO(data)

    def read(self, length: int = -1) -> Any:
        return self.inner.read(min(length, 1000))


class SeeksToo(OnlyRead):
    def seek(self, offset: int, whence: int = 0) -> Any:
        self.inner.seek(offset, whence)  # and returns nothing, as old objects do

    def tell(self) -> int:
        return self.inner.tell()


@pytest.mark.parametrize("make", [io.BytesIO, SeeksToo])
def test_seekable_object(make: Any) -> None:
    stream = make(b"12345" + DATA)
    stream.seek(5)
    with open_source(stream) as source:
        assert isinstance(source, FileObjectSource)
        assert source.size == len(DATA)
        assert source.read(0, len(DATA)) == DATA
        assert source.read(700, 9) == DATA[700:709]
        assert stream.tell() == 5
        stream.seek(77)
        assert source.read(3, 3) == DATA[3:6]
        assert stream.tell() == 77
        with pytest.raises(errors.TruncatedFile):
            source.read(len(DATA), 1)
    with pytest.raises(errors.SourceError, match="closed"):
        source.read(0, 1)
    assert stream.read(1)


def test_position_beyond_the_end() -> None:
    stream = io.BytesIO(b"abc")
    stream.seek(10)
    assert open_source(stream).size == 0


@pytest.mark.usefixtures("way_to_read")
@pytest.mark.parametrize("buffering", [-1, 0])
def test_plain_file_is_read_through_its_descriptor(tmp_path: Path, buffering: int) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"12345" + DATA)
    with path.open("rb", buffering=buffering) as stream:
        assert stream.read(5) == b"12345"  # the buffer has read further
        with open_source(stream) as source:
            assert isinstance(source, FileSource)
            assert (source.name, source.size, source.is_file) == (str(path), len(DATA), False)
            assert source.read(0, len(DATA)) == DATA
            assert stream.tell() == 5
            with pytest.raises(errors.UsageError):
                source.map()
        assert stream.read(3) == DATA[:3]
        stream.seek(0)
        with open_source(stream) as source:
            assert source.is_file
    path.unlink()


def test_unflushed_writes_are_seen(tmp_path: Path) -> None:
    with (tmp_path / "a.pt").open("w+b") as stream:
        stream.write(b"abc")
        stream.seek(0)
        assert open_source(stream).read(0, 3) == b"abc"


class TestOnlyOnce:
    def test_pipe(self) -> None:
        read_end, write_end = os.pipe()
        os.write(write_end, DATA)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as stream, open_source(stream) as source:
            assert source.read(0, source.size) == DATA
            assert not source.remote

    def test_object_without_seek(self) -> None:
        source = open_source(OnlyRead(DATA))
        assert source.read(0, source.size) == DATA
        assert source.name == "<OnlyRead>"

    def test_large_ones_go_to_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spool, "MEMORY", 5000)
        with open_source(OnlyRead(DATA)) as source:
            assert isinstance(source, FileSource)
            assert source.read(0, source.size) == DATA
            mapping = source.map()
            assert mapping[:] == DATA
            mapping.close()

    def test_endless_one_is_cut_off(self) -> None:
        class Endless:
            def read(self, length: int) -> bytes:
                return bytes(length)

        with pytest.raises(errors.LimitExceeded) as caught:
            open_source(Endless(), limits=Limits(inflated_bytes=5_000_000))
        assert caught.value.limit == "inflated_bytes"

    def test_disk_that_fills_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full(io.BytesIO):
            def write(self, data: Any) -> int:
                if self.tell() + len(data) > 12_000:
                    raise OSError(28, "No space left on device")
                return super().write(data)

        monkeypatch.setattr(spool, "MEMORY", 5000)
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **options: Full())
        with pytest.raises(errors.SourceError, match="No space left"):
            open_source(OnlyRead(DATA))

    def test_full_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Any, *args: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(spool, "MEMORY", 5000)
        monkeypatch.setattr(spool.Spool, "_move_to_disk", full)
        with pytest.raises(errors.SourceError, match="TMPDIR") as caught:
            open_source(OnlyRead(DATA))
        assert caught.value.errno == 28

    def test_no_room_for_what_is_announced(self) -> None:
        with pytest.raises(errors.SourceError, match="has room for"):
            spool.spooled(lambda length: b"", "x", Limits(), announced=1 << 60)

    @pytest.mark.parametrize("announced", [9, 11])
    def test_another_length_than_announced(self, announced: int) -> None:
        with pytest.raises(errors.SourceError):
            spool.spooled(io.BytesIO(b"0123456789").read, "x", Limits(), announced=announced)


class TestDecompressingObjects:
    """They can seek, but each step back costs all that came before: they are read once."""

    def make(self, kind: str, data: bytes) -> Any:
        if kind == "gzip":
            return gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data)))
        if kind == "bz2":
            return bz2.BZ2File(io.BytesIO(bz2.compress(data)))
        box = io.BytesIO()
        with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", data)
        return zipfile.ZipFile(box).open("a")

    @pytest.mark.parametrize("kind", ["gzip", "bz2", "zip"])
    def test_content(self, kind: str) -> None:
        with self.make(kind, b"12345" + DATA) as stream:
            stream.read(5)
            source = open_source(stream)
            assert source.read(0, source.size) == DATA
            assert stream.tell() == 5

    def test_bomb(self) -> None:
        with self.make("gzip", bytes(3_000_000)) as stream, pytest.raises(errors.LimitExceeded):
            open_source(stream, limits=Limits(inflated_bytes=1_000_000))

    def test_damage(self) -> None:
        data = bytearray(gzip.compress(os.urandom(10_000)))
        data[5000] ^= 1
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream, pytest.raises(errors.SourceError):
            open_source(stream)


class TestMisuse:
    def test_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pt"
        path.write_bytes(DATA)
        with path.open(encoding="latin-1") as stream, pytest.raises(errors.UsageError, match=r"\.buffer"):
            open_source(stream)
        with pytest.raises(errors.UsageError, match='"rb"'):
            open_source(io.StringIO("abc"))

    def test_not_for_reading(self, tmp_path: Path) -> None:
        with (tmp_path / "a.pt").open("wb") as stream, pytest.raises(errors.UsageError, match="reading"):
            open_source(stream)

    def test_closed_object(self) -> None:
        stream = io.BytesIO(DATA)
        source = open_source(stream)
        stream.close()
        with pytest.raises(errors.SourceError):
            source.read(0, 3)
        with pytest.raises(errors.SourceError):
            open_source(stream)

    def test_object_that_returns_text(self) -> None:
        class Text(OnlyRead):
            def read(self, length: int = -1) -> Any:
                return "text"

        with pytest.raises(errors.UsageError):
            open_source(Text(b""))

    @pytest.mark.parametrize("answer", [None, b"too many bytes"])
    def test_object_that_breaks_the_rules(self, answer: bytes | None) -> None:
        class Odd(SeeksToo):
            broken = False

            def read(self, length: int = -1) -> Any:
                return answer if self.broken else super().read(length)

        stream = Odd(DATA)
        source = open_source(stream)
        stream.broken = True
        with pytest.raises(errors.SourceError, match="another number"):
            source.read(0, 3)

    def test_object_that_raises(self) -> None:
        class Broken(SeeksToo):
            broken = False

            def read(self, length: int = -1) -> Any:
                if self.broken:
                    raise RuntimeError("lost")
                return super().read(length)

        stream = Broken(DATA)
        source = open_source(stream)
        stream.broken = True
        with pytest.raises(errors.SourceError, match="RuntimeError: lost"):
            source.read(0, 3)

    def test_object_that_shrinks(self) -> None:
        stream = io.BytesIO(DATA)
        source = open_source(stream)
        stream.truncate(10)
        with pytest.raises(errors.SourceChanged):
            source.read(5, 10)
