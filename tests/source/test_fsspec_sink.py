"""Addresses that fsspec writes: a bucket of a local S3 server, memory, and what wraps them."""

from __future__ import annotations

import gc
import random
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dotpt import errors
from dotpt.source import open_sink, open_source
from dotpt.source.atomic import FileSink

fsspec = pytest.importorskip("fsspec")

OLD, NEW = b"old content", random.Random(6).randbytes(700_000)


@pytest.fixture
def folder() -> Iterator[str]:
    yield f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def file(folder: str) -> str:
    fsspec.filesystem("memory").pipe(f"{folder}/a.pt", OLD)
    return f"{folder}/a.pt"


def names(folder: str) -> list[str]:
    return sorted(name.rpartition("/")[2] for name in fsspec.filesystem("memory").find(folder))


def save(address: str, **options: Any) -> None:
    with open_sink(address, **options) as sink:
        sink.write(NEW)
        sink.commit()


def content(address: str) -> bytes:
    data = fsspec.filesystem("memory").cat_file(address)
    assert isinstance(data, bytes)
    return data


class TestMemory:
    def test_nothing_is_seen_before_the_commit(self, folder: str, file: str) -> None:
        with open_sink(file) as sink:
            assert sink.name == file
            sink.reserve(len(NEW))
            sink.write(NEW[:5])
            sink.skip(100_000)
            sink.write(memoryview(NEW)[5:])
            assert sink.position == len(NEW) + 100_000
            assert content(file) == OLD
            sink.commit()
        assert content(file) == NEW[:5] + bytes(100_000) + NEW[5:]
        assert names(folder) == ["a.pt"]
        with pytest.raises(errors.WriteError, match="closed"):
            sink.write(b"more")

    def test_a_new_object(self, folder: str) -> None:
        with open_sink(f"{folder}/new/b.pt") as sink:
            sink.write(NEW)
            sink.commit()
        assert content(f"{folder}/new/b.pt") == NEW

    def test_leaving_without_commit(self, folder: str, file: str) -> None:
        with open_sink(file) as sink:
            sink.write(NEW)
        sink = open_sink(file)
        sink.write(NEW)
        del sink
        assert content(file) == OLD
        assert names(folder) == ["a.pt"]

    def test_a_failed_write(self, folder: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: object, data: bytes) -> int:
            raise OSError(5, "broken")

        monkeypatch.setattr("fsspec.implementations.memory.MemoryFile.write", fail, raising=False)
        with pytest.raises(errors.WriteError, match="broken, and what was there before is untouched"):
            save(file)
        monkeypatch.undo()
        assert content(file) == OLD
        assert names(folder) == ["a.pt"]

    def test_a_failed_move(self, folder: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: object, *paths: str) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.mv", fail)
        with pytest.raises(errors.WriteError, match="broken, and what the address holds now is for you"):
            save(file)
        assert names(folder) == ["a.pt"]

    def test_reading_back(self, file: str) -> None:
        with open_sink(file) as sink, pytest.raises(errors.UsageError, match="before it is in its place"):
            sink.reopen()

    def test_a_cache_in_between(self, folder: str, file: str, tmp_path: Path) -> None:
        options = {"simplecache": {"cache_storage": str(tmp_path)}}
        with open_sink(f"simplecache::{file}", storage_options=options) as sink:
            sink.write(NEW)
            assert content(file) == OLD
            sink.commit()
        assert content(file) == NEW
        with open_sink(f"simplecache::{file}", storage_options=options) as sink:
            sink.write(OLD)
        assert content(file) == NEW
        assert names(folder) == ["a.pt"]

    @pytest.mark.parametrize(
        ("raised", "kind"),
        [
            (FileNotFoundError(2, "gone"), errors.FolderMissing),
            (PermissionError(13, "no"), errors.WriteDenied),
            (type("NoCredentialsError", (Exception,), {})("none"), errors.WriteDenied),
            (RuntimeError("odd"), errors.WriteError),
            (TimeoutError("slow"), errors.WriteError),
        ],
    )
    def test_errors_of_the_back_end(
        self, file: str, raised: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object, **options: object) -> None:
            raise raised

        monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem._open", fail)
        with pytest.raises(kind) as caught:
            open_sink(file)
        assert type(caught.value) is kind
        assert caught.value.__cause__ is raised


class TestOther:
    def test_local(self, tmp_path: Path) -> None:
        with open_sink(f"local://{tmp_path}/a.pt") as sink:
            assert isinstance(sink, FileSink)
            sink.write(NEW)
            sink.commit()
        assert (tmp_path / "a.pt").read_bytes() == NEW

    def test_no_fsspec(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec.core", None)
        with pytest.raises(errors.MissingDependency, match=r'pip install "dotpt\[s3\]"'):
            open_sink("s3://bucket/a.pt")

    def test_unknown_protocol(self) -> None:
        with pytest.raises(errors.UsageError):
            open_sink("nonsense://a.pt")

    def test_read_only_systems(self, tmp_path: Path) -> None:
        import zipfile

        zipfile.ZipFile(tmp_path / "a.zip", "w").close()
        with pytest.raises(errors.WriteError):
            open_sink(f"zip://a.pt::{tmp_path}/a.zip", storage_options={"zip": {"mode": "r"}})


# What third parties warn of while a test of ours runs is no finding about us.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestS3:
    @pytest.fixture(scope="class")
    def bucket(self) -> Iterator[dict[str, Any]]:
        pytest.importorskip("s3fs")
        moto = pytest.importorskip("moto.server")
        server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        options = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
        fsspec.filesystem("s3", **options).mkdir("written")
        yield options
        server.stop()

    @pytest.mark.parametrize("size", [0, 1000, 13_000_000])
    def test_an_object_appears_at_the_commit(self, bucket: dict[str, Any], size: int) -> None:
        system = fsspec.filesystem("s3", **bucket)
        address, data = f"s3://written/folder/{size}.pt", random.Random(size).randbytes(size)
        options = {**bucket, "default_block_size": 5 * 2**20}
        with open_sink(address, storage_options=options) as sink:
            sink.write(data)
            system.invalidate_cache()
            assert not system.exists(address)
            sink.commit()
        with open_source(address, storage_options=bucket) as source:
            assert source.read(0, source.size) == data

    def test_one_that_is_given_up(self, bucket: dict[str, Any]) -> None:
        system = fsspec.filesystem("s3", **bucket)
        system.pipe("written/a.pt", OLD)
        options = {**bucket, "default_block_size": 5 * 2**20}
        for size in (0, 1000, 13_000_000):
            with open_sink("s3://written/a.pt", storage_options=options) as sink:
                sink.write(bytes(size))
            del sink
            gc.collect()
        system.invalidate_cache()
        assert system.cat_file("written/a.pt") == OLD
        assert not system.list_multipart_uploads("written")
        assert [name for name in system.find("written") if "a.pt" in name] == ["written/a.pt"]

    def test_the_callers_own_transaction(self, bucket: dict[str, Any]) -> None:
        system = fsspec.filesystem("s3", **bucket)
        with system.transaction:
            with open_sink("s3://written/b.pt", storage_options=bucket) as sink:
                sink.write(NEW)
                sink.commit()
            with open_sink("s3://written/c.pt", storage_options=bucket) as sink:
                sink.write(NEW)
        system.invalidate_cache()
        assert system.cat_file("written/b.pt") == NEW
        assert not system.exists("written/c.pt")

    def test_no_bucket(self, bucket: dict[str, Any]) -> None:
        with pytest.raises(errors.FolderMissing):
            save("s3://no-bucket/a.pt", storage_options=bucket)
