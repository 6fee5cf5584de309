"""A page of a file is changed in place: all of it or nothing, and nothing beside it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from dotpt import errors
from dotpt.source.overwrite import PAGE, overwrite
from tests.source import fault_seam, fault_sweep
from tests.source.children import SOURCES, child, output_of

OLD, NEW = b"a" * PAGE, b"b" * PAGE
BEFORE, BEHIND = b"x" * PAGE, b"y" * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.pt"
    path.write_bytes(BEFORE + OLD + BEHIND)
    return path


def change(path: Path, durable: bool = True) -> None:
    overwrite(str(path), "a.pt", PAGE, OLD, NEW, durable=durable)


@pytest.mark.parametrize("durable", [True, False])
def test_one_page_changes(path: Path, durable: bool) -> None:
    identity = os.stat(path).st_ino
    change(path, durable)
    assert path.read_bytes() == BEFORE + NEW + BEHIND
    assert os.stat(path).st_ino == identity
    overwrite(str(path), "a.pt", 0, BEFORE[:10], b"0123456789")
    assert path.read_bytes()[:11] == b"0123456789x"


def test_only_what_was_read_is_replaced(path: Path) -> None:
    path.write_bytes(BEFORE + b"c" * PAGE)
    with pytest.raises(errors.SourceChanged) as raised:
        change(path)
    assert (raised.value.path, raised.value.offset) == ("a.pt", PAGE)
    path.write_bytes(BEFORE)
    with pytest.raises(errors.SourceChanged):
        change(path)
    assert path.read_bytes() == BEFORE


@pytest.mark.parametrize(
    ("offset", "old", "new"), [(1, b"x", b"y"), (0, b"xx", b"y"), (0, BEFORE + b"x", BEFORE + b"y")]
)
def test_only_a_page(path: Path, offset: int, old: bytes, new: bytes) -> None:
    with pytest.raises(errors.UsageError):
        overwrite(str(path), "a.pt", offset, old, new)


def test_a_file_that_is_gone_or_protected(path: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.WriteError) as raised:
        change(tmp_path / "gone.pt")
    assert raised.value.errno == errno.ENOENT
    code = f"""
from dotpt.source.overwrite import overwrite
import sys
path = sys.argv[1]
try:
    overwrite(path, path, {PAGE}, b"a" * {PAGE}, b"b" * {PAGE})
except errors.WriteDenied as error:
    print("denied")
"""
    if os.name == "posix":
        path.chmod(0o444)
        tmp_path.chmod(0o755)
        for parent in tmp_path.parents[:2]:
            parent.chmod(0o755)
        assert output_of(child(code, path, nobody=True)) == "denied"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files there")
def test_a_limit_within_the_page_leaves_the_old_one(path: Path) -> None:
    """The system writes up to the limit, and refuses the rest."""
    code = f"""
from dotpt.source.overwrite import overwrite
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({PAGE} + 1000, {PAGE} + 1000))
try:
    overwrite(sys.argv[1], sys.argv[1], {PAGE}, b"a" * {PAGE}, b"b" * {PAGE})
except errors.NoSpace as error:
    print("refused")
"""
    assert output_of(child(code, path)) == "refused"
    assert path.read_bytes() == BEFORE + OLD + BEHIND


def test_every_call_fails_in_turn(path: Path) -> None:
    def prepare() -> None:
        path.write_bytes(BEFORE + OLD + BEHIND)

    def check(outcome: fault_seam.Outcome, fault: str) -> None:
        where = f"{fault} at {outcome.call}: {outcome.error}"
        content = path.read_bytes()
        assert content in (BEFORE + OLD + BEHIND, BEFORE + NEW + BEHIND), where
        if outcome.ended == "saved":
            assert content[PAGE : 2 * PAGE] == NEW, where
        if outcome.ended == "failed":
            assert isinstance(outcome.error, errors.WriteError), where
            assert (content[PAGE : 2 * PAGE] == NEW) is ("may not survive" in str(outcome.error)), where

    for durable in (True, False):
        tried = fault_seam.sweep(prepare, lambda durable=durable: change(path, durable), check)
        print(f"\n{'durable' if durable else 'fast'}: {sum(tried.values())} points tried by the seam: {tried}")
        assert tried["kill"] >= 6


@pytest.mark.slow
def test_every_system_call_fails_in_turn(path: Path) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(SOURCES)!r})
from dotpt.source.overwrite import overwrite
def run(path):
    overwrite(path, path, {PAGE}, b"a" * {PAGE}, b"b" * {PAGE})
"""

    def prepare() -> None:
        path.write_bytes(BEFORE + OLD + BEHIND)

    def check(point: fault_sweep.Point, outcome: fault_sweep.Outcome) -> None:
        content = path.read_bytes()
        assert content in (BEFORE + OLD + BEHIND, BEFORE + NEW + BEHIND), f"{point}: {outcome}"
        if outcome.ended == "saved":
            assert content[PAGE : 2 * PAGE] == NEW, f"{point}: {outcome}"

    tried = fault_sweep.sweep(script, path, prepare, check)
    print(f"\n{sum(tried.values())} points tried by the tracer: {dict(tried)}")
    assert tried[fault_sweep.KILL] >= 5
