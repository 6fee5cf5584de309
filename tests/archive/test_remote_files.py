"""Whole files over http and S3: what is asked for is what is fetched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import dotpt
from dotpt.errors import ChecksumMismatch, RangesNotSupported, SourceChanged
from tests.corpus.torch_zip import pt

FIXTURE = Path(__file__).parent.parent / "corpus/fixtures/zip/state_dict.pt"


def large_file(count: int = 8, elements: int = 1 << 18) -> tuple[bytes, dict[str, np.ndarray]]:
    """A file of ``count`` tensors of 1 MiB each, written without torch."""
    from tests.corpus import pickles

    random = np.random.default_rng(0)
    arrays = {f"layer{n}": random.standard_normal(elements, dtype=np.float32) for n in range(count)}
    entries = b"".join(
        pickles.unicode(name) + pickles.tensor((elements,), source=pickles.storage(str(n), elements))
        for n, name in enumerate(arrays)
    )
    data = pickles.stream(
        pickles.proto(2), pickles.empty_dict(), pickles.mark(), entries, pickles.setitems(), pickles.stop()
    )
    return pt(data, {str(n): array.tobytes() for n, array in enumerate(arrays.values())}), arrays


def fetched(server: object) -> int:
    """Bytes that were asked for in ranges."""
    total = 0
    for _, headers in server.asked:
        start, _, end = headers["Range"].removeprefix("bytes=").partition("-")
        total += int(end) - int(start) + 1 if start else int(end)
    return total


class TestHttp:
    def test_opening_reads_the_directory_and_the_pickle(self, server) -> None:
        server.body, arrays = large_file()
        with dotpt.open(server.url) as archive:
            assert list(archive.tensors) == list(arrays)
            assert fetched(server) < 200_000
            assert len(server.asked) <= 3

    def test_one_tensor_fetches_one_tensor(self, server) -> None:
        server.body, arrays = large_file()
        with dotpt.open(server.url) as archive:
            assert np.array_equal(archive["layer5"].numpy(), arrays["layer5"])
        assert fetched(server) < (1 << 20) + 600_000

    def test_a_slice_fetches_a_slice(self, server) -> None:
        server.body, arrays = large_file()
        with dotpt.open(server.url) as archive:
            assert np.array_equal(archive["layer3"][1000:1010], arrays["layer3"][1000:1010])
        assert fetched(server) < 600_000

    def test_load_with_only(self, server) -> None:
        server.body, arrays = large_file()
        loaded = dotpt.load(server.url, backend="numpy", only=["layer1", "layer2"])
        assert list(loaded) == ["layer1", "layer2"]
        assert np.array_equal(loaded["layer2"], arrays["layer2"])
        assert fetched(server) < (2 << 20) + 800_000

    def test_load_everything(self, server) -> None:
        server.body, arrays = large_file()
        loaded = dotpt.load(server.url, backend="numpy")
        assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())

    def test_a_damaged_tensor_is_found_when_it_is_read(self, server) -> None:
        body, _ = large_file()
        at = body.index(np.float32(large_file()[1]["layer4"][500]).tobytes())
        server.body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with dotpt.open(server.url) as archive:
            assert archive["layer3"].numpy().shape == (1 << 18,)
            with pytest.raises(ChecksumMismatch, match="damaged"):
                archive["layer4"].numpy()

    def test_a_file_that_changes_between_two_reads_is_noticed(self, server) -> None:
        server.body, _ = large_file()
        with dotpt.open(server.url) as archive:
            server.etag = '"another"'
            with pytest.raises(SourceChanged):
                archive["layer5"].numpy()

    def test_a_server_without_ranges(self, server, whole) -> None:
        server.body, server.answer = FIXTURE.read_bytes(), whole
        with pytest.raises(RangesNotSupported, match="allow_download"):
            dotpt.open(server.url)
        with dotpt.open(server.url, allow_download=True) as archive:
            assert archive.kind == "state dict"


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, object]]:
    """An S3 server of moto's with one bucket."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    import boto3
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    before = {key: os.environ.get(key) for key in keys}
    os.environ.update(keys)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="models")
    client.put_object(Bucket="models", Key="a/state_dict.pt", Body=FIXTURE.read_bytes())
    yield {"endpoint_url": endpoint, "key": "test", "secret": "test"}
    running.stop()
    for key, value in before.items():
        os.environ.pop(key) if value is None else os.environ.update({key: value})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_s3(bucket) -> None:
    expected = dotpt.load(FIXTURE, backend="numpy")
    with dotpt.open("s3://models/a/state_dict.pt", storage_options=bucket) as archive:
        assert archive.kind == "state dict"
        for name, array in expected.items():
            assert np.array_equal(archive[name].numpy(), array)
    loaded = dotpt.load("s3://models/a/state_dict.pt", backend="numpy", storage_options=bucket)
    assert all(np.array_equal(loaded[name], array) for name, array in expected.items())
