"""Every call of a save fails in turn: the destination is the whole old file or the whole new one, and nothing is left.

Twice: by a seam in Python (`fault_seam`), which always runs, and by a tracer that makes the system calls themselves
fail (`fault_sweep`), where there is one.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dotpt import errors
from dotpt.source import open_sink, recycling
from tests.source import fault_seam, fault_sweep
from tests.source.children import SOURCES, names

OLD, NEW, LATER = (bytes([byte]) * size for byte, size in ((1, 30_000), (2, 40_000), (3, 10_000)))

# name: options of open_sink, what lies there before
SCENARIOS: dict[str, tuple[dict[str, bool], str]] = {
    "durable": ({}, "file"),
    "fast": ({"durable": False}, "file"),
    "new file": ({}, ""),
    "link": ({}, "link"),
    "first recycled": ({"recycle": True}, "file"),
    "recycled": ({"recycle": True}, "spare"),
    "recycled and fast": ({"recycle": True, "durable": False}, "spare"),
}


class Folder:
    """A folder in one of the states that saves begin with."""

    def __init__(self, path: Path, scenario: str) -> None:
        self.path = path
        self.options, self.before = SCENARIOS[scenario]
        self.target = path / "a.pt"
        self.dest = path / "link.pt" if self.before == "link" else self.target
        self.kept = {"a.pt"} | ({"link.pt"} if self.before == "link" else set())
        self.spare = {".a.pt.dotpt-spare"} if self.options.get("recycle") else set()

    def prepare(self) -> None:
        """Make everything as it is before the save."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        if self.before:
            self.target.write_bytes(OLD)
            self.target.chmod(0o640)
        if self.before == "link":
            self.dest.symlink_to("a.pt")
        if self.before == "spare":
            (self.path / ".a.pt.dotpt-spare").write_bytes(LATER * 5)

    def save(self, data: bytes = NEW, **options: Any) -> None:
        """Write three pieces."""
        with open_sink(self.dest, **{**self.options, **options}) as sink:
            sink.reserve(len(data))
            for start in (0, 10_000, 20_000):
                sink.write(data[start : start + 10_000 if start < 20_000 else None])
            sink.commit()

    def check(self, ended: str, late: bool, said: str, where: str) -> None:
        """Raise unless the destination is whole, and nothing is there that should not be."""
        content = self.target.read_bytes() if self.target.exists() else b""
        assert content in (OLD if self.before else b"", NEW), f"{where}: the file is neither the old nor the new one"
        if self.before == "link":
            assert self.dest.is_symlink(), where
        if ended == "saved":
            assert content == NEW, where
        if ended == "failed" and not late and "in its place" not in said:
            assert content != NEW, f"{where}: {said}"
        if ended != "killed":
            assert set(names(self.path)) <= self.kept | self.spare, f"{where}: {names(self.path)}"
            if self.target.exists():
                assert self.target.stat().st_nlink == 1, where
        else:
            for _ in range(40):  # a killed process holds its lock until it is gone, which can take a moment
                with open_sink(self.path / "other.pt", durable=False) as sink:
                    sink.commit()
                if not any(name.endswith(".dotpt-tmp") for name in names(self.path)):
                    break
                time.sleep(0.05)
            self.spare |= {".a.pt.dotpt-spare"} & {name for name in names(self.path) if self.options.get("recycle")}
            assert set(names(self.path)) <= self.kept | self.spare | {"other.pt"}, f"{where}: {names(self.path)}"
            (self.path / "other.pt").unlink()
        self.save(LATER, durable=False)
        assert self.target.read_bytes() == LATER, where
        assert set(names(self.path)) - self.spare == self.kept, where


@pytest.fixture(params=SCENARIOS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    state = Folder(tmp_path / "folder", request.param)
    if state.spare and not recycling.can_recycle(str(tmp_path)):
        pytest.skip("no leases on this file system")
    return state


Record = Callable[[str, object], None]


def test_every_call_fails_in_turn(folder: Folder, record_property: Record, request: pytest.FixtureRequest) -> None:
    def check(outcome: fault_seam.Outcome, fault: str) -> None:
        where = f"{fault} at {outcome.call}"
        if outcome.ended == "failed":
            assert isinstance(outcome.error, errors.WriteError), f"{where}: {outcome.error!r}"
        folder.check(outcome.ended, fault == "late EIO", str(outcome.error), where)

    tried = fault_seam.sweep(folder.prepare, folder.save, check)
    print(f"\n{request.node.callspec.id}: {sum(tried.values())} points tried by the seam: {tried}")
    record_property("points", sum(tried.values()))
    assert tried["short"] >= 3
    assert min(count for fault, count in tried.items() if fault != "short") > 20, tried


# The target and its options are filled in; `verify` reads back what was written, as a careful caller would.
_SCRIPT = f"""
import sys; sys.path.insert(0, {str(SOURCES)!r})
from dotpt.source import open_sink
import dotpt.source.targets, fcntl  # whether a module can be imported is no matter of a save
import time

def run(folder):
    data = bytes([2]) * 40_000
    with open_sink(folder + "/NAME", **OPTIONS) as sink:
        sink.reserve(len(data))
        for start in (0, 10_000, 20_000):
            sink.write(data[start : start + 10_000 if start < 20_000 else None])
        if VERIFY:
            with sink.reopen() as source:
                if source.size != len(data) or source.read(0, source.size) != data:
                    raise RuntimeError("The disk holds something else.")
        sink.commit()
"""

# Memory is asked for by system calls too; and the last is what the script raises.
_KINDS = {"WriteError", "NoSpace", "WriteDenied", "FolderMissing", "WriteIsFolder", "MemoryError", "RuntimeError"}


def _sweep(folder: Folder, faults: tuple[str, ...], verify: bool = False) -> dict[str, int]:
    def check(point: fault_sweep.Point, outcome: fault_sweep.Outcome) -> None:
        if outcome.ended == "failed":
            assert outcome.said.partition(":")[0] in _KINDS, f"{point}: {outcome}"
        folder.check(outcome.ended, False, outcome.said, f"{point}: {outcome}")

    script = _SCRIPT.replace("NAME", folder.dest.name).replace("OPTIONS", str(folder.options))
    return fault_sweep.sweep(script.replace("VERIFY", str(verify)), folder.path, folder.prepare, check, faults)


@pytest.mark.slow
def test_every_system_call_fails_in_turn(
    folder: Folder, record_property: Record, request: pytest.FixtureRequest
) -> None:
    tried = _sweep(folder, fault_sweep.FAULTS)
    print(f"\n{request.node.callspec.id}: {sum(tried.values())} points tried by the tracer: {dict(tried)}")
    record_property("points", sum(tried.values()))
    assert min(tried[fault] for fault in fault_sweep.FAULTS) > 20, tried
    assert fault_sweep.NOT_REACHED not in tried, tried


@pytest.mark.slow
def test_a_system_that_lies_is_found_out_by_reading_back(
    folder: Folder, record_property: Record, request: pytest.FixtureRequest
) -> None:
    """Writes that do nothing and report that they did."""
    tried = _sweep(folder, ("write->retval=7", "write->retval=10000"), verify=True)
    print(f"\n{request.node.callspec.id}: {sum(tried.values())} points tried by the tracer: {dict(tried)}")
    record_property("points", sum(tried.values()))
    assert sum(tried.values()) >= 6, tried
