"""Something is done when a module arrives, however many wait for it, and whether it ever comes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from dotpt.dropin.arrival import when_imported


@pytest.fixture
def finders() -> object:
    before = list(sys.meta_path)
    yield
    sys.meta_path[:] = before


def test_all_who_wait_are_told_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finders: object) -> None:
    (tmp_path / "arrives_at_last.py").write_text("value = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    told: list[int] = []
    for number in range(50):
        when_imported("arrives_at_last", lambda number=number: told.append(number))
    assert importlib.import_module("arrives_at_last").value == 1
    assert told == list(range(50))
    sys.modules.pop("arrives_at_last")
    importlib.import_module("arrives_at_last")
    assert len(told) == 50
    sys.modules.pop("arrives_at_last")


def test_waiting_for_what_never_comes_costs_little(finders: object) -> None:
    """Each watch that asked all others would double the time: 50 of them would never end."""
    for _ in range(50):
        when_imported("never_arrives_at_all", lambda: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("never_arrives_at_all")
