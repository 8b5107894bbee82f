"""The certificate is renewed while clients are connected, and they notice nothing."""

import json
import ssl
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from dispatcher.net.tls import dotted, read_certificate
from tests.acceptance.daemon_clients import SysAdm, until
from tests.acceptance.launchers import changed
from tests.certificates import DAY, HOUR, write_pair
from tests.daemon import FULL, Daemon, running


@pytest.fixture
def watchful(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """A daemon that looks at its certificate many times a second."""
    folder = tmp_path_factory.mktemp("d")
    program = changed(
        folder, "from dispatcher.net import shown_certificate", "shown_certificate.EVERY = 0.05"
    )
    (folder / "state").mkdir(mode=0o700)
    with running(Daemon(folder, accounts_file, None, program)) as daemon:
        yield daemon


def shown(daemon: Daemon) -> str:
    """Give the fingerprint that a new client sees."""
    trust = ssl.create_default_context(cafile=daemon.state_dir / "tls.crt")
    with connect(f"wss://localhost:{daemon.tls_port}/", ssl=trust) as socket:
        tls = socket.socket
        assert isinstance(tls, ssl.SSLSocket)
        der = tls.getpeercert(binary_form=True)
        assert der is not None
    return dotted(read_certificate(write(daemon.folder / "seen.crt", der), daemon.folder))


def last(daemon: Daemon) -> str:
    """Give what was last said of the certificate that is shown."""
    return [line for line in daemon.stderr.splitlines() if ", SHA-256 " in line][-1]


def write(path: Path, der: bytes) -> Path:
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    return path


def test_a_certificate_that_ends_in_an_hour_is_renewed_under_a_connected_client(watchful):
    pair = watchful.state_dir / "tls.crt", watchful.state_dir / "tls.key"
    first = shown(watchful)
    with SysAdm(watchful) as client:
        assert client.call(action="list") == {"jobs": {}}
        write_pair(*pair, -DAY, HOUR)
        until(lambda: f", SHA-256 {first}" not in last(watchful), "another one is shown")

        assert client.call(action="list") == {"jobs": {}}
        client.call(action="run", after="true")
    one = read_certificate(*pair)
    assert dotted(one) != first
    assert one.ends > time.time() + 3000 * 86_400
    assert last(watchful) == f"certificate {pair[0]} is shown from now on, SHA-256 {dotted(one)}"
    assert shown(watchful) == dotted(one)
    assert f"warning: certificate {pair[0]} ends on " in watchful.stderr
    assert pair[1].stat().st_mode & 0o777 == 0o600
    with SysAdm(watchful) as newcomer:
        assert "jobs" in newcomer.call(action="list")
    assert FULL.name in (watchful.log_dir / "audit.log").read_text()


def test_a_start_renews_what_has_ended_and_check_tells_of_a_bad_configured_one(daemon, tmp_path):
    pair = daemon.state_dir / "tls.crt", daemon.state_dir / "tls.key"
    daemon.stop()
    write_pair(*pair, -2 * DAY, -DAY)
    old = dotted(read_certificate(*pair))
    daemon.start()
    new = dotted(read_certificate(*pair))

    assert old not in daemon.stderr
    assert f"certificate {pair[0]}, SHA-256 {new}" in daemon.stderr.splitlines()
    assert shown(daemon) == new
    good = daemon.cli("check", str(daemon.config), check=True)
    assert f"# certificate {pair[0]}: SHA-256 {new}, valid from " in good.stdout
    assert good.stderr == ""

    theirs = tmp_path / "their.crt", tmp_path / "their.key"
    write_pair(*theirs, -2 * DAY, -DAY, issuer="some CA")
    daemon.configure({"tls": {"certificate": str(theirs[0]), "key": str(theirs[1])}})
    bad = daemon.cli("check", str(daemon.config), "--json", check=True)
    told = json.loads(bad.stdout)
    assert "signed by a CA" in told["certificate"]
    assert [sentence.split(" ")[4:7] for sentence in told["warnings"]] == [
        ["has", "ended", "on"],
        ["is", "signed", "by"],
    ]
