"""Which keys sign and verify, and what is said of all others. No message holds any part of one."""

from __future__ import annotations

import pytest

from dotpt.errors import LimitExceeded, SourceNotFound, UsageError
from dotpt.signing.keys import is_encrypted, read_private_key, read_public_key
from tests.signing.making import CURVES, KEYS, PRIVATE, PUBLIC

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SPKI, PKCS8 = pem.PublicFormat.SubjectPublicKeyInfo, pem.PrivateFormat.PKCS8


def texts(key, password=None):
    """A key's two halves as PEM."""
    secret = pem.BestAvailableEncryption(password) if password else pem.NoEncryption()
    return key.private_bytes(pem.Encoding.PEM, PKCS8, secret), key.public_key().public_bytes(pem.Encoding.PEM, SPKI)


@pytest.mark.parametrize("curve", CURVES)
def test_both_halves_have_one_fingerprint(curve):
    private, public = read_private_key(KEYS / f"{curve}.pem"), read_public_key(KEYS / f"{curve}.pub")
    assert private.fingerprint == public.fingerprint
    assert public.fits(private.sign(b"data"), b"data")
    assert not public.fits(private.sign(b"data"), b"date")
    assert not public.fits(b"", b"data")
    secret = PRIVATE.read_text().splitlines()[1]
    assert secret not in repr(private)


def test_keys_come_as_paths_bytes_and_text():
    for key in (PRIVATE, str(PRIVATE), PRIVATE.read_bytes(), PRIVATE.read_text()):
        assert read_private_key(key).fingerprint == read_public_key(PUBLIC).fingerprint


def test_the_parameters_before_a_key_are_passed_over():
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert read_private_key(parameters + PRIVATE.read_bytes()).fingerprint


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=2048), "RSA"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
    ],
    ids=["rsa", "ed25519", "secp256k1"],
)
def test_keys_of_other_kinds_are_refused(key, kind):
    private, public = texts(key)
    for read, text in ((read_private_key, private), (read_public_key, public)):
        with pytest.raises(UsageError, match=f"P-521, and this key is {kind}") as caught:
            read(text)
        assert "openssl ecparam" in caught.value.hint


def test_halves_that_are_mixed_up():
    with pytest.raises(UsageError, match="a public key, which cannot sign"):
        read_private_key(PUBLIC)
    with pytest.raises(UsageError, match="is a private key; the public one is needed") as caught:
        read_public_key(PRIVATE)
    assert f"openssl ec -in {PRIVATE} -pubout" in caught.value.hint


def test_what_is_no_key():
    for text in (b"", b"no key", b"\x00" * 100):
        with pytest.raises(UsageError, match="no private key"):
            read_private_key(text)
        with pytest.raises(UsageError, match="no public key"):
            read_public_key(text)
    damaged = PRIVATE.read_bytes().replace(b"M", b"N")
    with pytest.raises(UsageError, match="damaged") as caught:
        read_private_key(damaged)
    assert damaged.split(b"\n")[1].decode() not in str(caught.value)
    with pytest.raises(LimitExceeded):
        read_public_key(b"-----BEGIN PUBLIC KEY-----" * 10_000)
    with pytest.raises(SourceNotFound):
        read_public_key(PUBLIC.with_name("none.pub"))


def test_a_password():
    key = ec.generate_private_key(ec.SECP256R1())
    locked, public = texts(key, b"a password")
    assert is_encrypted(locked)
    assert not is_encrypted(PRIVATE.read_bytes())
    for password in ("a password", b"a password"):
        assert read_private_key(locked, password).fingerprint == read_public_key(public).fingerprint
    with pytest.raises(UsageError, match="protected by a password") as caught:
        read_private_key(locked)
    assert "--password-env" in caught.value.hint
    with pytest.raises(UsageError, match="password is wrong") as caught:
        read_private_key(locked, "another")
    assert "another" not in str(caught.value)
    assert read_private_key(PRIVATE, "one that is not needed").fingerprint


def test_the_older_kind_of_encryption():
    key = ec.generate_private_key(ec.SECP256R1())
    secret = pem.BestAvailableEncryption(b"x")
    locked = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.TraditionalOpenSSL, secret)
    assert is_encrypted(locked)
    assert read_private_key(locked, "x").fingerprint
