"""What crosses this boundary: a device number in, the kind of its file system out.

Mapping a file of a network file system fetches it page by page, each a round trip, and turns a lost connection
into a crash (SIGBUS). So readers ask here before they map. A best effort: Linux only, "" elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

_MOUNT_TABLE = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "cvmfs", "davfs", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb", "smb2", "smb3", "smbfs", "wekafs"}
)
# Nearly all of FUSE is remote (sshfs, gcsfuse, rclone, juicefs, ...); these are layers over local disks.
_LOCAL_FUSE = ("fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.bindfs", "fuse.lxcfs", "fuse.encfs", "fuse.gocryptfs")


def file_system(device: int) -> str:
    """The type of the file system with the device number ``device`` (``st_dev``), such as "ext4", or "".

    Looked up once for each device: reading the table of mounts takes longer than opening a file.
    """
    if device not in _known:
        _known[device] = _look_up(device)
    return _known[device]


_known: dict[int, str] = {}


def _look_up(device: int) -> str:
    try:
        table = _MOUNT_TABLE.read_text(encoding="utf-8", errors="replace")
        wanted = f"{os.major(device)}:{os.minor(device)}"
    except (OSError, AttributeError, ValueError, OverflowError):
        return ""
    # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw      (proc_pid_mountinfo(5))
    for line in table.splitlines():
        mount, _, system = line.partition(" - ")
        if mount.split(" ")[2:3] == [wanted]:
            return system.split(" ")[0]
    return ""


def is_network(kind: str) -> bool:
    """Whether a file system of this type is reached over a network.

    Example:
        >>> is_network("nfs4"), is_network("fuse.sshfs"), is_network("ext4")
        (True, True, False)
    """
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)
