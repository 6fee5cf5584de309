"""Every attack of the catalogue gets the answer that is written beside it, and nothing of it happens.

One process reads them all, under an audit hook that sees each import, execution, opening and connection.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import dotpt
from tests.attacks.catalogue import ADVISORIES, ATTACKS, NOT_A_FILE, write

ROOT = Path(__file__).parents[2]
SCANS = (Path(dotpt.__file__).parent / "scan" / "scan.py").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("attacks"))


@cache
def watched(folder: str) -> dict[str, dict[str, Any]]:
    """What the child saw, by name of the attack. A child that dies tells at which."""
    places = write(Path(folder))
    names = {str(place): name for name, place in places.items()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.catalogue_child", folder],
        env=environment,
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    seen = {names[line["file"]]: line for line in map(json.loads, done.stdout.splitlines())}
    missing = [name for name in places if name not in seen]
    assert done.returncode == 0, f"{missing[:1]}: {done.stderr[-3_000:]}"
    return seen


def test_every_attack_was_tried(folder: str) -> None:
    assert len(watched(folder)) == len(ATTACKS) > 1_000


def test_nothing_happens_but_the_opening_of_the_file(folder: str) -> None:
    for name, line in watched(folder).items():
        others = [(event, what) for event, what in line["events"] if not _harmless(event, what, line["file"])]
        assert not others, (name, others)


def _harmless(event: str, what: str, file: str) -> bool:
    if event == "open":
        return what == file or Path(file) in Path(what).parents or _beside(what, file) or what == "/proc/self/mountinfo"
    return event in ("os.listdir", "os.scandir") and (what == file or Path(file) in Path(what).parents)


def _beside(what: str, file: str) -> bool:
    """An index of shards is looked for where the file is, and shards where the index is."""
    return Path(what).parent == Path(file).parent


def test_no_module_is_imported(folder: str) -> None:
    for name, line in watched(folder).items():
        assert line["modules"] == [], name


def test_nothing_but_our_errors_is_raised(folder: str) -> None:
    for name, line in watched(folder).items():
        assert not [said for said in line["said"].values() if said.startswith("raised")], (name, line["said"])


def test_nothing_takes_long(folder: str) -> None:
    """All verbs together, on small files. The bombs, each held to its limits alone, are in test_bombs.py."""
    slow = {name: line["seconds"] for name, line in watched(folder).items() if line["seconds"] > 10}
    assert not slow


def test_nothing_live_comes_out(folder: str) -> None:
    for name, line in watched(folder).items():
        assert "live" not in line["said"].values(), (name, line["said"])


def test_nothing_that_is_said_steers_a_terminal(folder: str) -> None:
    for name, line in watched(folder).items():
        assert "escapes" not in line["said"].values(), (name, line["said"])


@pytest.mark.parametrize("name", ATTACKS)
def test_load_answers_as_written(name: str, folder: str) -> None:
    wanted, found = ATTACKS[name].load, watched(folder)[name]["said"]["load"]
    if wanted == "refused":
        assert found != "value", ATTACKS[name].what
        assert not found.startswith("raised")
    else:
        assert found == wanted, ATTACKS[name].what


@pytest.mark.skipif(not SCANS, reason="scan is not there yet")
@pytest.mark.parametrize("name", ATTACKS)
def test_scan_answers_as_written(name: str, folder: str) -> None:
    wanted, found = ATTACKS[name].scan, watched(folder)[name]["said"]["scan"]
    if wanted != "any":
        assert found != "clean", ATTACKS[name].what
    assert wanted in ("any", "not clean", found), f"{ATTACKS[name].what}: {found}, not {wanted}"


def test_what_no_row_calls_dangerous_must_be_rare() -> None:
    """Rows that may come out clean are those in which nothing is hidden and nothing called."""
    free = [name for name, attack in ATTACKS.items() if attack.scan == "any"]
    assert len(free) <= 2, free
    assert {attack.scan for attack in ATTACKS.values()} <= {"dangerous", "unreadable", "suspicious", "not clean", "any"}


def test_every_advisory_has_a_row() -> None:
    told = " ".join(f"{attack.id} {attack.source}" for attack in ATTACKS.values()).replace(" PR ", "-PR-")
    for advisory in ADVISORIES:
        scanner, _, number = advisory.partition("-")
        assert advisory in told or f"{scanner} {number}" in told, advisory
    assert not any(advisory in " ".join(NOT_A_FILE) for advisory in ADVISORIES)


def test_the_page_on_security_is_there_and_linked() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    assert "[Security](SECURITY.md)" in (ROOT / "README.md").read_text()
    assert all(
        heading in page for heading in ("What is promised", "What is not promised", "Supported versions", "Report")
    )
    assert "tests/attacks/" in page
