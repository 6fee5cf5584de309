"""What crosses this boundary: an http(s) address in, a `Source` that fetches ranges out.

    first request    Range: bytes=-65536          206, Content-Range: bytes 934464-999999/1000000, ETag: "x"
    later requests   Range: bytes=0-65535         206, same total, same ETag
                     If-Range: "x"

Invariants: every answer names the range, the total size and the version (ETag, or else the time of change) that
was opened, or it is an error; no more is read from an answer than was asked for; a connection that ends early
is continued where it ended. A server that sends only whole files is read only after ``allow_download``.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from dotpt.errors import RangesNotSupported, SourceChanged, SourceError, UsageError
from dotpt.limits import DEFAULT_LIMITS, KIB, MIB, Limits
from dotpt.source.base import Source
from dotpt.source.http_client import TRIES, HttpClient, pause
from dotpt.source.memory import BytesSource
from dotpt.source.remote import RemoteSource
from dotpt.source.spool import spooled

TAIL = 64 * KIB
_PROGRESS = 8 * MIB  # a connection that brought so much before it ended counts as no failed try
_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18})\s*", re.ASCII | re.IGNORECASE)
_UNSATISFIED = re.compile(r"\s*bytes\s+\*/(\d{1,18})\s*", re.ASCII | re.IGNORECASE)
_OK, _PARTIAL = 200, 206


def open_http(
    url: str,
    *,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Source:
    """Open an address.

    Args:
        url: http or https.
        allow_download: fetch the whole file if the server cannot send parts of it.
        storage_options: ``headers`` (names and values to send) and ``timeout`` (seconds, 30 by default).
        limits: ``inflated_bytes`` bounds a download whose length the server does not announce.

    Raises:
        RangesNotSupported: the server sends only whole files, and ``allow_download`` is false.
        SourceNotFound, SourceDenied, SourceError: as the server answers.
        UsageError: the address or an option is malformed.
    """
    options = dict(storage_options or {})
    headers, timeout = options.pop("headers", None), options.pop("timeout", 30.0)
    if options or not isinstance(headers, Mapping | None) or not isinstance(timeout, int | float):
        hint = '"headers" are names and values, "timeout" is a number of seconds, and there is nothing else'
        raise UsageError("A storage option for http is unknown or of the wrong type.", hint=hint)
    client = HttpClient(url, headers, timeout)
    # Not every server knows ranges counted from the end: some send the whole file, some an error.
    for byte_range in (f"bytes=-{TAIL}", f"bytes=0-{TAIL - 1}"):
        with client.get(byte_range) as response:
            if response.status == _PARTIAL:
                return HttpSource(client, response, byte_range)
            if response.status == _OK:
                from_start = not byte_range.startswith("bytes=-")
                if from_start or "bytes" not in response.headers.get("Accept-Ranges", "").lower():
                    return _whole(client, response, allow_download, limits)
            elif _unsatisfied_total(response) == 0:
                return BytesSource(b"", client.name)
    raise SourceError("The server refuses every range of the file.", path=client.name, hint="download the file first")


class HttpSource(RemoteSource):
    """A file on a web server that can send ranges. Made by `open_http`."""

    def __init__(self, client: HttpClient, first: http.client.HTTPResponse, asked: str) -> None:
        start, end, total = _content_range(client, first)
        from_end = asked.startswith("bytes=-")
        if (start, end) != ((max(total - TAIL, 0), total) if from_end else (0, min(TAIL, total))):
            raise _wrong_range(client, first, asked)
        self._client = client
        self._version = _version_of(first)
        body = bytearray(end - start)
        complete = client.read_body(first, memoryview(body)) == len(body)
        _check_end(client, first, complete)
        super().__init__(client.name, total, known=(start, bytes(body) if complete else b""))

    @property
    def requests(self) -> int:
        """How many requests were made so far, redirects and repetitions included."""
        return self._client.requests

    def _fetch_into(self, offset: int, target: memoryview) -> None:
        done = failures = 0
        while True:
            count = self._fetch_some(offset + done, target[done:])
            done += count
            if done == len(target):
                return
            failures = 0 if count >= _PROGRESS else failures + 1
            if failures == TRIES:
                raise SourceError(
                    f"The connection ended early {TRIES} times.", path=self.name, found=done, expected=len(target)
                )
            pause(max(failures, 1))

    def _fetch_some(self, offset: int, target: memoryview) -> int:
        """One request: fill the beginning of ``target``, and return how much of it."""
        asked = f"bytes={offset}-{offset + len(target) - 1}"
        etag = self._version[0]
        strong = etag if etag and not etag.startswith("W/") else None  # RFC 9110, 13.1.5
        with self._client.get(asked, strong) as response:
            if response.status != _PARTIAL:
                self._explain_refusal(response)
            start, end, total = _content_range(self._client, response)
            self._check_version(response, total)
            if start != offset or end > offset + len(target):
                raise _wrong_range(self._client, response, asked)
            count = self._client.read_body(response, target[: end - start])
            _check_end(self._client, response, count == end - start)
            return count

    def _explain_refusal(self, response: http.client.HTTPResponse) -> NoReturn:
        """200 or 416 where 206 came at first: another version of the file, or another kind of server."""
        total = _content_length(response) if response.status == _OK else _unsatisfied_total(response)
        self._check_version(response, self.size if total is None else total)
        raise RangesNotSupported("The server does not send ranges any more.", path=self.name, hint="try again later")

    def _check_version(self, response: http.client.HTTPResponse, total: int) -> None:
        now, then = _version_of(response), self._version
        # A 416 and some caches leave the headers out: only what both answers say can differ.
        differs = any(a != b for a, b in zip(now, then, strict=True) if a is not None and b is not None)
        if total != self.size or differs:
            raise SourceChanged(
                "The file on the server was replaced after it was opened.",
                path=self.name,
                found=total if total != self.size else now[0] or now[1],
                expected=self.size if total != self.size else then[0] or then[1],
                hint="open it again",
            )


def _whole(client: HttpClient, response: http.client.HTTPResponse, allow_download: bool, limits: Limits) -> Source:
    """The server sends the whole file: take it if allowed."""
    size = _content_length(response)
    if size == 0:
        return BytesSource(b"", client.name)
    if not allow_download:
        amount = f"the whole file of {size:,} bytes" if size is not None else "the whole file, of unknown size"
        raise RangesNotSupported(
            f"The server cannot send a part of the file, only {amount}.",
            path=client.name,
            expected=size,
            hint="pass allow_download=True, or download the file first; command line: --download",
        )

    def read(length: int) -> bytes:
        buffer = bytearray(length)
        count = client.read_body(response, memoryview(buffer))
        return bytes(memoryview(buffer)[:count])

    return spooled(read, client.name, limits, size)


def _content_range(client: HttpClient, response: http.client.HTTPResponse) -> tuple[int, int, int]:
    """Start, end (exclusive) and total size of a 206, checked against each other and the length of the body."""
    text = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(text)
    if not match:
        raise SourceError("The server sends a part without saying which.", path=client.name, found=text)
    start, last, total = map(int, match.groups())
    if not start <= last < total:
        raise SourceError("The server sends a range that cannot be.", path=client.name, found=text)
    length = _content_length(response)
    if length is not None and length != last + 1 - start:
        raise SourceError(
            "The server sends a body of another length than its range.",
            path=client.name,
            found=length,
            expected=last + 1 - start,
        )
    return start, last + 1, total


def _content_length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "").strip()
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def _unsatisfied_total(response: http.client.HTTPResponse) -> int | None:
    match = _UNSATISFIED.fullmatch(response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _version_of(response: http.client.HTTPResponse) -> tuple[str | None, str | None]:
    etag = response.headers.get("ETag")
    # Mirrors of one file may differ in its time, so that counts only where there is no ETag.
    return etag, None if etag else response.headers.get("Last-Modified")


def _check_end(client: HttpClient, response: http.client.HTTPResponse, complete: bool) -> None:
    """A body without an announced length must end where its range ends."""
    if not complete or _content_length(response) is not None:
        return
    if client.read_body(response, memoryview(bytearray(1))):
        raise SourceError("The server sends more than it was asked for.", path=client.name)


def _wrong_range(client: HttpClient, response: http.client.HTTPResponse, asked: str) -> SourceError:
    return SourceError(
        "The server sends another range than it was asked for.",
        path=client.name,
        found=response.headers.get("Content-Range"),
        expected=asked,
    )
