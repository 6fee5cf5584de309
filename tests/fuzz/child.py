"""A process that answers about bytes and may die of them: started when it is asked, and again after it has died."""

from __future__ import annotations

import atexit
import os
import select
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 30


class Died(Exception):
    """It has ended or hangs.

    Attributes:
        code: the exit code, negative for a signal.
        answered: how many bytes had come back.
    """

    def __init__(self, code: int | None, answered: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.answered = answered


class Child:
    """One module run as a program, with frames of bytes on its stdin and stdout."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = 0
        atexit.register(self.close)

    def ask(self, data: bytes, *, first: int = 0) -> bytes:
        """The answer about some bytes, after so many ``first`` bytes that are no part of it."""
        process = self._process or self._start()
        assert process.stdin is not None
        self._answered = 0
        try:
            process.stdin.write(struct.pack("<I", len(data)) + data)
            process.stdin.flush()
            self._read(process, first)
            return self._read(process, struct.unpack("<I", self._read(process, 4))[0])
        except (EOFError, TimeoutError, BrokenPipeError):
            self.close()
            raise Died(process.returncode, self._answered) from None

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
        )
        return self._process

    def _read(self, process: subprocess.Popen[bytes], count: int) -> bytes:
        assert process.stdout is not None
        found = b""
        while len(found) < count:
            if not select.select([process.stdout], [], [], SECONDS)[0]:
                raise TimeoutError
            more = os.read(process.stdout.fileno(), count - len(found))
            if not more:
                raise EOFError
            found += more
            self._answered += len(more)
        return found

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """What runs, if it does."""
        return self._process

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # what it was yet to be sent
                    assert pipe is not None
                    pipe.close()
