"""Dates of certificates: read, told, and reason enough to make our own one anew."""

import datetime as dt
import logging
import shutil
import ssl
import time
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from dispatcher.certificate_report import certificate_warnings, describe_certificate
from dispatcher.errors import StartupError
from dispatcher.net import tls
from dispatcher.net.certificate_dates import dates_of
from dispatcher.net.shown_certificate import ShownCertificate
from dispatcher.net.tls import RENEW_SECONDS, dotted, make_context, read_certificate, self_signed
from dispatcher.settings import Listener, Settings, Tls
from tests.adapters.test_settings_change import NOW
from tests.certificates import DAY, HOUR, write_pair

SECURE = (Listener(address="127.0.0.1", port=0),)
YEAR = 365 * DAY


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    self_signed(folder)
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "tls.crt", tmp_path / "tls.key"


@pytest.mark.parametrize(
    ("begins", "ends", "issuer"),
    [
        (-DAY, HOUR, "localhost"),
        (DAY, YEAR, "some CA"),
        (-YEAR, 24 * YEAR, "localhost"),
        (-70 * YEAR, -DAY, "x"),
    ],
    ids=["soon", "not yet, by a CA", "behind 2049", "of 1956"],
)
def test_dates_and_issuer_are_read_as_they_were_written(pair, begins, ends, issuer):
    written = write_pair(pair[0], pair[1], begins, ends, issuer=issuer)

    found = read_certificate(*pair)

    assert (found.begins, found.ends) == written
    assert found.is_self_signed is (issuer == "localhost")


def test_every_certificate_that_is_cut_off_is_none(made):
    der = ssl.PEM_cert_to_DER_cert((made / "tls.crt").read_text())
    whole = dates_of(der)

    for length in range(100):
        with pytest.raises(ValueError, match=r"."):
            dates_of(der[:length])
    assert whole.is_self_signed


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [
        (-DAY, HOUR, " ends on "),
        (-YEAR, 29 * DAY, " ends on "),
        (-YEAR, -DAY, " ends on "),
        (HOUR, YEAR, " is not valid before "),
    ],
)
def test_our_own_certificate_is_made_anew_when_it_ends_soon_or_does_not_fit_the_clock(
    pair, caplog, begins, ends, why
):
    write_pair(pair[0], pair[1], begins, ends)
    before = read_certificate(*pair).fingerprint

    with caplog.at_level(logging.WARNING):
        now = self_signed(pair[0].parent)

    assert now.fingerprint != before
    assert now.begins <= time.time() < now.ends - 3000 * 86_400
    assert why in caplog.text
    assert [path.stat().st_mode & 0o777 for path in pair] == [0o600] * 2
    make_context(*pair)


def test_our_own_certificate_is_kept_as_long_as_it_has_a_month_left(made, caplog):
    one = read_certificate(made / "tls.crt", made / "tls.key")
    for now in (one.begins, one.ends - RENEW_SECONDS - 1):
        assert self_signed(made, partial(float, now)) == one
    assert caplog.text == ""


def settings(folder: Path, configured: Tls | None = None) -> Settings:
    return replace(NOW, state_dir=folder, listen=SECURE, tls=configured)


def test_the_certificate_that_is_shown_is_told_with_its_fingerprint_and_dates(made):
    one = read_certificate(made / "tls.crt", made / "tls.key")
    days = [
        dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC") for at in (one.begins, one.ends)
    ]

    assert describe_certificate(settings(made)) == (
        f"certificate {made}/tls.crt: SHA-256 {dotted(one)}, valid from {days[0]} to {days[1]}, "
        "self-signed, renewed by itself"
    )
    assert certificate_warnings(settings(made)) == []
    assert describe_certificate(replace(settings(made), listen=())) == ""


def test_a_certificate_that_is_not_made_yet_or_cannot_be_read_is_told(tmp_path):
    assert describe_certificate(settings(tmp_path)).endswith("is made at the first start, self-signed")
    configured = Tls(tmp_path / "none.crt", tmp_path / "none.key")
    assert "cannot read" in describe_certificate(settings(tmp_path, configured))
    assert certificate_warnings(settings(tmp_path, configured)) == []


@pytest.mark.parametrize(
    ("begins", "ends", "issuer", "words"),
    [
        (-DAY, YEAR, "localhost", []),
        (-YEAR, -HOUR, "localhost", ["has ended on"]),
        (HOUR, YEAR, "localhost", ["is not valid before"]),
        (-YEAR, 29 * DAY, "localhost", ["ends on"]),
        (-YEAR, YEAR, "some CA", ["is signed by a CA, and SysAdm's own client crashes on that"]),
        (-YEAR, -HOUR, "some CA", ["has ended on", "is signed by a CA"]),
    ],
)
def test_a_configured_certificate_that_clients_may_not_take_is_warned_of(pair, begins, ends, issuer, words):
    write_pair(pair[0], pair[1], begins, ends, issuer=issuer)

    found = certificate_warnings(settings(pair[0].parent, Tls(*pair)))

    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))
    assert all(sentence.startswith(f"tls: the certificate {pair[0]} ") for sentence in found)
    assert "renewed by itself" not in describe_certificate(settings(pair[0].parent, Tls(*pair)))


async def test_a_configured_certificate_is_read_again_when_its_files_are_others_and_both_fit(pair, caplog):
    write_pair(pair[0], pair[1], -DAY, YEAR)
    shown = ShownCertificate(SECURE, Tls(*pair), pair[0].parent)
    told: list[tls.Certificate] = []
    shown.on_changed = told.append
    await shown.load()
    before = shown.context

    same = await shown.refresh()
    other = pair[0].parent / "other"
    other.mkdir()
    write_pair(other / "tls.crt", other / "tls.key", -DAY, YEAR)
    shutil.copy(other / "tls.crt", pair[0])
    halves = [await shown.refresh() for _ in range(2)]
    kept = shown.context
    shutil.copy(other / "tls.key", pair[1])
    whole = await shown.refresh()

    assert same == halves[0] == halves[1] == []
    assert kept is before
    assert caplog.text.count("belongs to another certificate") == 1
    assert told == [shown.certificate]
    assert shown.context is not before
    assert whole == [f"certificate {pair[0]} is shown from now on, SHA-256 {dotted(told[0])}"]


async def test_without_tls_there_is_nothing_to_show(tmp_path):
    shown = ShownCertificate((Listener(path=tmp_path / "s"),), None, tmp_path)
    await shown.load()

    assert (shown.current(), shown.certificate, await shown.refresh()) == (None, None, [])
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_certificate_inside_its_lines_is_told(tmp_path):
    path = tmp_path / "x.crt"
    path.write_text(ssl.DER_cert_to_PEM_cert(b"0\x03abc"))

    with pytest.raises(StartupError, match="cannot use certificate"):
        read_certificate(path, path)
    assert tls.fingerprint(path)
