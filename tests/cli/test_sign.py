"""`dotpt sign`, and `dotpt verify --key`: what is printed, and with which exit code."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from dotpt.signing.keys import read_public_key
from tests.cli.conftest import run_process
from tests.corpus.stored import FIXTURES
from tests.signing.making import OTHER, PRIVATE, PUBLIC
from tests.signing.test_folders import USUAL, fill

pytest.importorskip("cryptography")


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copy(FIXTURES / "zip/state_dict.pt", tmp_path / "model.pt"))


@pytest.fixture
def short():
    return read_public_key(PUBLIC).fingerprint[:12]


def test_a_file(cli, model, short):
    ran = cli("sign", model, "--key", PRIVATE)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{model}: signed (1 file, 4.53 kB) with the key {short}: {model}.sig\n"
    ran = cli("verify", model, "--key", PUBLIC)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{model}: whole (15 records")
    assert ran.out.endswith(f", signed by the key {short}\n")


def test_a_folder(cli, tmp_path, short):
    root = fill(tmp_path / "model", USUAL)
    ran = cli("sign", root, "--key", PRIVATE, "--sort", "size:desc", "--limit", 2)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == ["File", "sub/deep/x.bin", "é", "…"]
    assert "3 more" in ran.out
    ran = cli("sign", root, "--key", PRIVATE, "--filter", "sub*")
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == ["sub.txt", "sub/deep/x.bin"]
    assert cli("sign", root, "--key", PRIVATE, "-q").out == f"{root}/model.sig\n"
    ran = cli("verify", root, "--key", PUBLIC)
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"{root}: as signed by the key {short}")


def test_what_is_not_as_it_was_signed(cli, model, tmp_path):
    cli("sign", model, "--key", PRIVATE)
    model.write_bytes(model.read_bytes() + b"x")
    ran = cli("verify", model, "--key", PUBLIC)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines() == [
        f"{model}: NOT AS SIGNED; nothing else of it was read",
        "  signature-mismatch: The file's bytes are not those that were signed.",
    ]
    ran = cli("verify", model, "--key", OTHER, "--json")
    assert ran.code == 1
    entry = ran.document["files"][0]
    assert [found["rule"] for found in entry["deviations"]] == ["signature-other-key"]
    assert entry["signature"]["ok"] is False
    assert len(cli("verify", "-q", model, "--key", PUBLIC).out.splitlines()) == 1
    root = fill(tmp_path / "folder", USUAL)
    cli("sign", root, "--key", PRIVATE)
    (root / "new").touch()
    assert (
        "signature-unsigned-file: A file is there that was not signed. (new)"
        in cli("verify", root, "--key", PUBLIC).out
    )


def test_errors(cli, model, tmp_path):
    ran = cli("verify", model, "--key", PUBLIC)
    assert (ran.code, ran.out) == (2, "")
    assert "There is no signature. " in ran.err
    assert "dotpt sign" in ran.err
    ran = cli("sign", model, "--key", PUBLIC)
    assert ran.code == 2
    assert "a public key, which cannot sign" in ran.err
    ran = cli("verify", model, "--key", PRIVATE)
    assert ran.code == 2
    assert f"openssl ec -in {PRIVATE} -pubout" in ran.err
    ran = cli("verify", model, "--signature", "x.sig")
    assert ran.code == 2
    assert "--signature says nothing without --key" in ran.err
    for verb, key in (("sign", PRIVATE), ("verify", PUBLIC)):
        ran = cli(verb, model, model, "--key", key, "--signature", "x.sig")
        assert ran.code == 2
        assert "--signature is that of one FILE" in ran.err
        ran = cli(verb, model, "--key", key, "--sort", "color")
        assert ran.code == 2
    assert cli("sign", model).code == 2
    ran = cli("sign", tmp_path / "none.pt", "--key", PRIVATE)
    assert ran.code == 2
    assert "There is no such file" in ran.err


def test_json(cli, model):
    ran = cli("sign", model, "--key", PRIVATE, "--json")
    assert ran.document["schema"] == "dotpt.sign/1"
    (entry,) = ran.document["files"]
    assert set(entry) == {"file", "path", "signature", "key", "hash", "files", "warnings"}
    assert entry["files"][0]["name"] == "."
    assert (entry["hash"], entry["warnings"]) == ("sha256", [])


def test_what_is_signed_although_it_is_damaged(cli, model, tmp_path):
    data = model.read_bytes()
    broken = tmp_path / "broken.pt"
    broken.write_bytes(data[:1500] + b"\xff" + data[1501:])
    ran = cli("sign", broken, "--key", PRIVATE)
    assert ran.code == 0
    assert "signed" in ran.out
    assert f"dotpt: {broken}: Signed as it is, and it is not sound" in ran.err
    notes = tmp_path / "notes.txt"
    notes.write_text("no model")
    assert cli("sign", notes, "--key", PRIVATE).err == ""


def test_a_password(cli, model, tmp_path, monkeypatch):
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    key, locked = ec.generate_private_key(ec.SECP256R1()), tmp_path / "locked.pem"
    secret = pem.BestAvailableEncryption(b"sesame")
    locked.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, secret))
    ran = cli("sign", model, "--key", locked)
    assert ran.code == 2
    assert "protected by a password" in ran.err
    monkeypatch.setenv("KEY_PASSWORD", "sesame")
    assert cli("sign", model, "--key", locked, "--password-env", "KEY_PASSWORD").code == 0
    monkeypatch.setenv("KEY_PASSWORD", "wrong")
    ran = cli("sign", model, "--key", locked, "--password-env", "KEY_PASSWORD")
    assert ran.code == 2
    assert "The password is wrong" in ran.err
    assert "wrong\n" not in ran.out
    ran = cli("sign", model, "--key", locked, "--password-env", "NO_SUCH_VARIABLE")
    assert "no environment variable" in ran.err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    asked = []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or "sesame")
    assert cli("sign", model, model, "--key", locked).code == 0
    assert asked == [f"Password of {locked}: "]


def test_standard_input(model, tmp_path):
    data, place = model.read_bytes(), tmp_path / "x.sig"
    assert run_process("sign", "-", "--key", PRIVATE, "--signature", place, stdin=data).code == 0
    ran = run_process("verify", "-", "--key", PUBLIC, "--signature", place, stdin=data)
    assert (ran.code, ran.err) == (0, "")
    assert run_process("verify", "-", "--key", PUBLIC, "--signature", place, stdin=data + b"x").code == 1
    ran = run_process("verify", "-", "--key", PUBLIC, stdin=data)
    assert ran.code == 2
    assert "--signature PATH" in ran.err


def test_a_signers_words_are_not_obeyed_by_the_terminal(cli, tmp_path):
    from tests.signing.making import resource, signed, statement

    root = fill(tmp_path / "model", {"a": b"a"})
    escape = "\x1b]0;title\x07"
    content = statement([resource(f"a{escape}", b"")], ignore_paths=[f"x{escape}"])
    (root / "model.sig").write_text(json.dumps(signed(content)))
    fill(root, {f"x{escape}": b""})
    out = cli("verify", root, "--key", PUBLIC).out
    assert "\x1b" not in out
    assert "\\x1b]0;title" in out
