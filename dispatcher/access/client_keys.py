"""Public keys by which clients log in, each registered by its user; kept in one small file.

Public operations cost some 30 microseconds a key: `find` goes through all of them and is to be
called in a thread. No more than 100 keys a user and 10,000 in all.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from dispatcher.access.files import replace_file
from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest, StoreFailed

PER_USER, IN_ALL = 100, 10_000
MIN_BITS, MAX_BITS = 2048, 8192
_MAX_TEXT = 16 * 1024  # characters of a key in base64
_MAX_NOTE = 255

log = logging.getLogger("dispatcher.access")


class ClientKey(Value, frozen=True):
    """A registered key: `text` is base64 of its PEM form, as the client sent it. `date` is local."""

    user: str
    text: str
    nickname: str
    email: str
    date: str

    @property
    def checksum(self) -> str:
        """Base64 of the MD5 of the PEM form, by which a bridge matches keys. It proves nothing."""
        return checksum_of(self.pem)

    @property
    def pem(self) -> bytes:
        """The key in PEM form."""
        return base64.b64decode(self.text)


class ClientKeys:
    """All registered keys, in the order in which they were registered."""

    def __init__(self, path: Path) -> None:
        self.on_changed: Callable[[], None] = _nothing  # called by those who change keys, when it is done
        self._path = path
        self._keys = _load(path)

    def all(self) -> tuple[ClientKey, ...]:
        """Give every key."""
        return self._keys

    def register(self, key: ClientKey) -> None:
        """Add a key, or replace what was noted about it. Writes a file: call it in a thread.

        Raises InvalidRequest if it is no key to log in with or there are too many, StoreFailed if it
        cannot be saved.
        """
        check(key)
        others = tuple(one for one in self._keys if (one.user, one.text) != (key.user, key.text))
        if len(others) >= IN_ALL or sum(one.user == key.user for one in others) >= PER_USER:
            raise InvalidRequest(f"cannot register more keys: {PER_USER} a user; revoke one first")
        self._save((*others, key))

    def revoke(self, user: str, text: str) -> bool:
        """Remove a user's key; False if there is none. Writes a file: call it in a thread."""
        others = tuple(one for one in self._keys if (one.user, one.text) != (user, text))
        if len(others) == len(self._keys):
            return False
        self._save(others)
        return True

    def find(self, signature: bytes, challenge: bytes) -> ClientKey | None:
        """Give the key whose private half made this signature of the challenge; None if there is none.

        A key that several users have registered is the first one's: nobody can take it over later.
        """
        for key in self._keys:
            if has_signed(key.pem, signature, challenge):
                return key
        return None

    def named(self, checksum: str) -> ClientKey | None:
        """Give the first key with this checksum: whose user it logs in. To be called in a thread."""
        return next((key for key in self._keys if key.checksum == checksum), None)

    def _save(self, keys: tuple[ClientKey, ...]) -> None:
        try:
            replace_file(self._path, msgspec.json.encode(keys).decode() + "\n")
        except OSError as error:
            raise StoreFailed(
                f"cannot save the key in {self._path}: {error.strerror}; make room in state_dir"
            ) from error
        self._keys = keys


def checksum_of(pem: bytes) -> str:
    """Give base64 of the MD5 of a public key in PEM form. It names a key, and proves nothing."""
    return base64.b64encode(hashlib.md5(pem, usedforsecurity=False).digest()).decode()


def check(key: ClientKey) -> None:
    """Raise InvalidRequest if this cannot be used to log in."""
    # Imported here: it takes 50 ms and 10 MB, and most daemons need it late or never.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    if not key.text or len(key.text) > _MAX_TEXT:
        raise InvalidRequest("cannot register a key: give `pub_key`, base64 of a public RSA key in PEM form")
    if max(len(key.nickname), len(key.email)) > _MAX_NOTE or not (key.nickname + key.email).isprintable():
        raise InvalidRequest(f"cannot note this: `nickname` and `email` are at most {_MAX_NOTE} characters")
    try:
        loaded = load_pem_public_key(base64.b64decode(key.text, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise InvalidRequest(
            "cannot register this key: `pub_key` is not base64 of a public RSA key in PEM form"
        ) from error
    if not isinstance(loaded, RSAPublicKey) or not MIN_BITS <= loaded.key_size <= MAX_BITS:
        raise InvalidRequest(f"cannot register this key: it must be RSA of {MIN_BITS} to {MAX_BITS} bits")


def has_signed(pem: bytes, signature: bytes, challenge: bytes) -> bool:
    """Tell whether the private half of this public key made this signature of the challenge."""
    recovered = _recover(pem, signature)
    return recovered is not None and hmac.compare_digest(recovered, challenge)


def _recover(pem: bytes, signature: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(pem)
        if not isinstance(key, RSAPublicKey):
            return None
        # The client signs the text itself, without a hash: PKCS#1 v1.5, block type 1.
        return key.recover_data_from_signature(signature, PKCS1v15(), None)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return None


def _nothing() -> None:
    """Do nothing: nobody wants to know."""


def _load(path: Path) -> tuple[ClientKey, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[ClientKey, ...])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        # Not to start would help nobody, and the next registration must not wipe out what is there.
        kept = path.with_name(path.name + ".unreadable")
        log.warning("cannot read the keys of clients in %s: %s; it is now %s", path, error, kept)
        with contextlib.suppress(OSError):
            path.rename(kept)
        return ()
