"""The documentation cannot rot: every verb, option and limit is in docs/cli.md, every help has examples that run."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest

from dotpt.cli.select import FILTERS, SORTS
from dotpt.cli.verbs import VERBS, parse, parser_of
from dotpt.limits import Limits

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/cli.md").read_text(encoding="utf-8")


def actions(verb):
    return parser_of(verb, VERBS[verb])._actions


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section(verb):
    assert f"\n## dotpt {verb}\n" in TEXT
    assert f"[`{verb}`](#dotpt-{verb})" in TEXT


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented(verb):
    for action in actions(verb):
        for option in action.option_strings:
            assert f"`{option}" in TEXT, option
        assert action.help


def test_every_documented_option_exists():
    known = {option for verb in VERBS for action in actions(verb) for option in action.option_strings}
    documented = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", TEXT)) - {"--version"}
    assert documented <= known


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_has_examples_that_parse(verb):
    parser = parser_of(verb, VERBS[verb])
    text = parser.format_help()
    assert all(len(line) <= 80 for line in text.splitlines()), max(text.splitlines(), key=len)
    examples = text.partition("\nExamples:\n")[2].strip().splitlines()
    assert len(examples) >= 3
    for example in examples:
        check(example)


def check(example: str) -> None:
    """Parse the part of a line that is ours."""
    command = re.split(r"   |\s[|<]\s", example[example.index("dotpt ") :])[0]
    words = shlex.split(command)
    args = parse(words[1], VERBS[words[1]], words[2:])
    assert args.module or args.script if VERBS[words[1]].program else args.files


def test_the_examples_of_the_document_parse():
    examples = re.findall(r"^    (?:\$ )?(dotpt .*)$", TEXT, re.MULTILINE)
    assert len(examples) > 15
    for example in examples:
        if "VERB" not in example and "FILE" not in example:
            check(example)


def test_filters_sorts_and_limits_are_documented():
    assert all(f"| `{name}` |" in TEXT for name in FILTERS)
    assert all(f"`{name}`" in TEXT for name in SORTS)
    assert all(f"`{field.name}`" in TEXT for field in dataclasses.fields(Limits) if field.name != "deflated")


def test_schemas_are_documented():
    for verb in VERBS:
        assert VERBS[verb].program or f"dotpt.{verb}/1" in TEXT
    for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL):
        json.loads(block)


def test_keys_of_the_documents_are_documented(cli):
    path = ROOT / "tests/corpus/fixtures/zip/state_dict.pt"
    documented = set(re.findall(r"`([a-z_]+)`", TEXT))
    (listed,) = cli("ls", "--json", path).document["files"]
    (shown,) = cli("show", "--json", path, "0.weight").document["files"]
    keys = {*listed, *listed["tensors"][0], *shown, *shown["tensors"][0], *shown["tensors"][0]["statistics"]}
    assert keys - documented == set()
