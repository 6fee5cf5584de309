"""What crosses this boundary: PEM text in, signatures and their verification out. Nothing else knows of cryptography.

Invariants: only elliptic curves of the specification (P-256, P-384, P-521; ECDSA with SHA-256, SHA-384, SHA-512) are
accepted; no message holds any part of a key.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotpt.errors import LimitExceeded, MissingDependency, SourceNotFound, UsageError
from dotpt.limits import KIB
from dotpt.source import open_source

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_MOST = 64 * KIB  # a key of these curves has less than 1 KiB
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem makes a key that fits"
_PUBLIC = b"-----BEGIN PUBLIC KEY-----"
_PRIVATE = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are compared with.

    Attributes:
        name: where it was read.
        fingerprint: SHA-256 of its PEM text, in hexadecimal, as signatures name their key.
    """

    name: str
    fingerprint: str
    _key: ec.EllipticCurvePublicKey

    def fits(self, signature: bytes, data: bytes) -> bool:
        """Whether the key's owner made this signature (ASN.1 DER) over ``data``."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, data, _scheme(self._key.curve))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs.

    Attributes:
        name: where it was read.
        fingerprint: that of its public half.
    """

    name: str
    fingerprint: str
    _key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"<private key of {self.fingerprint[:12]}>"

    def sign(self, data: bytes) -> bytes:
        """The signature (ASN.1 DER) over ``data``."""
        return self._key.sign(data, _scheme(self._key.curve))


def read_pem(key: Any) -> tuple[str, bytes]:
    """What to call a key, and its text: of a path, of bytes, or of a binary file object.

    Raises:
        SourceError: it cannot be read.
        LimitExceeded: it is far too large to be a key.
    """
    if isinstance(key, str) and "-----BEGIN" in key:
        key = key.encode()
    try:
        with open_source(key) as source:
            if source.size > _MOST:
                raise LimitExceeded("key", source.size, _MOST, path=source.name, hint="give the PEM file of the key")
            name = "the key" if isinstance(key, (bytes, bytearray, memoryview)) else source.name
            return name, source.read(0, source.size)
    except SourceNotFound as error:
        error.hint = error.hint or _MAKE
        raise


def is_encrypted(pem: bytes) -> bool:
    """Whether the text is that of a private key which a password protects."""
    return b"BEGIN ENCRYPTED " in pem or b"Proc-Type: 4,ENCRYPTED" in pem


def read_private_key(key: Any, password: str | bytes | None = None) -> PrivateKey:
    """The private key in a PEM file.

    Raises:
        UsageError: there is none, or one of another kind, or the password is missing or wrong.
        MissingDependency: cryptography is not installed.
    """
    name, pem = read_pem(key)
    if _PRIVATE not in pem:
        what = "a public key, which cannot sign" if _PUBLIC in pem else "no private key in PEM"
        raise UsageError(f"This is {what}.", path=name, hint="give the private key: --key key.pem")
    if is_encrypted(pem) and password is None:
        hint = "pass password=...; command line: --password-env VARIABLE, or type it in a terminal"
        raise UsageError("The key is protected by a password.", path=name, hint=hint)
    load = _serialization().load_pem_private_key
    secret = password.encode() if isinstance(password, str) else password
    loaded = _loaded(load, name, pem, secret if is_encrypted(pem) else None)
    return PrivateKey(name, _fingerprint(_checked(loaded, loaded.public_key(), name)), loaded)


def read_public_key(key: Any) -> PublicKey:
    """The public key in a PEM file.

    Raises:
        UsageError: there is none, or one of another kind. A private key is refused: it should not be where files are
            verified.
        MissingDependency: cryptography is not installed.
    """
    name, pem = read_pem(key)
    if _PRIVATE in pem:
        hint = f"openssl ec -in {name if os.path.exists(name) else 'key.pem'} -pubout -out key.pub, and keep the other"  # noqa: PTH110
        raise UsageError("This is a private key; the public one is needed to verify.", path=name, hint=hint)
    if _PUBLIC not in pem:
        raise UsageError("This is no public key in PEM.", path=name, hint="it begins with -----BEGIN PUBLIC KEY-----")
    loaded = _loaded(_serialization().load_pem_public_key, name, pem)
    return PublicKey(name, _fingerprint(_checked(loaded, loaded, name)), loaded)


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise MissingDependency("cryptography is not installed.", hint="pip install 'dotpt[sign]'") from None
    return serialization


def _loaded(load: Any, name: str, pem: bytes, *secret: bytes | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(pem, *secret)
    except (ValueError, TypeError):
        locked = any(secret)
        problem = "The password is wrong, or the key is damaged." if locked else "The text of the key is damaged."
        raise UsageError(problem, path=name, hint=None if locked else _MAKE) from None
    except UnsupportedAlgorithm:
        raise UsageError("The key is of a kind that is not known.", path=name, hint=_MAKE) from None


def _checked(loaded: Any, public: Any, name: str) -> Any:
    """The public half, if it lies on a curve that the specification knows."""
    curve = getattr(getattr(public, "curve", None), "name", None)
    if curve not in _CURVES:
        kind = curve or type(loaded).__name__.lstrip("_").replace("PublicKey", "").replace("PrivateKey", "")
        problem = f"Model signatures are ECDSA on P-256, P-384 or P-521, and this key is {kind}."
        raise UsageError(problem, path=name, found=kind, hint=_MAKE)
    return public


def _fingerprint(public: Any) -> str:
    serialization = _serialization()
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.PEM, kind)).hexdigest()


def _scheme(curve: ec.EllipticCurve) -> ec.ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec as elliptic

    return elliptic.ECDSA(getattr(hashes, _CURVES[curve.name])())
