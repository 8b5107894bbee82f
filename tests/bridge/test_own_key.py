"""The key by which this end is known to bridges: made once, kept to ourselves, refused if it will not do."""

import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from dispatcher.bridge.own_key import load_key, own_key
from dispatcher.errors import StartupError


def test_a_key_is_made_once_and_only_its_public_half_is_for_others(tmp_path):
    path, public = tmp_path / "bridge.key", tmp_path / "bridge.pub"

    made = own_key(path, public, may_make=True)

    assert made.private.key_size >= 2048
    assert path.stat().st_mode & 0o777 == 0o600
    assert public.read_bytes() == made.pem
    assert b"PRIVATE" not in public.read_bytes()
    before = path.read_bytes()
    public.write_text("another one's")
    again = own_key(path, public, may_make=True)
    assert (again.checksum, again.fingerprint) == (made.checksum, made.fingerprint)
    assert path.read_bytes() == before
    assert public.read_bytes() == made.pem


def test_a_key_that_was_named_is_never_made(tmp_path):
    with pytest.raises(StartupError, match=r"cannot read .*missing\.key: No such file"):
        own_key(tmp_path / "missing.key", tmp_path / "bridge.pub", may_make=False)

    assert list(tmp_path.iterdir()) == []


def weak():
    return rsa.generate_private_key(65537, 1024)  # noqa: S505


def pem(key, encryption):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (lambda: b"nonsense", 0o600, "it is no private key in PEM form"),
        (
            lambda: pem(rsa.generate_private_key(65537, 2048), BestAvailableEncryption(b"secret")),
            0o600,
            "without a password",
        ),
        (lambda: pem(weak(), NoEncryption()), 0o600, "RSA of 2048 to 8192 bits"),
        (
            lambda: pem(ec.generate_private_key(ec.SECP256R1()), NoEncryption()),
            0o600,
            "RSA of 2048 to 8192 bits",
        ),
        (lambda: pem(rsa.generate_private_key(65537, 2048), NoEncryption()), 0o640, "chmod 600"),
    ],
)
def test_a_key_that_will_not_do_is_refused_with_the_reason(content, mode, complaint, tmp_path):
    path = tmp_path / "some.key"
    path.write_bytes(content())
    path.chmod(mode)

    with pytest.raises(StartupError, match=re.escape(complaint)):
        load_key(path)


def test_a_state_directory_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StartupError, match=r"cannot write .*bridge\.key"):
        own_key(tmp_path / "file" / "bridge.key", tmp_path / "bridge.pub", may_make=True)
