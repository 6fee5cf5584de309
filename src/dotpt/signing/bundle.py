"""What crosses this boundary: a payload and a key in, a ``.sig`` file out; and back, once the key has been compared.

    {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
     "verificationMaterial": {"publicKey": {"hint": FINGERPRINT}, "tlogEntries": []},
     "dsseEnvelope": {"payload": BASE64, "payloadType": "application/vnd.in-toto+json",
                      "signatures": [{"sig": BASE64, "keyid": ""}]}}

Signed is not the payload but `pre_authentication` of it, which binds its type (DSSE v1.0.0, protocol.md). Invariant:
`open_bundle` hands out no byte of a payload that was not signed with the key it was given.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dotpt.container.jsontext import parse_json
from dotpt.errors import DotptError, LimitExceeded, SignatureError, UnsupportedError
from dotpt.limits import Limits
from dotpt.signing.keys import PrivateKey, PublicKey
from dotpt.source.base import Source

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_AGAIN = "sign the model again, or get the signature again"


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle whose signature fits.

    Attributes:
        payload: the bytes that were signed.
        hint: what the bundle says of the key, or "".
    """

    payload: bytes
    hint: str


def pre_authentication(payload: bytes) -> bytes:
    """What is signed in a payload's name.

    Example:
        >>> pre_authentication(b"{}")
        b'DSSEv1 28 application/vnd.in-toto+json 2 {}'
    """
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def make_bundle(payload: bytes, key: PrivateKey) -> bytes:
    """The content of a ``.sig`` file."""
    signature = key.sign(pre_authentication(payload))
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key.fingerprint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def open_bundle(source: Source, key: PublicKey, limits: Limits) -> Opened:
    """The payload of a ``.sig`` file, if the key's owner has signed it.

    Raises:
        SignatureError: the file is malformed, or its signature is not that of the key over this payload.
        UnsupportedError: the model was signed by a certificate or an identity, not with a key.
        LimitExceeded: the file is larger than `Limits.header_bytes`.
    """
    bundle = _read(source, limits)
    if bundle.get("mediaType") != MEDIA_TYPE:
        raise _malformed(f"is of the type {bundle.get('mediaType')!r:.80}, not {MEDIA_TYPE}", source.name)
    material = _member(bundle, "verificationMaterial", dict, source.name)
    envelope = _member(bundle, "dsseEnvelope", dict, source.name)
    hint = _hint(material, source.name)
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise _malformed(
            f"has a payload of the type {envelope.get('payloadType')!r:.80}, not {PAYLOAD_TYPE}", source.name
        )
    payload = _decoded(_member(envelope, "payload", str, source.name), "payload", source.name)
    signatures = _member(envelope, "signatures", list, source.name)
    if len(signatures) != 1 or type(signatures[0]) is not dict:
        raise _malformed(f"has {len(signatures):,} signatures in its envelope, where one belongs", source.name)
    signature = _decoded(_member(signatures[0], "sig", str, source.name), "sig", source.name)
    if not key.fits(signature, pre_authentication(payload)):
        raise _does_not_fit(key, hint, source.name)
    return Opened(payload, hint)


def is_bundle(source: Source, limits: Limits) -> bool:
    """Whether a file is such a bundle, of any method and signed with any key."""
    try:
        return type(_read(source, limits).get("dsseEnvelope")) is dict
    except (SignatureError, LimitExceeded):
        return False


def _read(source: Source, limits: Limits) -> Mapping[str, Any]:
    if source.size > limits.header_bytes:
        raise LimitExceeded("header_bytes", source.size, limits.header_bytes, path=source.name)

    def fail(problem: str, offset: int | None) -> DotptError:
        return SignatureError(problem, rule="signature-malformed", path=source.name, offset=offset, hint=_AGAIN)

    bundle = parse_json(source.read(0, source.size), limits, fail)
    if type(bundle) is not dict:
        raise _malformed("is no JSON object", source.name)
    return bundle


def _hint(material: Mapping[str, Any], name: str) -> str:
    """What the bundle says of its key. It is a help to find the key, and proves nothing."""
    public = material.get("publicKey")
    if type(public) is dict:
        hint = public.get("hint")
        return hint.lower() if type(hint) is str else ""
    if "certificate" in material or "x509CertificateChain" in material:
        raise UnsupportedError(
            "The model was signed by a certificate or an identity, and dotpt verifies signatures made with a key.",
            path=name,
            hint="python -m model_signing verify (pip install model-signing pyopenssl) knows the other methods",
        )
    raise _malformed("does not say what to verify it with", name)


def _member(value: Mapping[str, Any], name: str, kind: type, path: str) -> Any:
    found = value.get(name)
    if type(found) is not kind:
        raise _malformed(f"has no {name}", path)
    return found


def _decoded(text: str, name: str, path: str) -> bytes:
    """Base64, of the usual or of the URL alphabet: DSSE allows both."""
    try:
        return base64.b64decode(text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _malformed(f"has a {name} that is no Base64", path) from None


def _malformed(what: str, path: str) -> SignatureError:
    return SignatureError(f"The signature file {what}.", rule="signature-malformed", path=path, hint=_AGAIN)


def _does_not_fit(key: PublicKey, hint: str, path: str) -> SignatureError:
    facts: dict[str, Any] = {"path": path, "expected": key.fingerprint, "found": hint or None}
    if hint and hint != key.fingerprint:
        problem = f"The model was signed with another key ({hint[:12]}) than this one ({key.fingerprint[:12]})."
        return SignatureError(problem, rule="signature-other-key", hint="verify with the key of who signed", **facts)
    problem = "The signature does not fit: what it signs was changed, or it was made with another key."
    return SignatureError(problem, rule="signature-wrong", hint="do not trust the model; get it again", **facts)
