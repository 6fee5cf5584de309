"""The other side of `torch_peer`: reads files with dotpt and with torch in a process that may die of them. Needs torch.

Frames on stdin and stdout: four bytes of length, then the file, or a JSON reply. Before torch is asked, one byte
says that dotpt has come back, so whoever waits knows whose crash it was.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import warnings
from typing import Any

import torch

import dotpt
from dotpt.errors import DotptError
from tests.corpus.compare import same

MEMORY = 8 << 30
DOTPT_IS_DONE = b"d"


def _ours(data: bytes) -> tuple[Any, dict[str, Any] | None]:
    try:
        return dotpt.load(data, "cpu", backend="torch"), None
    except DotptError as error:
        rule = getattr(error, "rule", None) or getattr(error, "limit", None)
        return None, {"error": type(error).__name__, "rule": rule, "problem": error.problem}


def _theirs(data: bytes) -> tuple[Any, dict[str, Any] | None]:
    try:
        return torch.load(io.BytesIO(data), "cpu", weights_only=True), None
    except BaseException as error:  # whatever torch raises is its answer
        return None, {"error": type(error).__name__, "problem": str(error)[:300]}


def answer(data: bytes) -> dict[str, Any]:
    """What each says of a file, and where they differ if both read it."""
    mine, refused = _ours(data)
    os.write(1, DOTPT_IS_DONE)
    theirs, failed = _theirs(data)
    reply: dict[str, Any] = {"dotpt": refused, "torch": failed, "difference": None}
    if refused is None and failed is None:
        try:
            reply["difference"] = same(mine, theirs)
        except Exception as error:
            reply["difference"] = f"they cannot be compared: {type(error).__name__}: {error!s:.200}"
        if reply["difference"]:
            with dotpt.open(data) as archive:
                reply["byteorder"] = str(archive.contents.facts.get("byteorder"))
    return reply


def main() -> None:
    """Answer until the other side closes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    stdin = sys.stdin.buffer
    while head := stdin.read(4):
        data = stdin.read(struct.unpack("<I", head)[0])
        reply = json.dumps(answer(data)).encode()
        os.write(1, struct.pack("<I", len(reply)) + reply)


if __name__ == "__main__":
    main()
