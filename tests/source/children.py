"""Saves in processes of their own: with fewer rights, with limits, on small disks, to be killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import dotpt

SOURCES = Path(dotpt.__file__).parents[1]
NOBODY = 65534

# Everything that a save imports when it needs it, for who may not read the interpreter's own files later.
_PRELUDE = f"""
import sys; sys.path.insert(0, {str(SOURCES)!r})
import fcntl, gc, hashlib, os, resource, shutil, signal, time, traceback, warnings
from dotpt import errors
from dotpt.source import open_sink
import dotpt.source.targets

def save(path, data, pieces=1, **options):
    with open_sink(path, **options) as sink:
        sink.reserve(len(data))
        step = -(-len(data) // pieces) or 1
        for start in range(0, len(data), step):
            sink.write(data[start:start + step])
        sink.commit()

"""


def child(code: str, *arguments: object, nobody: bool = False) -> list[str]:
    """The command line of an interpreter that runs ``code``; with ``nobody``, root gives up its rights before."""
    drop = f"if os.geteuid() == 0: os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n" if nobody else ""
    return [sys.executable, "-c", _PRELUDE + drop + code, *map(str, arguments)]


def output_of(command: list[str], *, code: int = 0) -> str:
    """What a child prints, once it has ended with ``code``."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout.strip()


@contextmanager
def open_folder(owner: int | None = None) -> Iterator[Path]:
    """A folder that other users can reach, which pytest's cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="dotpt-test-"))
    try:
        folder.chmod(0o755)
        if owner is not None and os.geteuid() == 0:
            os.chown(folder, owner, owner)
        yield folder
    finally:
        shutil.rmtree(folder)


def on_small_disk(command: list[str], folder: Path, size: str) -> list[str]:
    """The command with a tmpfs of ``size`` mounted on ``folder``, seen by it alone."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare")
    own = [unshare, "-m" if os.geteuid() == 0 else "-Urm"]
    mount = ["sh", "-c", 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"', "sh", size, str(folder)]
    probe = subprocess.run([*own, *mount, sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {probe.stderr.strip()[-200:]}")
    return [*own, *mount, *command]


def names(folder: Path) -> list[str]:
    """The names in a folder, hidden ones included."""
    return sorted(os.listdir(folder))
