"""What crosses this boundary: a folder that another library saved into, made durable, with the hashes of its files.

Libraries that save a checkpoint as a folder write file after file, wait for no disk, and note no hashes. A seal is
written when all of that is done: JSON with the size and the xxh3-128 of each file. Invariant: it is written last, so
a folder that has one was complete and on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from dotpt.source.failures import from_write_error
from dotpt.source.sink import open_sink

SEAL = "dotpt-seal.json"
_PIECE = 1 << 22


def seal(folder: str | os.PathLike[str], *, durable: bool = True) -> None:
    """Wait until the disk has every file of a checkpoint's folder, and note their hashes.

    Raises:
        WriteError: the disk does not take it.
    """
    place = Path(folder)
    try:
        files = {path.relative_to(place).as_posix(): _facts(path, durable) for path in _files(place)}
        if durable and os.name == "posix":
            for below in [place, place.parent, *(path for path in place.rglob("*") if path.is_dir())]:
                _sync(below, os.O_RDONLY)
    except OSError as error:
        raise from_write_error(error, str(place), state="its files are there, and not sealed") from error
    with open_sink(place / SEAL, durable=durable) as sink:
        sink.write(json.dumps({"files": files}, indent=1).encode())
        sink.commit()


def why_broken(folder: Path) -> str | None:
    """What is no longer as it was sealed, a sentence; "" if nothing; None if there is no seal that says."""
    files = _sealed(folder)
    if files is None:
        return None
    for name, facts in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing."
        if path.stat().st_size != facts.get("bytes"):
            return f"{name} has {path.stat().st_size:,} bytes, and was saved with {facts.get('bytes'):,}."
        if _hash_of(path) != facts.get("xxh3_128"):
            return f"{name} is damaged: its hash is not the one that was noted."
    return ""


def _sealed(folder: Path) -> dict[str, Any] | None:
    try:
        files = json.loads((folder / SEAL).read_bytes())["files"]
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):  # none, or anybody's
        return None
    inside = folder.resolve()
    good = isinstance(files, dict) and all(
        isinstance(facts, dict) and type(facts.get("bytes")) is int and (inside / name).resolve().is_relative_to(inside)
        for name, facts in files.items()
    )
    return files if good else None


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL)


def _facts(path: Path, durable: bool) -> dict[str, Any]:
    if durable:
        _sync(path, os.O_RDWR)
    return {"bytes": path.stat().st_size, "xxh3_128": _hash_of(path)}


def _hash_of(path: Path) -> str:
    running = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            running.update(piece)
    return running.hexdigest()


def _sync(path: Path, how: int) -> None:
    descriptor = os.open(path, how)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
