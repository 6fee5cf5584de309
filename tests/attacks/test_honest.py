"""What honest programs write is never called dangerous, and what is plain is clean: no cry of wolf."""

from __future__ import annotations

from pathlib import Path

import pytest

import dotpt
from tests.attacks.honest import PLAIN, torch_files
from tests.corpus.stored import FIXTURES, STORED

SCANS = (Path(dotpt.__file__).parent / "scan" / "scan.py").exists()
pytestmark = pytest.mark.skipif(not SCANS, reason="scan is not there yet")
OLD = FIXTURES.parent / "old_fixtures"
#: Fixtures that are not as torch writes them: whatever is said, dangerous would be wrong.
ODD = ("deflated", "extra_records")
BETTER = ("clean", "suspicious", "unreadable", "dangerous")


def _check(source: Path | bytes, worst: str) -> None:
    findings = dotpt.scan(source)
    assert findings.verdict in BETTER[: BETTER.index(worst) + 1], str(findings)


@pytest.mark.parametrize("name", PLAIN)
def test_what_needs_no_torch(name: str) -> None:
    data, worst = PLAIN[name]
    _check(data, worst)


@pytest.mark.parametrize("path", STORED)
def test_the_fixtures(path: str) -> None:
    """Plain objects are clean in every form that torch writes; whole models and odd forms are not dangerous."""
    stored = STORED[path]
    plain = stored.safe and stored.torch_reads and stored.variant not in ODD
    for file in _files(stored.path):
        _check(file, "clean" if plain else "suspicious")


def _files(path: Path) -> list[Path]:
    """Without the JSON that lies beside weights: it is no file that holds anything."""
    return [file for file in path.rglob("*") if file.is_file() and file.suffix != ".json"] if path.is_dir() else [path]


@pytest.mark.parametrize("path", sorted(file for file in OLD.rglob("*") if file.suffix in (".pt", ".pth", ".bin")),
                         ids=lambda path: str(path.relative_to(OLD)))  # fmt: skip
def test_what_old_versions_wrote(path: Path) -> None:
    _check(path, "suspicious")


@pytest.mark.torch
def test_what_torch_writes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    count, wrong = 0, []
    for path, worst in torch_files(tmp_path):
        count += 1
        findings = dotpt.scan(path)
        if BETTER.index(findings.verdict) > BETTER.index(worst):
            wrong.append(str(findings))
    assert count > 90
    assert not wrong


@pytest.mark.torch
def test_torchscript_of_standard_modules(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.corpus.script import SCRIPTS

    for name, make in SCRIPTS.items():
        findings = dotpt.scan(make(tmp_path / f"{name}.pt"))
        assert findings.verdict in ("clean", "suspicious"), str(findings)
