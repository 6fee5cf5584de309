"""What crosses this boundary: a byte range in, one answer of the server with the status 200, 206 or 416 out.

Everything else an answer can be (moved, missing, denied, busy, another encoding, no answer) is followed, tried
again or raised here. Invariants: only http and https are spoken, never a step down from https to http; the
headers that the caller gave, which may hold a token, go to the host that the caller named and to no other; an
answer is never read beyond what was asked for, and one that trickles is given up.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from typing import NoReturn

from dotpt.errors import SourceDenied, SourceError, SourceNotFound, UsageError
from dotpt.limits import KIB
from dotpt.source.failures import from_os_error

TRIES = 3
BACKOFF = 0.25  # seconds before the second try, doubled before each further one
_REDIRECTS = 10
_PIECE = 256 * KIB
_SLOWEST = 16 * KIB  # bytes that must come within every timeout

_OK, _PARTIAL, _OUT_OF_RANGE, _TOO_MANY, _SERVER_ERROR = 200, 206, 416, 429, 500
_MOVED = (301, 302, 303, 307, 308)
_DENIED = (401, 403, 407)
_MISSING = (404, 410)


class HttpClient:
    """Asks one address for ranges.

    Args:
        url: an http or https address; a user and password in it are sent as basic authentication.
        headers: sent along to the host of ``url``.
        timeout: seconds to wait for the next bytes.

    Attributes:
        name: the address without what should not be shown: password and query.
        requests: how many requests were made so far.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout: float = 30.0) -> None:
        self.name = shown(url)
        self.timeout = timeout
        self.requests = 0
        self._count_lock = threading.Lock()
        self._headers = dict(headers or {})
        self._url = self._asked_url = _cleaned(url, self._headers, self.name)
        # Not `build_opener`: it would also open files, FTP and data URLs, and would forward tokens on a redirect.
        self._opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
            self._opener.add_handler(handler())

    def get(self, byte_range: str, if_range: str | None = None) -> http.client.HTTPResponse:
        """Ask for a range such as "bytes=0-99". The caller closes the answer.

        Raises:
            SourceNotFound, SourceDenied: the server says so.
            SourceError: the server cannot be reached, is still busy after three tries, or sends another encoding.
        """
        attempt = 1
        while True:
            last = attempt == TRIES
            try:
                response = self._follow(byte_range, if_range)
            except ConnectionError as error:
                if last:
                    raise SourceError(f"The connection failed: {error}.", path=self.name) from error
            else:
                if response.status in (_OK, _PARTIAL, _OUT_OF_RANGE):
                    self._check_encoding(response)
                    return response
                response.close()
                # An address that a redirect led to may have been signed for some minutes only: ask the first again.
                expired = response.status in _DENIED + _MISSING and self._url != self._asked_url
                busy = response.status >= _SERVER_ERROR or response.status == _TOO_MANY
                if last or not (busy or expired):
                    self._refuse(response)
                self._url = self._asked_url
            pause(attempt)
            attempt += 1

    def _follow(self, byte_range: str, if_range: str | None) -> http.client.HTTPResponse:
        url = self._url
        for _ in range(_REDIRECTS):
            response = self._ask(url, byte_range, if_range)
            if response.status not in _MOVED:
                self._url = url
                return response
            response.close()
            url = self._redirected(url, response.headers.get("Location", ""))
        raise SourceError(f"The server redirects more than {_REDIRECTS} times.", path=self.name)

    def _redirected(self, url: str, location: str) -> str:
        try:
            target = urllib.parse.urldefrag(urllib.parse.urljoin(url, location)).url
            scheme, host, _ = _origin(target)
        except ValueError:
            scheme, host, target = "", None, ""
        if scheme not in ("http", "https") or not host or not location:
            raise SourceError("The server redirects to something that is not a web address.", path=self.name)
        if url.startswith("https:") and scheme == "http":
            hint = f"if you trust the network, ask for {shown(target)} itself"
            raise SourceError("The server redirects from https to http.", path=self.name, hint=hint)
        return _quoted(target)

    def _ask(self, url: str, byte_range: str, if_range: str | None) -> http.client.HTTPResponse:
        headers = dict(self._headers) if _origin(url) == _origin(self._asked_url) else {}
        headers |= {"User-Agent": f"dotpt/{_version()}", "Accept-Encoding": "identity", "Range": byte_range}
        if if_range is not None:
            headers["If-Range"] = if_range
        with self._count_lock:
            self.requests += 1
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http and https only, checked above
            response = self._opener.open(request, timeout=self.timeout)
        except urllib.error.URLError as error:
            reason = error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason))
            self._unreachable(reason)
        except OSError as error:
            self._unreachable(error)
        except http.client.HTTPException as error:
            raise SourceError(f"The server does not speak HTTP: {error!r}.", path=self.name) from error
        except (ValueError, UnicodeError) as error:
            raise UsageError(f"The address or a header is malformed: {error}.", path=self.name) from error
        assert isinstance(response, http.client.HTTPResponse)  # noqa: S101 - for mypy: no other handler is there
        return response

    def _unreachable(self, error: OSError) -> NoReturn:
        if isinstance(error, TimeoutError):
            raise self._too_slow() from error
        if isinstance(error, ConnectionError):
            raise error
        raise from_os_error(error, self.name, "reached", hint="check the address and the network") from error

    def _refuse(self, response: http.client.HTTPResponse) -> NoReturn:
        said = f"{response.status} {response.reason}".strip()
        if response.status in _MISSING:
            raise SourceNotFound(f"There is nothing at this address ({said}).", path=self.name)
        if response.status in _DENIED:
            hint = 'pass a token: storage_options={"headers": {"Authorization": "Bearer ..."}}'
            raise SourceDenied(f"The server denies access ({said}).", path=self.name, hint=hint)
        raise SourceError(f"The server answers {said}.", path=self.name, found=response.status)

    def _check_encoding(self, response: http.client.HTTPResponse) -> None:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            response.close()
            raise SourceError(
                f"The server sends the file in the encoding {encoding}, of which no part can be read alone.",
                path=self.name,
                hint="download the file first",
            )

    def _too_slow(self) -> SourceError:
        return SourceError(f"The server was silent or too slow for {self.timeout:g} seconds.", path=self.name)

    def read_body(self, response: http.client.HTTPResponse, target: memoryview) -> int:
        """Fill ``target`` from the body, and return how many bytes came before the connection ended."""
        done = seen = 0
        since = time.monotonic()
        while done < len(target):
            try:
                data = response.read1(min(_PIECE, len(target) - done))
            except TimeoutError as error:
                raise self._too_slow() from error
            except (OSError, http.client.HTTPException):
                break
            if not data:
                break
            target[done : done + len(data)] = data
            done += len(data)
            now = time.monotonic()
            if now - since > self.timeout:
                if done - seen < _SLOWEST:
                    raise self._too_slow()
                seen, since = done, now
        return done


def pause(attempt: int) -> None:
    """Wait after the failed try with this number, counted from 1."""
    time.sleep(BACKOFF * 2 ** (attempt - 1))


def shown(url: str) -> str:
    """The address without user, password and query, which may be secrets.

    Example:
        >>> shown("https://me:pw@host/a.pt?signature=1")
        'https://host/a.pt?...'
    """
    start, slashes, rest = url.partition("://")
    rest, question, _ = rest.partition("?")
    host, slash, path = rest.partition("/")
    return start + slashes + host.rpartition("@")[2] + slash + path + ("?..." if question else "")


def _cleaned(url: str, headers: dict[str, str], name: str) -> str:
    """The address as it goes over the wire; a user in it moves to ``headers``."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"The address is malformed: {error}.", path=name) from error
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise UsageError("This is not an http or https address.", path=name)
    if parts.username is not None:
        user = urllib.parse.unquote(parts.username) + ":" + urllib.parse.unquote(parts.password or "")
        headers.setdefault("Authorization", "Basic " + b64encode(user.encode()).decode())
    return _quoted(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl())


def _quoted(url: str) -> str:
    return urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dotpt")
    except PackageNotFoundError:
        return "0"
