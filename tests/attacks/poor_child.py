"""Opens files in a process that has little: ``python -m tests.attacks.poor_child main FILE`` prints a line of JSON.

200 MB of address space beyond what the imports and the file take; with ``thread`` in a thread whose C stack is small.
``all FOLDER`` tries every file of a folder, one after the other.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gzip
import json
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np

import dotpt
from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

ROOM = 200 << 20
STACK = 256 << 10


def attempt(path: str) -> str:
    """What happens to a reader that does everything which needs no trust."""
    outcomes = []
    for act in (_walk, _load):
        try:
            act(path)
            outcomes.append("read")
        except dotpt.DotptError as error:
            str(error), repr(error), error.to_dict()
            outcomes.append(type(error).__name__)
    return "+".join(outcomes)


def _walk(path: str) -> None:
    with dotpt.open(path) as archive:
        len(archive.tensors), archive.globals, archive.aliases
        for ref in list(archive.tensors.values())[:1_000]:
            repr(ref), ref.describe()


def _load(path: str) -> None:
    dotpt.load(path, backend="numpy", unknown="inert")


def main(where: str, path: str) -> None:
    """Warm up, give memory away, try the file."""
    faulthandler.enable()
    harmless = p.pickled(p.empty_dict(), p.text("a"), p.tensor(), p.setitem())
    dotpt.load(pt(harmless, {"0": bytes(16)}), backend="numpy")
    for nothing in (
        pt(p.pickled(p.number(1), p.tuple_()), {}),
        p.pickled(p.none()),
        gzip.compress(p.pickled(p.none())),
    ):
        with contextlib.suppress(dotpt.DotptError):
            dotpt.load(nothing, backend="numpy")
    np.dtype([("a", "f8")])
    if where == "all":
        each(sorted(Path(path).iterdir()))
        return
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    threading.stack_size(STACK)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM + STACK + Path(path).stat().st_size, resource.RLIM_INFINITY))
    begin, told = time.process_time(), [""]
    resource.setrlimit(resource.RLIMIT_CPU, (int(begin) + 10, resource.RLIM_INFINITY))
    if where == "main":
        told[0] = attempt(path)
    else:
        thread = threading.Thread(target=lambda: told.__setitem__(0, attempt(path)))
        thread.start()
        thread.join()
    print(json.dumps({"outcome": told[0], "seconds": time.process_time() - begin}))


def each(paths: list[Path]) -> None:
    """Try many small files in this one process, each in a thread of its own."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    threading.stack_size(STACK)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM + STACK, resource.RLIM_INFINITY))
    for path in paths:
        begin, told = time.process_time(), [""]
        thread = threading.Thread(target=lambda told=told, path=path: told.__setitem__(0, attempt(str(path))))
        thread.start()
        thread.join()
        print(json.dumps({"file": path.name, "outcome": told[0], "seconds": time.process_time() - begin}))


if __name__ == "__main__":
    main(*sys.argv[1:])
