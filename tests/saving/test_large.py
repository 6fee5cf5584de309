"""A real file of more than 4 GiB, where sizes and offsets need 64 bits. ``DOTPT_LARGE=1`` runs it: it takes minutes."""

from __future__ import annotations

import os
import subprocess
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("DOTPT_LARGE") != "1", reason="DOTPT_LARGE=1 runs it: 13 GB of disk and memory"),
]

import dotpt  # noqa: E402


def test_more_than_4_gib(tmp_path):
    rng = np.random.default_rng(0)
    large = torch.from_numpy(rng.integers(0, 255, (4 << 30) + 99, dtype=np.uint8))  # one record beyond 4 GiB
    behind = torch.arange(1000.0)  # one whose header lies there
    path, theirs = tmp_path / "archive.pt", tmp_path / "theirs" / "archive.pt"
    dotpt.save({"large": large, "behind": behind, "empty": torch.empty(0)}, path)

    for loaded in (torch.load(path, mmap=True), dotpt.load(path, mmap=True), dotpt.load(path)):
        assert torch.equal(loaded["behind"], behind)
        assert torch.equal(loaded["large"], large)
    assert dotpt.verify(path).ok
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    subprocess.run(["unzip", "-tq", str(path)], check=True)

    theirs.parent.mkdir()
    torch.save({"large": large, "behind": behind, "empty": torch.empty(0)}, theirs)
    with path.open("rb") as ours, theirs.open("rb") as other:  # the same layout to the byte, up to our own records
        size = other.seek(0, os.SEEK_END) - 2048
        for at in (0, (4 << 30) - 4096, size - (1 << 20)):
            ours.seek(at)
            other.seek(at)
            length = min(1 << 20, size - at)
            assert ours.read(length)[:length] == other.read(length)
