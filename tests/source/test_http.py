"""Web servers with good and bad manners."""

from __future__ import annotations

import gzip
import threading
import time
from typing import Any

import pytest

from dotpt import errors
from dotpt.limits import Limits
from dotpt.source import http, http_client, open_source, remote
from dotpt.source.http import HttpSource

from .conftest import Answer, Handler, Server, send_range


def opened(server: Server, **options: Any) -> HttpSource:
    source = open_source(server.url, **options)
    assert isinstance(source, HttpSource)
    return source


class TestRanges:
    def test_any_range(self, server: Server) -> None:
        with opened(server) as source:
            assert (source.name, source.size, source.remote, source.is_file) == (server.url, 1_000_000, True, False)
            for offset, length in [(0, 10), (5, 70_000), (131_000, 400_000), (999_990, 10), (0, 1_000_000), (7, 0)]:
                assert source.read(offset, length) == server.body[offset : offset + length]
            with pytest.raises(errors.TruncatedFile):
                source.read(999_999, 2)

    def test_directory_of_a_container_costs_few_requests(self, server: Server) -> None:
        with opened(server) as source:
            assert source.requests == 2  # the end, and the beginning to see whether it is gzip
            for offset in (999_978, 990_000, 940_000, 0, 30, 65_000):
                source.read(offset, 22)
            assert source.requests == 2
            source.read(500_000, 100)
            source.read(500_500, 100)
            assert source.requests == 3

    def test_blocks_are_forgotten_in_the_end(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "BLOCKS_KEPT", 2)
        with opened(server) as source:
            for offset in (0, 100_000, 200_000, 300_000):
                assert source.read(offset, 10) == server.body[offset : offset + 10]
            before = source.requests
            source.read(0, 10)
            assert source.requests == before + 1

    def test_near_ranges_go_together(self, server: Server) -> None:
        wanted = [(400_000, 10), (100, 10), (0, 0), (390_000, 20_000), (700_000, 50), (150, 300_000), (399_000, 500)]
        with opened(server) as source:
            before = source.requests
            got = source.read_many(wanted)
            assert got == [server.body[offset : offset + length] for offset, length in wanted]
            assert source.requests - before <= 3
            with pytest.raises(errors.TruncatedFile):
                source.read_many([(0, 1), (1_000_000, 1)])

    def test_joined_ranges_stay_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "JOINED_AT_MOST", 100)
        assert remote.joined([(0, 60), (60, 60), (110, 10), (10, 10)]) == [(0, 60, [0, 3]), (60, 60, [1, 2])]

    def test_large_reads_go_straight_into_the_target(self, server: Server) -> None:
        server.body *= 20
        with opened(server) as source:
            target = bytearray(source.size)
            before = source.requests
            source.read_into(0, memoryview(target))
            assert target == server.body
            assert source.requests == before + 1
            assert sum(map(len, source._blocks.values())) <= remote.BLOCK

    @pytest.mark.parametrize("size", [0, 1, 2, 65_535, 65_536, 65_537, 131_072])
    def test_small_files(self, server: Server, size: int) -> None:
        server.body = server.body[:size]
        with open_source(server.url) as source:
            assert source.size == size
            assert source.read(0, size) == server.body

    def test_many_threads(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "BLOCKS_KEPT", 3)
        wrong: list[int] = []

        def work(source: HttpSource, seed: int) -> None:
            for step in range(20):
                offset = (seed * 97_777 + step * 71_131) % 990_000
                if source.read(offset, 999) != server.body[offset : offset + 999]:
                    wrong.append(offset)

        with opened(server) as source:
            threads = [threading.Thread(target=work, args=(source, seed)) for seed in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert source.requests == len(server.asked)
        assert not wrong

    def test_closed(self, server: Server) -> None:
        source = opened(server)
        source.close()
        source.close()
        with pytest.raises(errors.SourceError, match="closed"):
            source.read(0, 1)
        with pytest.raises(errors.SourceError, match="closed"):
            source.read_many([(0, 1)])

    def test_server_that_does_not_count_from_the_end(self, server: Server) -> None:
        def answer(handler: Handler) -> None:
            if handler.headers["Range"].startswith("bytes=-"):
                handler.send(200, server.body, Accept_Ranges="bytes")
            else:
                send_range(handler)

        server.answer = answer
        with opened(server) as source:
            assert source.requests == 2
            assert source.read(999_000, 1000) == server.body[-1000:]

    def test_body_without_announced_length(self, server: Server) -> None:
        def answer(handler: Handler) -> None:
            start, end = handler.asked_range()
            content_range = f"bytes {start}-{end - 1}/{len(server.body)}"
            handler.send(206, server.body[start:end], Content_Range=content_range, Content_Length=None)

        server.answer = answer
        with opened(server) as source:
            assert source.read(0, source.size) == server.body


class TestRequests:
    def test_headers(self, server: Server) -> None:
        with opened(server, storage_options={"headers": {"X-Token": "t", "range": "bytes=0-1"}}) as source:
            source.read(500_000, 10)
        path, first = server.asked[0]
        assert path == "/a.pt"
        assert first["User-Agent"].startswith("dotpt/")
        assert first["Accept-Encoding"] == "identity"
        assert first["Range"] == "bytes=-65536"
        assert "If-Range" not in first
        assert all(headers["X-Token"] == "t" for _, headers in server.asked)
        assert server.asked[-1][1]["If-Range"] == '"v1"'

    def test_secrets_in_the_address(self, server: Server) -> None:
        secret = server.url.replace("http://", "http://me:p%40ss@") + "?signature=abc"
        with open_source(secret) as source:
            assert source.name == server.url + "?..."
        path, headers = server.asked[0]
        assert path == "/a.pt?signature=abc"
        assert headers["Authorization"] == "Basic bWU6cEBzcw=="

    def test_odd_characters(self, server: Server) -> None:
        open_source(server.url + " ü?q=a b#part").close()
        assert server.asked[0][0] == "/a.pt%20%C3%BC?q=a%20b"

    @pytest.mark.parametrize("url", ["http://", "http:///a.pt", "http://host:port/a.pt", "http://[::1/a.pt"])
    def test_malformed_addresses(self, url: str) -> None:
        with pytest.raises(errors.UsageError):
            open_source(url)

    @pytest.mark.parametrize(
        "options", [{"anon": True}, {"headers": ["a"]}, {"timeout": "3"}, {"headers": {"a": "b\nc"}}]
    )
    def test_malformed_options(self, server: Server, options: dict[str, Any]) -> None:
        with pytest.raises(errors.UsageError):
            open_source(server.url, storage_options=options)


class TestWholeFilesOnly:
    def test_is_refused(self, server: Server, whole: Answer) -> None:
        server.answer = whole
        with pytest.raises(errors.RangesNotSupported, match=r"1,000,000 bytes.*--download"):
            open_source(server.url)
        assert len(server.asked) == 1

    def test_may_be_downloaded(self, server: Server, whole: Answer) -> None:
        server.answer = whole
        with open_source(server.url, allow_download=True) as source:
            assert source.read(0, source.size) == server.body
            assert (source.remote, source.name) == (False, server.url)
        assert len(server.asked) == 1

    def test_of_unknown_length(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(200, server.body, Content_Length=None)
        with pytest.raises(errors.RangesNotSupported, match="unknown size"):
            open_source(server.url)
        with open_source(server.url, allow_download=True) as source:
            assert source.read(0, source.size) == server.body
        with pytest.raises(errors.LimitExceeded):
            open_source(server.url, allow_download=True, limits=Limits(inflated_bytes=10_000))

    def test_download_that_ends_early(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(200, server.body[:500_000], Content_Length="1000000")
        with pytest.raises(errors.SourceError, match="ended early") as caught:
            open_source(server.url, allow_download=True)
        assert (caught.value.found, caught.value.expected) == (500_000, 1_000_000)

    def test_absurd_length(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(200, server.body[:10], Content_Length=str(10**17))
        with pytest.raises(errors.SourceError, match="has room for"):
            open_source(server.url, allow_download=True)

    def test_empty_file(self, server: Server, whole: Answer) -> None:
        server.body, server.answer = b"", whole
        assert open_source(server.url).size == 0


class TestGzip:
    def test_needs_a_download(self, server: Server) -> None:
        server.body = gzip.compress(server.body)
        with pytest.raises(errors.RangesNotSupported, match="gzip"):
            open_source(server.url)
        with open_source(server.url, allow_download=True) as source:
            assert source.size == 1_000_000
            assert (source.wrapped, source.remote) == ("gzip", False)  # type: ignore[attr-defined]

    def test_as_an_encoding_is_refused(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(200, gzip.compress(server.body), Content_Encoding="gzip")
        with pytest.raises(errors.SourceError, match="encoding gzip"):
            open_source(server.url, allow_download=True)


class TestRedirects:
    def test_final_address_is_kept_and_tokens_are_not_forwarded(self, server: Server, other_server: Server) -> None:
        other_server.body = server.body
        server.answer = lambda handler: handler.send(302, Location=other_server.url + "?signed=1")
        token = {"headers": {"Authorization": "Bearer secret", "Cookie": "c"}}
        with opened(server, storage_options=token) as source:
            assert source.read(300_000, 10) == server.body[300_000:300_010]
            assert source.name == server.url
            assert source.requests == 1 + len(other_server.asked) == 4
        assert server.asked[0][1]["Authorization"] == "Bearer secret"
        assert len(server.asked) == 1
        for path, headers in other_server.asked:
            assert path == "/a.pt?signed=1"
            assert not {"Authorization", "Cookie"} & set(headers)

    def test_same_host_keeps_the_token(self, server: Server) -> None:
        def answer(handler: Handler) -> None:
            if handler.path == "/a.pt":
                handler.send(307, Location="/b.pt")
            else:
                send_range(handler)

        server.answer = answer
        with opened(server, storage_options={"headers": {"Authorization": "Bearer secret"}}):
            pass
        assert [path for path, _ in server.asked] == ["/a.pt", "/b.pt", "/b.pt"]
        assert all(headers["Authorization"] == "Bearer secret" for _, headers in server.asked)

    def test_signed_address_that_expires(self, server: Server, other_server: Server) -> None:
        other_server.body = server.body
        server.answer = lambda handler: handler.send(302, Location=f"{other_server.url}?try={len(server.asked)}")
        other_server.answer = lambda handler: (
            send_range(handler) if handler.path.endswith(f"try={len(server.asked)}") else handler.send(403)
        )
        with opened(server) as source:
            server.asked.append(("", {}))  # the address handed out before is not valid any more
            assert source.read(300_000, 10) == server.body[300_000:300_010]

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://[", "", None])
    def test_to_something_else(self, server: Server, location: str | None) -> None:
        server.answer = lambda handler: handler.send(302, Location=location)
        with pytest.raises(errors.SourceError, match="not a web address"):
            open_source(server.url)

    def test_in_a_circle(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(301, Location=server.url)
        with pytest.raises(errors.SourceError, match="more than 10"):
            open_source(server.url)

    def test_from_https_to_http(self) -> None:
        client = http_client.HttpClient("https://host/a.pt")
        with pytest.raises(errors.SourceError, match="from https to http"):
            client._redirected("https://host/a.pt", "http://host/a.pt?secret=1")


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (404, errors.SourceNotFound),
            (410, errors.SourceNotFound),
            (401, errors.SourceDenied),
            (403, errors.SourceDenied),
            (400, errors.SourceError),
            (204, errors.SourceError),
            (304, errors.SourceError),
        ],
    )
    def test_is_final(self, server: Server, status: int, kind: type[errors.SourceError]) -> None:
        server.answer = lambda handler: handler.send(status)
        with pytest.raises(kind, match=str(status)):
            open_source(server.url)
        assert len(server.asked) == 1

    def test_denied_says_how_to_pass_a_token(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(401)
        with pytest.raises(errors.SourceDenied, match="Authorization"):
            open_source(server.url)

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_busy_server_is_asked_again(self, server: Server, status: int) -> None:
        def answer(handler: Handler) -> None:
            if len(server.asked) % 3:
                handler.send(status)
            else:
                send_range(handler)

        server.answer = answer
        with opened(server) as source:
            assert source.read(500_000, 5) == server.body[500_000:500_005]
            assert source.requests == 9

    def test_busy_server_is_given_up(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(503)
        with pytest.raises(errors.SourceError, match="503"):
            open_source(server.url)
        assert len(server.asked) == 3

    def test_range_refused(self, server: Server) -> None:
        server.answer = lambda handler: handler.send(416)
        with pytest.raises(errors.SourceError, match="refuses every range"):
            open_source(server.url)

    def test_nobody_listens(self, server: Server, other_server: Server) -> None:
        other_server.shutdown()
        other_server.server_close()
        with pytest.raises(errors.SourceError, match="connection failed"):
            open_source(other_server.url)

    def test_unknown_host(self, server: Server) -> None:
        with pytest.raises(errors.SourceError, match="reached"):
            open_source("http://host.invalid/a.pt")

    def test_silent_server(self, server: Server) -> None:
        server.answer = lambda handler: time.sleep(0.5)
        with pytest.raises(errors.SourceError, match="too slow"):
            open_source(server.url, storage_options={"timeout": 0.1})
        assert len(server.asked) == 1

    def test_something_else_than_http(self, server: Server) -> None:
        def answer(handler: Handler) -> None:
            handler.wfile.write(b"SSH-2.0\r\n\r\n")

        server.answer = answer
        with pytest.raises(errors.SourceError):
            open_source(server.url)

    def test_connection_that_is_cut(self, server: Server) -> None:
        def answer(handler: Handler) -> None:
            if len(server.asked) > 1:
                send_range(handler)

        server.answer = answer  # says nothing the first time
        assert opened(server).size == 1_000_000


class TestLies:
    """Every lie is an error of ours, and no lie makes us read without end."""

    def lie(self, server: Server, **headers: str | None) -> HttpSource:
        """Open honestly, then read from a server that sends other headers."""
        source = opened(server)

        def answer(handler: Handler) -> None:
            start, end = handler.asked_range()
            honest = {"Content_Range": f"bytes {start}-{end - 1}/{len(server.body)}"}
            handler.send(206, server.body[start:end], **(honest | headers))

        server.answer = answer
        return source

    @pytest.mark.parametrize("length", [10, 700_000])
    def test_another_etag(self, server: Server, length: int) -> None:
        with self.lie(server, ETag='"v2"') as source:
            source.read(0, 10)  # known since opening
            with pytest.raises(errors.SourceChanged) as caught:
                source.read(200_000, length)
        assert (caught.value.found, caught.value.expected) == ('"v2"', '"v1"')

    def test_another_size(self, server: Server) -> None:
        with self.lie(server, Content_Range="bytes 262144-327679/2000000") as source:
            with pytest.raises(errors.SourceChanged) as caught:
                source.read(300_000, 10)
            assert caught.value.found == 2_000_000

    def test_another_time_counts_without_etag(self, server: Server) -> None:
        server.etag = None
        server.answer = lambda handler: send_range_at(handler, "Mon, 01 Jan 2024 00:00:00 GMT")
        with opened(server) as source:
            source.read(200_000, 10)
            server.answer = lambda handler: send_range_at(handler, "Tue, 02 Jan 2024 00:00:00 GMT")
            with pytest.raises(errors.SourceChanged):
                source.read(500_000, 10)

    def test_replaced_file(self, server: Server) -> None:
        """An honest server answers a wrong If-Range with the whole new file."""
        with opened(server) as source:
            server.etag = '"v2"'
            with pytest.raises(errors.SourceChanged):
                source.read(500_000, 10)

    def test_shortened_file(self, server: Server) -> None:
        with opened(server) as source:
            server.body = server.body[:1000]
            with pytest.raises(errors.SourceChanged):
                source.read(500_000, 10)

    def test_ranges_no_more(self, server: Server, whole: Answer) -> None:
        with opened(server) as source:
            server.answer = whole
            with pytest.raises(errors.RangesNotSupported):
                source.read(500_000, 10)

    def test_weak_etags_are_compared_too(self, server: Server) -> None:
        server.etag = 'W/"1"'
        with opened(server) as source:
            source.read(200_000, 10)
            assert "If-Range" not in server.asked[-1][1]
            server.etag = 'W/"2"'
            with pytest.raises(errors.SourceChanged):
                source.read(500_000, 10)

    @pytest.mark.parametrize(
        "content_range",
        [
            "bytes 0-65535/1000000",
            "bytes 300000-299999/1000000",
            "bytes 0-1000000/1000000",
            "bytes 262144-400000/1000000",
            "bytes 262144-327679/" + "9" * 400,
            "bytes 262144-327679/*",
            "pages 1-2/3",
            "",
            None,
        ],
    )
    def test_another_range(self, server: Server, content_range: str | None) -> None:
        with (
            self.lie(server, Content_Range=content_range, Content_Length=None) as source,
            pytest.raises(errors.SourceError),
        ):
            source.read(300_000, 10)

    @pytest.mark.parametrize("content_range", ["bytes 0-65535/1000000", "bytes 934464-999999/99999999", None])
    def test_another_range_at_first(self, server: Server, content_range: str | None) -> None:
        server.answer = lambda handler: handler.send(206, server.body[-65_536:], Content_Range=content_range)
        with pytest.raises(errors.SourceError, match=r"range|part"):
            open_source(server.url)

    def test_length_that_contradicts_the_range(self, server: Server) -> None:
        with self.lie(server, Content_Length="70000") as source, pytest.raises(errors.SourceError, match="length"):
            source.read(300_000, 10)

    def test_body_that_is_too_long(self, server: Server) -> None:
        def answer(handler: Handler) -> None:
            start, end = handler.asked_range()
            content_range = f"bytes {start}-{end - 1}/{len(server.body)}"
            handler.send(206, server.body, Content_Range=content_range, Content_Length=None)

        server.answer = answer
        with pytest.raises(errors.SourceError, match="more than it was asked"):
            open_source(server.url)

    @pytest.mark.parametrize("chunk", [20_000, 300_000])
    def test_short_bodies_are_continued(self, server: Server, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "_PROGRESS", 10_000)
        server.answer = lambda handler: send_cut(handler, chunk)
        with opened(server) as source:
            assert source.read(0, 1_000_000) == server.body

    def test_short_bodies_are_given_up(self, server: Server) -> None:
        server.answer = lambda handler: send_cut(handler, 100)
        with pytest.raises(errors.SourceError, match="ended early 3 times"):
            open_source(server.url)
        assert len(server.asked) == 4

    def test_chunked_body_that_is_cut(self, server: Server) -> None:
        """Here it is http.client that notices."""

        def answer(handler: Handler) -> None:
            handler.protocol_version = "HTTP/1.1"
            handler.close_connection = True
            start, end = handler.asked_range()
            content_range = f"bytes {start}-{end - 1}/{len(server.body)}"
            chunk = b"5\r\n" + server.body[start : start + 5] + b"\r\nff\r\nabc"
            handler.send(206, chunk, Content_Range=content_range, Content_Length=None, Transfer_Encoding="chunked")

        server.answer = answer
        with pytest.raises(errors.SourceError, match="ended early 3 times"):
            open_source(server.url)

    def test_ranges_that_are_shorter_than_asked(self, server: Server) -> None:
        def answer(handler: Handler) -> None:
            start, end = handler.asked_range()
            end = min(start + 150_000, end)
            handler.send(206, server.body[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(server.body)}")

        server.answer = answer
        with opened(server) as source:
            assert source.read(0, 400_000) == server.body[:400_000]
            with pytest.raises(errors.SourceError, match="ended early"):
                source.read(0, 1_000_000)

    def test_body_that_stops(self, server: Server) -> None:
        source = opened(server, storage_options={"timeout": 0.1})

        def answer(handler: Handler) -> None:
            send_cut(handler, 100)
            time.sleep(0.5)

        server.answer = answer
        with pytest.raises(errors.SourceError, match="too slow"):
            source.read(300_000, 10)

    def test_body_that_trickles(self, server: Server) -> None:
        source = opened(server, storage_options={"timeout": 0.2})

        def answer(handler: Handler) -> None:
            start, end = handler.asked_range()
            handler.send(206, Content_Range=f"bytes {start}-{end - 1}/{len(server.body)}", Content_Length=None)
            for at in range(start, start + 100):
                handler.wfile.write(server.body[at : at + 1])
                time.sleep(0.02)

        server.answer = answer
        begin = time.monotonic()
        with pytest.raises(errors.SourceError, match="too slow"):
            source.read(300_000, 10)
        assert time.monotonic() - begin < 1.5


def send_range_at(handler: Handler, when: str) -> None:
    start, end = handler.asked_range()
    content_range = f"bytes {start}-{end - 1}/{len(handler.server.body)}"
    handler.send(206, handler.server.body[start:end], Content_Range=content_range, Last_Modified=when)


def send_cut(handler: Handler, length: int) -> None:
    """Announce the whole range, send ``length`` bytes of it and hang up."""
    start, end = handler.asked_range()
    body = handler.server.body
    content_range = f"bytes {start}-{end - 1}/{len(body)}"
    handler.send(
        206, body[start : min(end, start + length)], Content_Range=content_range, Content_Length=str(end - start)
    )
