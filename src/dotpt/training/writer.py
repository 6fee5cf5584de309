"""One save at a time, in a thread; what goes wrong there is raised where the next save is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

Job = Callable[[], None]


class Writer:
    """Runs jobs one after the other. Python waits for the last of them before it ends.

    Args:
        background: whether in a thread. If not, `start` returns when the job is done.
    """

    def __init__(self, *, background: bool) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dotpt-checkpoint") if background else None
        self._job: Future[None] | None = None
        self._process = os.getpid()

    @property
    def busy(self) -> bool:
        """Whether a job is still running."""
        return self._job is not None and not self._job.done()

    def wait(self) -> None:
        """Return when the job is done; raise what it raised, once."""
        job = self._job
        if job is not None and self._process == os.getpid():  # in a child that was forked the thread is not there
            wait([job])  # if Ctrl-C ends this, the job is still ours: what it writes must not be overwritten
            self._job = None
            job.result()

    def start(self, job: Job) -> None:
        """Begin a job; the one before must have been waited for."""
        if self._pool is None:
            job()
        else:
            self._job = self._pool.submit(job)

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            if self._pool is not None and self._process == os.getpid():
                self._pool.shutdown(wait=False)  # it has nothing left to do; this may be its own thread
