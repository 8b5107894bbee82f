"""The public keys that a bridge trusts, each under the nick of its owner; kept in one small file.

The file is read again when it has changed, so the command line needs no running bridge, and a
running bridge no restart. Public operations cost some 30 microseconds a key: see `find`.
"""

import logging
import time
from pathlib import Path

import msgspec

from dispatcher.access.client_keys import MAX_BITS, MIN_BITS, checksum_of, has_signed
from dispatcher.access.shared_file import SharedFile
from dispatcher.bridge.relay import Kind
from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest, NotFound, SettingsError

FILE = "trusted_keys.json"
MOST_KEYS = 10_000
_MOST_BYTES = 64 * 1024  # of a PEM file: a certificate with its chain has some thousand
_MOST_NICK = 64

_log = logging.getLogger("dispatcher.bridge")


class TrustedKey(Value, frozen=True):
    """A public RSA key in PEM form, whose it is, and as what its owner may come: None is as either kind."""

    nick: str
    pem: str
    only: Kind | None
    date: str  # local

    @property
    def checksum(self) -> str:
        """The sum by which peers name the key."""
        return checksum_of(self.pem.encode())


class TrustedKeys:
    """All trusted keys, in the order in which they were imported."""

    def __init__(self, path: Path) -> None:
        self._keys: tuple[TrustedKey, ...] = ()
        self._file = SharedFile(
            path,
            _read,
            tuple[TrustedKey, ...],
            self._replace,
            what="the keys",
            remedy="be root or the bridge's user, or set state_dir under bridge: to another directory",
        )

    def load(self) -> None:
        """Read the file if it has changed; a missing file has no keys.

        Raises SettingsError, and keeps what was known, if it cannot be read or understood.
        """
        self._file.load()

    def refresh(self) -> bool:
        """Load if the file has changed; tell whether other keys are trusted now.

        What is wrong with the file goes to the log, once, and the keys stay.
        """
        before = self._keys
        return self._file.refresh() and self._keys != before

    def all(self) -> tuple[TrustedKey, ...]:
        """Give every key, as last loaded."""
        return self._keys

    def sums_of(self, nick: str) -> frozenset[str]:
        """Give the sums of all keys of one owner."""
        return frozenset(key.checksum for key in self._keys if key.nick == nick)

    def find(self, signature: bytes, challenge: bytes, checksum: str = "") -> TrustedKey | None:
        """Give the key whose private half made this signature of the challenge; None if there is none.

        With a sum only the key of that name is tried. To be called in a thread.
        """
        for key in self._keys:
            if (not checksum or key.checksum == checksum) and has_signed(
                key.pem.encode(), signature, challenge
            ):
                return key
        return None

    def add(self, nick: str, file: Path, only: Kind | None = None) -> TrustedKey:
        """Trust the key in a PEM file: a certificate, a public key, or the public half of a private one.

        Raises InvalidRequest if it is no key to log in with, SettingsError if it cannot be saved.
        """
        if not nick or len(nick) > _MOST_NICK or not nick.isprintable() or nick != nick.strip():
            raise InvalidRequest(
                f"cannot use nick {nick[:80]!r}: give 1 to {_MOST_NICK} printable characters"
            )
        key = TrustedKey(nick, read_public_key(file), only, time.strftime("%Y-%m-%dT%H:%M:%S"))
        with self._file.alone():
            same = next((one for one in self._keys if one.pem == key.pem), None)
            if same is not None and same.nick != nick:
                raise InvalidRequest(
                    f"cannot import {file}: its key is that of {same.nick!r} already; remove that first"
                )
            if same is not None and same.only is only:
                return same
            others = tuple(one for one in self._keys if one.pem != key.pem)
            if len(others) >= MOST_KEYS:
                raise InvalidRequest(f"cannot import more keys: {MOST_KEYS} are trusted; remove one first")
            self._file.write(_text((*others, key)))
        return key

    def remove(self, nick: str) -> int:
        """Trust no key of this nick any longer; return how many there were. NotFound if none."""
        with self._file.alone():
            others = tuple(one for one in self._keys if one.nick != nick)
            if len(others) == len(self._keys):
                raise NotFound(f"cannot remove {nick[:80]!r}: no key is trusted under this nick")
            gone = len(self._keys) - len(others)
            self._file.write(_text(others))
        return gone

    def _replace(self, keys: tuple[TrustedKey, ...]) -> None:
        self._keys = keys


def _read(path: Path) -> tuple[TrustedKey, ...]:
    content = path.read_bytes()
    try:
        return msgspec.json.decode(content, type=tuple[TrustedKey, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot understand the keys: {error}; restore the file, or remove it and"
            " import them again"
        ) from error


def _text(keys: tuple[TrustedKey, ...]) -> str:
    return msgspec.json.encode(keys).decode() + "\n"


def read_public_key(file: Path) -> str:
    """Give the public key of a PEM file in the form whose sum peers know. Raises InvalidRequest."""
    # Imported here: it takes 50 ms and 10 MB.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415

    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES)
    except OSError as error:
        raise InvalidRequest(f"cannot read {file}: {error.strerror}; name a PEM file") from error
    try:
        if b"-----BEGIN CERTIFICATE-----" in content:
            key: object = x509.load_pem_x509_certificate(content).public_key()
        elif b"PRIVATE KEY-----" in content:
            key = form.load_pem_private_key(content, None).public_key()
        else:
            key = form.load_pem_public_key(content)
    except TypeError as error:
        raise InvalidRequest(
            f"cannot import {file}: it has a password; give its certificate or its public key"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidRequest(
            f"cannot import {file}: there is no certificate, public or private key in PEM form in it"
        ) from error
    if not isinstance(key, RSAPublicKey) or not MIN_BITS <= key.key_size <= MAX_BITS:
        raise InvalidRequest(f"cannot import {file}: its key must be RSA of {MIN_BITS} to {MAX_BITS} bits")
    return key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo).decode()
