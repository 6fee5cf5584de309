"""Keys, signatures and statements for the tests, also those that nobody should make."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from dotpt.signing.bundle import make_bundle
from dotpt.signing.keys import read_private_key

KEYS = Path(__file__).parent / "keys"
CURVES = ("p256", "p384", "p521")
PRIVATE, PUBLIC = KEYS / "p256.pem", KEYS / "p256.pub"
OTHER = KEYS / "p384.pub"


def resource(name: str, data: bytes, algorithm: str = "sha256") -> dict[str, str]:
    return {"name": name, "digest": hashlib.new(algorithm, data).hexdigest(), "algorithm": algorithm}


def statement(resources: list[dict[str, str]], **serialization: Any) -> dict[str, Any]:
    """A statement as the specification has it."""
    root = hashlib.sha256(b"".join(bytes.fromhex(r["digest"]) for r in resources)).hexdigest()
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False} | serialization
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": how, "resources": resources},
    }


def signed(content: dict[str, Any] | bytes, key: Path = PRIVATE) -> dict[str, Any]:
    """A bundle of anything, which the key has signed."""
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return json.loads(make_bundle(payload, read_private_key(key)))


def write(path: Path, bundle: dict[str, Any]) -> Path:
    path.write_text(json.dumps(bundle))
    return path


def payload_of(path: Path) -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(path.read_text())["dsseEnvelope"]["payload"]))


def rules(outcome: Any) -> list[str]:
    return [deviation.rule for deviation in outcome.deviations]
