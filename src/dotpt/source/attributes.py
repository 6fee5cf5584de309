"""What crosses this boundary: the file that is replaced in, its permissions on the file that replaces it out.

Mode, owner, group, access list and the attributes of users are kept. Invariant: nobody may read or run the new file
who could not the old one, also where its owner or group cannot be kept.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Any

_ACCESS_LIST = "system.posix_acl_access"
_KEPT_PREFIX = "user."
_KEPT = (_ACCESS_LIST, "security.selinux")

# Attributes are kept where that can be done. An error of the disk is not among the reasons why it cannot.
_CANNOT = frozenset(
    getattr(errno, name)
    for name in ("ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EPERM", "EACCES", "EINVAL", "ENODATA", "ENOENT", "ERANGE", "E2BIG")
    if hasattr(errno, name)
)


def keep_attributes(old: str, status: os.stat_result, descriptor: int) -> None:
    """Give an open file the permissions of the file that it will replace.

    Args:
        old: the path of that file.
        status: what it is; its mode and owner are taken from here.
        descriptor: the new file, open for writing.
    """
    if not hasattr(os, "fchmod"):
        return
    mode = stat.S_IMODE(status.st_mode)
    same_group = _give(descriptor, status)
    if not same_group:
        # The group is another one now: what the old group might, only those may who were others before.
        mode = (mode & ~0o070) | (((mode & 0o007) << 3) & mode)
    if os.fstat(descriptor).st_uid != status.st_uid or not same_group:
        mode &= 0o777  # no set-user-ID for another user
    os.fchmod(descriptor, mode)
    _keep_extended(old, descriptor, skip=() if same_group else (_ACCESS_LIST,))


def _give(descriptor: int, status: os.stat_result) -> bool:
    """Give the file to the old owner and group as far as this process may: whether the group is the old one."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) == (status.st_uid, status.st_gid):
        return True
    if _done(os.fchown, descriptor, status.st_uid, status.st_gid):
        return True
    return now.st_gid == status.st_gid or _done(os.fchown, descriptor, -1, status.st_gid)


def _keep_extended(old: str, descriptor: int, skip: tuple[str, ...]) -> None:
    if not hasattr(os, "listxattr"):
        return
    try:
        theirs, ours = set(_wanted(os.listxattr(old), skip)), set(_wanted(os.listxattr(descriptor), skip))
    except OSError as error:
        if error.errno in _CANNOT:
            return
        raise
    for name in sorted(ours - theirs):  # of a recycled file, or given by the folder
        _done(os.removexattr, descriptor, name)
    for name in sorted(theirs):
        _done(lambda name: os.setxattr(descriptor, name, os.getxattr(old, name)), name)


def _wanted(names: list[str], skip: tuple[str, ...]) -> list[str]:
    """Attributes that describe the file, not its content (as security.ima does), and that a user may have set."""
    return [name for name in names if name not in skip and (name in _KEPT or name.startswith(_KEPT_PREFIX))]


def _done(call: Callable[..., None], *arguments: Any) -> bool:
    """Whether the system did it; it may refuse, but not fail."""
    try:
        call(*arguments)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    return True
