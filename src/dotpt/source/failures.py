"""What crosses this boundary: an error of the operating system in, an error of dotpt out.

Invariant: the errno survives, so a program can still ask for it.
"""

from __future__ import annotations

from dotpt.errors import SourceDenied, SourceError, SourceIsFolder, SourceNotFound

_KINDS: tuple[tuple[type[OSError], type[SourceError]], ...] = (
    (FileNotFoundError, SourceNotFound),
    (NotADirectoryError, SourceNotFound),
    (IsADirectoryError, SourceIsFolder),
    (PermissionError, SourceDenied),
)


def from_os_error(error: OSError, path: str, doing: str = "read", hint: str | None = None) -> SourceError:
    """The error of dotpt for ``error``, which happened while ``path`` was being opened, read, mapped, ..."""
    if isinstance(error, SourceError):
        return error
    kind = next((ours for builtin, ours in _KINDS if isinstance(error, builtin)), SourceError)
    failure = kind(f"The file could not be {doing}: {error.strerror or error}.", path=path, hint=hint)
    failure.errno = error.errno
    return failure


def closed(path: str) -> SourceError:
    """The error for a read of a source that was closed."""
    return SourceError("The source is closed.", path=path, hint="read inside the `with` block that opened it")
