"""The page on scanning cannot rot: its rules are those of the code, its policy is one, its hook runs what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from dotpt.cli import main
from dotpt.cli.verbs import VERBS, parse
from dotpt.scan.policy_files import policy_from, read_policy
from tests.scan.rules_table import PAGE, parts, table
from tests.scan.streams import EVIL, in_zip

TEXT = PAGE.read_text(encoding="utf-8")
HOOKS = (PAGE.parents[1] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")


def test_all_rules_are_in_the_table():
    assert parts(TEXT)[1] == table(), "python -m tests.scan.rules_table writes it anew"


def test_the_policy_is_one(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "policy.toml").write_text(block, encoding="utf-8")
    policy = read_policy(tmp_path / "policy.toml")
    assert policy.allows("my_package.nets.Net")
    assert policy != policy_from({})


def test_the_commands_are_some():
    commands = re.findall(r"^(?:    \$ |      - run: |        entry: |)(dotpt scan [^\n]*)$", TEXT, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        arguments = shlex.split(command.partition(" >")[0])[2:]
        parse("scan", VERBS["scan"], arguments if "--quiet" not in arguments else [*arguments, "a.pt"])


def test_the_hook_runs_the_command_on_files_of_models():
    (entry,) = re.findall(r"^  entry: (.*)$", HOOKS, re.MULTILINE)
    assert f"entry: {entry}\n" in TEXT
    assert parse("scan", VERBS["scan"], [*shlex.split(entry)[2:], "a.pt"]).quiet
    (pattern,) = re.findall(r"^  files: (.*)$", HOOKS, re.MULTILINE)
    assert f"files: {pattern}\n" in TEXT
    for name in ("a.pt", "models/b.pth", "c.pkl", "d.bin", "e.pt2"):
        assert re.search(pattern, name)
    for name in ("a.py", "apt", "b.txt", "pkl"):
        assert not re.search(pattern, name)


def test_what_it_prints_is_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    Path("stranger.pt").write_bytes(in_zip(EVIL))
    assert main(["scan", "stranger.pt"]) == 1
    printed = capsys.readouterr().out.partition("\n\n  --explain")[0]
    shown = TEXT.partition("$ dotpt scan stranger.pt\n")[2].partition("\n\n## ")[0]
    assert "\n".join(line[4:] for line in shown.splitlines()) == printed


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([\w./-]+\.md)", TEXT):
        assert (Path(PAGE).parent / target).exists(), target
