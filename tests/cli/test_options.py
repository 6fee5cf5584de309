"""The options that all verbs share, and the words that numbers become."""

from __future__ import annotations

import argparse

import pytest

from dotpt.cli import words
from dotpt.cli.options import whole_number
from tests.corpus.stored import FIXTURES

STATE_DICT = FIXTURES / "zip/state_dict.pt"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("5000", 5000),
        ("1_000", 1000),
        ("8M", 8_000_000),
        ("1.5kB", 1500),
        ("2GiB", 2 << 30),
        ("1 MB", 10**6),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_whole_numbers(text, value):
    assert whole_number(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "1Q", "MB", "nan", "inf", "1e999", "1..2"])
def test_no_numbers(text):
    with pytest.raises(argparse.ArgumentTypeError):
        whole_number(text)


def test_limits_reach_the_reader(cli):
    path = FIXTURES / "zip/checkpoint_tutorial.pt"
    ran = cli("ls", path, "--limits", "nesting=1")
    assert ran.code == 2
    assert "limit `nesting`" in ran.err
    assert "--limits nesting=N" in ran.err
    assert cli("ls", path, "--limits", "nesting=50,memo=1M", "--limits", "stack=100k").code == 0


@pytest.mark.parametrize(
    ("given", "problem", "hint"),
    [
        ("nestin=4", "no limit 'nestin'", "--limits nesting="),
        ("zzz=4", "no limit 'zzz'", "one of nesting"),
        ("nesting", "needs a value", "--limits nesting=2000"),
        ("nesting=x", "'x' is not a number", "dotpt ls --help"),
        ("deflated=1", "no limit 'deflated'", "inflated"),
    ],
)
def test_wrong_limits(cli, given, problem, hint):
    ran = cli("ls", STATE_DICT, "--limits", given)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
    assert hint in ran.err


def test_deflated(cli):
    path = FIXTURES / "deflated/state_dict.pt"
    refused = cli("ls", path)
    assert refused.code == 2
    assert "--deflated" in refused.err
    assert cli("ls", path, "--deflated").code == 0


def test_encoding(cli):
    path = FIXTURES / "other/legacy_0_3_python2.pt"
    assert cli("ls", path, "--encoding", "latin-1").code == 0
    assert cli("ls", path, "--encoding", "bytes").code == 0
    ran = cli("ls", path, "--encoding", "utf-99")
    assert ran.code == 2
    assert "no encoding 'utf-99'" in ran.err


def test_options_stand_anywhere(cli):
    last = cli("show", STATE_DICT, "0.weight", "1.bias", "--limit", "1").out
    assert cli("show", "--limit", "1", STATE_DICT, "0.weight", "1.bias").out == last
    assert cli("show", STATE_DICT, "--limit", "1", "0.weight", "1.bias").out == last


def test_options_are_not_abbreviated(cli):
    assert cli("ls", STATE_DICT, "--js").code == 2


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (99_949, "99.9 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1 << 30, "1.07 GB"),
        (5 * 10**17, "500 PB"),
    ],
)
def test_sizes(count, text):
    assert words.size(count) == text
