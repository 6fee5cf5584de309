"""What crosses this boundary: a path to write to in, an open `Sink` or the reason why not out.

Invariants: only a regular file, or a name that is free, is ever replaced; a device, a pipe or a descriptor of this
process is written straight. A link is followed to its end, so the link stays and what it points to is replaced.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat

from dotpt.errors import DotptError, FolderMissing, UsageError, WriteDenied, WriteError, WriteIsFolder
from dotpt.source.atomic import FileSink
from dotpt.source.failures import UNTOUCHED, from_write_error
from dotpt.source.sink import Sink
from dotpt.source.stream_sink import StreamSink

_OWN_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|thread-self|(?P<process>\d+)))/fd/(?P<number>\d+)")
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


def open_path_sink(path: str, name: str, *, durable: bool = True, recycle: bool = False) -> Sink:
    """Open a path for writing.

    Args:
        path: where to write.
        name: what messages call it.
        durable, recycle: see `dotpt.source.sink.open_sink`.

    Raises:
        FolderMissing: there is no folder to hold the file.
        WriteIsFolder: a folder is there.
        WriteDenied: the file or its folder is protected.
        WriteError: a socket is there, or the system reports an error.
        UsageError: no path at all.
    """
    try:
        descriptor = _own_descriptor(path)
        if descriptor is not None:
            return StreamSink(io.FileIO(os.dup(descriptor), "wb"), name, owned=True)
        final, status = _final(path, name)
        if status is None or stat.S_ISREG(status.st_mode):
            return FileSink(final, name, durable=durable, recycle=recycle)
        return _open_special(path, name, status.st_mode, durable)
    except DotptError:
        raise
    except OSError as error:
        raise from_write_error(error, name) from error
    except ValueError as error:  # "embedded null byte"
        raise UsageError(f"This cannot be the path of a file: {error}.", path=name) from error


def _own_descriptor(path: str) -> int | None:
    """The descriptor of this process that ``path`` names.

    Opening ``/dev/stdout`` anew would write from the first byte of the file behind it, over what others wrote.
    """
    found = _OWN_DESCRIPTOR.fullmatch(path)
    if found and found["process"] in (None, str(os.getpid())):
        return int(found["number"])
    return _STANDARD.get(path) if os.name == "posix" else None


def _final(path: str, name: str) -> tuple[str, os.stat_result | None]:
    """Where the links of ``path`` lead, and what is there (None: nothing)."""
    if not path:
        raise UsageError("The path is empty.", hint="is a variable unset?")
    try:
        status = os.stat(path)  # noqa: PTH116 - Path() drops a final slash
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        if stat.S_ISDIR(status.st_mode):
            raise WriteIsFolder("This is a folder, not a file.", path=name, hint="add the name of a file")
        return path, status
    if not os.path.basename(path):  # noqa: PTH119
        problem = "A path that ends in a slash names a folder."
        raise _with_errno(WriteIsFolder(problem, path=name, hint="add the name of a file"), errno.EISDIR)
    final = _follow(path, name, status is not None)
    if status is not None and not os.access(final, os.W_OK, effective_ids=_CHECKS_EFFECTIVE):
        # Replacing asks the folder only, but whoever protects a file means its content.
        problem = f"The file may not be written to, and {UNTOUCHED}."
        raise _with_errno(WriteDenied(problem, path=name, hint="chmod u+w, or save under another name"), errno.EACCES)
    return final, status


def _follow(path: str, name: str, exists: bool) -> str:
    """The absolute path at the end of the links; `os.path.realpath` would take a link it cannot read for a file."""
    for _ in range(_LINKS_AT_MOST):
        folder, base = os.path.split(path)
        try:
            final = os.path.join(os.path.realpath(folder or ".", strict=_HAS_ERRORS), base)  # noqa: PTH118
        except FileNotFoundError as error:
            raise _folder_missing(folder, base, name) from error
        try:
            path = os.path.join(os.path.dirname(final), os.readlink(final))  # noqa: PTH115, PTH118, PTH120
        except OSError as error:
            if error.errno == errno.EINVAL or (error.errno == errno.ENOENT and not exists):  # no link; nothing there
                return final
            raise
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


_LINKS_AT_MOST = 40
_CHECKS_EFFECTIVE = os.access in os.supports_effective_ids
_HAS_ERRORS = os.name == "posix"  # Windows cannot resolve every path that it can write to


def _folder_missing(folder: str, base: str, name: str) -> WriteError:
    expanded = os.path.expanduser(folder)  # noqa: PTH111
    hint = f"mkdir -p {folder}"
    if expanded != folder and os.path.isdir(expanded):  # noqa: PTH112
        hint = f"write {os.path.join(expanded, base)}, for ~ was not expanded"  # noqa: PTH118
    problem = f"Parent directory {folder} does not exist."
    return _with_errno(FolderMissing(problem, path=name, hint=hint), errno.ENOENT)


def _open_special(path: str, name: str, mode: int, durable: bool) -> Sink:
    if stat.S_ISSOCK(mode):
        raise WriteError("This is a socket, not a file.", path=name, hint="give the path of a regular file")
    flags = os.O_WRONLY
    for flag in ("O_CLOEXEC", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"):
        flags |= getattr(os, flag, 0)
    device = io.FileIO(os.open(path, flags), "wb")
    return StreamSink(device, name, owned=True, durable=durable and stat.S_ISBLK(mode))


def _with_errno(error: WriteError, code: int) -> WriteError:
    error.errno = code
    return error
