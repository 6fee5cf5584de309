"""Work shared by the calling thread and a few helpers, which read and checksum while Python waits for the system."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

_LEAST_SHARED = 4 << 20  # bytes: less is done before a thread has started


def together(take: Callable[[bool], bool], total: int, threads: int | None = None) -> None:
    """Call ``take`` again and again, from several threads, until it returns False in each.

    Args:
        take: does one piece of the work, or returns False when none is left. Its argument says whether it runs in
            the calling thread, which alone may report progress.
        total: bytes of the whole work.
        threads: how many to use (default: two, if there are two processors).

    Raises:
        BaseException: the first one that ``take`` raised, in whichever thread; the others stop after their piece.
    """
    failures: list[BaseException] = []

    def work(calling: bool) -> None:
        try:
            while not failures and take(calling):
                pass
        except BaseException as failure:
            failures.append(failure)

    count = threads or min(2, os.cpu_count() or 1)
    helpers = [threading.Thread(target=work, args=(False,), daemon=True) for _ in range(count - 1)]
    if total >= _LEAST_SHARED:
        for helper in helpers:
            try:
                helper.start()
            except RuntimeError:  # no thread to be had: the caller's own does all the work
                break
    work(True)
    for helper in helpers:
        if helper.ident is not None:
            helper.join()
    if failures:
        raise failures[0]
