"""The other side of `pickle_peer`: CPython's pickle machine in C, disarmed, in a process that may die of a stream.

It is the machine that runs in the programs that a malicious file is meant for, so what it asks for is what counts.
Every name becomes an inert class, and is told. Frames on stdin and stdout: four bytes of length, then the bytes, or
a JSON list.
"""

from __future__ import annotations

import copyreg
import io
import json
import os
import pickle
import resource
import struct
import sys
from typing import Any

from tests.fuzz.reference import Record, inert_class

MEMORY = 2 << 30
_MOST = 8  # pickles one behind the other


class Names(pickle.Unpickler):
    """Notes each name that a stream asks for."""

    def __init__(self, stream: io.BytesIO, names: list[tuple[str, str]]) -> None:
        super().__init__(stream, encoding="latin1")
        self.names = names

    def find_class(self, module: str, name: str) -> Any:
        self.names.append((module, name))
        return inert_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return Record()


def names_in(data: bytes) -> list[tuple[str, str]]:
    """Every name that is asked for until the stream breaks, in all pickles one behind the other."""
    names: list[tuple[str, str]] = []
    stream = io.BytesIO(data)
    for _ in range(_MOST):
        try:
            Names(stream, names).load()
        except Exception:  # what was asked for before is what counts
            break
    return names


def main() -> None:
    """Answer until the other side closes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    copyreg._inverted_registry.clear()  # type: ignore[attr-defined]
    stdin = sys.stdin.buffer
    while head := stdin.read(4):
        data = stdin.read(struct.unpack("<I", head)[0])
        reply = json.dumps(names_in(data)).encode("utf-8", "surrogatepass")
        os.write(1, struct.pack("<I", len(reply)) + reply)


if __name__ == "__main__":
    main()
