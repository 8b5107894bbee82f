"""Certificates: one is made when there is none, kept, and every mistake with one is a sentence."""

import datetime as dt
import hashlib
import ipaddress
import shutil
import socket
import ssl
import stat
import subprocess
import sys

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dispatcher.errors import StartupError
from dispatcher.net import connection as net_connection
from dispatcher.net.tls import fingerprint, make_context, self_signed
from tests.integration.net_server import LOCAL, SECURE, rest_of, running, talk


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("other"))


def test_the_certificate_is_made_once_and_kept(made):
    again = self_signed(made.certificate.parent)

    assert again == made
    assert sorted(path.name for path in made.certificate.parent.iterdir()) == ["tls.crt", "tls.key"]


def test_both_files_are_readable_by_us_only(made):
    assert [stat.S_IMODE(path.stat().st_mode) for path in (made.certificate, made.key)] == [0o600, 0o600]


def test_the_certificate_is_what_clients_that_pin_self_signed_ones_accept(made):
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    now = dt.datetime.now(dt.UTC)

    assert certificate.subject == certificate.issuer
    assert certificate.subject.rfc4514_string() == f"CN={socket.gethostname()}"
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 2048
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_before_utc < now - dt.timedelta(hours=23)
    assert now + dt.timedelta(days=3600) < certificate.not_valid_after_utc < now + dt.timedelta(days=3650)
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_the_fingerprint_is_the_one_that_openssl_shows(made):
    der = x509.load_pem_x509_certificate(made.certificate.read_bytes()).public_bytes(
        serialization.Encoding.DER
    )

    assert made.fingerprint == hashlib.sha256(der).hexdigest() == fingerprint(made.certificate)


def test_the_fingerprint_of_a_chain_is_that_of_its_first_certificate(made, other, tmp_path):
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"some words\n" + made.certificate.read_bytes() + other.certificate.read_bytes())

    assert fingerprint(chain) == made.fingerprint


def test_a_pair_of_which_one_half_is_lost_is_made_anew(made, tmp_path):
    shutil.copy(made.certificate, tmp_path)
    again = self_signed(tmp_path)

    assert again.fingerprint != made.fingerprint
    make_context(again.certificate, again.key)


def test_a_kept_certificate_needs_no_cryptography(made):
    code = (
        "import sys; from pathlib import Path; from dispatcher.net.tls import self_signed\n"
        "one = self_signed(Path(sys.argv[1])); assert 'cryptography' not in sys.modules; print(one.fingerprint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(made.certificate.parent)], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == made.fingerprint


def test_a_directory_where_no_certificate_can_be_made_is_told(tmp_path):
    with pytest.raises(StartupError, match=r"cannot make a certificate in .*/absent: No such file"):
        self_signed(tmp_path / "absent")


def test_tls_below_1_2_is_not_spoken(made):
    assert make_context(made.certificate, made.key).minimum_version == ssl.TLSVersion.TLSv1_2


def encrypted_key(made, path):
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    form = serialization.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form))
    return path


def test_a_key_of_another_certificate_is_told(made, other):
    with pytest.raises(StartupError, match="belongs to another certificate; name the pair"):
        make_context(made.certificate, other.key)


def test_a_key_with_a_password_is_told_and_nobody_is_asked(made, tmp_path):
    with pytest.raises(StartupError, match="asks for a password; store it without one"):
        make_context(made.certificate, encrypted_key(made, tmp_path / "key"))


def test_a_file_that_is_no_certificate_is_told(made, tmp_path):
    (tmp_path / "noise").write_text("not a certificate")
    with pytest.raises(StartupError, match="not in PEM form"):
        make_context(tmp_path / "noise", made.key)
    with pytest.raises(StartupError, match="not in PEM form"):
        fingerprint(tmp_path / "noise")


def test_a_file_that_is_not_there_is_told(made, tmp_path):
    with pytest.raises(StartupError, match=r"cannot read .*/absent: No such file or directory; correct tls:"):
        make_context(made.certificate, tmp_path / "absent")


async def test_a_client_that_speaks_no_tls_or_nothing_ends_only_itself(made, monkeypatch):
    monkeypatch.setattr(net_connection, "TLS_SECONDS", 0.2)
    context = ssl.create_default_context(cafile=str(made.certificate))
    async with running(SECURE, tls=make_context(made.certificate, made.key)) as server:
        plain = await talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with await trio.open_tcp_stream(LOCAL, server.port) as silent:
            nothing = await rest_of(silent)
        stream = trio.SSLStream(
            await trio.open_tcp_stream(LOCAL, server.port), context, server_hostname="localhost"
        )
        async with stream:
            await stream.send_all(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join([piece async for piece in stream])  # ends by a TLS goodbye, or this raises

    assert not plain.startswith(b"HTTP")
    assert nothing == b""
    assert answer.startswith(b"HTTP/1.1 200 ")
