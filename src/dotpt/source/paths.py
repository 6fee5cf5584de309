"""What crosses this boundary: a path in, an open `FileSource` or the reason why not out.

Invariant: nothing but a regular file is opened, so that a FIFO or a device can neither hang the caller nor be
changed by being opened.
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path

from dotpt.errors import SourceError, SourceIsFolder, SourceNotFound, UsageError
from dotpt.source.failures import from_os_error
from dotpt.source.local import FileSource

_LISTED_AT_MOST = 10_000  # entries of a folder that are looked at to make a hint
_MODEL_FILES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".gz")


def open_path(path: str, name: str | None = None) -> FileSource:
    """Open a local regular file.

    Args:
        path: where it is.
        name: what messages call it, ``path`` by default.

    Raises:
        SourceNotFound: nothing is there; the hint has the names that look alike.
        SourceIsFolder: a folder is there.
        SourceDenied: it may not be read.
        SourceError: a pipe, socket or device is there, or the system reports an error.
    """
    name = path if name is None else name
    # O_NONBLOCK: should a FIFO take the file's place after the check, opening it returns at once.
    flags = os.O_RDONLY
    for flag in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT", "O_NOCTTY"):
        flags |= getattr(os, flag, 0)
    try:
        _check_regular(os.stat(path).st_mode, path, name)  # noqa: PTH116 - Path() drops a final slash
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(path, name) from error
    except PermissionError as error:
        raise from_os_error(error, name, "opened", hint="ask its owner to let you read it") from error
    except OSError as error:
        raise from_os_error(error, name, "opened") from error
    except ValueError as error:  # "embedded null byte"
        raise UsageError(f"This cannot be the path of a file: {error}.", path=name) from error
    try:
        _check_regular(os.fstat(descriptor).st_mode, path, name)
        return FileSource(descriptor, name)
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(mode: int, path: str, name: str) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise SourceIsFolder("This is a folder, not a file.", path=name, hint=_files_in(path))
    if stat.S_ISFIFO(mode):
        hint = f"pass it on standard input: dotpt inspect - < {name}"
        raise SourceError("This is a pipe (FIFO), which cannot be read at any place.", path=name, hint=hint)
    kind = "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise SourceError(f"This is {kind}, not a file.", path=name, hint="give the path of a regular file")


def _missing(path: str, name: str) -> SourceNotFound:
    if not path:
        return SourceNotFound("The path is empty.", hint="is a variable unset?")
    expanded = os.path.expanduser(path)  # noqa: PTH111
    if expanded != path and os.path.exists(expanded):  # noqa: PTH110
        return SourceNotFound("There is no such file: ~ was not expanded.", path=name, hint=f"write {expanded}")
    folder, wanted = os.path.split(path.rstrip("/\\"))
    folder = folder or "."
    if not os.path.isdir(folder):  # noqa: PTH112
        return SourceNotFound(f"There is no folder {folder}.", path=name, hint=_alike(*os.path.split(folder)))
    return SourceNotFound("There is no such file.", path=name, hint=_alike(folder, wanted))


def _alike(folder: str, wanted: str) -> str | None:
    from difflib import get_close_matches

    names = {entry.lower(): entry for entry in _entries(folder or ".")}
    matches = get_close_matches(wanted.lower(), names, n=3, cutoff=0.6)
    return " or ".join(str(Path(folder) / names[match]) for match in matches) or None


def _files_in(folder: str) -> str | None:
    models = sorted(name for name in _entries(folder) if name.lower().endswith(_MODEL_FILES))
    if not models:
        return None
    more = f" (and {len(models) - 3:,} more)" if len(models) > 3 else ""
    return "a file in it: " + ", ".join(models[:3]) + more


def _entries(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, _LISTED_AT_MOST)]
    except OSError:
        return []
