"""Opens files in a process that has little: ``python -m tests.attacks.poor_child FILE...`` prints a line of JSON for each.

200 MB of address space beyond what the imports took, two seconds of processor time for each attempt, and a second
attempt in a thread whose C stack is small.
"""

from __future__ import annotations

import faulthandler
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


def main(paths: list[str]) -> None:
    """Warm up, give memory away, try each file."""
    faulthandler.enable()
    harmless = p.pickled(p.empty_dict(), p.text("a"), p.tensor(), p.setitem())
    dotpt.load(pt(harmless, {"0": bytes(16)}), backend="numpy")
    try:
        dotpt.load(pt(p.pickled(p.number(1), p.tuple_()), {}), backend="numpy")
    except dotpt.DotptError:
        pass
    np.dtype([("a", "f8")])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    threading.stack_size(STACK)
    for path in paths:
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM + STACK + Path(path).stat().st_size, resource.RLIM_INFINITY))
        for where in ("main", "thread"):
            begin, told = time.process_time(), [""]
            resource.setrlimit(resource.RLIMIT_CPU, (int(begin) + 6, resource.RLIM_INFINITY))
            if where == "main":
                told[0] = attempt(path)
            else:
                thread = threading.Thread(target=lambda told=told, path=path: told.__setitem__(0, attempt(path)))
                thread.start()
                thread.join()
            seconds = time.process_time() - begin
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(json.dumps({"where": where, "outcome": told[0], "seconds": seconds, "peak": peak}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
