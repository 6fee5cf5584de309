"""What crosses this boundary: whatever a user calls a file in, a `Source` (or, to write, a `Sink`) out.

The road: `base` says what a source is; `local`, `memory`, `stream`, `http` and `fsspec_` are the kinds; `paths` opens
paths or says why not; `spool` keeps what comes only once; `gzip_` unwraps. `sink` is the same road the other way.
Invariants: opening to read never hangs on a pipe or a device, never reads more than a few blocks of what can be read
in parts, and closes what it opened if it fails. Importing this costs neither a network nor an array library: each
kind is imported when it is first needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dotpt.errors import RangesNotSupported, UsageError
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source.addresses import path_of_url, scheme_of
from dotpt.source.base import Source
from dotpt.source.memory import BytesSource
from dotpt.source.sink import Sink, open_sink

__all__ = ["Sink", "Source", "open_sink", "open_source"]


def open_source(
    source: Any,
    *,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    unwrap: bool = True,
) -> Source:
    """Open anything that holds bytes; a gzip stream is opened as its content.

    Args:
        source: a path; a ``file://``, ``http(s)://`` or any other address that fsspec knows (extra ``[remote]``);
            bytes, bytearray or memoryview; a binary file object, from its position on; or a `Source`, which is
            returned as it is.
        allow_download: fetch a whole remote file where no part of it can be read alone.
        storage_options: for an address: ``headers`` and ``timeout`` (seconds) for http, else what fsspec takes.
        limits: ``inflated_bytes`` and ``inflate_ratio`` bound a gzip stream, ``inflated_bytes`` also a pipe and a
            download of unknown length.
        unwrap: whether a gzip stream is opened as its content, or as the bytes that it is.

    Returns:
        The source. Closing it closes what was opened here, never the file object that was passed.

    Raises:
        SourceError: nothing is there, or it cannot be read; the subclass says which.
        TruncatedFile, ChecksumMismatch, ContainerError, LimitExceeded: a gzip stream is damaged or too large.
        MissingDependency: a package for this kind of address is not installed.
        UsageError: nothing that could be opened was passed.

    Example:
        >>> import gzip
        >>> with open_source(gzip.compress(b"content")) as source:
        ...     source.wrapped, source.read(0, source.size)
        ('gzip', b'content')
    """
    if isinstance(source, Source):
        return source
    from dotpt.source.gzip_ import is_gzip, unwrap_gzip

    opened = _open(source, allow_download, storage_options, limits)
    keep = False
    try:
        if not unwrap or not is_gzip(opened):
            keep = True
            return opened
        if opened.remote and not allow_download:
            raise RangesNotSupported(
                f"The file is compressed as a whole (gzip), so all its {opened.size:,} bytes must be fetched.",
                path=opened.name,
                hint="pass allow_download=True, or download the file first; command line: --download",
            )
        return unwrap_gzip(opened, limits)
    finally:
        if not keep:
            opened.close()


def _open(source: Any, allow_download: bool, storage_options: Mapping[str, Any] | None, limits: Limits) -> Source:
    start = scheme_of(source) if isinstance(source, str) else ""
    if start not in ("", "file://"):
        if start in ("http://", "https://"):
            from dotpt.source.http import open_http as open_url
        else:
            from dotpt.source.fsspec_ import open_fsspec as open_url

        return open_url(source, allow_download=allow_download, storage_options=storage_options, limits=limits)
    if storage_options:
        raise UsageError("storage_options are for addresses such as https:// or s3://, and this is none.")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesSource(source)
    if isinstance(source, (str, os.PathLike)):
        from dotpt.source.paths import open_path

        text = os.fsdecode(source)
        return open_path(path_of_url(text), name=text) if start else open_path(text)
    from dotpt.source.stream import open_file_object

    return open_file_object(source, limits)
