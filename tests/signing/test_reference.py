"""Both ways with the reference package, model-signing: what one signs, the other verifies, and refuses if changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import dotpt
from dotpt.errors import UnsupportedError
from tests.corpus.stored import FIXTURES
from tests.signing.making import CURVES, KEYS, PRIVATE, PUBLIC, rules
from tests.signing.test_folders import USUAL, fill

MISSING = not (find_spec("model_signing") and find_spec("OpenSSL"))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING, reason="needs model-signing and pyopenssl")]


def reference(*arguments: object) -> int:
    """Run its command; its imports warn, so it has a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "model_signing", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode


def program(text: str, *arguments: object) -> None:
    """Run some lines against its Python interface."""
    command = [sys.executable, "-W", "ignore", "-c", f"import sys, model_signing\n{text}", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def verifies(model: Path, signature: Path, key: Path = PUBLIC) -> bool:
    return reference("verify", "key", "--public_key", key, "--signature", signature, model) == 0


EACH = pytest.mark.parametrize(("kind", "curve"), [("folder", "p256"), *(("file", curve) for curve in CURVES)], ids=str)


@pytest.fixture
def model(kind: str, tmp_path: Path) -> Path:
    if kind == "file":
        return Path(shutil.copy(FIXTURES / "zip/state_dict.pt", tmp_path / "model.pt"))
    return fill(tmp_path / "model", USUAL | {".git/config": b"", ".gitignore": b"", "sub/.git/kept": b"k"})


def signature_of(model: Path) -> Path:
    return model / "model.sig" if model.is_dir() else model.with_name("model.pt.sig")


def damage(model: Path) -> None:
    file = model / "a.txt" if model.is_dir() else model
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@EACH
def test_it_verifies_what_we_sign(model, curve):
    dotpt.sign(model, key=KEYS / f"{curve}.pem")
    assert verifies(model, signature_of(model), KEYS / f"{curve}.pub")
    assert not verifies(model, signature_of(model), KEYS / f"{'p384' if curve != 'p384' else 'p256'}.pub")
    damage(model)
    assert not verifies(model, signature_of(model), KEYS / f"{curve}.pub")


@EACH
def test_we_verify_what_it_signs(model, curve):
    place, key = signature_of(model), KEYS / f"{curve}.pub"
    assert reference("sign", "key", "--private_key", KEYS / f"{curve}.pem", "--signature", place, model) == 0
    outcome = dotpt.verify(model, key=key)
    assert (outcome.ok, outcome.signature.ok) == (True, True)
    assert rules(dotpt.verify(model, key=KEYS / f"{'p384' if curve != 'p384' else 'p256'}.pub")) == [
        "signature-other-key"
    ]
    damage(model)
    assert rules(dotpt.verify(model, key=key)) == ["signature-mismatch"]


def test_new_and_missing_files_are_refused_by_both(tmp_path):
    model = fill(tmp_path / "model", USUAL)
    dotpt.sign(model, key=PRIVATE)
    for change, undo in (
        (lambda: (model / "new").touch(), lambda: (model / "new").unlink()),
        (lambda: (model / "b.txt").unlink(), lambda: (model / "b.txt").write_bytes(b"b")),
    ):
        assert verifies(model, model / "model.sig")
        assert dotpt.verify(model, key=PUBLIC).ok
        change()
        assert not verifies(model, model / "model.sig")
        assert not dotpt.verify(model, key=PUBLIC).ok
        undo()


@pytest.mark.parametrize("how", ["use_shard_serialization(shard_size=1000)", "use_shard_serialization()"])
def test_its_shards(tmp_path, how):
    model = fill(tmp_path / "model", USUAL)
    program(
        f"hashing = model_signing.hashing.Config().{how}\n"
        "config = model_signing.signing.Config().set_hashing_config(hashing)\n"
        "config.use_elliptic_key_signer(private_key=sys.argv[1]).sign(sys.argv[2], sys.argv[3])",
        PRIVATE, model, tmp_path / "x.sig",
    )  # fmt: skip
    outcome = dotpt.verify(model, key=PUBLIC, signature=tmp_path / "x.sig")
    assert (rules(outcome), outcome.signature.ok) == ([], True)
    damage(model)
    assert rules(dotpt.verify(model, key=PUBLIC, signature=tmp_path / "x.sig")) == ["signature-mismatch"]


@pytest.mark.parametrize("algorithm", ["blake2", "blake3"])
def test_its_other_hashes(tmp_path, algorithm):
    model = fill(tmp_path / "model", USUAL)
    program(
        f"hashing = model_signing.hashing.Config().use_file_serialization(hashing_algorithm='{algorithm}')\n"
        "config = model_signing.signing.Config().set_hashing_config(hashing)\n"
        "config.use_elliptic_key_signer(private_key=sys.argv[1]).sign(sys.argv[2], sys.argv[3])",
        PRIVATE, model, tmp_path / "x.sig",
    )  # fmt: skip
    if algorithm == "blake2":
        assert dotpt.verify(model, key=PUBLIC, signature=tmp_path / "x.sig").ok
    else:
        with pytest.raises(UnsupportedError, match="blake3"):
            dotpt.verify(model, key=PUBLIC, signature=tmp_path / "x.sig")


def test_links_that_it_follows(tmp_path):
    model = fill(tmp_path / "model", USUAL)
    (model / "link").symlink_to("a.txt")
    place = tmp_path / "x.sig"
    assert reference("sign", "key", "--allow_symlinks", "--private_key", PRIVATE, "--signature", place, model) == 0
    assert dotpt.verify(model, key=PUBLIC, signature=place).ok
    assert reference("sign", "key", "--private_key", PRIVATE, "--signature", place, model) == 1


def test_paths_that_it_leaves_out(tmp_path):
    model = fill(tmp_path / "model", USUAL)
    place = model / "model.sig"
    arguments = ("--ignore-paths", model / "sub", "--private_key", PRIVATE, "--signature", place, model)
    assert reference("sign", "key", *arguments) == 0
    outcome = dotpt.verify(model, key=PUBLIC)
    assert outcome.ok
    assert "The signature leaves out sub." in outcome.notes
