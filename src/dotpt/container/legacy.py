"""The stacked-pickle container of torch 0.1.10 to 1.5, which torch still writes on request.

Byte layout::

    pickle of 0x1950A86A20F9469CFC6C | pickle of 1001 | pickle of system info | pickle of the object
    pickle of the list of storage keys | for each key, in that order: element count (int64, little-endian) | bytes

The storages carry no names, sizes in bytes or checksums of their own: what the pickle says of each key decides.
Payloads are little-endian on every machine. Several objects may follow each other in one file.
"""

from __future__ import annotations

from dotpt.container.record import Record, RecordTable
from dotpt.errors import LegacyError, TruncatedFile
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source.base import Source
from dotpt.source.windows import Windows

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class LegacyContainer(RecordTable):
    """The storages behind the pickles of a legacy file, found one after the other."""

    kind = "legacy"
    absent = "The file has no such storage."

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(source, limits)
        self.end = 0

    def find(self, position: int, sizes: dict[str, tuple[int, int]], *, partial: bool = False) -> None:
        """Locate the storages from ``position`` on.

        Args:
            sizes: for each key in the order of the file: bytes of the storage, bytes of one element.
            partial: of a file that was cut, give the missing storages the places that they had (past the end).
        """
        windows = Windows(self.source)
        for key, (nbytes, itemsize) in sizes.items():
            missing = position + 8 + nbytes > self.source.size
            if missing and partial:
                self._records[key] = Record(key, position + 8, nbytes, nbytes)
                position += 8 + nbytes
                continue
            if missing:
                raise TruncatedFile(
                    f"The file was cut short: storage {key} needs {nbytes:,} bytes, "
                    f"{max(self.source.size - position - 8, 0):,} are there.",
                    path=self.source.name,
                    offset=self.source.size,
                    key=key,
                    hint="copy or download it again",
                )
            count = int.from_bytes(bytes(windows.read(position, 8)), "little", signed=True)
            if count * itemsize != nbytes:
                raise LegacyError(
                    f"Storage {key} has {count:,} elements in the file, {nbytes // max(itemsize, 1):,} in the pickle.",
                    path=self.source.name,
                    offset=position,
                    key=key,
                    found=count,
                    expected=nbytes // max(itemsize, 1),
                    hint="the file is damaged: get it again",
                )
            self._records[key] = Record(key, position + 8, nbytes, nbytes)
            position += 8 + nbytes
        self.end = position
