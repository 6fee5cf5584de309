"""What crosses this boundary: an error of the operating system in, an error of dotpt out.

Invariant: the errno survives, so a program can still ask for it.
"""

from __future__ import annotations

import errno

from dotpt.errors import (
    FolderMissing,
    NoSpace,
    SourceDenied,
    SourceError,
    SourceIsFolder,
    SourceNotFound,
    WriteDenied,
    WriteError,
    WriteIsFolder,
)

_KINDS: tuple[tuple[type[OSError], type[SourceError]], ...] = (
    (FileNotFoundError, SourceNotFound),
    (NotADirectoryError, SourceNotFound),
    (IsADirectoryError, SourceIsFolder),
    (PermissionError, SourceDenied),
)
_WRITE_KINDS: tuple[tuple[type[OSError], type[WriteError]], ...] = (
    (FileNotFoundError, FolderMissing),
    (NotADirectoryError, FolderMissing),
    (IsADirectoryError, WriteIsFolder),
    (PermissionError, WriteDenied),
)

UNTOUCHED = "what was there before is untouched"

_NO_SPACE = ("ENOSPC", "EDQUOT", "EFBIG")
_WRITE_HINTS = {
    "ENOSPC": "free some space on that disk, or save to another one",
    "EDQUOT": "delete files of yours there, or ask for a larger quota",
    "EFBIG": "raise the limit on the size of a file (ulimit -f), or save to a file system that takes larger files",
    "EROFS": "save to another place: this file system can only be read",
    "EACCES": "save to a folder of yours, or ask its owner to let you write",
    "EPERM": "save to a folder of yours, or ask its owner to let you write",
    "EIO": "save to another disk: this one reports errors",
    "ENAMETOOLONG": "choose a shorter name",
    "EPIPE": "keep the reader of the pipe running until all is written",
}


def from_os_error(error: OSError, path: str, doing: str = "read", hint: str | None = None) -> SourceError:
    """The error of dotpt for ``error``, which happened while ``path`` was being opened, read, mapped, ..."""
    if isinstance(error, SourceError):
        return error
    kind = next((ours for builtin, ours in _KINDS if isinstance(error, builtin)), SourceError)
    failure = kind(f"The file could not be {doing}: {error.strerror or error}.", path=path, hint=hint)
    failure.errno = error.errno
    return failure


def from_write_error(error: OSError, path: str, size: int | None = None, state: str = UNTOUCHED) -> WriteError:
    """The error of dotpt for ``error``, which happened while ``path`` was being written.

    Args:
        error: as the system reports it.
        path: the destination, as the user named it.
        size: how many bytes were to be written, as far as known.
        state: half a sentence that says what the destination holds now.
    """
    if isinstance(error, WriteError):
        return error
    code = errno.errorcode.get(error.errno or 0, "")
    kind = next((ours for builtin, ours in _WRITE_KINDS if isinstance(error, builtin)), WriteError)
    needed = f" ({size:,} bytes are needed)" if size else ""
    failure = (NoSpace if code in _NO_SPACE else kind)(
        f"The file could not be written: {error.strerror or error}{needed}, and {state}.",
        path=path,
        expected=size,
        hint=_WRITE_HINTS.get(code),
    )
    failure.errno, failure.size = error.errno, size
    return failure


def closed(path: str) -> SourceError:
    """The error for a read of a source that was closed."""
    return SourceError("The source is closed.", path=path, hint="read inside the `with` block that opened it")


def closed_sink(path: str) -> WriteError:
    """The error for a write to a sink that was committed or aborted."""
    return WriteError("The sink is closed.", path=path, hint="write before commit() or abort()")
