"""Policies: what is misspelt is an error, and what was not read cannot be overruled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dotpt
from dotpt.errors import SourceError, SourceNotFound, UsageError
from dotpt.limits import DEFAULT_LIMITS
from dotpt.scan.every_rule import every_rule
from dotpt.scan.policy import Policy
from dotpt.scan.policy_files import policy_from, read_policy
from dotpt.scan.scan import scan
from tests.scan.streams import CUT, EVIL, UNKNOWN, in_zip

WHOLE = """
allow = ["my_package.*", "other.Thing"]
exclude = ["old/*"]
fail-on = "dangerous"
verify = false

[limits]
nesting = 5_000
deflated = true

[severity]
torchscript = "off"
trailing-data = "dangerous"
duplicate-record = "info"
"""


def test_a_policy_says_what_it_says(tmp_path):
    (tmp_path / "policy.toml").write_text(WHOLE)
    policy = read_policy(tmp_path / "policy.toml")
    assert policy.allow == ("my_package.*", "other.Thing")
    assert (policy.exclude, policy.fail_on, policy.verify) == (("old/*",), "dangerous", False)
    assert (policy.limits.nesting, policy.limits.deflated) == (5000, True)
    assert policy.limits.memo == DEFAULT_LIMITS.memo
    assert policy.severities == {"torchscript": "off", "trailing-data": "dangerous", "duplicate-record": "info"}


def test_an_empty_policy_is_the_default():
    assert policy_from({}) == Policy()


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("alow = []", "There is no key 'alow'", "allow"),
        ("fail_on = 'info'", "There is no key 'fail_on'", "fail-on"),
        ("zzz = 1", "There is no key 'zzz'", "one of allow, fail-on"),
        ("[severity]\ndangerous-cal = 'off'", "There is no rule 'dangerous-cal'", "dangerous-call"),
        ("[severity]\ndangerous-call = 'of'", "The severity of dangerous-call is 'of'.", "one of info,"),
        ("[severity]\ndangerous-call = 3", "The severity of dangerous-call is 3.", "one of info,"),
        ("[severity]\ntruncated = 'info'", "what was not read is not clean", "exclude the file"),
        ("[severity]\nend-record-missing = 'off'", "what was not read is not clean", "exclude the file"),
        ("[limits]\nnestin = 3", "There is no limit 'nestin'", "nesting"),
        ("[limits]\nnesting = '3'", "The limit nesting is '3'.", "a number"),
        ("[limits]\nnesting = true", "The limit nesting is True.", "a number"),
        ("[limits]\nnesting = -1", "The limit nesting is -1.", "a number"),
        ("[limits]\ndeflated = 1", "The limit deflated is 1.", "true or false"),
        ("allow = 'x'", "allow is no list", "allow = ["),
        ("allow = [1]", "allow is no list", "allow = ["),
        ("exclude = ['']", "exclude is no list", "exclude = ["),
        ("fail-on = 'all'", "fail-on is 'all'.", "info, suspicious, dangerous"),
        ("fail-on = ['info']", "fail-on is ['info'].", "info, suspicious, dangerous"),
        ("verify = 'yes'", "verify is 'yes'.", "true or false"),
        ("limits = 3", "limits is no table", "[limits]"),
        ("severity = []", "severity is no table", "[severity]"),
        ("= 3", "The policy is no TOML", ""),
        ("a = " + "[" * 100_000, "The policy is no TOML", ""),
    ],
)
def test_what_is_not_known_is_an_error(tmp_path, text, problem, hint):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_policy(path)
    assert problem in caught.value.problem
    assert hint in (caught.value.hint or "")
    assert caught.value.path == str(path)


def test_a_policy_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(SourceNotFound):
        read_policy(tmp_path / "gone.toml")
    with pytest.raises(SourceError):
        read_policy(tmp_path)
    (tmp_path / "policy.toml").write_bytes(b"# \xff")
    with pytest.raises(UsageError, match="UTF-8"):
        read_policy(tmp_path / "policy.toml")
    (tmp_path / "policy.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageError, match="too large"):
        read_policy(tmp_path / "policy.toml")


# -- what it does -----------------------------------------------------------------------------------------------------


def test_allowed_names_are_no_findings():
    content = in_zip(UNKNOWN)
    assert scan(content).verdict == "suspicious"
    assert scan(content, policy=Policy(allow=("my_package.nets.Net",))).verdict == "clean"
    assert scan(content, policy=Policy(allow=("my_package.*",))).verdict == "clean"
    assert scan(content, policy=Policy(allow=("package.*",))).verdict == "suspicious"


def test_severities_can_be_changed():
    content = in_zip(UNKNOWN)
    assert scan(content, policy=Policy(severities={"unknown-name": "dangerous"})).verdict == "dangerous"
    assert scan(content, policy=Policy(severities={"unknown-name": "info"})).verdict == "clean"
    assert scan(content, policy=Policy(severities={"unknown-name": "off"})).findings == []


def test_what_was_not_read_cannot_be_overruled():
    rules = dict.fromkeys(every_rule(), "off")
    assert scan(CUT, policy=Policy(severities=rules)).verdict == "unreadable"


def test_one_allowed_name_allows_no_other():
    assert scan(EVIL, policy=Policy(allow=("os", "os.path.*", "system"))).verdict == "dangerous"


def test_every_rule_that_the_code_names_is_in_the_table():
    """Documents and logs list the table; a finding of another rule would be without words."""
    folder = Path(dotpt.__file__).parent / "scan"
    text = "\n".join(path.read_text() for path in sorted(folder.rglob("*.py")))
    named = set(re.findall(r'(?:session|self)\.add\(\s*"([a-z-]+)"', text))
    assert len(named) > 15
    assert named <= set(every_rule())
