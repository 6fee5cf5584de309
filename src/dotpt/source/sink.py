"""What crosses this boundary: bytes in order in, a destination that holds all of them or what it held before out.

The counterpart of `dotpt.source.open_source`. The road: `targets` looks at a path; `atomic` replaces files;
`stream_sink` writes to what cannot be replaced; `fsspec_sink` to addresses. Invariants: a sink that is left without
`Sink.commit` leaves no trace where the destination allows that (files and addresses, not file objects), and whatever
the system or a back end raises becomes a `WriteError` that says what the destination holds now.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dotpt.errors import UsageError
from dotpt.limits import MIB
from dotpt.source.addresses import path_of_url, scheme_of
from dotpt.source.base import Source

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self


_PIECE = 4 * MIB


class Sink:
    """A destination to be filled from its first byte to its last. Leaving its ``with`` block uncommitted aborts it.

    Attributes:
        name: the destination as the user named it, for messages.
        position: how many bytes were written or skipped so far.
    """

    name: str = "<sink>"
    position: int = 0

    def reserve(self, size: int) -> None:
        """Announce the size of the whole in bytes, once and before the first write.

        Raises:
            NoSpace: the destination has no room for it. Nothing was written.
        """

    def write(self, data: Buffer) -> None:
        """Add all bytes of ``data``, a contiguous buffer of any format, at the end.

        Raises:
            WriteError: not all of it could be written; the subclass says why. The sink can only be aborted then.
        """
        raise NotImplementedError

    def skip(self, size: int) -> None:
        """Add ``size`` zero bytes, as a hole where the destination can have one and no space was reserved."""
        raise NotImplementedError

    def copy_from(self, source: Source, start: int, length: int) -> None:
        """Add ``length`` bytes of a source from ``start`` on; files of one disk may share blocks afterwards."""
        buffer = memoryview(bytearray(min(length, _PIECE)))
        for done in range(0, length, _PIECE):
            piece = buffer[: length - done]
            source.read_into(start + done, piece)
            self.write(piece)

    def reopen(self) -> Source:
        """What was written so far, as the destination holds it. The caller closes it before the sink.

        Raises:
            UsageError: this kind of destination cannot be read before it is committed.
            WriteError: the disk does not take what was written.
        """
        raise NotImplementedError

    def commit(self) -> None:
        """Make what was written the content of the destination.

        Raises:
            WriteError: that failed; the message says what the destination holds now.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Give up what was written. Doing it twice, or after `commit`, does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def open_sink(
    dest: Any,
    *,
    durable: bool = True,
    recycle: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Sink:
    """Open anything that bytes can be saved to.

    Args:
        dest: a path, whose file appears or is replaced at `Sink.commit` and not before (a device or a pipe is written
            straight; opening a pipe waits for its reader); a ``file://`` or any other address that fsspec writes
            (extra ``[remote]``); a binary file object, which is written to from its position on, flushed and left
            open, and keeps what was written if the save fails; or a `Sink`, which is returned as it is.
        durable: for paths: after `Sink.commit` the new content survives a power cut. Without it only a crash of the
            program is survived. A file object is synced by whoever opened it.
        recycle: for paths: keep the replaced file as a hidden ``.{name}.dotpt-spare``, and write the next save into
            its blocks, which is several times faster than to a fresh file. It costs the space of one more file. It is
            done only where nobody can have the replaced file open still (Linux on ext4, XFS and tmpfs, by a lease);
            else this does nothing. A save without it removes the spare of that name. Files of NFS clients are not
            seen by that lease: do not recycle in a folder that this machine serves.
        storage_options: for an address: what fsspec takes.

    Raises:
        FolderMissing, WriteIsFolder, WriteDenied, WriteError: it cannot be written there.
        MissingDependency: a package for this kind of address is not installed.
        UsageError: nothing that could be written to was passed.

    Example:
        >>> import io
        >>> stream = io.BytesIO()
        >>> with open_sink(stream) as sink:
        ...     sink.write(b"content")
        ...     sink.commit()
        >>> stream.getvalue()
        b'content'
    """
    if isinstance(dest, Sink):
        return dest
    scheme = scheme_of(dest) if isinstance(dest, str) else ""
    if scheme in ("http://", "https://"):
        raise UsageError(
            "Addresses of this kind cannot be written to.", path=dest, hint="save to a file, and upload it"
        )
    if scheme not in ("", "file://"):
        from dotpt.source.fsspec_sink import open_fsspec_sink

        return open_fsspec_sink(dest, storage_options, durable=durable, recycle=recycle)
    if storage_options:
        raise UsageError("storage_options are for addresses such as s3://, and this is none.")
    if isinstance(dest, (str, os.PathLike)):
        from dotpt.source.targets import open_path_sink

        text = os.fsdecode(dest)
        return open_path_sink(path_of_url(text) if scheme else text, text, durable=durable, recycle=recycle)
    from dotpt.source.stream_sink import StreamSink

    return StreamSink(dest)
