"""Where a cleaned file goes: nothing is replaced unasked, and nothing takes its place unchecked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dotpt.errors import UsageError
from dotpt.source.addresses import path_of_url, scheme_of
from dotpt.source.atomic import FileSink
from dotpt.source.sink import Sink, open_sink


def destination(source: Any, out: Any, *, in_place: bool, overwrite: bool) -> Any:
    """Where the file goes; refused is what would replace a file that nobody wants replaced."""
    if in_place:
        if out is not None:
            raise UsageError("in_place=True and a destination do not go together.", hint="leave one of them out")
        if _path_of(source) is None:
            raise UsageError("Only a local file can be cleaned in place.", hint="give a destination")
        return source
    if out is None:
        raise UsageError("It is not said where the cleaned file is to go.", hint='clean(source, "clean.pt")')
    path, origin = _path_of(out), _path_of(source)
    if path is None:
        if isinstance(out, (str, os.PathLike)):
            raise UsageError(
                "What is saved to an address cannot be read back before it is in its place.",
                path=os.fsdecode(out),
                hint="clean it to a local file, and upload that",
            )
        return out
    if origin is not None and _is_same(path, origin):
        raise UsageError(
            "The destination is the source itself.",
            path=os.fsdecode(out),
            hint="in_place=True (--in-place) replaces it by the cleaned file, in one step",
        )
    if path.exists() and not path.is_dir() and not overwrite:
        raise UsageError(
            f"{os.fsdecode(out)} is there already.", hint="overwrite=True (--overwrite) replaces it; or another name"
        )
    return out


def _path_of(place: Any) -> Path | None:
    """The local path that a user's ``place`` is; None for anything else."""
    if not isinstance(place, (str, os.PathLike)):
        return None
    text = os.fsdecode(place)
    scheme = scheme_of(text)
    if scheme not in ("", "file://"):
        return None
    return Path(path_of_url(text) if scheme else text)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, whatever their spelling: through links of both kinds, too."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)


def open_checked(dest: Any, check: Callable[[Sink], None], *, durable: bool) -> Sink:
    """A sink that asks ``check`` before what it holds becomes the content of ``dest``.

    Raises:
        UsageError: what is written there cannot be read back.
    """
    sink = open_sink(dest, durable=durable)
    try:
        if not isinstance(sink, FileSink):
            sink.reopen().close()  # what cannot be read back is refused before anything is written
        return _Checked(sink, check)
    except BaseException:
        sink.abort()
        raise


class _Checked(Sink):
    """Hands everything on to ``sink``, which is committed only if what it holds is what it should."""

    def __init__(self, sink: Sink, check: Callable[[Sink], None]) -> None:
        self._sink, self._check = sink, check
        self.name = sink.name
        self.reserve, self.reopen = sink.reserve, sink.reopen  # type: ignore[method-assign]
        self.copy_from, self.abort = sink.copy_from, sink.abort  # type: ignore[method-assign]

    @property
    def position(self) -> int:  # type: ignore[override]
        """How many bytes were written so far."""
        return self._sink.position

    def write(self, data: Any) -> None:
        """Add all bytes of ``data``."""
        self._sink.write(data)

    def skip(self, size: int) -> None:
        """Add ``size`` zero bytes."""
        self._sink.skip(size)

    def commit(self) -> None:
        """Check what was written, and put it in its place."""
        self._check(self._sink)
        self._sink.commit()
