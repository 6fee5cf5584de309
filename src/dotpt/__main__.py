"""``python -m dotpt``, and the program ``dotpt``: one process that runs one command and ends."""

from __future__ import annotations

import gc
import sys

_OBJECTS = 50_000  # new objects between two looks of the collector: importing makes many, and none is garbage


def program() -> int:
    """Run the command of this process."""
    from dotpt.cli import main

    if sys.argv[1:2] == ["run"]:  # a program of the user's, whose process this is
        return main()
    gc.set_threshold(_OBJECTS)
    try:
        return main()
    finally:
        gc.freeze()  # the process ends: nobody needs to look for cycles among the modules once more


if __name__ == "__main__":
    sys.exit(program())
