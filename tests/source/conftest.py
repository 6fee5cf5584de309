"""A web server on 127.0.0.1 whose manners each test chooses; an old file to be replaced."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dotpt.source import http_client
from tests.source.atomic_cases import OLD

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Keeps what it was asked, and lets `Server.answer` reply."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.answer(self)

    def log_message(self, *args: object) -> None:
        """Be silent."""

    def send(self, status: int, body: bytes = b"", **headers: str | None) -> None:
        """Reply; a header that is None is left out."""
        self.send_response(status)
        chosen: dict[str, str | None] = {"Content_Length": str(len(body)), "ETag": self.server.etag, **headers}
        for name, value in chosen.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def asked_range(self) -> tuple[int, int]:
        """Start and end (exclusive) of the range asked for."""
        size = len(self.server.body)
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers["Range"])
        assert match
        if not match[1]:
            return max(size - int(match[2]), 0), size
        return int(match[1]), min(int(match[2]) + 1, size)


def send_range(handler: Handler) -> None:
    """A well-behaved server: ranges, an ETag, If-Range."""
    body, etag = handler.server.body, handler.server.etag
    if handler.headers.get("If-Range", etag) != etag:
        return handler.send(200, body)
    start, end = handler.asked_range()
    if start >= end:
        return handler.send(416, Content_Range=f"bytes */{len(body)}")
    return handler.send(206, body[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(body)}")


def send_whole(handler: Handler) -> None:
    """A server without ranges."""
    handler.send(200, handler.server.body)


class Server(ThreadingHTTPServer):
    """Serves `body` under every path in the way of `answer`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = random.Random(7).randbytes(1_000_000)
        self.etag: str | None = '"v1"'
        self.answer: Answer = send_range
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/a.pt"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is part of the tests."""


def _serve() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_client, "BACKOFF", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield from _serve()


@pytest.fixture
def other_server() -> Iterator[Server]:
    yield from _serve()


@pytest.fixture
def whole() -> Answer:
    return send_whole


@pytest.fixture
def ranges() -> Answer:
    return send_range


@pytest.fixture(params=["preadv", "pread", "lseek"])
def way_to_read(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Hide the calls that other systems lack."""
    if request.param != "preadv":
        monkeypatch.delattr("os.preadv", raising=False)
    if request.param == "lseek":
        monkeypatch.delattr("os.pread", raising=False)
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(OLD)
    return path


@pytest.fixture(params=["durable", "fast"])
def durable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "durable")
