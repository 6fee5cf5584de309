"""From whatever a user calls a file to its decoded contents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from dotpt.errors import DotptError, LegacyError, LimitExceeded
from dotpt.formats import Contents, ReadOptions, read_contents
from dotpt.source import open_source
from dotpt.source.base import Source


class TrailingBytes(LegacyError):
    """Something follows what a file says it holds; `offset` is where."""

    rule: ClassVar[str] = "LegacyError"  # the stable id that `verify` gives it


_OBJECT = 1 << 12  # bytes that each object behind the first counts at least: finding it takes time


def open_contents(
    source: Any, options: ReadOptions, *, allow_download: bool = False, storage_options: Mapping[str, Any] | None = None
) -> Contents:
    """Open and decode a file, a folder of shards, bytes, a file object or an address.

    Raises:
        DotptError: its subclass and message say what is wrong; the path is filled in.
    """
    if isinstance(source, (str, os.PathLike)):
        folder = _sharded(source)
        if folder is not None:
            from dotpt.formats import sharded

            return sharded.read(folder, options)
    opened = open_source(source, allow_download=allow_download, storage_options=storage_options, limits=options.limits)
    contents: Contents | None
    try:
        contents = _decode(opened, source, options)
    except DotptError as error:
        error.path = error.path or opened.name
        if opened is not source:
            opened.close()
        raise
    except MemoryError:  # the error is made below, when what took the memory has been let go
        contents = None
    except BaseException:
        if opened is not source:
            opened.close()
        raise
    if contents is None:
        if opened is not source:
            opened.close()
        raise DotptError("There is not enough memory to read the file.", path=opened.name)
    return contents


def is_sharded(source: Any) -> bool:
    """Whether a user's ``source`` is a folder, or the index of a sharded checkpoint."""
    return isinstance(source, (str, os.PathLike)) and _sharded(source) is not None


def _sharded(source: str | os.PathLike[str]) -> Path | None:
    """The path, if it is a folder or the index of a sharded checkpoint. A path that cannot be seen is neither."""
    if os.path.isdir(source):  # noqa: PTH112 - Path.is_dir takes ten times as long, and raises where it may not look
        return Path(source)
    path = Path(source)
    if path.suffix == ".json":
        from dotpt.formats.sharded import is_index

        return path if is_index(path) else None
    return None


def _decode(opened: Source, source: Any, options: ReadOptions) -> Contents:
    contents = read_contents(opened, options)
    if contents.format in ("legacy", "pickle") and (isinstance(source, Source) or not hasattr(source, "read")):
        _check_end(contents, opened, options)
    return contents


def _check_end(contents: Contents, opened: Source, options: ReadOptions) -> None:
    """Behind a legacy object stands another one (torch.save to one handle, again and again), or nothing."""
    from dotpt.formats import pt_legacy

    end, count = int(contents.facts["end"]), 1
    allowed, spent = options.limits.decoded_bytes, contents.decoded
    named = {(name.module, name.name) for name in contents.globals}
    while end < opened.size:
        spent += _OBJECT
        if spent > allowed:
            raise LimitExceeded("decoded_bytes", spent, allowed, path=opened.name, offset=end)
        try:
            # all objects together may take what one may
            following = pt_legacy.read(
                opened, replace(options, limits=replace(options.limits, decoded_bytes=allowed - spent)), end
            )
            spent += following.decoded
        except LimitExceeded:
            raise
        except DotptError:
            following = None
        if following is None or following.format != contents.format:
            raise TrailingBytes(
                f"{opened.size - end:,} bytes follow the end of the file's content.",
                path=opened.name,
                offset=end,
                hint="something was appended to the file: do not trust it",
            )
        contents.globals += [name for name in following.globals if (name.module, name.name) not in named]
        named.update((name.module, name.name) for name in following.globals)
        contents.shards.append(following)
        end, count = int(following.facts["end"]), count + 1
    contents.facts["objects"] = count
    if count > 1:
        contents.notes.append(
            f"The file holds {count:,} objects one after the other; as with torch.load, the first is shown, "
            "and an open file object gives them in turn."
        )
