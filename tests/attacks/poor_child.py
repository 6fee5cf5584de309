"""Opens files in a process that has little: ``python -m tests.attacks.poor_child main open,load FILE`` prints a line of
JSON, what each verb said and how long it took.

200 MB of address space beyond what the imports and the file take; with ``thread`` in a thread whose C stack is small.
``all FOLDER`` tries every file of a folder, one after the other.
"""

from __future__ import annotations

import faulthandler
import gzip
import io
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import dotpt
from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

ROOM = 200 << 20
STACK = 256 << 10
#: Verbs by name, and what each said last: an error's name, "read", or a verdict.
Told = dict[str, tuple[str, float]]


def attempt(path: str | bytes, verbs: tuple[str, ...]) -> Told:
    """What happens to a reader that does everything which needs no trust, and the processor seconds of each verb."""
    told: Told = {}
    for name in verbs:
        begin = time.process_time()
        try:
            outcome = VERBS[name](path) or "read"
        except dotpt.DotptError as error:
            str(error), repr(error), error.to_dict()
            outcome = type(error).__name__
        told[name] = outcome, time.process_time() - begin
    return told


def _walk(path: str | bytes) -> None:
    with dotpt.open(path) as archive:
        len(archive.tensors), archive.globals, archive.aliases
        for ref in list(archive.tensors.values())[:1_000]:
            repr(ref), ref.describe()


def _load(path: str | bytes) -> None:
    dotpt.load(path, backend="numpy", unknown="inert")


def _scan(path: str | bytes) -> str:
    findings = dotpt.scan(path)
    str(findings), findings.to_dict()
    return findings.verdict


def _clean(path: str | bytes) -> None:
    report = dotpt.clean(path, io.BytesIO())
    str(report), report.to_dict()


VERBS: dict[str, Callable[[str | bytes], str | None]] = {"open": _walk, "load": _load, "scan": _scan, "clean": _clean}


def main(where: str, verbs: str, path: str) -> None:
    """Warm up, give memory away, try the verbs on the file."""
    chosen = tuple(verbs.split(","))
    faulthandler.enable()
    harmless = p.pickled(p.empty_dict(), p.text("a"), p.tensor(), p.setitem())
    attempt(pt(harmless, {"0": bytes(16)}), chosen)
    for nothing in (
        pt(p.pickled(p.number(1), p.tuple_()), {}),
        p.pickled(p.none()),
        gzip.compress(p.pickled(p.none())),
    ):
        attempt(nothing, chosen)
    np.dtype([("a", "f8")])
    if where == "all":
        each(sorted(Path(path).iterdir()), chosen)
        return
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    threading.stack_size(STACK)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM + STACK + Path(path).stat().st_size, resource.RLIM_INFINITY))
    told: Told = {}
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 20, resource.RLIM_INFINITY))
    if where == "main":
        told = attempt(path, chosen)
    else:
        thread = threading.Thread(target=lambda: told.update(attempt(path, chosen)))
        thread.start()
        thread.join()
    print(json.dumps(told))


def each(paths: list[Path], verbs: tuple[str, ...]) -> None:
    """Try many small files in this one process, each in a thread of its own."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    threading.stack_size(STACK)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM + STACK, resource.RLIM_INFINITY))
    for path in paths:
        told: Told = {}
        thread = threading.Thread(target=lambda told=told, path=path: told.update(attempt(str(path), verbs)))
        thread.start()
        thread.join()
        print(json.dumps({"file": path.name, **told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
