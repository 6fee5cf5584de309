"""What crosses this boundary: an address that fsspec knows (s3, gs, az, hf, memory, a::b, ...) in, a `Source` out.

Invariants: fsspec and its back ends are imported only here, when such an address is opened; whatever a back end
raises becomes a `SourceError`. The size is asked for once. Whether the object is replaced later cannot be seen in
general (object stores replace whole objects, and few back ends say so): only a read that comes back short is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from dotpt.errors import (
    DotptError,
    MissingDependency,
    RangesNotSupported,
    SourceChanged,
    SourceDenied,
    SourceError,
    SourceIsFolder,
    UsageError,
)
from dotpt.limits import DEFAULT_LIMITS, MIB, Limits
from dotpt.source.base import Source
from dotpt.source.failures import from_os_error
from dotpt.source.remote import RemoteSource
from dotpt.source.spool import spooled

_PIECE = 16 * MIB
_AT_ONCE = 4  # pieces of one large read that are fetched at the same time, as extra memory

_PACKAGES = {
    "s3": '"dotpt[s3]"',
    "s3a": '"dotpt[s3]"',
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "hf": "huggingface_hub",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "oss": "ossfs",
    "oci": "ocifs",
    "webdav": "webdav4",
    "dropbox": "dropboxdrivefs",
    "gdrive": "gdrivefs",
    "hdfs": "pyarrow",
}


def open_fsspec(
    url: str,
    *,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Source:
    """Open an address through fsspec.

    Args:
        url: any that ``fsspec.open`` takes, chains such as ``simplecache::s3://bucket/a.pt`` included.
        allow_download: fetch the whole file if its size cannot be known beforehand.
        storage_options: passed on to ``fsspec.core.url_to_fs``.
        limits: ``inflated_bytes`` bounds a download.

    Raises:
        MissingDependency: fsspec or the package for this protocol is not installed; the hint has the command.
        RangesNotSupported: the back end knows no size, and ``allow_download`` is false.
        SourceNotFound, SourceIsFolder, SourceDenied, SourceError: as the back end answers.
        UsageError: fsspec knows no such protocol.
    """
    name = shown_chain(url)
    system, path = connect(url, name, storage_options)
    with _foreign_errors(name):
        facts = system.info(path)
        if facts.get("type") == "directory":
            raise SourceIsFolder("This is a folder, not a file.", path=name)
        size = facts.get("size")
        if isinstance(size, int) and size >= 0:
            return FsspecSource(system, path, name, size)
        if not allow_download:
            raise RangesNotSupported(
                "The size of the file is unknown, so no part of it can be read alone.",
                path=name,
                hint="pass allow_download=True, or download the file first; command line: --download",
            )
        with system.open(path, "rb") as stream:
            return spooled(stream.read, name, limits)


def connect(url: str, name: str, storage_options: Mapping[str, Any] | None) -> tuple[Any, str]:
    """The file system that fsspec has for an address, and the path in it.

    Raises:
        MissingDependency, UsageError, SourceError: as `open_fsspec`.
    """
    protocol = url.partition(":")[0].lower()
    try:
        core = import_module("fsspec.core")
    except ImportError as error:
        hint = 'pip install "dotpt[s3]"' if protocol in ("s3", "s3a") else 'pip install "dotpt[remote]"'
        raise MissingDependency("Addresses of this kind need the package fsspec.", path=name, hint=hint) from error
    try:
        with _foreign_errors(name):
            system, path = core.url_to_fs(url, **(storage_options or {}))
            return system, path
    except ImportError as error:
        package = _PACKAGES.get(_blamed(url), "")
        hint = f"pip install {package}" if package else str(error)
        raise MissingDependency(f"A package for {protocol} is missing: {error}.", path=name, hint=hint) from error


class FsspecSource(RemoteSource):
    """A file of an fsspec file system. Made by `open_fsspec`."""

    def __init__(self, system: Any, path: str, name: str, size: int) -> None:
        super().__init__(name, size)
        self._system = system
        self._path = path

    def _fetch_into(self, offset: int, target: memoryview) -> None:
        # In pieces: a back end returns new bytes, and those of a whole tensor would double its memory.
        pieces = [(at, min(_PIECE, len(target) - at)) for at in range(0, len(target), _PIECE)]
        for first in range(0, len(pieces), _AT_ONCE):
            batch = pieces[first : first + _AT_ONCE]
            for (at, length), data in zip(batch, self._fetch([(offset + at, n) for at, n in batch]), strict=True):
                target[at : at + length] = data

    def _fetch_many(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        return iter(self._fetch(ranges))

    def _fetch(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        starts = [offset for offset, _ in ranges]
        ends = [offset + length for offset, length in ranges]
        with _foreign_errors(self.name):
            if len(ranges) == 1:
                answers = [self._system.cat_file(self._path, start=starts[0], end=ends[0])]
            else:
                answers = self._system.cat_ranges([self._path] * len(ranges), starts, ends, on_error="raise")
        for (offset, length), data in zip(ranges, answers, strict=True):
            if len(data) != length:
                raise SourceChanged(
                    "The file returned another number of bytes than its size allows for.",
                    path=self.name,
                    offset=offset,
                    found=len(data),
                    expected=length,
                    hint="open it again",
                )
        return answers


@contextmanager
def _foreign_errors(name: str) -> Iterator[None]:
    """Whatever a back end raises, as the error of ours that says the same."""
    try:
        yield
    except (DotptError, ImportError):
        raise
    except OSError as error:
        raise from_os_error(error, name) from error
    except Exception as error:
        problem = f"{type(error).__name__}: {error}."
        if "Protocol not known" in problem:
            raise UsageError("Nothing is known about addresses of this kind.", path=name) from error
        # botocore's and google.auth's errors for missing credentials are no PermissionError.
        if "Credentials" in problem:
            hint = "log in, or pass the credentials in storage_options"
            raise SourceDenied(f"There are no credentials for it: {problem}", path=name, hint=hint) from error
        raise SourceError(f"The file could not be read: {problem}", path=name) from error


def _blamed(url: str) -> str:
    """The protocol of a chain that is most likely the one without its package.

    Example:
        >>> _blamed("simplecache::s3://bucket/a.pt"), _blamed("gs://bucket/a.pt")
        ('s3', 'gs')
    """
    return url.rpartition("::")[2].partition("://")[0].lower()


def shown_chain(url: str) -> str:
    """An address without the secrets in it, for messages."""
    from dotpt.source.http_client import shown

    return "::".join(shown(link) if "://" in link else link for link in url.split("::"))
