"""What crosses this boundary: what a user calls a model in; its folder, if any, and where its signature lies, out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dotpt.errors import SourceNotFound, UsageError
from dotpt.formats.sharded import is_index
from dotpt.limits import Limits
from dotpt.signing.folder import SIGNATURE
from dotpt.source import Source, open_source
from dotpt.source.addresses import path_of_url, scheme_of

SUFFIX = ".sig"


def folder_of(source: Any) -> str | None:
    """The folder, if a model is one. The index of a sharded checkpoint stands for the folder that it lies in."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = os.fspath(source)
    if isinstance(path, bytes) or scheme_of(path):
        return None
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
        return path
    return os.path.dirname(path) or "." if is_index(Path(path)) else None  # noqa: PTH120


def default_signature(source: Any) -> str:
    """Where a model's signature lies if nobody says anything else.

    ``model.sig`` in a folder, as the reference package has it. Beside a file, its name with ``.sig`` added, since
    several models often lie in one folder.

    Raises:
        UsageError: the model is no path, and no address to which something can be added.
    """
    if not isinstance(source, (str, os.PathLike)) or ("?" in (text := os.fsdecode(source)) and scheme_of(text)):
        hint = "pass signature=...; command line: --signature PATH"
        raise UsageError("Of a model that is no plain path it is not known where its signature lies.", hint=hint)
    folder = folder_of(source)
    return os.path.join(folder, SIGNATURE) if folder is not None else text + SUFFIX  # noqa: PTH118


def open_signature(signature: Any, limits: Limits, **reading: Any) -> Source:
    """A ``.sig`` file.

    Raises:
        SourceNotFound: it is not there; the hint says how one is made.
        SourceError: it cannot be read.
    """
    try:
        return open_source(signature, limits=limits, unwrap=False, **reading)
    except SourceNotFound as error:
        raise SourceNotFound(
            "There is no signature.",
            path=error.path or str(signature),
            hint="`dotpt sign` makes one; if it lies elsewhere, pass signature=... (command line: --signature PATH)",
        ) from error


def local_path(place: Any) -> str | None:
    """The path of a local file, or None for anything else."""
    if not isinstance(place, (str, os.PathLike)):
        return None
    text = os.fsdecode(place)
    scheme = scheme_of(text)
    return path_of_url(text) if scheme == "file://" else None if scheme else text


def name_in(folder: str, path: str | None) -> str | None:
    """What a file of a folder is called from there on; None if it lies elsewhere."""
    if path is None:
        return None
    root = os.path.realpath(folder)
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))  # noqa: PTH118, PTH119, PTH120
    return Path(place).relative_to(root).as_posix() if place.startswith(os.path.join(root, "")) else None  # noqa: PTH118
