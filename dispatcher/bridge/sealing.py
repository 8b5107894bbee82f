"""The encryption between a client and a daemon that speak through a bridge. Pure: bytes and texts only.

Each side gives an X25519 key made for this session. The daemon signs both, and everything else that
was agreed on, with its key for bridges; the client signs the same with its own registered key. Both
sign by RSA-PSS: with the plain RSA of `auth_ssl`, a bridge that has its own test strings signed could
have these signed, too. Of what X25519 gives, HKDF makes a key for each direction, for ChaCha20-Poly1305
with a counter as its nonce: what is changed, repeated, left out or out of order cannot be opened.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from dispatcher.errors import InvalidRequest, NotAuthenticated

VERSION = 1
_LABEL = b"dispatcher bridge sealing 1"
_DAEMON, _CLIENT, _KEYS = (_LABEL + word for word in (b" daemon", b" client", b" keys"))
_PADDING = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
_FINGERPRINT = re.compile(r"[0-9a-f]{64}\Z")
_COUNTER_BYTES = 8


class Unsealable(NotAuthenticated):
    """A message that is not the next one of the other end; the session cannot go on after it."""


class Sealer:
    """Closes the messages of one direction, in their order."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._count = 0

    def seal(self, message: bytes) -> str:
        """Give a message as the text that is sent."""
        nonce = _nonce(self._count)
        self._count += 1
        return base64.b64encode(self._cipher.encrypt(nonce, message, None)).decode("ascii")


class Opener:
    """Opens the messages of one direction, in their order, each once."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._count = 0

    def open(self, payload: str) -> bytes:
        """Give the message in a text. Raises Unsealable."""
        try:
            message = self._cipher.decrypt(_nonce(self._count), decode_base64(payload), None)
        except (InvalidTag, ValueError) as error:
            raise Unsealable(
                "a message was changed, repeated or lost on its way, so this session has ended;"
                " begin again with auth_ssl"
            ) from error
        self._count += 1
        return message


class Agreement:
    """What one side has when both have given their keys. The other end's word for it is still to come."""

    def __init__(self, sealer: Sealer, opener: Opener, transcript: bytes) -> None:
        self.sealer = sealer
        self.opener = opener
        self._transcript = transcript

    def sign_as_client(self, key: RSAPrivateKey) -> str:
        """Give the client's word, in base64: the `encrypted_string` of the second half of `auth_ssl`."""
        return _sign(key, _CLIENT + self._transcript)

    def is_signed_by_client(self, pem: bytes, signature: bytes) -> bool:
        """Tell whether the private half of this public key has given the client's word."""
        return _is_signed(pem, signature, _CLIENT + self._transcript)


class DaemonKey:
    """The key of the daemon that a client wants: in PEM form, or the SHA-256 of its DER form in hex."""

    def __init__(self, pem_or_fingerprint: str) -> None:
        text = pem_or_fingerprint.strip()
        found = fingerprint(text.encode()) if "BEGIN" in text else text.replace(":", "").lower()
        if not _FINGERPRINT.match(found):
            raise InvalidRequest(
                "cannot know the daemon by this: give its key for bridges, bridge.pub in its state_dir,"
                " or the SHA-256 that it says at its start"
            )
        self.fingerprint = found

    def is_key(self, pem: bytes) -> bool:
        """Tell whether this is the wanted key."""
        return hmac.compare_digest(fingerprint(pem), self.fingerprint)


class ClientHalf:
    """The client's side of the agreement, for one session."""

    def __init__(self, checksum: str) -> None:
        self._checksum = checksum
        self._private = X25519PrivateKey.generate()
        self._public = self._private.public_key().public_bytes_raw()

    @property
    def offer(self) -> dict[str, object]:
        """What stands in `sealing` of the first half of `auth_ssl`."""
        return {"v": VERSION, "x25519": _base64(self._public)}

    def agree(self, answer: Mapping[str, object], daemon: DaemonKey) -> Agreement:
        """Read the daemon's answer. Raises NotAuthenticated if it is not what that daemon has said."""
        sealing = answer.get("sealing")
        if not isinstance(sealing, Mapping):
            raise NotAuthenticated(
                "cannot speak with the daemon unheard: its answer holds no key, or the bridge has taken it"
                " away; look who runs the bridge, or allow sessions without encryption"
            )
        pem, test_string = _bytes_of(answer, "new_ssl_key"), _bytes_of(answer, "test_string")
        theirs, signature = _bytes_of(sealing, "x25519"), _bytes_of(sealing, "signature")
        if not daemon.is_key(pem):
            raise NotAuthenticated(
                "cannot trust this daemon: its key is another one than yours; look who runs the bridge,"
                " or give the key that the daemon has now"
            )
        transcript = _transcript(self._checksum, self._public, theirs, test_string, pem)
        if sealing.get("v") != VERSION or not _is_signed(pem, signature, _DAEMON + transcript):
            raise NotAuthenticated(
                "cannot trust this answer: the daemon has not signed it; look who runs the bridge"
            )
        to_daemon, to_client = _keys(self._private, theirs, transcript)
        return Agreement(Sealer(to_daemon), Opener(to_client), transcript)


def answer_offer(
    offer: object, checksum: str, test_string: str, key: RSAPrivateKey
) -> tuple[dict[str, object], Agreement]:
    """Give the daemon's `sealing` for a client's, and the agreement. Raises InvalidRequest.

    Costs two milliseconds: call it in a thread.
    """
    if not isinstance(offer, Mapping) or offer.get("v") != VERSION:
        raise InvalidRequest(
            f"cannot read `sealing`: give an object with `v`, which is {VERSION}, and `x25519`"
        )
    theirs = _bytes_of(offer, "x25519")
    private = X25519PrivateKey.generate()
    ours = private.public_key().public_bytes_raw()
    pem = public_pem(key.public_key())
    transcript = _transcript(checksum, theirs, ours, test_string.encode("ascii"), pem)
    to_daemon, to_client = _keys(private, theirs, transcript)
    signature = _sign(key, _DAEMON + transcript)
    answer: dict[str, object] = {"v": VERSION, "x25519": _base64(ours), "signature": signature}
    return answer, Agreement(Sealer(to_client), Opener(to_daemon), transcript)


def public_pem(key: RSAPublicKey) -> bytes:
    """Write a public key in PEM form."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(pem: bytes) -> str:
    """Give the SHA-256 of a public key, in hex; "" if this is none."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        return ""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def decode_base64(text: str) -> bytes:
    """Read base64. Raises ValueError."""
    return base64.b64decode(text.encode("ascii"), validate=True)


def _transcript(checksum: str, client: bytes, daemon: bytes, test_string: bytes, pem: bytes) -> bytes:
    """Give the SHA-256 of all that was agreed on; with each length, so that nothing can be shifted."""
    parts = (_LABEL, checksum.encode(), client, daemon, test_string, pem)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def _keys(private: X25519PrivateKey, theirs: bytes, transcript: bytes) -> tuple[bytes, bytes]:
    """Give the key of what the client sends, and of what the daemon sends."""
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:
        raise InvalidRequest("cannot use `x25519`: give 32 bytes in base64, a key made for this") from error
    made = HKDF(hashes.SHA256(), length=64, salt=transcript, info=_KEYS).derive(shared)
    return made[:32], made[32:]


def _sign(key: RSAPrivateKey, message: bytes) -> str:
    return _base64(key.sign(message, _PADDING, hashes.SHA256()))


def _is_signed(pem: bytes, signature: bytes, message: bytes) -> bool:
    try:
        key = load_pem_public_key(pem)
        if not isinstance(key, RSAPublicKey):
            return False
        key.verify(signature, message, _PADDING, hashes.SHA256())
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _bytes_of(fields: Mapping[str, object], name: str) -> bytes:
    value = fields.get(name)
    try:
        return decode_base64(value) if isinstance(value, str) else b""
    except (ValueError, binascii.Error):
        return b""


def _nonce(count: int) -> bytes:
    return bytes(12 - _COUNTER_BYTES) + count.to_bytes(_COUNTER_BYTES, "big")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
