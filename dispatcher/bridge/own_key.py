"""The private RSA key by which this end is known to bridges, and by which a daemon signs its sessions.

Made at the first start, readable by us only; its public half lies beside it, to be imported at the
bridge and given to clients. Signing is slow (some milliseconds): do it in a thread.
"""

import base64
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dispatcher.access.client_keys import MAX_BITS, MIN_BITS, checksum_of
from dispatcher.access.files import replace_file
from dispatcher.bridge.sealing import fingerprint, public_pem
from dispatcher.errors import NotAuthenticated, StartupError

NEW_BITS = 3072
_LEAST_PADDING = 11  # RFC 8017, 9.2: 00 01 FF (8 times at least) 00


class OwnKey:
    """A private key with what is known of it by others."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self.private = private
        self.pem = public_pem(private.public_key())
        self.checksum = checksum_of(self.pem)
        self.fingerprint = fingerprint(self.pem)

    def sign_text(self, text: object) -> str:
        """Sign the test string of `auth_ssl`, in base64: padded by PKCS#1 v1.5, no hash.

        Raises NotAuthenticated if this is no test string.
        """
        size = self.private.key_size // 8
        is_text = isinstance(text, str) and text.isascii() and text.isalnum()
        # Letters and digits only: whoever is let in by this key must not have just anything signed.
        if not is_text or not 16 <= len(str(text)) <= size - _LEAST_PADDING:
            raise NotAuthenticated("cannot sign what was given as a test string: it is none")
        block = b"\x00\x01" + b"\xff" * (size - 3 - len(str(text))) + b"\x00" + str(text).encode("ascii")
        result = _private_operation(self.private, int.from_bytes(block, "big"))
        return base64.b64encode(result.to_bytes(size, "big")).decode("ascii")


def load_key(path: Path) -> OwnKey:
    """Read a private key. Raises StartupError if it cannot be used."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read()
    except OSError as error:
        raise StartupError(
            f"cannot read {path}: {error.strerror}; correct bridges: key, or the file's mode"
        ) from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise StartupError(f"cannot use {path}: others may read or write it; chmod 600 {path}")
    try:
        private = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StartupError(
            f"cannot use {path}: it is no private key in PEM form without a password; name one under"
            " bridges: key, or leave that out and one is made"
        ) from error
    if not isinstance(private, rsa.RSAPrivateKey) or not MIN_BITS <= private.key_size <= MAX_BITS:
        raise StartupError(
            f"cannot use {path}: it must be RSA of {MIN_BITS} to {MAX_BITS} bits; name another under"
            " bridges: key"
        )
    return OwnKey(private)


def own_key(path: Path, public: Path, *, may_make: bool) -> OwnKey:
    """Give the key in a file, made if it is not there and may be; write its public half to `public`.

    To be called in a thread. Raises StartupError.
    """
    try:
        if may_make and not path.exists():
            private = rsa.generate_private_key(65537, NEW_BITS)
            replace_file(
                path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            )
        key = load_key(path)
        if not public.exists() or public.read_bytes() != key.pem:
            replace_file(public, key.pem.decode())
    except OSError as error:
        raise StartupError(
            f"cannot write {path} and {public.name}: {error.strerror}; make room in state_dir"
        ) from error
    return key


def _private_operation(key: rsa.RSAPrivateKey, block: int) -> int:
    """Raise to the private exponent.

    The library signs nothing without naming a hash in it, as this protocol has it. A factor that only
    we know keeps the time that this takes from telling anything about the key.
    """
    numbers = key.private_numbers()
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    blind = secrets.randbelow(n - 2) + 2
    blinded = block * pow(blind, e, n) % n
    p, q = numbers.p, numbers.q
    at_p, at_q = pow(blinded, numbers.dmp1, p), pow(blinded, numbers.dmq1, q)
    result = (at_q + (at_p - at_q) * numbers.iqmp % p * q) * pow(blind, -1, n) % n
    if pow(result, e, n) != block:
        raise AssertionError("a signature came out wrong")  # a fault would give the key away
    return result
