"""`dotpt verify`: one line a file, what is damaged, and what could not be verified."""

from __future__ import annotations

import shutil

import pytest

import dotpt
from dotpt.archive.verification import DamagedRecord, Deviation, RecordCheck, Verification
from tests.corpus.stored import FIXTURES

STATE_DICT = FIXTURES / "zip/state_dict.pt"


@pytest.fixture
def damaged(tmp_path):
    path = tmp_path / "damaged.pt"
    shutil.copy(STATE_DICT, path)
    with dotpt.open(path) as archive:
        at = archive["4.weight"].byte_range[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return path


def outcome(**facts):
    """A verification, as if of a large file."""
    records = [RecordCheck(f"data/{n}", 100, "ok") for n in range(40)]
    return Verification("x.pt", "zip", records, tensors=40, bytes=4000, seconds=0.1, **facts)


@pytest.fixture
def pretended(monkeypatch):
    """Have `dotpt.verify` give a prepared outcome."""

    def pretend(verification):
        monkeypatch.setattr("dotpt.archive.verify.verify", lambda source, **_: verification)

    return pretend


def test_a_whole_file(cli):
    ran = cli("verify", STATE_DICT)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{STATE_DICT}: whole (")


def test_a_damaged_file_names_its_tensors(cli, damaged):
    ran = cli("verify", damaged, STATE_DICT)
    assert ran.code == 1
    assert ran.out.startswith(f"{damaged}: DAMAGED")
    assert "4.weight" in ran.out
    assert f"{STATE_DICT}: whole" in ran.out


def test_a_file_without_checksums_says_so(cli):
    ran = cli("verify", FIXTURES / "legacy/state_dict.pt")
    assert ran.code == 0
    assert "whole as far as can be seen (it has no checksums, as in all files of this format; " in ran.out
    assert len(ran.out.splitlines()) == 1


def test_quiet_prints_only_what_is_damaged(cli, damaged):
    ran = cli("verify", "-q", STATE_DICT, damaged)
    assert ran.code == 1
    assert len(ran.out.splitlines()) == 1
    assert str(damaged) in ran.out
    assert cli("verify", "-q", STATE_DICT).out == ""


def test_deviations_have_rule_and_place(cli, pretended):
    pretended(outcome(deviations=[Deviation("trailing-data", "Bytes follow the end record.", 1234, "data/1")]))
    ran = cli("verify", STATE_DICT)
    assert ran.code == 1
    assert "BREAKS RULES: 1 deviation" in ran.out
    assert "trailing-data: Bytes follow the end record. (data/1, byte 1,234)" in ran.out


def test_findings_can_be_chosen(cli, pretended):
    pretended(outcome(damaged=[DamagedRecord(f"data/{n}", 100 - n, (f"layer.{n}.weight",)) for n in range(30)]))
    out = cli("verify", STATE_DICT).out
    assert "DAMAGED: 30 records of 40" in out
    assert "… and 10 more (--limit 0 shows all)" in out
    assert len(cli("verify", STATE_DICT, "--limit", 0).out.splitlines()) == 31
    out = cli("verify", STATE_DICT, "--filter", "layer.2*", "--sort", "size").out.splitlines()
    assert len(out) == 12
    assert out[1].strip().startswith("data/29, 71 B: layer.29.weight")
    assert cli("verify", STATE_DICT, "--filter", "zzz").code == 1


def test_records_without_a_checksum_are_named(cli, pretended):
    verification = outcome()
    verification.records[3] = RecordCheck("data/[red]\x1b", 100, "no checksum")
    pretended(verification)
    ran = cli("verify", STATE_DICT)
    assert ran.code == 0
    assert "Without a checksum, so not verified: data/[red]\\x1b" in ran.out


def test_json(cli, damaged, tmp_path):
    ran = cli("verify", "--json", damaged, STATE_DICT, tmp_path / "gone.pt")
    assert ran.code == 2
    document = ran.document
    assert document["schema"] == "dotpt.verify/1"
    bad, good, gone = document["files"]
    assert (bad["ok"], good["ok"]) == (False, True)
    assert bad["damaged"][0]["tensors"] == ["4.weight"]
    assert gone["error"]["error"] == "SourceNotFound"
