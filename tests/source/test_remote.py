"""Addresses that fsspec reads: a bucket of a local S3 server, and memory."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from dotpt import errors
from dotpt.limits import Limits
from dotpt.source import fsspec_, open_source
from dotpt.source.fsspec_ import FsspecSource

fsspec = pytest.importorskip("fsspec")

DATA = random.Random(5).randbytes(700_000)


@pytest.fixture
def memory() -> Iterator[str]:
    """The address of a file with DATA in memory."""
    system = fsspec.filesystem("memory")
    path = f"/{uuid.uuid4().hex}/a.pt"
    system.pipe(path, DATA)
    yield f"memory:/{path}"
    system.store.clear()


class TestMemory:
    def test_any_range(self, memory: str) -> None:
        with open_source(memory) as source:
            assert isinstance(source, FsspecSource)
            assert (source.name, source.size, source.remote, source.is_file) == (memory, len(DATA), True, False)
            for offset, length in [(0, 10), (5, 70_000), (1, 600_000), (699_990, 10), (9, 0)]:
                assert source.read(offset, length) == DATA[offset : offset + length]
            wanted = [(600_000, 9), (10, 3), (20, 3), (0, 0)]
            assert source.read_many(wanted) == [DATA[offset : offset + length] for offset, length in wanted]
            with pytest.raises(errors.TruncatedFile):
                source.read(0, len(DATA) + 1)
        with pytest.raises(errors.SourceError, match="closed"):
            source.read(0, 1)

    def test_large_reads_come_in_pieces(self, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fsspec_, "_PIECE", 99_999)
        with open_source(memory) as source:
            assert source.read(3, 690_000) == DATA[3:690_003]

    def test_chain(self, memory: str, tmp_path: Any) -> None:
        options = {"simplecache": {"cache_storage": str(tmp_path)}}
        with open_source(f"simplecache::{memory}", storage_options=options) as source:
            assert source.read(5, 5) == DATA[5:10]

    def test_nothing_there(self, memory: str) -> None:
        with pytest.raises(errors.SourceNotFound):
            open_source(memory + "x")

    def test_folder(self, memory: str) -> None:
        with pytest.raises(errors.SourceIsFolder):
            open_source(memory.removesuffix("/a.pt"))

    def test_replaced_by_a_shorter_one(self, memory: str) -> None:
        with open_source(memory) as source:
            fsspec.filesystem("memory").pipe(memory, b"short")
            with pytest.raises(errors.SourceChanged):
                source.read(300_000, 10)

    def test_unknown_size(self, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
        system = type(fsspec.filesystem("memory"))
        monkeypatch.setattr(system, "info", lambda self, path, **_: {"type": "file", "size": None})
        with pytest.raises(errors.RangesNotSupported, match="unknown"):
            open_source(memory)
        with open_source(memory, allow_download=True) as source:
            assert source.read(0, source.size) == DATA
        with pytest.raises(errors.LimitExceeded):
            open_source(memory, allow_download=True, limits=Limits(inflated_bytes=1000))

    @pytest.mark.parametrize(
        ("raised", "kind"),
        [
            (FileNotFoundError(2, "gone"), errors.SourceNotFound),
            (PermissionError(13, "no"), errors.SourceDenied),
            (RuntimeError("odd"), errors.SourceError),
            (type("NoCredentialsError", (Exception,), {})("none"), errors.SourceDenied),
            (TimeoutError("slow"), errors.SourceError),
        ],
    )
    def test_errors_of_the_back_end(
        self, memory: str, raised: Exception, kind: type[errors.SourceError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object, **options: object) -> bytes:
            raise raised

        source = open_source(memory)
        system = type(fsspec.filesystem("memory"))
        monkeypatch.setattr(system, "cat_file", fail)
        with pytest.raises(kind) as caught:
            source.read(300_000, 10)
        assert type(caught.value) is kind
        assert caught.value.path == memory
        assert caught.value.__cause__ is raised


class TestMissing:
    def test_fsspec(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec.core", None)
        with pytest.raises(errors.MissingDependency, match=r'pip install "dotpt\[s3\]"'):
            open_source("s3://bucket/a.pt")
        with pytest.raises(errors.MissingDependency, match=r'pip install "dotpt\[remote\]"'):
            open_source("gs://bucket/a.pt")

    @pytest.mark.parametrize(
        ("url", "package"), [("s3://b/a.pt", "dotpt[s3]"), ("simplecache::gs://b/a.pt", "pip install gcsfs")]
    )
    def test_package_of_the_protocol(self, url: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(url: str, **options: object) -> None:
            raise ImportError("Please install the package")

        monkeypatch.setattr("fsspec.core.url_to_fs", missing)
        with pytest.raises(errors.MissingDependency) as caught:
            open_source(url)
        assert package in str(caught.value.hint)

    def test_unknown_protocol(self) -> None:
        with pytest.raises(errors.UsageError):
            open_source("nonsense://a.pt")


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
        system = fsspec.filesystem("s3", **options)
        system.mkdir("bucket")
        system.pipe("bucket/folder/a.pt", DATA)
        yield options
        server.stop()

    def test_any_range(self, bucket: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fsspec_, "_PIECE", 99_999)
        with open_source("s3://bucket/folder/a.pt", storage_options=bucket) as source:
            assert source.size == len(DATA)
            for offset, length in [(0, 10), (1, 600_000), (699_990, 10)]:
                assert source.read(offset, length) == DATA[offset : offset + length]
            wanted = [(600_000, 9), (10, 3), (20, 3), (0, 0)]
            assert source.read_many(wanted) == [DATA[offset : offset + length] for offset, length in wanted]

    def test_nothing_there(self, bucket: dict[str, Any]) -> None:
        for path in ("bucket/folder/b.pt", "no-bucket/a.pt"):
            with pytest.raises(errors.SourceNotFound):
                open_source(f"s3://{path}", storage_options=bucket)

    def test_folder(self, bucket: dict[str, Any]) -> None:
        with pytest.raises(errors.SourceIsFolder):
            open_source("s3://bucket/folder", storage_options=bucket)
