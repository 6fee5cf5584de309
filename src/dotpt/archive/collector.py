"""Python's garbage collector, paused while many small objects are made that all stay alive.

The collector runs whenever enough objects have been made, and looks at everything the process has (with torch
imported, some hundred thousand objects). While a file is decoded it would run dozens of times and find nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_FEW = 10_000  # objects that the collector looks through in no time
_MANY = 2_000_000

_put_aside = 0  # objects since the collector was last made to look at everything


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
        made = gc.get_count()[0]
        if made > _FEW and gc.get_freeze_count() == 0:
            _put_among_the_oldest(made)
        gc.enable()


def _put_among_the_oldest(made: int) -> None:
    """Without a walk: what was just loaded is there to stay.

    That sets the collector's counters back. In a process that does little but load files it would never run again,
    and never find what others have left in circles: so it is made to, once in a while.
    """
    global _put_aside  # noqa: PLW0603
    gc.freeze()
    gc.unfreeze()
    _put_aside += made
    if _put_aside > _MANY:
        _put_aside = 0
        gc.collect()
