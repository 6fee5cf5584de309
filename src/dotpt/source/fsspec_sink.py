"""What crosses this boundary: bytes in order in, an object at an address that fsspec knows out.

Invariant: nothing changes at the address before `commit`. Object stores that assemble an upload only when they are
told to (S3, Google Cloud Storage) are written to directly: the parts of an upload that is given up are deleted, and
those of a killed run are seen by nobody (but billed, until the bucket's rules delete them). Everywhere else the bytes
go to a hidden object beside the address, which `commit` moves there; whether that move is atomic is up to the file
system, and a killed run leaves the hidden object behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dotpt.errors import DotptError, UsageError, WriteDenied, WriteError
from dotpt.source.base import Source
from dotpt.source.failures import UNTOUCHED, from_write_error
from dotpt.source.fsspec_ import connect, shown_chain
from dotpt.source.sink import Sink
from dotpt.source.stream_sink import StreamSink
from dotpt.source.temporaries import sibling

# An object of these appears when its upload is completed; the last one uploads a local file at the end.
_COMPLETE_UPLOADS = frozenset({"s3", "s3a", "gs", "gcs", "simplecache"})


def open_fsspec_sink(
    url: str, storage_options: Mapping[str, Any] | None = None, *, durable: bool = True, recycle: bool = False
) -> Sink:
    """Open an address for writing.

    Args:
        url: any that ``fsspec.open`` writes to.
        storage_options: passed on to ``fsspec.core.url_to_fs``.
        durable, recycle: for an address of this machine (``local://``), see `dotpt.source.open_sink`.

    Raises:
        MissingDependency: fsspec or the package for this protocol is not installed; the hint has the command.
        FolderMissing, WriteIsFolder, WriteDenied, WriteError: as the back end answers.
        UsageError: fsspec knows no such protocol.
    """
    name = shown_chain(url)
    system, path = connect(url, name, storage_options)
    protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    if "file" in protocols:
        from dotpt.source.targets import open_path_sink

        return open_path_sink(path, name, durable=durable, recycle=recycle)
    with _explained(name, UNTOUCHED):
        if protocols & _COMPLETE_UPLOADS:
            return _UploadSink(system, path, name)
        return _MovedSink(system, path, name)


class FsspecSink(StreamSink):
    """An object of an fsspec file system. Made by `open_fsspec_sink`."""

    _state = UNTOUCHED

    def __init__(self, stream: Any, name: str) -> None:
        super().__init__(stream, name)
        self._process = os.getpid()

    def reopen(self) -> Source:
        """Refuse: there is no object to be read before it is complete."""
        raise UsageError(
            "What is saved to an address cannot be read back before it is in its place.",
            path=self.name,
            hint="save first, then verify the address",
        )

    def commit(self) -> None:
        """Make the object appear at its address."""
        stream = self._open_stream()
        try:
            with self._explained():
                self._complete(stream)
            self._stream = None
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove what was uploaded."""
        stream, self._stream = self._stream, None
        if stream is not None and os.getpid() == self._process:
            with suppress(Exception):  # on the way out of another error; what is left is not at the address
                self._discard(stream)

    def __del__(self) -> None:
        if getattr(self, "_stream", None) is not None:
            self.abort()

    def _complete(self, stream: Any) -> None:
        raise NotImplementedError

    def _discard(self, stream: Any) -> None:
        raise NotImplementedError

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with _explained(self.name, self._state):
            yield


class _UploadSink(FsspecSink):
    """An upload that the store assembles when it is told to."""

    def __init__(self, system: Any, path: str, name: str) -> None:
        stream = system.open(path, "wb", autocommit=False)
        with suppress(ValueError):  # fsspec would complete the upload at the end of the caller's own transaction
            system.transaction.files.remove(stream)
        super().__init__(stream, name)

    def _complete(self, stream: Any) -> None:
        stream.close()
        if not getattr(stream, "autocommit", True):
            stream.commit()

    def _discard(self, stream: Any) -> None:
        try:
            stream.discard()
        finally:
            stream.closed = True  # or it would upload when it is collected


class _MovedSink(FsspecSink):
    """A hidden object that is moved to the address."""

    def __init__(self, system: Any, path: str, name: str) -> None:
        self._system, self._path = system, path
        folder, slash, base = path.rpartition("/")
        self._hidden = folder + slash + sibling("", base, f".{os.urandom(8).hex()}.dotpt-tmp")
        super().__init__(system.open(self._hidden, "wb"), name)

    def _complete(self, stream: Any) -> None:
        stream.close()
        with _explained(self.name, "what the address holds now is for you to check"):
            self._system.mv(self._hidden, self._path)

    def _discard(self, stream: Any) -> None:
        try:
            stream.close()
        finally:
            self._system.rm_file(self._hidden)


@contextmanager
def _explained(name: str, state: str) -> Iterator[None]:
    """Whatever a back end raises, as the error of ours that says the same."""
    try:
        yield
    except DotptError:
        raise
    except OSError as error:
        raise from_write_error(error, name, state=state) from error
    except Exception as error:
        problem = f"{type(error).__name__}: {error}, and {state}."
        # botocore's and google.auth's errors for missing credentials are no PermissionError.
        if "Credentials" in problem:
            hint = "log in, or pass the credentials in storage_options"
            raise WriteDenied(f"There are no credentials for it: {problem}", path=name, hint=hint) from error
        raise WriteError(f"The file could not be written: {problem}", path=name) from error
