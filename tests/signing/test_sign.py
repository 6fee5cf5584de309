"""`dotpt.sign` of one file: what it writes, and that every changed byte is noticed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dotpt
from dotpt.errors import SourceNotFound, UsageError, WriteError
from tests.corpus.stored import FIXTURES
from tests.signing.making import CURVES, KEYS, OTHER, PRIVATE, PUBLIC, payload_of, rules, write

pytest.importorskip("cryptography")
STATE_DICT = FIXTURES / "zip/state_dict.pt"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(STATE_DICT, tmp_path / "model.pt"))


@pytest.fixture
def signature(model: Path) -> Path:
    dotpt.sign(model, key=PRIVATE)
    return model.with_name("model.pt.sig")


@pytest.mark.parametrize("curve", CURVES)
def test_a_round_trip(model, curve):
    before = model.read_bytes()
    result = dotpt.sign(model, key=KEYS / f"{curve}.pem")
    assert (result.path, result.signature) == (str(model), f"{model}.sig")
    outcome = dotpt.verify(model, key=KEYS / f"{curve}.pub")
    assert outcome.ok
    assert outcome.to_dict()["signature"] == {
        "file": f"{model}.sig",
        "key": hashlib.sha256((KEYS / f"{curve}.pub").read_bytes()).hexdigest(),
        "ok": True,
        "files": 1,
        "hash": "sha256",
        "subject": "model.pt",
    }
    assert (len(outcome.records), outcome.tensors) == (15, 9)  # then the file is verified as ever
    assert model.read_bytes() == before
    for other in set(CURVES) - {curve}:
        assert rules(dotpt.verify(model, key=KEYS / f"{other}.pub")) == ["signature-other-key"]


def test_the_layout_of_a_signature(model, signature):
    bundle, payload = json.loads(signature.read_text()), payload_of(signature)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {
        "publicKey": {"hint": hashlib.sha256(PUBLIC.read_bytes()).hexdigest()},
        "tlogEntries": [],
    }
    assert set(bundle) == {"mediaType", "verificationMaterial", "dsseEnvelope"}
    assert set(bundle["dsseEnvelope"]) == {"payload", "payloadType", "signatures"}
    assert bundle["dsseEnvelope"]["payloadType"] == "application/vnd.in-toto+json"
    assert [set(entry) for entry in bundle["dsseEnvelope"]["signatures"]] == [{"sig", "keyid"}]
    digest = hashlib.sha256(model.read_bytes())
    assert payload == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model.pt", "digest": {"sha256": hashlib.sha256(digest.digest()).hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [".git", ".gitattributes", ".github", ".gitignore"],
            },
            "resources": [{"name": ".", "digest": digest.hexdigest(), "algorithm": "sha256"}],
        },
    }


def test_every_byte_of_the_file_counts(model, signature):
    data = model.read_bytes()
    for at in range(0, len(data), 97):
        model.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert rules(dotpt.verify(model, key=PUBLIC)) == ["signature-mismatch"]
    for other in (data + b"\0", data[:-1], b""):
        model.write_bytes(other)
        assert rules(dotpt.verify(model, key=PUBLIC)) == ["signature-mismatch"]


def test_every_byte_of_the_payload_and_of_the_signature_counts(model, signature):
    text = signature.read_text()
    bundle = json.loads(text)
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    for at in range(0, len(payload), 11):
        changed = json.loads(text)
        forged = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        changed["dsseEnvelope"]["payload"] = base64.b64encode(forged).decode()
        write(signature, changed)
        assert rules(dotpt.verify(model, key=PUBLIC)) == ["signature-wrong"]
    made = base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    for at in range(len(made)):
        changed = json.loads(text)
        forged = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
        changed["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(forged).decode()
        write(signature, changed)
        assert rules(dotpt.verify(model, key=PUBLIC)) == ["signature-wrong"]


def test_a_key_with_a_changed_byte_is_another_key_or_none(model, signature):
    pem = PUBLIC.read_bytes()
    for at in range(len(b"-----BEGIN PUBLIC KEY-----\n"), pem.index(b"-----END"), 5):
        key = pem[:at] + (b"A" if pem[at : at + 1] != b"A" else b"B") + pem[at + 1 :]
        try:
            outcome = dotpt.verify(model, key=key)
        except UsageError:
            continue
        assert rules(outcome) == ["signature-other-key"]


def test_nothing_of_a_file_is_read_that_is_not_as_signed(model, signature, monkeypatch):
    model.write_bytes(model.read_bytes() + b"x")
    monkeypatch.setattr("dotpt.archive.verify._Verifier", None)
    monkeypatch.setattr("dotpt.archive.verify.open_contents", None)
    outcome = dotpt.verify(model, key=PUBLIC)
    assert (outcome.ok, outcome.signature.ok, outcome.records) == (False, False, [])


def test_damage_in_a_signed_file_is_found_as_ever(model):
    with dotpt.open(model) as archive:
        at = archive["4.weight"].byte_range[0]
    data = bytearray(model.read_bytes())
    data[at] ^= 1
    model.write_bytes(data)
    dotpt.sign(model, key=PRIVATE)
    outcome = dotpt.verify(model, key=PUBLIC)
    assert (outcome.signature.ok, outcome.ok) == (True, False)
    assert outcome.damaged[0].tensors == ("4.weight",)


def test_any_bytes_can_be_signed(tmp_path):
    notes = tmp_path / "notes.txt"
    for content in (b"some notes", b"", b"\x00" * 700_000):
        notes.write_bytes(content)
        dotpt.sign(notes, key=PRIVATE)
        outcome = dotpt.verify(notes, key=PUBLIC)
        assert (outcome.ok, outcome.signature.ok) == (True, True)
        assert outcome.notes[0].startswith("Only the signature was compared: ")


def test_a_compressed_file_is_signed_as_it_is(tmp_path):
    packed = tmp_path / "model.pt.gz"
    packed.write_bytes(gzip.compress(STATE_DICT.read_bytes()))
    assert dotpt.sign(packed, key=PRIVATE).files[0].digest == hashlib.sha256(packed.read_bytes()).hexdigest()
    outcome = dotpt.verify(packed, key=PUBLIC)
    assert outcome.ok
    assert outcome.tensors == 9
    packed.write_bytes(gzip.compress(STATE_DICT.read_bytes(), 1))
    assert rules(dotpt.verify(packed, key=PUBLIC)) == ["signature-mismatch"]


def test_bytes_and_file_objects(tmp_path):
    data, place = STATE_DICT.read_bytes(), tmp_path / "x.sig"
    dotpt.sign(data, key=PRIVATE.read_bytes(), signature=place)
    assert payload_of(place)["subject"][0]["name"] == "model"
    assert dotpt.verify(io.BytesIO(data), key=PUBLIC.read_bytes(), signature=place).ok
    assert dotpt.verify(data, key=PUBLIC, signature=place.read_bytes()).ok
    with pytest.raises(UsageError, match="not known where its signature lies"):
        dotpt.sign(data, key=PRIVATE)
    with pytest.raises(UsageError, match="without the key"):
        dotpt.verify(data, signature=place)


def test_a_remote_file_is_fetched_once_and_verified_from_the_copy(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe_file("/signing/model.pt", STATE_DICT.read_bytes())
    dotpt.sign("memory://signing/model.pt", key=PRIVATE)
    outcome = dotpt.verify("memory://signing/model.pt", key=PUBLIC)
    assert outcome.ok
    assert outcome.signature.subject == "model.pt"
    assert outcome.tensors == 9
    system.rm("/signing", recursive=True)


def test_a_signature_that_is_missing_says_what_to_do(model):
    with pytest.raises(SourceNotFound, match="There is no signature") as caught:
        dotpt.verify(model, key=PUBLIC)
    assert caught.value.path == f"{model}.sig"
    assert "dotpt sign" in caught.value.hint


def test_a_signature_replaces_a_signature_and_nothing_else(model, signature, tmp_path):
    old = signature.read_bytes()
    dotpt.sign(model, key=PRIVATE)
    assert signature.read_bytes() != old  # ECDSA takes a fresh number each time
    other = tmp_path / "config.json"
    other.write_text('{"hidden": 12}')
    for place in (model, other, PRIVATE):
        before = Path(place).read_bytes()
        with pytest.raises(UsageError, match="is no signature; nothing was written"):
            dotpt.sign(model, key=PRIVATE, signature=place)
        assert Path(place).read_bytes() == before
    with pytest.raises(WriteError):
        dotpt.sign(model, key=PRIVATE, signature=tmp_path / "no folder" / "x.sig")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.pt", "model.pt.sig"]


def test_a_wrong_key_leaves_nothing_behind(model):
    with pytest.raises(UsageError):
        dotpt.sign(model, key=OTHER)
    assert not model.with_name("model.pt.sig").exists()


def test_a_file_that_changes_while_it_is_signed_is_noticed(model, monkeypatch):
    from dotpt.errors import SourceChanged
    from dotpt.signing import sign

    hash_source = sign.hash_source

    def slowly(*args, **kwargs):
        outcome = hash_source(*args, **kwargs)
        model.write_bytes(b"another")
        return outcome

    monkeypatch.setattr(sign, "hash_source", slowly)
    with pytest.raises(SourceChanged):
        dotpt.sign(model, key=PRIVATE)


def test_progress_is_told(model, signature):
    told = []
    dotpt.sign(model, key=PRIVATE, progress=lambda done, total: told.append((done, total)))
    size = model.stat().st_size
    assert told == [(size, size)]


def test_what_importing_costs():
    code = "import dotpt, sys; dotpt.sign; dotpt.verify; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_cryptography_it_says_what_to_install(model, monkeypatch):
    from dotpt.errors import MissingDependency

    for name in ("cryptography", "cryptography.hazmat.primitives"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=r"dotpt\[sign\]"):
        dotpt.sign(model, key=PRIVATE)
    assert dotpt.verify(model).ok
