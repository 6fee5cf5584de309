"""What crosses this boundary: positions and lengths in, bytes out.

A `Source` is a file of known size from which any range can be read, from any thread, without a shared
position. It knows nothing of formats. Invariants:

* a read returns exactly the bytes asked for, or raises `TruncatedFile` (past the end) or `SourceError`;
* reading never changes the position of a file object for longer than the call;
* the size is fixed when the source is opened. A source that can tell (a local file, a server with ETags)
  raises `SourceChanged` rather than return bytes of two versions of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from types import TracebackType
from typing import TYPE_CHECKING

from dotpt.errors import TruncatedFile

if TYPE_CHECKING:
    from typing_extensions import Self


class Source:
    """A readable range of bytes. Subclasses implement `read_into`, and `close` where there is something to close.

    Attributes:
        name: the source as the user named it, for messages.
        size: its length in bytes.
        remote: whether a read is a round trip (then readers ask for few, larger ranges, and nothing twice).
        is_file: whether the source is a local regular file, which can be mapped.
        local: whether `name` is the path of a local file, so that it is known what lies beside it.
        wrapped: the compression that was taken off on opening (``gzip``), or None.
    """

    name: str = "<bytes>"
    size: int = 0
    remote: bool = False
    is_file: bool = False
    local: bool = False
    wrapped: str | None = None

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` (a writable view of bytes) with the bytes from ``offset`` on."""
        raise NotImplementedError

    def read(self, offset: int, length: int) -> bytes:
        """The ``length`` bytes from ``offset`` on."""
        self.check_range(offset, length)
        buffer = bytearray(length)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several ``(offset, length)`` ranges; a remote source may fetch near ones together."""
        return [self.read(offset, length) for offset, length in ranges]

    def map(self, *, shared: bool = False) -> mmap:
        """The whole source as a private, copy-on-write mapping. Only where `is_file`."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what is held. Reading a closed source is an error; closing twice is not."""

    def check_range(self, offset: int, length: int) -> None:
        """Raise `TruncatedFile` unless the range lies within the source."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise TruncatedFile(
                f"The file has {self.size:,} bytes, and {max(length, 0):,} are needed from byte {offset:,} on.",
                path=self.name,
                offset=min(max(offset, 0), self.size),
                found=self.size,
                expected=offset + length,
                hint="the file was cut short: copy or download it again",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
