"""File objects, whatever their manners."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import socket
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dotpt import errors
from dotpt.source import open_sink, stream_sink
from dotpt.source.stream_sink import StreamSink

DATA = random.Random(3).randbytes(200_000)


def save(stream: Any, data: bytes = DATA) -> None:
    with open_sink(stream) as sink:
        assert isinstance(sink, StreamSink)
        sink.reserve(len(data))
        for start in range(0, len(data), 70_000):
            sink.write(memoryview(data)[start : start + 70_000])
        assert sink.position == len(data)
        sink.commit()


class Odd:
    """An object whose ``write`` has the manners that a test wants."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.taken, self.flushed = answer, bytearray(), 0

    def write(self, data: Any) -> Any:
        self.taken += data
        return self.answer(len(data))

    def flush(self) -> None:
        self.flushed += 1


class TestManners:
    def test_memory(self) -> None:
        stream = io.BytesIO(b"before")
        stream.seek(6)
        save(stream)
        assert stream.getvalue() == b"before" + DATA
        assert stream.tell() == 6 + len(DATA)

    def test_files(self, tmp_path: Path) -> None:
        for mode, buffering in (("wb", -1), ("wb", 0), ("w+b", -1), ("xb", -1), ("ab", -1)):
            path = tmp_path / f"{mode}{buffering}"
            with open(path, mode, buffering=buffering) as file:
                save(file)
                assert path.read_bytes() == DATA  # flushed
                assert not file.closed
                file.write(b"after")
            assert path.read_bytes() == DATA + b"after"

    def test_packers(self, tmp_path: Path) -> None:
        with gzip.open(tmp_path / "a.gz", "wb") as packed:
            save(packed)
        with gzip.open(tmp_path / "a.gz") as packed:
            assert packed.read() == DATA
        with bz2.open(tmp_path / "a.bz2", "wb") as other:
            save(other)
        with bz2.open(tmp_path / "a.bz2") as other:
            assert other.read() == DATA
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("member", "w") as member:
            save(member)
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            assert archive.read("member") == DATA

    def test_temporary_files(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            save(file)
            file.seek(0)
            assert file.read() == DATA
        with tempfile.SpooledTemporaryFile(max_size=1000) as spooled:
            save(spooled)
            spooled.seek(0)
            assert spooled.read() == DATA

    def test_a_socket(self) -> None:
        ours, theirs = socket.socketpair()
        read: list[bytes] = []
        with theirs, ours:
            reader = threading.Thread(target=lambda: read.append(theirs.makefile("rb").read()))
            reader.start()
            with ours.makefile("wb") as file:
                save(file)
            ours.shutdown(socket.SHUT_WR)
            reader.join(timeout=10)
        assert read == [DATA]

    def test_one_that_returns_nothing(self) -> None:
        odd = Odd(lambda size: None)
        save(odd)
        assert bytes(odd.taken) == DATA
        assert odd.flushed == 1

    def test_one_without_flush(self) -> None:
        taken: list[bytes] = []

        class Write:
            def write(self, data: Any) -> None:
                taken.append(bytes(data))

        save(Write())
        assert b"".join(taken) == DATA

    def test_one_that_takes_only_a_part(self) -> None:
        class Short(io.RawIOBase):
            taken = bytearray()

            def writable(self) -> bool:
                return True

            def write(self, data: Any) -> int:
                self.taken += data[:999]
                return len(data[:999])

        short = Short()
        save(short)
        assert bytes(short.taken) == DATA

    def test_one_that_takes_only_bytes(self) -> None:
        class Strict(io.BytesIO):
            def write(self, data: Any) -> int:
                if type(data) is not bytes:
                    raise TypeError("a bytes object is required")
                return super().write(data)

        strict = Strict()
        save(strict)
        assert strict.getvalue() == DATA

    def test_in_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream_sink, "_PIECE", 1001)
        sizes: list[int] = []
        odd = Odd(lambda size: sizes.append(size))
        save(odd)
        assert max(sizes) == 1001
        assert bytes(odd.taken) == DATA


class TestRefusals:
    @pytest.mark.parametrize("thing", [b"bytes", 3, None, object(), ["list"]])
    def test_nothing_to_write_to(self, thing: Any) -> None:
        with pytest.raises(errors.UsageError, match="is not something to write to"):
            open_sink(thing)

    def test_text(self, tmp_path: Path) -> None:
        with open(tmp_path / "a", "w") as file:
            with pytest.raises(errors.UsageError, match=r"open as text.*Try: pass its .buffer"):
                open_sink(file)
            save(file.buffer)
        with pytest.raises(errors.UsageError, match="as text"):
            open_sink(io.StringIO())

    def test_text_in_disguise(self) -> None:
        import codecs

        with (
            codecs.getwriter("utf-8")(io.BytesIO()) as stream,
            pytest.raises(errors.NotWritable, match="takes no bytes") as caught,
        ):
            save(stream)
        assert "binary" in str(caught.value.hint)

    def test_only_for_reading(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        with open(tmp_path / "a", "rb") as file, pytest.raises(errors.UsageError, match="not open for writing"):
            open_sink(file)

    def test_closed(self) -> None:
        stream = io.BytesIO()
        stream.close()
        with pytest.raises(errors.UsageError, match="is closed"):
            open_sink(stream)

    @pytest.mark.parametrize("count", [-1, 0, 10**9, "7"])
    def test_counts_that_cannot_be(self, count: Any) -> None:
        with pytest.raises(errors.WriteError, match="what was written so far stays there"):
            save(Odd(lambda size: count))

    def test_a_raw_object_that_would_block(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        with (
            open(reading, "rb"),
            open(writing, "wb", buffering=0) as pipe,
            pytest.raises(errors.WriteError, match="pass a blocking"),
        ):
            save(pipe)

    def test_a_reader_that_left(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb", buffering=0) as pipe, pytest.raises(errors.WriteError, match="keep the reader"):
            save(pipe)

    @pytest.mark.parametrize(
        ("raised", "kind"),
        [
            (OSError(28, "full"), errors.NoSpace),
            (ValueError("odd"), errors.WriteError),
            (KeyError("x"), errors.WriteError),
        ],
    )
    def test_errors_of_the_object(self, raised: Exception, kind: type[Exception]) -> None:
        def fail(size: int) -> None:
            raise raised

        with pytest.raises(kind) as caught:
            save(Odd(fail))
        assert caught.value.__cause__ is raised

    def test_after_the_end(self) -> None:
        sink = open_sink(io.BytesIO())
        sink.commit()
        for use in (lambda: sink.write(b"a"), sink.commit, sink.reopen, lambda: sink.skip(5)):
            with pytest.raises(errors.WriteError, match="closed"):
                use()
        sink.abort()


class TestReopening:
    def test_memory(self) -> None:
        stream = io.BytesIO(b"0123456789" * 100_000)
        stream.seek(3)
        with open_sink(stream) as sink:
            sink.write(b"abc")
            with sink.reopen() as source:
                assert (source.size, source.read(0, 3)) == (3, b"abc")
            assert stream.tell() == 6
            sink.write(b"def")
            sink.commit()
        assert stream.getvalue()[:10] == b"012abcdef9"

    def test_a_file(self, tmp_path: Path) -> None:
        with open(tmp_path / "a", "w+b") as file, open_sink(file) as sink:
            sink.write(DATA)
            with sink.reopen() as source:
                assert source.read(0, source.size) == DATA
            sink.write(b"more")
            sink.commit()
        assert (tmp_path / "a").read_bytes() == DATA + b"more"

    def test_objects_that_cannot(self, tmp_path: Path) -> None:
        with (
            open(tmp_path / "a", "wb") as file,
            open_sink(file) as sink,
            pytest.raises(errors.UsageError, match="cannot be read back"),
        ):
            sink.reopen()
        with open_sink(Odd(lambda size: None)) as sink, pytest.raises(errors.UsageError):
            sink.reopen()


class TestHoles:
    @pytest.mark.parametrize("size", [0, 5, 65_536, 300_000])
    def test_zeros(self, tmp_path: Path, size: int) -> None:
        content = b"start" + bytes(size) + b"end" + bytes(size)
        for mode in ("wb", "w+b", "ab", "r+b"):
            path = tmp_path / mode
            path.write_bytes(b"\xff" * 1_000_000 if mode == "r+b" else b"")
            with open(path, mode) as file, open_sink(file) as sink:
                sink.write(b"start")
                sink.skip(size)
                sink.write(b"end")
                sink.skip(size)
                assert sink.position == len(content)
                sink.commit()
            assert path.read_bytes()[: len(content)] == content
        odd = Odd(lambda size: None)
        with open_sink(odd) as sink:
            sink.skip(size)
            sink.commit()
        assert bytes(odd.taken) == bytes(size)
        with open_sink(io.BytesIO()) as sink, pytest.raises(errors.UsageError):
            sink.skip(-1)

    @pytest.mark.skipif(os.name != "posix", reason="blocks are counted on Unix")
    def test_take_no_space(self, tmp_path: Path) -> None:
        with open(tmp_path / "a", "wb") as file, open_sink(file) as sink:
            sink.skip(50_000_000)
            sink.commit()
        status = (tmp_path / "a").stat()
        assert status.st_size == 50_000_000
        assert status.st_blocks * 512 < 1_000_000
