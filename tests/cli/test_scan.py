"""`dotpt scan`: verdicts, exit codes, and that nothing is called clean that was not looked into."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import SOURCES, run_process
from tests.corpus.stored import FIXTURES
from tests.scan.streams import CLEAN, CUT, EVIL, UNKNOWN, call, fill, in_zip, names

ENVIRONMENT = os.environ | {"PYTHONPATH": str(SOURCES)}
STATE_DICT = FIXTURES / "zip/state_dict.pt"


@pytest.fixture
def files(tmp_path, monkeypatch):
    fill(tmp_path, clean_pt=in_zip(CLEAN), evil_pt=EVIL, odd_pt=in_zip(UNKNOWN), cut_pt=CUT, words_txt=b"words\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- one file ---------------------------------------------------------------------------------------------------------


def test_a_clean_file(cli):
    ran = cli("scan", STATE_DICT)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{STATE_DICT}: CLEAN\n  A PyTorch file; 16 parts examined; ")
    text = " ".join(ran.out.split())
    assert "the bytes of its tensors compared with their checksums; every byte accounted for;" in text
    assert "known to be harmless." in text


def test_a_dangerous_file_says_what_where_why_and_what_to_do(cli, files):
    ran = cli("scan", "evil.pt")
    assert (ran.code, ran.err) == (1, "")
    lines = [line.strip() for line in ran.out.splitlines()]
    assert lines[0] == "evil.pt: DANGEROUS"
    (finding,) = [line for line in lines if line.startswith("dangerous: It calls os.system")]
    assert finding.endswith("[dangerous-call]")
    assert {line.split()[0] for line in lines if line} >= {"Where", "Call", "Why", "Try"}
    assert "Call   os.system('true')" in lines
    assert "Where  byte 23, REDUCE" in lines


def test_a_suspicious_file(cli, files):
    ran = cli("scan", "odd.pt")
    assert ran.code == 1
    assert "odd.pt: SUSPICIOUS" in ran.out
    assert "my_package.nets.Net" in ran.out
    assert "data.pkl" in ran.out


@pytest.mark.parametrize("name", ["cut.pt", "words.txt", "gone.pt", "*.nothing"])
def test_what_cannot_be_read_whole_is_not_clean(cli, files, name):
    ran = cli("scan", name)
    assert ran.code == 3
    assert f"{name}: UNREADABLE" in ran.out
    assert "CLEAN" not in ran.out


def test_many_names_of_one_package_are_one_paragraph(cli, files):
    fill(files, many_pt=names(*(f"my_package.nets.Net{number}" for number in range(200)), "other.Thing"))
    out = cli("scan", "many.pt").out
    text = " ".join(out.split())
    assert "It names 200 classes and functions of my_package: my_package.nets.Net0," in text
    assert "and 196 more. [unknown-name]" in text
    assert "and 199 more places" in text
    assert "other.Thing" in text
    assert len(out.splitlines()) < 30
    assert cli("scan", "many.pt", "--limit", "0").out.count("Where") == 201
    assert "and 1 finding more (--limit 0 shows all)" in cli("scan", "many.pt", "--limit", "1").out


def test_findings_can_be_chosen_and_all_count(cli, files):
    fill(files, two_pt=names("os.system", "other.Thing"))
    ran = cli("scan", "two.pt", "--filter", "unknown-*")
    assert "os.system" not in ran.out
    assert "other.Thing" in ran.out
    assert ran.out.startswith("two.pt: DANGEROUS")
    assert "other.Thing" in cli("scan", "two.pt", "--filter", "other.*").out
    assert "Where" not in cli("scan", "two.pt", "--filter", "zzz").out
    assert cli("scan", "two.pt", "--filter", "zzz").code == 1


def test_explain_shows_the_calls_as_code(cli, files):
    out = cli("scan", "evil.pt", "--explain").out
    assert "nothing of it was run" in out
    assert "    v1 = os.system('true')  # " in out
    assert "--explain" in cli("scan", "evil.pt").out
    assert "call nothing but what is known to be harmless" in cli("scan", "clean.pt", "--explain").out


def test_names_that_a_terminal_would_obey_are_escaped(cli, files):
    fill(files, hostile_pt=names("my\x1b[31m\u202epkg.x\u0007y") + call("my\x1b[2Jpkg", "f", "\x1b[8m\u202etxt"))
    for arguments in (["hostile.pt"], ["hostile.pt", "--explain"], ["."], ["hostile.pt", "--sarif"], [".", "--json"]):
        out = cli("scan", *arguments).out
        assert out.isascii() or "\u202e" not in out
        assert not {"\x1b", "\x07"} & set(out)


def test_verify_is_asked_for_or_not(cli):
    assert "tensors not compared (--verify does)" in " ".join(cli("scan", STATE_DICT, "--no-verify").out.split())
    assert "tensors compared with" in " ".join(cli("scan", STATE_DICT, "--verify").out.split())


def test_damage_is_seen_where_bytes_are_compared(cli, files):
    data = bytearray(STATE_DICT.read_bytes())
    with_dotpt = cli("show", "--json", STATE_DICT, "0.weight").document
    data[with_dotpt["files"][0]["tensors"][0]["byte_range"][0]] ^= 1
    fill(files, damaged_pt=bytes(data))
    assert cli("scan", "damaged.pt").code == 1
    assert cli("scan", "damaged.pt", "--no-verify").code == 0


def test_standard_input(files):
    ran = run_process("scan", "-", stdin=EVIL)
    assert ran.code == 1
    assert "-: DANGEROUS" in ran.out


# -- several files ----------------------------------------------------------------------------------------------------


def test_a_folder_is_a_line_for_each_that_is_not_clean_and_a_table(cli, files):
    ran = cli("scan", ".")
    assert (ran.code, ran.err) == (1, "")
    lines = ran.out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == [
        "UNREADABLE  ./cut.pt", "DANGEROUS   ./evil.pt", "SUSPICIOUS  ./odd.pt",
    ]  # fmt: skip
    rows = {line[:10].strip(): line[10:].split()[0] for line in lines[4:] if line[10:11] == " " and line[10:].split()}
    assert (
        rows.items()
        >= {"dangerous": "1", "unreadable": "1", "suspicious": "1", "clean": "1", "left alone": "1"}.items()
    )
    assert "words.txt" in ran.out


def test_in_a_terminal_of_80_columns_lines_fit(cli, files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    fill(files / ("a_folder_with_a_rather_long_name/" * 3), evil_pt=EVIL, words_txt=b"words\n")
    for arguments in (["."], ["evil.pt"], ["odd.pt"]):
        for line in cli("scan", *arguments).out.splitlines():
            assert len(line) <= 80, line


def test_quiet_prints_only_what_is_not_clean(cli, files):
    out = cli("scan", "-q", ".").out
    assert len(out.splitlines()) == 3
    assert cli("scan", "-q", "clean.pt").out == ""
    assert cli("scan", "-q", "evil.pt").out.startswith("DANGEROUS   evil.pt: It calls os.system")


def test_texts_and_pictures_in_a_folder_are_left_alone(cli, files):
    for name in ("evil.pt", "odd.pt", "cut.pt"):
        (files / name).unlink()
    ran = cli("scan", ".")
    assert ran.code == 0
    assert "left alone" in ran.out
    assert "words.txt" in ran.out


def test_where_nothing_was_scanned_nothing_is_clean(cli, files, tmp_path):
    fill(tmp_path / "texts", a_txt=b"words\n", b_md=b"# words\n")
    (tmp_path / "empty").mkdir()
    for folder, words in (("texts", "2 files of other kinds"), ("empty", "no files")):
        for arguments in ([folder], [folder, "-q"]):
            ran = cli("scan", *arguments)
            assert ran.code == 3
            assert ran.out.startswith(f"NOTHING SCANNED: there are {words} here")
            assert "lean" not in ran.out
    assert cli("scan", "texts", "--json").document["exit_code"] == 3
    assert cli("scan", ".", "--exclude", "*").code == 3


def test_what_is_left_out_is_said(cli, files):
    fill(files / ".git", evil_pt=EVIL)
    ran = cli("scan", ".", "--exclude", "evil.pt", "--exclude", "odd.*", "--exclude", "cut.pt")
    assert ran.code == 0
    assert "Left out: ./.git, ./cut.pt, ./evil.pt and 1 more." in ran.out


def test_jobs_change_nothing(cli, files):
    def plain(*arguments):
        document = cli("scan", ".", "--json", *arguments).document
        for entry in (*document["files"], *document["summary"].values()):
            del entry["seconds"]
        return document

    assert plain() == plain("--jobs", "2") == plain("-j", "0")


def test_a_glob_and_several_files(cli, files):
    ran = cli("scan", "*.pt")
    assert ran.code == 1
    assert len([line for line in ran.out.splitlines() if ".pt: " in line]) == 3


# -- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names_", "options", "code"),
    [
        (["clean.pt"], [], 0),
        (["clean.pt", "odd.pt"], [], 1),
        (["clean.pt", "odd.pt"], ["--fail-on", "dangerous"], 0),
        (["evil.pt"], ["--fail-on", "dangerous"], 1),
        (["cut.pt", "odd.pt"], ["--fail-on", "dangerous"], 3),
        (["cut.pt", "evil.pt"], ["--fail-on", "dangerous"], 1),
        (["cut.pt", "clean.pt"], [], 3),
        (["odd.pt"], ["--allow", "my_package.*"], 0),
        (["odd.pt"], ["--allow", "my_package"], 1),
        (["evil.pt"], ["--allow", "other.*"], 1),
    ],
)
def test_exit_codes(cli, files, names_, options, code):
    assert cli("scan", *names_, *options).code == code
    assert cli("scan", *names_, *options, "--json").document["exit_code"] == code


def test_fail_on_info(cli):
    path = FIXTURES / "other/script.pt"
    assert cli("scan", path).code == 0
    ran = cli("scan", path, "--fail-on", "info")
    assert ran.code == 1
    assert cli("scan", path, path, "--fail-on", "info").out.startswith("INFO ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fail-on", "all"], "invalid choice"),
        (["--json", "--sarif"], "two formats"),
        (["--policy", "gone.toml"], "There is no such policy."),
        (["--limits", "nestling=3"], "there is no limit 'nestling'"),
        (["--jobs", "many"], "'many' is not a number"),
        (["--explian"], "unrecognized arguments"),
    ],
)
def test_usage_errors(cli, files, options, words):
    ran = cli("scan", "clean.pt", *options)
    assert ran.code == 2
    assert words in ran.err
    assert ran.out == ""


# -- policies ---------------------------------------------------------------------------------------------------------


def test_a_policy_is_read_and_options_add_to_it(cli, files):
    (files / "policy.toml").write_text('allow = ["my_package.*"]\nexclude = ["cut.pt"]\nfail-on = "dangerous"\n')
    assert cli("scan", "odd.pt", "--policy", "policy.toml", "--fail-on", "suspicious").code == 0
    assert cli("scan", ".", "--policy", "policy.toml", "--exclude", "evil.pt").code == 0
    assert cli("scan", ".", "--policy", "policy.toml").code == 1


def test_limits_of_a_policy_hold_unless_options_say_otherwise(cli, files):
    (files / "policy.toml").write_text("[limits]\npickle_bytes = 5\n")
    ran = cli("scan", "clean.pt", "--policy", "policy.toml")
    assert ran.code == 3
    assert "pickle_bytes" in ran.out
    assert cli("scan", "clean.pt", "--policy", "policy.toml", "--limits", "pickle_bytes=1k").code == 0


def test_a_wrong_policy_is_a_usage_error_with_the_closest_name(cli, files):
    (files / "policy.toml").write_text('[severity]\ntorchscrpt = "off"\n')
    ran = cli("scan", "clean.pt", "--policy", "policy.toml")
    assert ran.code == 2
    assert "policy.toml: There is no rule 'torchscrpt'" in ran.err
    assert "Try: torchscript\n" in ran.err


# -- documents --------------------------------------------------------------------------------------------------------


def test_json(cli, files):
    ran = cli("scan", ".", "--json")
    document = ran.document
    assert document["schema"] == "dotpt.scan/1"
    assert [entry["file"] for entry in document["files"]] == ["./clean.pt", "./cut.pt", "./evil.pt", "./odd.pt"]
    assert [entry["verdict"] for entry in document["files"]] == ["clean", "unreadable", "dangerous", "suspicious"]
    assert [entry["complete"] for entry in document["files"]] == [True, False, True, True]
    assert document["left_alone"] == [{"file": "./words.txt", "kind": "a plain text file"}]
    assert (document["exit_code"], document["fail_on"]) == (1, "suspicious")
    assert document["summary"]["dangerous"]["files"] == 1
    (finding,) = [found for found in document["files"][2]["findings"] if found["rule"] == "dangerous-call"]
    assert (
        finding.items() >= {"name": "os.system", "call": "os.system('true')", "opcode": "REDUCE", "offset": 23}.items()
    )


def test_keys_of_the_document_are_documented(cli, files):
    text = (Path(__file__).parents[2] / "docs/cli.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([a-z_]+)`", text.partition("### dotpt.scan/1")[2]))
    document = cli("scan", ".", "--json").document
    entry = document["files"][2]
    assert {*document, *entry, *entry["findings"][0], *document["summary"]["clean"]} - documented == set()


# -- how it starts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [STATE_DICT, "."])
def test_nothing_heavy_is_imported(files, what):
    code = (
        "import sys; from dotpt.cli import main; main(sys.argv[1:]);"
        "print(*({'torch', 'numpy', 'rich', 'multiprocessing', 'tempfile', 'ssl'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "scan", str(what)]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True, text=True)
    assert ran.stdout.splitlines()[-1] == ""


def test_a_closed_pipe_is_no_error(files):
    command = [sys.executable, "-W", "error", "-m", "dotpt", "scan", ".", "-j", "2"]
    done = subprocess.run(
        f"{' '.join(command)} | head -c 5", env=ENVIRONMENT, shell=True, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("UNREA", "")


def test_sarif_is_one_document(cli, files):
    ran = cli("scan", ".", "--sarif")
    assert ran.code == 1
    assert json.loads(ran.out)["version"] == "2.1.0"
