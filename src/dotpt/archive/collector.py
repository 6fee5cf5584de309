"""Python's garbage collector, paused while many small objects are made that all stay alive.

The collector runs whenever enough objects have been made, and looks at everything the process has (with torch
imported, some hundred thousand objects). While a file is decoded it would run dozens of times and find nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No collection within the block; afterwards as before. Memory is still freed by reference counts."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:
            # Into the oldest generation without a walk: what was just loaded is there to stay.
            gc.freeze()
            gc.unfreeze()
        gc.enable()
