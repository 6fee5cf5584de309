"""Signatures that nobody should make, signed or not: each is a finding or a typed error, and nothing else is read."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from pathlib import Path

import pytest

import dotpt
from dotpt.errors import LimitExceeded, UnsupportedError
from dotpt.limits import Limits
from tests.signing.making import OTHER, PUBLIC, resource, rules, signed, statement, write

pytest.importorskip("cryptography")
DATA = bytes(range(256)) * 10


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def check(model):
    """The rules that a bundle breaks, as the signature of the model."""

    def verify(bundle, **options):
        place = write(model.with_name("model.bin.sig"), bundle)
        if isinstance(bundle, bytes):
            place.write_bytes(bundle)
        return rules(dotpt.verify(model, key=PUBLIC, **options))

    return verify


def good():
    return statement([resource(".", DATA)])


def changed(change):
    content = good()
    change(content)
    return content


def test_what_the_specification_allows_is_good(check):
    assert check(signed(good())) == []
    assert check(signed(statement([resource("model.bin", DATA)]))) == []  # as the text of the specification has it
    bundle = signed(good())
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = None
    assert check(bundle) == []
    del bundle["dsseEnvelope"]["signatures"][0]["keyid"], bundle["verificationMaterial"]["tlogEntries"]
    assert check(bundle) == []
    bundle["verificationMaterial"]["publicKey"] = {"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    assert check(bundle) == []
    bundle = signed(good() | {"more": 1})
    envelope = bundle["dsseEnvelope"]
    for place, name in ((envelope, "payload"), (envelope["signatures"][0], "sig")):
        place[name] = place[name].replace("+", "-").replace("/", "_")
    assert check(bundle) == []


def test_a_hint_proves_nothing(check, model):
    bundle = signed(good())
    bundle["verificationMaterial"]["publicKey"]["hint"] = "00" * 32
    assert check(bundle) == []
    assert "names its key in another way" in dotpt.verify(model, key=PUBLIC).notes[0]
    bundle = signed(good(), OTHER.with_suffix(".pem"))
    bundle["verificationMaterial"]["publicKey"]["hint"] = hashlib.sha256(PUBLIC.read_bytes()).hexdigest()
    assert check(bundle) == ["signature-wrong"]


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.update(mediaType="application/json"),
        lambda b: b.pop("mediaType"),
        lambda b: b.pop("dsseEnvelope"),
        lambda b: b.update(dsseEnvelope=[]),
        lambda b: b.update(verificationMaterial={}),
        lambda b: b["dsseEnvelope"].update(payloadType="application/json"),
        lambda b: b["dsseEnvelope"].update(payload="no base64!"),
        lambda b: b["dsseEnvelope"].update(payload="é"),
        lambda b: b["dsseEnvelope"].update(payload=7),
        lambda b: b["dsseEnvelope"].update(signatures=[]),
        lambda b: b["dsseEnvelope"].update(signatures=b["dsseEnvelope"]["signatures"] * 2),
        lambda b: b["dsseEnvelope"].update(signatures=["x"]),
        lambda b: b["dsseEnvelope"]["signatures"][0].pop("sig"),
    ],
)
def test_broken_bundles(check, change):
    bundle = signed(good())
    change(bundle)
    assert check(bundle) == ["signature-malformed"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b'{"mediaType":"\\ud800"}',
    ],
)
def test_what_is_no_bundle(check, model, text):
    model.with_name("model.bin.sig").write_bytes(text)
    assert rules(dotpt.verify(model, key=PUBLIC)) == ["signature-malformed"]


@pytest.mark.parametrize("method", ["certificate", "x509CertificateChain"])
def test_other_methods_are_told(check, method):
    bundle = signed(good())
    bundle["verificationMaterial"] = {method: {}, "tlogEntries": []}
    with pytest.raises(UnsupportedError, match="with a key"):
        check(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
        lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda s: s.pop("predicateType"),
        lambda s: s.pop("predicate"),
        lambda s: s.pop("subject"),
        lambda s: s.update(subject=s["subject"] * 2),
        lambda s: s["subject"][0].update(name=None),
        lambda s: s["subject"][0]["digest"].update(sha256="00" * 32),
        lambda s: s["subject"][0].update(digest={}),
        lambda s: s["predicate"].pop("serialization"),
        lambda s: s["predicate"]["serialization"].update(method="tensors"),
        lambda s: s["predicate"]["serialization"].update(method="shards"),
        lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=0),
        lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=True),
        lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=100.5),
        lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=-100),
        lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=100),
        lambda s: s["predicate"]["serialization"].update(allow_symlinks="false"),
        lambda s: s["predicate"]["serialization"].update(ignore_paths="*"),
        lambda s: s["predicate"]["serialization"].update(ignore_paths=[1]),
        lambda s: s["predicate"].update(resources=[]),
        lambda s: s["predicate"].update(resources={}),
        lambda s: s["predicate"].update(resources=s["predicate"]["resources"] * 2),
        lambda s: s["predicate"]["resources"][0].update(digest="00"),
        lambda s: s["predicate"]["resources"][0].update(digest="ZZ" * 32),
        lambda s: s["predicate"]["resources"][0].update(algorithm="md5"),
        lambda s: s["predicate"]["resources"][0].update(name=""),
        lambda s: s["predicate"]["resources"][0].update(name="../model.bin"),
        lambda s: s["predicate"]["resources"][0].update(name="/etc/passwd"),
        lambda s: s["predicate"]["resources"][0].update(name="a//b"),
        lambda s: s["predicate"]["resources"][0].update(name="./model.bin"),
        lambda s: s["predicate"]["resources"][0].update(name="a\0b"),
        lambda s: s["predicate"]["resources"][0].update(name="\ud800"),
    ],
)
def test_statements_that_are_signed_and_wrong(check, change):
    assert check(signed(changed(change))) == ["signature-statement"]


@pytest.mark.parametrize("payload", [b"", b"[1]", b"{", b'{"_type":1,"_type":1}', b"\x80\x04."])
def test_payloads_that_are_signed_and_no_statement(check, payload):
    assert check(signed(payload)) == ["signature-statement"]


def test_the_type_of_the_payload_is_signed_too(check):
    bundle = signed(good())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    from dotpt.signing.keys import read_private_key

    private = read_private_key(PUBLIC.with_suffix(".pem"))
    for signed_bytes in (payload, b"DSSEv1 1 x %d %s" % (len(payload), payload)):
        forged = copy.deepcopy(bundle)
        forged["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(private.sign(signed_bytes)).decode()
        assert check(forged) == ["signature-wrong"]


def test_hashes(check):
    content = statement([resource(".", DATA, "blake2b")], hash_type="blake2b")
    assert check(signed(content)) == []
    for algorithm in ("blake3", "md5", "sha1", None, 5):
        content["predicate"]["serialization"]["hash_type"] = algorithm
        with pytest.raises(UnsupportedError, match="sha256 and blake2b") as caught:
            check(signed(content))
        assert "sign it with sha256" in caught.value.hint


def shards(size: int, data: bytes = DATA, name: str = ".") -> list[dict[str, str]]:
    ends = [(start, min(start + size, len(data))) for start in range(0, len(data), size)]
    return [resource(f"{name}:{start}:{end}", data[start:end]) for start, end in ends]


@pytest.mark.parametrize("size", [1, 7, 256, 2559, 2560, 2561, 1_000_000_000])
def test_shards(check, model, size):
    parts = shards(size)
    assert check(signed(statement(parts, method="shards", shard_size=size))) == []
    assert check(signed(statement(parts[::-1], method="shards", shard_size=float(size)))) == []
    theirs = [part | {"algorithm": f"sha256-sharded-{size}"} for part in parts]
    assert check(signed(statement(theirs, method="shards", shard_size=size))) == []
    model.write_bytes(DATA[:-1] + b"x")
    assert check(signed(statement(parts, method="shards", shard_size=size))) == ["signature-mismatch"]


def test_shards_that_leave_something_out(check):
    parts = shards(1000)
    for some in (parts[:2], parts[1:], [*parts[:2], resource(".:2000:2559", DATA[2000:2559])]):
        assert check(signed(statement(some, method="shards", shard_size=1000))) == ["signature-mismatch"]
    overlapping = [parts[0], parts[1], resource(".:1000:2560", DATA[1000:])]
    assert check(signed(statement(overlapping, method="shards", shard_size=1000))) == ["signature-mismatch"]
    for name in (".", ".:0", ".:0:x", ".:-1:5", ".:٠:5", f".:0:{'9' * 30}"):
        content = statement([resource(name, DATA)], method="shards", shard_size=1000)
        assert check(signed(content)) == ["signature-statement"]


def test_tiny_shards_of_a_large_file_cost_nothing(tmp_path):
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    place = write(tmp_path / "x.sig", signed(statement(shards(1), method="shards", shard_size=1)))
    assert rules(dotpt.verify(large, key=PUBLIC, signature=place)) == ["signature-mismatch"]


def test_a_signature_of_another_model(check):
    assert check(signed(statement([resource("other.bin", DATA)]))) == ["signature-other-model"]
    two = [resource("model.bin", DATA), resource("more.bin", b"")]
    assert check(signed(statement(two))) == ["signature-other-model"]


def test_limits(check, model):
    with pytest.raises(LimitExceeded, match="header_bytes"):
        check(signed(good()), limits=Limits(header_bytes=100))
    many = statement([resource(f"file{number}", b"") for number in range(100)])
    with pytest.raises(LimitExceeded, match="records"):
        check(signed(many), limits=Limits(records=50))
    with pytest.raises(LimitExceeded, match="decoded_bytes"):
        check(signed(many), limits=Limits(decoded_bytes=10_000))
    with model.with_name("model.bin.sig").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitExceeded, match="header_bytes"):
        dotpt.verify(model, key=PUBLIC)


def test_every_cut_of_a_signature_is_a_finding(model):
    text = json.dumps(signed(good())).encode()
    place = model.with_name("model.bin.sig")
    for length in range(0, len(text), 13):
        place.write_bytes(text[:length])
        assert rules(dotpt.verify(model, key=PUBLIC))
