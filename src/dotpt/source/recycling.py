"""What crosses this boundary: the blocks of a replaced file in, a temporary that is written over them out.

The file that a save replaces is kept as ``.{name}.dotpt-spare``; the next save renames that to its temporary and
writes over it. Its blocks are allocated and its pages in memory, so this is several times faster than a fresh file.

Invariant: bytes that anybody can still see are never written over. A reader may have had the old file open or mapped
when it was replaced. So a spare is used only if it has no other name, and if the kernel grants a write lease on it,
which it does only while nobody else has the file open, mappings included. Only file systems are trusted with this
whose leases see every reader: local ones that write in place. (Not seen is a reader that has looked up the old name,
and opens it only after the next save has begun, within the same system call.)
"""

from __future__ import annotations

import io
import os
import signal
import stat
from contextlib import suppress
from importlib import import_module
from typing import Any

from dotpt.source.disk import sync_folder
from dotpt.source.mounts import file_system
from dotpt.source.temporaries import Temporary, sibling, try_lock

_IN_PLACE = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs"})


def spare_of(folder: str, name: str) -> str:
    """The path of the spare of the file ``name`` in ``folder``."""
    path = sibling(folder, name, ".dotpt-spare")
    if os.path.basename(path) == f".{name}.dotpt-spare":  # noqa: PTH119
        return path
    from hashlib import sha256

    mark = sha256(os.fsencode(name)).hexdigest()[:16]  # names that begin alike are cut to the same
    return sibling(folder, name, f".{mark}.dotpt-spare")


def can_recycle(folder: str) -> bool:
    """Whether files in ``folder`` can be written over safely."""
    try:
        fcntl = import_module("fcntl")
    except ImportError:
        return False
    return hasattr(fcntl, "F_SETLEASE") and file_system(os.stat(folder).st_dev) in _IN_PLACE  # noqa: PTH116


def take_spare(spare: str, temporary: Temporary, durable: bool) -> bool:
    """Make the spare the file of ``temporary``; False, and no spare any more, if there is none that is safe to use.

    Args:
        spare: its path.
        temporary: has no file yet.
        durable: whether to make sure that after a power cut nothing but the spare has those blocks.
    """
    try:
        temporary.file = io.FileIO(spare, "r+b", opener=_open_no_link)
        if _is_ours_alone(temporary.file.fileno()):
            os.rename(spare, temporary.choose_path())  # noqa: PTH104
            if os.path.samestat(os.stat(temporary.path), os.fstat(temporary.file.fileno())):  # noqa: PTH116
                # It has the permissions of the old file of two saves ago.
                os.fchmod(temporary.file.fileno(), stat.S_IRUSR | stat.S_IWUSR)
                if durable:
                    # On the disk the old name may still lead to these blocks, if the last save did not wait.
                    sync_folder(os.path.dirname(spare))  # noqa: PTH120
                return True
    except FileNotFoundError:  # no spare, or another writer was faster
        temporary.remove()
        return False
    except OSError:  # one that cannot be used is not kept either
        pass
    temporary.remove()
    drop_spare(spare)
    return False


def keep_spare(target: str, spare: str) -> None:
    """Give the file that is about to be replaced a second name. Where that is not possible there is no spare."""
    with suppress(OSError):
        os.link(target, spare)


def drop_spare(spare: str) -> None:
    """Remove a spare that is not wanted. One that cannot be removed takes space, and is harmless."""
    with suppress(OSError):
        os.unlink(spare)  # noqa: PTH108


def drop_second_name(target: str, spare: str) -> None:
    """Undo `keep_spare` if the file was not replaced after all."""
    with suppress(OSError):
        if os.path.samefile(target, spare):  # noqa: PTH121
            os.unlink(spare)  # noqa: PTH108


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_ours_alone(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
        return False
    return bool(try_lock(descriptor)) and _has_no_reader(descriptor)


def _has_no_reader(descriptor: int) -> bool:
    """Whether this is the only descriptor of the file in the whole system, and nothing maps it."""
    fcntl: Any = import_module("fcntl")
    try:
        # Whoever opens the file while the lease is held is announced by a signal; the default one would kill us.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:  # EAGAIN: there is a reader; anything else: the system cannot say
        return False
    return True
