"""The keys that a bridge trusts: imported from PEM files, found by what they signed, read again."""

import base64
import datetime as dt
import hashlib
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dispatcher.bridge.relay import Kind
from dispatcher.bridge.relay_keys import TrustedKeys
from dispatcher.errors import InvalidRequest, NotFound, SettingsError


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def other_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def keys(tmp_path):
    return TrustedKeys(tmp_path / "state" / "trusted_keys.json")


def public(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private(key, lock=None, form=PrivateFormat.PKCS8):
    return key.private_bytes(Encoding.PEM, form, lock or NoEncryption())


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web1")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def signed(key, text):
    """The private operation on type-1 padding, no hash: what clients make of a test string."""
    numbers = key.private_numbers()
    size = key.key_size // 8
    block = b"\x00\x01" + b"\xff" * (size - 3 - len(text)) + b"\x00" + text
    return pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n).to_bytes(size)


def written(folder: Path, content: bytes, name: str = "one.pem") -> Path:
    path: Path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("web1.pub", public),
        ("web1.key", private),
        ("web1.key", lambda key: private(key, form=PrivateFormat.TraditionalOpenSSL)),
        ("web1.crt", certificate),
        ("web1.pem", lambda key: b"a comment\n" + certificate(key) + private(key)),
    ],
)
def test_every_form_of_file_gives_the_same_public_key(name, make, key, keys, tmp_path):
    found = keys.add("web1", written(tmp_path, make(key), name))

    assert found.pem.encode() == public(key)
    assert (
        found.checksum == base64.b64encode(hashlib.md5(public(key), usedforsecurity=False).digest()).decode()
    )
    text = (tmp_path / "state" / "trusted_keys.json").read_text()
    assert "PRIVATE" not in text


def test_a_signature_finds_the_key_that_made_it_and_no_other(key, other_key, keys, tmp_path):
    mine = keys.add("a", written(tmp_path, public(key)))
    theirs = keys.add("b", written(tmp_path, public(other_key)))

    assert keys.find(signed(key, b"x" * 200), b"x" * 200) == mine
    assert keys.find(signed(other_key, b"x" * 200), b"x" * 200) == theirs
    assert keys.find(signed(key, b"y" * 200), b"x" * 200) is None
    assert keys.find(b"", b"") is None
    assert keys.find(signed(key, b"x" * 200), b"x" * 200, mine.checksum) == mine
    assert keys.find(signed(key, b"x" * 200), b"x" * 200, theirs.checksum) is None


def test_others_see_what_was_changed_and_an_owner_may_have_several_keys(key, other_key, keys, tmp_path):
    running = TrustedKeys(tmp_path / "state" / "trusted_keys.json")
    assert not running.refresh()
    mine = keys.add("a", written(tmp_path, public(key)))
    second = keys.add("a", written(tmp_path, public(other_key)), Kind.CLIENT)

    assert running.refresh()
    assert not running.refresh()
    assert running.all() == (mine, second)
    assert running.sums_of("a") == {mine.checksum, second.checksum}
    assert running.sums_of("b") == frozenset()
    assert keys.remove("a") == 2
    assert running.refresh()
    assert running.all() == ()
    assert (tmp_path / "state" / "trusted_keys.json").stat().st_mode & 0o777 == 0o600


def test_a_change_begins_with_what_another_has_left(key, other_key, keys, tmp_path):
    again = TrustedKeys(tmp_path / "state" / "trusted_keys.json")
    keys.load()
    again.add("a", written(tmp_path, public(key)))
    keys.add("b", written(tmp_path, public(other_key)))
    again.load()

    assert [one.nick for one in again.all()] == ["a", "b"]


def test_an_import_again_changes_nothing_or_what_is_said_anew(key, keys, tmp_path):
    file = written(tmp_path, public(key))
    first = keys.add("a", file)
    saved = tmp_path / "state" / "trusted_keys.json"
    before = saved.stat().st_ino

    assert keys.add("a", file) == first
    assert saved.stat().st_ino == before
    assert keys.add("a", file, Kind.SERVER).only is Kind.SERVER
    assert len(keys.all()) == 1
    with pytest.raises(InvalidRequest, match="its key is that of 'a' already; remove that first"):
        keys.add("b", file)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda key: private(key, BestAvailableEncryption(b"x")), "it has a password; give its certificate"),
        (lambda key: b"nothing", "there is no certificate, public or private key in PEM form in it"),
        (lambda key: b"", "there is no certificate"),
        (lambda key: certificate(key)[:80], "there is no certificate"),
        (lambda key: public(ec.generate_private_key(ec.SECP256R1())), "its key must be RSA of 2048 to 8192"),
        (lambda key: private(ec.generate_private_key(ec.SECP256R1())), "its key must be RSA of 2048 to"),
    ],
)
def test_what_is_no_key_to_log_in_with_is_refused(make, sentence, key, keys, tmp_path):
    with pytest.raises(InvalidRequest, match=sentence):
        keys.add("a", written(tmp_path, make(key)))

    assert keys.all() == ()


@pytest.mark.parametrize("nick", ["", " a", "a" * 65, "a\nb", "a\x1b"])
def test_a_nick_is_a_short_line(nick, key, keys, tmp_path):
    with pytest.raises(InvalidRequest, match="cannot use nick"):
        keys.add(nick, written(tmp_path, public(key)))


def test_who_is_not_there_cannot_be_removed_and_no_file_is_said(keys, tmp_path):
    with pytest.raises(NotFound, match="cannot remove 'x': no key is trusted under this nick"):
        keys.remove("x")
    with pytest.raises(InvalidRequest, match="No such file or directory; name a PEM file"):
        keys.add("x", tmp_path / "none")


def test_a_broken_file_is_told_once_and_changes_nothing(key, keys, tmp_path, caplog):
    mine = keys.add("a", written(tmp_path, public(key)))
    keys.refresh()
    path = tmp_path / "state" / "trusted_keys.json"
    path.write_text("[{]")

    assert not keys.refresh()
    assert not keys.refresh()
    assert keys.all() == (mine,)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "cannot understand the keys" in caplog.text
    with pytest.raises(SettingsError, match="restore the file, or remove it and import them again"):
        keys.remove("a")
    assert path.read_text() == "[{]"


def test_the_file_is_plain_to_read(key, keys, tmp_path):
    keys.add("a", written(tmp_path, public(key)), Kind.CLIENT)
    (found,) = json.loads((tmp_path / "state" / "trusted_keys.json").read_text())

    assert (found["nick"], found["only"], found["pem"].encode()) == ("a", "client", public(key))
