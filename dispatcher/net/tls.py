"""The certificate that the dispatcher shows, and the TLS settings around it.

Without a configured certificate a self-signed one is made at the first start and kept, so that
clients can remember its fingerprint.
"""

import contextlib
import datetime as dt
import hashlib
import ipaddress
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dispatcher.errors import StartupError
from dispatcher.net.certificate_dates import dates_of
from dispatcher.net.end_point import server_end_point
from dispatcher.settings import Listener, Tls

VALID_DAYS = 3650
RENEW_SECONDS = 30 * 86_400.0  # before its end our own certificate is made anew
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

log = logging.getLogger("dispatcher.net")


class Certificate(NamedTuple):
    """Where a certificate and its key lie, and the SHA-256 of the certificate in hexadecimal.

    It is valid from `begins` to `ends`, in seconds, UTC.
    """

    certificate: Path
    key: Path
    fingerprint: str
    begins: float
    ends: float
    is_self_signed: bool


class ServerContext(ssl.SSLContext):
    """A context of ours; `end_point` is what SCRAM binds logins to (RFC 5929), b"" if nothing."""

    end_point = b""


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load a certificate (with its chain) and its key; TLS 1.2 or later. Raises StartupError."""
    for path in (certificate, key):
        _read(path)
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.end_point = server_end_point(certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    asked: list[bool] = []

    def no_password() -> str:
        asked.append(True)
        return ""  # without this OpenSSL would ask on the terminal, and wait

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except (ssl.SSLError, ValueError) as error:
        raise StartupError(_why_not(certificate, key, error, is_encrypted=bool(asked))) from error
    return context


def context_for(
    listeners: Sequence[Listener], configured: Tls | None, state_dir: Path
) -> tuple[ssl.SSLContext | None, Certificate | None]:
    """Give what listeners need: the configured certificate or our own, or nothing if none has TLS.

    Raises StartupError. May take a second, and writes files: call it in a thread.
    """
    if not any(listener.tls for listener in listeners if listener.path is None):
        return None, None
    if configured is not None:
        path, key = configured.certificate, configured.key
        context = make_context(path, key)
        return context, read_certificate(path, key)
    certificate = self_signed(state_dir)
    return make_context(certificate.certificate, certificate.key), certificate


def fingerprint(certificate: Path) -> str:
    """Give the SHA-256 of the first certificate in a PEM file, as other tools show it, in lower case."""
    return hashlib.sha256(_first(certificate)).hexdigest()


def dotted(one: Certificate) -> str:
    """Write a fingerprint as clients and `openssl x509 -fingerprint -sha256` show it."""
    return ":".join(one.fingerprint[at : at + 2] for at in range(0, len(one.fingerprint), 2)).upper()


def read_certificate(certificate: Path, key: Path) -> Certificate:
    """Tell of the first certificate in a PEM file; the key is only named. Raises StartupError."""
    der = _first(certificate)
    try:
        dates = dates_of(der)
    except ValueError as error:
        raise StartupError(
            f"cannot use certificate {certificate}: {error}; correct tls: in queues.yaml"
        ) from error
    return Certificate(certificate, key, hashlib.sha256(der).hexdigest(), *dates)


def self_signed_paths(state_dir: Path) -> tuple[Path, Path]:
    """Name the files of the dispatcher's own certificate and its key."""
    return state_dir / "tls.crt", state_dir / "tls.key"


def self_signed(state_dir: Path, clock: Callable[[], float] = time.time) -> Certificate:
    """Give the dispatcher's own certificate (mode 0600), making it if it is not there or ends soon."""
    certificate, key = self_signed_paths(state_dir)
    try:
        if not (certificate.exists() and key.exists()) or _is_over(certificate, key, clock()):
            made_certificate, made_key = _make(socket.gethostname())
            # In this order, so that a pair that does not fit is never there.
            certificate.unlink(missing_ok=True)
            _write(key, made_key)
            _write(certificate, made_certificate)
    except OSError as error:
        raise StartupError(
            f"cannot make a certificate in {state_dir}: {error.strerror}; "
            "make the directory writable or set tls: in queues.yaml"
        ) from error
    return read_certificate(certificate, key)


def _is_over(certificate: Path, key: Path, now: float) -> bool:
    """Tell whether our own certificate is to be made anew, with a line in the log."""
    one = read_certificate(certificate, key)
    if one.begins <= now < one.ends - RENEW_SECONDS:
        return False
    date, what = (one.begins, "is not valid before") if now < one.begins else (one.ends, "ends on")
    written = dt.datetime.fromtimestamp(date, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    log.warning("certificate %s %s %s by this clock: making a new one", certificate, what, written)
    return True


def _first(certificate: Path) -> bytes:
    """Give the first certificate in a PEM file as DER."""
    text = _read(certificate).decode("latin-1")
    start, end = text.find(BEGIN), text.find(END)
    try:
        return ssl.PEM_cert_to_DER_cert(text[max(start, 0) : end + len(END)])
    except ValueError as error:
        raise StartupError(f"cannot use certificate {certificate}: it is not in PEM form") from error


def _make(host: str) -> tuple[bytes, bytes]:
    # Imported here: it takes 50 ms and 10 MB, and is needed once in ten years.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    with contextlib.suppress(ValueError):  # a host name that is not ASCII cannot stand there
        names.insert(0, x509.DNSName(host))
    names += [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", "::1")]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64] or "dispatcher")])
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clients whose clock is behind
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS - 1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> None:
    """Put a file in its place in one go, readable by us only from its first byte."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    part.rename(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(
            f"cannot read {path}: {error.strerror}; correct tls: in queues.yaml or the file's mode"
        ) from error


def _why_not(certificate: Path, key: Path, error: Exception, *, is_encrypted: bool) -> str:
    reason = getattr(error, "reason", None) or ""
    if is_encrypted:
        why = f"the key {key} asks for a password; store it without one (openssl pkey)"
    elif reason == "KEY_VALUES_MISMATCH":
        why = f"the key {key} belongs to another certificate; name the pair that was made together"
    else:
        why = f"it or its key {key} is not in PEM form ({error}); correct tls: in queues.yaml"
    return f"cannot use certificate {certificate}: {why}"
