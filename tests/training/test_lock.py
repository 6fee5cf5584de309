"""One writer for a folder, however the one before ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dotpt.errors import RunInUse, WriteError
from dotpt.training.lock import FolderLock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the lock is one of POSIX")

HOLDER = """
import sys, time
from pathlib import Path
from dotpt.training.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
if len(sys.argv) > 2:
    import os
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


def hold(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with hold(tmp_path) as other:
        with pytest.raises(RunInUse, match=rf"by process {other.pid} on .*, since "):
            FolderLock(tmp_path)
        other.kill()


def test_the_lock_goes_with_its_process_even_if_a_child_of_that_lives_on(tmp_path: Path) -> None:
    with hold(tmp_path, "with a child") as other:
        other.kill()
        other.wait()
        FolderLock(tmp_path, wait=5).release()
    if other.stdout is not None:
        other.stdout.close()


def test_it_waits_if_it_is_told_to(tmp_path: Path) -> None:
    with hold(tmp_path) as other:
        threading.Timer(0.3, other.kill).start()
        began = time.monotonic()
        FolderLock(tmp_path, wait=30).release()
        assert time.monotonic() - began > 0.2


def test_a_second_one_in_the_same_process_is_refused_and_does_not_take_the_first_ones_lock(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    with pytest.raises(RunInUse, match="another Checkpointer of this process"):
        FolderLock(tmp_path)
    refused = subprocess.run(
        [sys.executable, "-c", HOLDER, str(tmp_path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert "RunInUse" in refused.stderr
    first.release()
    FolderLock(tmp_path).release()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="nothing was started"):
        FolderLock(tmp_path / "not there")
