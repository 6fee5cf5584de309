"""Every call of a whole `dotpt.save` fails in turn: the file is the whole old one or the whole new one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt import errors
from tests.source import fault_seam, fault_sweep
from tests.source.children import SOURCES, names

OPTIONS: dict[str, dict[str, Any]] = {
    "durable": {},
    "fast": {"durable": False},
    "read back": {"verify": True},
    "recycled": {"recycle": True},
    "legacy": {"format": "legacy"},
}
Record = Callable[[str, object], None]


def state(number: int) -> dict[str, Any]:
    """A state dict of small and large tensors, and a view."""
    base = np.full(100_000, number, np.float32)
    return {"large": base, "view": base[10:20], "small": np.arange(5) + number, "step": number}


class Folder:
    """A folder with a checkpoint in it, which is saved anew."""

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        self.path, self.options = path, options
        self.target = path / "a.pt"
        self.whole = [self._saved(path.parent / f"{number}.pt", number) for number in (1, 2)]

    def _saved(self, path: Path, number: int) -> bytes:
        dotpt.save(state(number), path, **self.options | {"recycle": False})
        return path.read_bytes()

    def prepare(self) -> None:
        """Make everything as it is before the save."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        for _ in range(2 if self.options.get("recycle") else 1):  # then there is a spare, too
            dotpt.save(state(1), self.target, **self.options)

    def save(self) -> None:
        """The save that is disturbed."""
        dotpt.save(state(2), self.target, **self.options)

    def check(self, ended: str, where: str) -> None:
        """Raise unless the file is whole, nothing else is left, and the next save works."""
        assert self.target.read_bytes() in self.whole, f"{where}: neither the old nor the new one"
        if ended == "saved":
            assert self.target.read_bytes() == self.whole[1], where
        if ended == "failed":
            assert set(names(self.path)) <= {"a.pt", ".a.pt.dotpt-spare"}, f"{where}: {names(self.path)}"
        self.save()
        for _ in range(40):  # a killed process holds its lock until it is gone, which can take a moment
            if ended != "killed" or set(names(self.path)) <= {"a.pt", ".a.pt.dotpt-spare"}:
                break
            time.sleep(0.05)
            self.save()
        assert self.target.read_bytes() == self.whole[1], where
        assert set(names(self.path)) <= {"a.pt", ".a.pt.dotpt-spare"}, f"{where}: {names(self.path)}"


@pytest.fixture(params=OPTIONS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder(tmp_path / "folder", OPTIONS[request.param])


def test_every_call_fails_in_turn(folder: Folder, record_property: Record, request: pytest.FixtureRequest) -> None:
    def check(outcome: fault_seam.Outcome, fault: str) -> None:
        where = f"{fault} at {outcome.call}"
        if outcome.ended == "failed":
            assert isinstance(outcome.error, errors.DotptError), f"{where}: {outcome.error!r}"
        folder.check(outcome.ended, where)

    tried = fault_seam.sweep(folder.prepare, folder.save, check)
    print(f"\nsave, {request.node.callspec.id}: {sum(tried.values())} points tried by the seam: {tried}")
    record_property("points", sum(tried.values()))
    assert min(count for fault, count in tried.items() if fault != "short") > 20, tried


_SCRIPT = f"""
import sys; sys.path[:0] = [{str(SOURCES)!r}, {str(SOURCES.parent)!r}]
import dotpt, numpy, io
import dotpt.source.targets, dotpt.source.atomic, fcntl  # whether a module can be imported is no matter of a save
from tests.saving.test_faults import state
dotpt.save(state(2), io.BytesIO())

def run(folder):
    dotpt.save(state(2), folder + "/a.pt", **OPTIONS)
"""


@pytest.mark.slow
def test_every_system_call_fails_in_turn(
    folder: Folder, record_property: Record, request: pytest.FixtureRequest
) -> None:
    def check(point: fault_sweep.Point, outcome: fault_sweep.Outcome) -> None:
        if outcome.ended == "failed":
            kind = outcome.said.partition(":")[0]
            assert isinstance(getattr(errors, kind, None), type) or kind == "MemoryError", f"{point}: {outcome}"
        folder.check(outcome.ended, f"{point}: {outcome}")

    script = _SCRIPT.replace("OPTIONS", str(folder.options))
    tried = fault_sweep.sweep(script, folder.path, folder.prepare, check)
    print(f"\nsave, {request.node.callspec.id}: {sum(tried.values())} points tried by the tracer: {dict(tried)}")
    record_property("points", sum(tried.values()))
    assert min(tried[fault] for fault in fault_sweep.FAULTS) > 20, tried
    assert fault_sweep.NOT_REACHED not in tried, tried
