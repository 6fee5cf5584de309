"""What crosses this boundary: a page of a file and what is to stand there instead in, the file changed in place out.

Everything else that dotpt writes is a new file that takes the old one's place (`atomic`). For a few bytes in a file
of many gigabytes that is a poor bargain. The system copies one page of memory into a file in one step, so whoever
kills this process finds the old page or the new one. Invariants: nothing outside the page is written; the page is
written only if it still holds what the caller has read; after an error it holds that again.

What no program can promise is what a power cut leaves: a disk that does not write 4,096 bytes in one step may keep a
part of each page. So this is for what has a checksum and can be written anew.
"""

from __future__ import annotations

import os
from contextlib import suppress

from dotpt.errors import SourceChanged, UsageError
from dotpt.source.disk import late_errors, sync_file
from dotpt.source.failures import UNTOUCHED, from_write_error

PAGE = 4096  # of memory and of disks; larger ones are multiples


def overwrite(path: str, name: str, offset: int, old: bytes, new: bytes, *, durable: bool = True) -> None:
    """Replace ``old``, which is at ``offset``, by ``new``.

    Args:
        path: the file, or a link to it.
        name: what messages call it.
        offset: a multiple of 4,096.
        old, new: as long as each other, and no longer than a page.
        durable: wait until the disk has it.

    Raises:
        SourceChanged: something else is at ``offset`` now. Nothing was written.
        WriteError: it cannot be written; the message says what is there now.
    """
    if offset % PAGE or len(old) != len(new) or len(new) > PAGE:
        raise UsageError("Only bytes of one page can be overwritten.", path=name, offset=offset)
    flags = os.O_RDWR
    for flag in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT", "O_NOCTTY"):
        flags |= getattr(os, flag, 0)
    state = UNTOUCHED
    try:
        descriptor = os.open(path, flags)
        try:
            if _page(descriptor, offset, len(old)) != old:
                raise _changed(name, offset)
            try:
                _replace(descriptor, offset, old, new)
            except OSError:
                state = _state(descriptor, offset, old)
                raise
            state = "the change is in the file, but may not survive a power cut"
            if durable:
                sync_file(descriptor)
            else:
                late_errors(descriptor)
        finally:
            os.close(descriptor)
    except SourceChanged:
        raise
    except OSError as error:
        raise from_write_error(error, name, len(new), state) from error


def _page(descriptor: int, offset: int, size: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


def _replace(descriptor: int, offset: int, old: bytes, new: bytes) -> None:
    done = 0
    try:
        while done < len(new):  # in one step, unless a limit on the size of files lies within the page
            os.lseek(descriptor, offset + done, os.SEEK_SET)
            done += os.write(descriptor, new[done:])
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell; what is there then is looked at
            os.lseek(descriptor, offset, os.SEEK_SET)
            os.write(descriptor, old)
        raise


def _state(descriptor: int, offset: int, old: bytes) -> str:
    with suppress(OSError):
        if _page(descriptor, offset, len(old)) == old:
            return UNTOUCHED
    return "what was to be changed may be damaged: write it again"


def _changed(name: str, offset: int) -> SourceChanged:
    return SourceChanged(
        "The file was written to, or another one has taken its place, while it was being changed.",
        path=name,
        offset=offset,
        hint="wait until whoever writes it is done, and do it again",
    )
