"""What crosses this boundary: a buffer of the caller in, a `Source` over the same bytes out.

Invariant: the buffer is never written to, nor copied as a whole if Python can see its bytes (`flat_view`). Who changes
it meanwhile reads changed bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotpt.errors import UsageError
from dotpt.source.base import Source
from dotpt.source.failures import closed

if TYPE_CHECKING:
    from typing_extensions import Buffer


class BytesSource(Source):
    """Bytes in memory.

    Args:
        data: a contiguous buffer. It is borrowed until `close`.
        name: what messages call it.

    Raises:
        UsageError: the buffer is not contiguous.

    Attributes:
        wrapped: "gzip" if the bytes came out of a gzip stream.

    Example:
        >>> BytesSource(b"abcdef").read(2, 3)
        b'cde'
    """

    wrapped: str | None = None

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "<bytes>") -> None:
        view = flat_view(data, name)
        self._view: memoryview | None = view.toreadonly()
        self.name = name
        self.size = view.nbytes

    @property
    def view(self) -> memoryview:
        """All bytes, read-only, without a copy."""
        if self._view is None:
            raise closed(self.name)
        return self._view

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with the bytes from ``offset`` on."""
        view = self.view
        self.check_range(offset, len(target))
        target[:] = view[offset : offset + len(target)]

    def read(self, offset: int, length: int) -> bytes:
        """The ``length`` bytes from ``offset`` on, copied once."""
        view = self.view
        self.check_range(offset, length)
        return bytes(view[offset : offset + length])

    def close(self) -> None:
        """Give the buffer back."""
        # Not `release()`: arrays may have been made over the view, and they keep the buffer alive themselves.
        self._view = None


def flat_view(data: Buffer, name: str) -> memoryview:
    """The bytes of a contiguous buffer of any shape and format.

    Nothing is copied, unless the format is one that Python cannot reinterpret (such as a complex number's).

    Raises:
        UsageError: the buffer is not contiguous, or there is none.
    """
    try:
        view = memoryview(data)
    except TypeError as error:
        raise UsageError(f"A {type(data).__name__} holds no bytes.", path=name, hint="pass bytes") from error
    if not view.c_contiguous:
        raise UsageError("The buffer is not contiguous.", path=name, hint="pass bytes(view)")
    if view.format == "B" and view.ndim == 1:
        return view
    if not view.nbytes:
        return memoryview(b"")
    try:
        return view.cast("B")
    except (TypeError, ValueError):
        return memoryview(view.tobytes())
