"""SCRAM-SHA-512, the server's side (RFC 5802, RFC 7677 with SHA-512): texts in, texts out.

A client proves that it has a secret of which only `ScramKeys` are kept here; neither the messages nor
what is kept are enough to log in. Who may be whom is decided elsewhere. Pure but for random numbers.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets

from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest

ITERATIONS = 500_000
BINDING = "tls-server-end-point"  # RFC 5929: the hash of the server's certificate
_SALT_BYTES = 16
_NONCE_BYTES = 32
_PROOF_BYTES = 64
_MAX_TEXT = 4096
_FIRST = re.compile(r"(n|y|p=([A-Za-z0-9.-]+)),,(n=([^,]+),r=([!-+\--~]+)(?:,[a-zA-Z]=[^,]+)*)", re.DOTALL)
_FINAL = re.compile(r"(c=([^,]+),r=([^,]+)(?:,[a-zA-Z]=[^,]+)*),p=([^,]+)", re.DOTALL)


class ScramKeys(Value, frozen=True):
    """What is kept of a secret."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int = ITERATIONS


class ClientFirst(Value, frozen=True):
    """A client's first message. `binding` is "n", "y" (it could, and believes we cannot) or a type's name."""

    header: str
    binding: str
    bare: str
    user: str
    nonce: str


class Exchange:
    """One try to log in, from the first message on; it can be finished once."""

    def __init__(self, first: ClientFirst, keys: ScramKeys, binding_data: bytes = b"") -> None:
        self._keys = keys
        self._bare = first.bare
        bound = binding_data if first.binding == BINDING else b""
        self._expected = first.header.encode() + bound
        self._nonce = _joined(first.nonce, secrets.token_bytes(_NONCE_BYTES))
        salt = base64.b64encode(keys.salt).decode()
        self.server_first = f"r={self._nonce},s={salt},i={keys.iterations}"

    def finish(self, text: str) -> str | None:
        """Give the server's final message for the client's; None if the client has not the secret.

        Raises InvalidRequest if it is no such message. Another nonce or another certificate than
        ours, by which somebody in between is found out, is no proof either.
        """
        found = _FINAL.fullmatch(text) if len(text) <= _MAX_TEXT else None
        if found is None:
            raise InvalidRequest("cannot read `rfc_str`: a client-final-message is c=...,r=...,p=...")
        without_proof, bound, nonce, proof = found.groups()
        message = f"{self._bare},{self.server_first},{without_proof}".encode("utf-8", "surrogatepass")
        signature = _hmac(self._keys.stored_key, message)
        key = bytes(a ^ b for a, b in zip(signature, _bytes(proof, _PROOF_BYTES), strict=True))
        is_right = hmac.compare_digest(hashlib.sha512(key).digest(), self._keys.stored_key)
        is_here = hmac.compare_digest(_bytes(bound), self._expected)
        is_now = hmac.compare_digest(nonce.encode("utf-8", "surrogatepass"), self._nonce.encode())
        if not (is_right and is_here and is_now):
            return None
        return "v=" + base64.b64encode(_hmac(self._keys.server_key, message)).decode()


def keys_of(secret: str, iterations: int = ITERATIONS) -> ScramKeys:
    """Make what is kept of a secret. Takes up to a second: call it in a thread."""
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, iterations)
    stored = hashlib.sha512(_hmac(salted, b"Client Key")).digest()
    return ScramKeys(salt, stored, _hmac(salted, b"Server Key"), iterations)


def nobodys_keys(user: str, decoy: bytes) -> ScramKeys:
    """Give keys for which there is no secret, the same for a user each time: who asks learns nothing."""
    salt = _hmac(decoy, user.encode("utf-8", "surrogatepass"))[:_SALT_BYTES]
    return ScramKeys(salt, secrets.token_bytes(_PROOF_BYTES), secrets.token_bytes(_PROOF_BYTES))


def read_first(text: str) -> ClientFirst:
    """Read a client-first-message. Raises InvalidRequest."""
    found = _FIRST.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if found is None or re.search("=(?!2C|3D)", found[4]):
        raise InvalidRequest(
            "cannot read `rfc_str`: a client-first-message is n,,n=NAME:KEY,r=NONCE"
            f" (or p={BINDING} in place of the first n)"
        )
    flag, name, bare, user, nonce = found.groups()
    return ClientFirst(f"{flag},,", name or flag, bare, user.replace("=2C", ",").replace("=3D", "="), nonce)


def _joined(nonce: str, more: bytes) -> str:
    """Append our part to the client's nonce.

    RFC 5802 appends text. TrueNAS's clients decode the nonce and encode it again, which survives only
    if it is base64 as a whole; for a nonce that is base64 without padding both are the same.
    """
    try:
        decoded = base64.b64decode(nonce, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if decoded and base64.b64encode(decoded).decode() == nonce:
        return base64.b64encode(decoded + more).decode()
    return nonce + base64.b64encode(more).decode()


def _bytes(text: str, length: int | None = None) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("cannot read `rfc_str`: c= and p= are base64") from None
    if length is not None and len(found) != length:
        raise InvalidRequest(f"cannot read `rfc_str`: a proof of SCRAM-SHA-512 has {length} bytes")
    return found


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha512")
