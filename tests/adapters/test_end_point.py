"""The hash of a certificate that SCRAM binds to, for each kind of signature."""

import datetime as dt
import hashlib
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from dispatcher.net.end_point import server_end_point

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ECDSA = ec.generate_private_key(ec.SECP256R1())
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


def certificate(key, digest, **more) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, digest, **more)
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("key", [RSA, ECDSA])
@pytest.mark.parametrize(
    "digest", [hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda one: one.name
)
def test_it_is_the_hash_that_the_certificate_is_signed_with(key, digest, tmp_path):
    pem = certificate(key, digest)
    path = tmp_path / "tls.crt"
    path.write_text("some words before\n" + pem + certificate(RSA, hashes.SHA512()))

    assert server_end_point(path) == hashlib.new(digest.name, ssl.PEM_cert_to_DER_cert(pem)).digest()


def test_there_is_none_where_no_hash_is_defined(tmp_path):
    path = tmp_path / "tls.crt"
    for pem in (
        certificate(ed25519.Ed25519PrivateKey.generate(), None),
        certificate(RSA, hashes.SHA256(), rsa_padding=PSS),
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ):
        path.write_text(pem)

        assert server_end_point(path) == b""
