"""What the tests of atomic files have in common: an old file, a new content, a save in three steps."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from dotpt.source import open_sink

posix = pytest.mark.skipif(os.name != "posix", reason="of Unix")
linux = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")

OLD, NEW = b"old content " * 50, b"the new content " * 100


def save(dest: Any, data: bytes = NEW, **options: Any) -> None:
    with open_sink(dest, **options) as sink:
        sink.reserve(len(data))
        sink.write(data)
        sink.commit()
