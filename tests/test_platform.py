"""What Linux has and others do not is hidden, one thing at a time: files are read all the same. Needs no torch."""

from __future__ import annotations

import importlib
import mmap
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt.errors import ChecksumMismatch
from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

LARGE = np.arange(700_000, dtype=np.float32)  # more than a huge page
ROOT = Path(__file__).parents[1]


def archive() -> bytes:
    count = len(LARGE)
    size = p.stream(p.mark(), p.binint(count), p.tuple_())
    hooks = p.call("collections", "OrderedDict")
    large = p.call(
        "torch._utils", "_rebuild_tensor_v2", p.storage("0", count), p.number(0), size, p.ints(1), p.false(), hooks
    )
    small = [p.stream(p.text(f"s{n}"), p.tensor(source=p.storage(str(n + 1)))) for n in range(50)]
    pickle = p.pickled(p.empty_dict(), p.mark(), p.text("large"), large, *small, p.setitems())
    return pt(pickle, {"0": LARGE.tobytes(), **{str(n + 1): np.full(4, n, np.float32).tobytes() for n in range(50)}})


ARCHIVE = archive()
Hide = Callable[[pytest.MonkeyPatch], None]


def _without(owner: Any, *names: str) -> Hide:
    def hide(patch: pytest.MonkeyPatch) -> None:
        for name in names:
            patch.delattr(owner, name, raising=False)

    return hide


class _PlainMap(mmap.mmap):
    """A mapping that cannot be advised, as on Windows."""

    def __getattribute__(self, name: str) -> Any:
        if name == "madvise":
            raise AttributeError(name)
        return super().__getattribute__(name)


def _no_madvise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mmap, "mmap", _PlainMap)


def _no_isal(patch: pytest.MonkeyPatch) -> None:
    from dotpt.container import crc, record
    from dotpt.tensors import reading

    patch.setattr(crc, "_combine", None)
    patch.setattr(crc, "FAST", False)
    for module in (crc, record, reading):
        for name, value in (("crc32", zlib.crc32), ("crc32_combine", crc.crc32_combine)):
            if hasattr(module, name):
                patch.setattr(module, name, value)


HIDDEN: dict[str, Hide] = {
    "nothing": lambda patch: None,
    "preadv": _without(os, "preadv"),
    "preadv and pread": _without(os, "preadv", "pread"),
    "huge pages": _without(mmap, "MADV_HUGEPAGE"),
    "madvise": _no_madvise,
    "anonymous mappings": _without(mmap, "MAP_ANONYMOUS", "MAP_ANON"),
    "private mappings": _without(mmap, "MAP_ANONYMOUS", "MAP_ANON", "MAP_PRIVATE", "MADV_HUGEPAGE"),
    "unreserved mappings": _without(mmap, "MAP_NORESERVE"),
    "a fast checksum": _no_isal,
    "a second processor": lambda patch: patch.setattr(os, "cpu_count", lambda: None),
    "all of these": lambda patch: [HIDDEN[name](patch) for name in HIDDEN if name != "all of these"] and None,
}


@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
@pytest.mark.parametrize("name", HIDDEN)
def test_a_file_is_read_right_without(name: str, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(ARCHIVE)
    HIDDEN[name](monkeypatch)
    loaded = dotpt.load(path, backend="numpy", mmap=mapped)
    assert loaded["large"].tobytes() == LARGE.tobytes()
    assert all((loaded[f"s{n}"] == n).all() for n in range(50))
    loaded["large"][0] = 5  # memory of our own, or copied when written
    assert path.read_bytes() == ARCHIVE
    with dotpt.open(path) as opened:
        assert opened.tensors["large"][699_990:].tolist() == LARGE[699_990:].tolist()


@pytest.mark.parametrize("name", HIDDEN)
def test_damage_is_noticed_without(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = bytearray(ARCHIVE)
    damaged[ARCHIVE.index(LARGE[:100].tobytes()) + 1_000_000] ^= 1
    path = tmp_path / "a.pt"
    path.write_bytes(damaged)
    HIDDEN[name](monkeypatch)
    for mapped in (False, True):
        with pytest.raises(ChecksumMismatch):
            dotpt.load(path, backend="numpy", mmap=mapped)


def test_what_was_hidden_was_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine the usual way is the fast one; else these tests would show nothing."""
    if not sys.platform.startswith("linux"):
        return
    path, used = tmp_path / "a.pt", []
    path.write_bytes(ARCHIVE)
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *arguments: used.append(1) or real(*arguments))
    dotpt.load(path, backend="numpy")
    assert used


def test_without_isal_the_module_falls_back_to_zlib() -> None:
    code = (
        "import sys\n"
        "sys.modules['isal'] = None\n"
        "from dotpt.container import crc\n"
        "import zlib\n"
        "assert not crc.FAST and crc.crc32 is zlib.crc32\n"
        "assert crc.crc32_combine(zlib.crc32(b'ab'), zlib.crc32(b'cde'), 3) == zlib.crc32(b'abcde')\n"
        "import dotpt\n"
        "print(dotpt.load(sys.argv[1], backend='numpy')['large'][-1])\n"
    )
    path = ROOT / "tests" / "corpus" / "fixtures" / "zip" / "shared_views.pt"
    done = subprocess.run(
        [sys.executable, "-c", code.replace("['large'][-1]", " is None"), str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_without_ml_dtypes_the_hint_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from dotpt.tensors import dtypes

    monkeypatch.setattr(dtypes, "_numpy_types", {})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(dotpt.DotptError, match="numpy has no type") as caught:
        dtypes.DTYPES["bfloat16"].to_numpy()
    assert caught.value.hint == "pip install ml_dtypes"
    assert dtypes.DTYPES["float32"].to_numpy() == np.float32


def test_importing_dotpt_needs_neither_numpy_nor_torch() -> None:
    code = "import sys, dotpt\nassert not {'numpy', 'torch'} & set(sys.modules), sorted(sys.modules)\n"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True)
    importlib.import_module("dotpt")
