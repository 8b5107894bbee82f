"""`dispatcher bridge serve` as peers see it: who gets in, who sees whom, what is passed on, what is not."""

import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.exceptions import ConnectionClosed

from dispatcher.bridge.relay import Kind
from dispatcher.bridge.relay_keys import FILE, TrustedKeys
from tests.acceptance.bridge_peers import Peer, pem, signed, sum_of
from tests.acceptance.bridge_program import BridgeProgram, bridging
from tests.acceptance.daemon_clients import until
from tests.daemon import PATIENCE, PROGRAM, ROOT

ID = re.compile(r"::\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}")
PATIENT = {"auth": {"failures": 1000}}
TIGHT = {"limits": {"send_timeout": "1 s", "message_bytes": "64 KiB", "outbox_bytes": "64 KiB"}}
TOO_SLOW = "it reads too slowly: more waits for it than outbox_bytes and message_bytes allow"


@pytest.fixture(scope="module")
def web() -> rsa.RSAPrivateKey:
    """The key of the servers."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def anna() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def bert() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def trust(bridge: BridgeProgram, nick: str, key: rsa.RSAPrivateKey, only: Kind | None = None) -> None:
    """What `dispatcher bridge keys import` does, without a process of its own."""
    file = bridge.folder / f"{nick}.pub"
    file.write_bytes(pem(key))
    TrustedKeys(bridge.state_dir / FILE).add(nick, file, only)


def distrust(bridge: BridgeProgram, nick: str) -> None:
    TrustedKeys(bridge.state_dir / FILE).remove(nick)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory, web, anna, bert) -> Iterator[BridgeProgram]:
    """One bridge, with and without TLS, that trusts all three keys."""
    made = BridgeProgram(tmp_path_factory.mktemp("b"), PATIENT, ["wss://127.0.0.1:0", "ws://127.0.0.1:0"])
    for nick, key in (("web", web), ("anna", anna), ("bert", bert)):
        trust(made, nick, key)
    with bridging(made):
        yield made


@pytest.fixture(scope="module")
def tight(tmp_path_factory, web, anna, bert) -> Iterator[BridgeProgram]:
    """A bridge with small limits."""
    made = BridgeProgram(tmp_path_factory.mktemp("b"), TIGHT, ["ws://127.0.0.1:0"])
    for nick, key in (("web", web), ("anna", anna), ("bert", bert)):
        trust(made, nick, key)
    with bridging(made):
        yield made


def test_a_server_and_a_client_find_each_other_speak_and_part(bridge, web, anna):
    with Peer(bridge) as server, Peer(bridge, bridge.urls[1]) as client:
        server.join("server", web, ["other", sum_of(anna)]).settled()
        client.join("client", anna, [sum_of(anna)])
        (server.id,) = client.sights()
        (client.id,) = server.sights()
        assert ID.fullmatch(server.id)
        assert ID.fullmatch(client.id)

        client.pass_on(server.id, '{"namespace":"rpc"}')
        assert server.passed() == (client.id, '{"namespace":"rpc"}')
        for payload in ("eyJhIjoxfQ==", "", "two\nlines\n", "ümläut ✓", "x" * 300_000):
            server.pass_on(client.id, payload)
            assert client.passed() == (server.id, payload)
        client.say(f"{server.id}\nbinary".encode())
        assert server.passed() == (client.id, "binary")

        with Peer(bridge) as second:
            second.join("server", web, [sum_of(anna)])
            assert second.sights() == [client.id]
            both = client.sights()
            assert both[0] == server.id
            assert len(both) == 2
        assert client.sights() == [server.id]
        server.settled()  # it has heard nothing of another server
        server.answer("bridge_request_list_keys", {"md5_keys": [sum_of(anna), "more"]})
        server.settled()
        client.settled()  # nothing has changed
        server.answer("bridge_request_list_keys", {"md5_keys": ["more"]})
        assert (client.sights(), server.sights()) == ([], [])
        client.pass_on(server.id, "too late")
        client.settled()
        server.settled()
        assert bridge.stderr.count("server ::{") >= 2


def test_strangers_and_those_of_one_kind_hear_nothing_of_each_other(bridge, web, anna, bert):
    with Peer(bridge) as server, Peer(bridge) as other, Peer(bridge) as client, Peer(bridge) as stranger:
        server.join("server", web, [sum_of(anna)]).settled()
        other.join("server", web, [sum_of(anna)]).settled()
        client.join("client", anna, [sum_of(anna)])
        ids = client.sights()
        # A stranger who claims the key of another is shown nothing: only its own keys count.
        stranger.join("client", bert, [sum_of(bert), sum_of(anna)]).settled()
        for one in (server, other):
            one.sights()
            for to in ids:
                one.pass_on(to, "psst")
            one.settled()
        for to in (*ids, "::{}", "", "x y", *(one.upper() for one in ids)):
            stranger.pass_on(to, "psst")
        stranger.settled()

        # Also nobody, who has logged in nowhere or has said too little.
        with Peer(bridge) as nobody:
            nobody.identify("client")
            nobody.answer("bridge_request_list_keys", {"md5_keys": [sum_of(anna)]})
            for to in ids:
                nobody.pass_on(to, "psst")
            nobody.settled()
        for said in ({"type": "bridge"}, {}, "client", {"type": ["client"]}):
            with Peer(bridge) as odd:
                odd.hear()
                odd.answer("sysadm_bridge_request_ident", said)
                odd.log_in(anna)
                odd.hear()
                odd.answer("bridge_request_list_keys", {"md5_keys": [sum_of(anna)]})
                odd.settled()
        for one in (server, other, client):
            one.settled()


def test_an_owner_of_two_keys_is_matched_by_both(bridge, web, anna):
    spare = rsa.generate_private_key(65537, 2048)
    with Peer(bridge) as server, Peer(bridge) as client:
        server.join("server", web, [sum_of(spare)])
        client.join("client", anna, [sum_of(spare), sum_of(anna)]).settled()
        trust(bridge, "anna2", spare)
        distrust(bridge, "anna2")
        file = bridge.folder / "spare.pub"
        TrustedKeys(bridge.state_dir / FILE).add("anna", file.with_name("anna2.pub"))

        assert len(client.sights()) == len(server.sights()) == 1


def test_who_proves_nothing_is_nobody(bridge, anna):
    unauthorized = {"args": "unauthorized", "id": "1", "name": "error", "namespace": "rpc"}
    foreign = rsa.generate_private_key(65537, 2048)
    with Peer(bridge) as one, Peer(bridge) as two:
        one.hear()
        two.hear()
        assert one.prove(anna, "x" * 200) == unauthorized  # nothing was asked
        text = one.challenge()
        assert two.prove(anna, text) == unauthorized  # on another connection
        two.challenge()
        assert two.prove(anna, text) == unauthorized  # where another text is outstanding
        assert one.prove(foreign, text) == unauthorized
        assert one.prove(anna, text) == unauthorized  # it was used up by the wrong proof
        for wrong in ("", "AAAA", "no base64 !", 5, None, signed(anna, "x" * 200)):
            one.challenge()
            assert one.ask("auth_ssl", {"encrypted_string": wrong}) == unauthorized
        older = one.challenge()
        newer = one.challenge()
        assert older != newer
        assert one.prove(anna, older) == unauthorized
        assert one.prove(anna, one.challenge({"md5_key": sum_of(foreign)})) == unauthorized  # named another
        assert one.ask("settings", {})["name"] == "error"

        token, seconds = one.prove(anna, one.challenge({"md5_key": sum_of(anna)}))["args"]
        assert re.fullmatch("[A-Za-z0-9]{40}", token)
        assert seconds == 900
        assert one.hear() == {
            "args": {"action": "list_ssl_checksums"},
            "id": "bridge_request_list_keys",
            "name": "settings",
            "namespace": "rpc",
        }
        # A login anew that fails is the end.
        assert one.prove(foreign, one.challenge()) == unauthorized
        assert one.closed() == (1008, "its new login has failed")


def test_the_bridge_says_what_it_is_and_little_else(bridge, anna):
    with Peer(bridge) as peer:
        peer.hear()
        identity = peer.ask("identify", "")
        assert identity["args"] == {"type": "bridge", "hostname": socket.gethostname()}
        assert (identity["name"], identity["namespace"]) == ("response", "rpc")
        for silent in (
            "",
            "hello",
            "{",
            "{}",
            '{"namespace":"rpc","name":"identify","id":"1"}',
            '{"name":"identify","id":"1","args":""}',
            '{"namespace":"rpc","name":"error","id":"1","args":""}',
            '{"namespace":"rpc","name":"response","id":"1","args":""}',
            '{"namespace":"rpc","name":"response","id":["x"],"args":""}',
            b"\xff\xfe",
        ):
            peer.say(silent)
            peer.settled()
        for name in ("dispatcher", "auth", "auth_token", "query", "Identify"):
            assert peer.ask(name, {}, "rpc", "7") == {
                "args": None,
                "id": "7",
                "name": "error",
                "namespace": "rpc",
            }
        peer.log_in(anna)
        peer.hear()
        assert peer.ask("list", {}, "Odd", "8") == {
            "args": None,
            "id": "8",
            "name": "response",
            "namespace": "Odd",
        }


def test_a_key_for_one_kind_only_lets_nobody_in_as_the_other(bridge, web, anna):
    guarded = rsa.generate_private_key(65537, 2048)
    trust(bridge, "guarded", guarded, Kind.CLIENT)
    with Peer(bridge) as client, Peer(bridge) as false_server:
        client.join("client", anna, [sum_of(anna)]).settled()
        false_server.join("server", guarded, [sum_of(anna)])

        assert false_server.closed() == (1008, "its key is for a client, and it says that it is a server")
        client.settled()


def test_removed_keys_end_their_connections_and_imported_ones_count_at_once(bridge, web, anna):
    carl = rsa.generate_private_key(65537, 2048)
    with Peer(bridge) as server, Peer(bridge) as early:
        server.join("server", web, [sum_of(carl), sum_of(anna)])
        early.identify("client")
        assert early.prove(carl, early.challenge())["name"] == "error"
        trust(bridge, "carl", carl)
        early.log_in(carl)
        early.hear()
        early.answer("bridge_request_list_keys", {"md5_keys": [sum_of(carl)]})
        assert len(early.sights()) == len(server.sights()) == 1
        with Peer(bridge) as other:
            other.join("client", anna, [sum_of(anna)])
            other.sights()
            server.sights()
            distrust(bridge, "carl")

            assert early.closed() == (1008, "its key is trusted no longer")
            assert len(server.sights()) == 1
            other.settled()
        with Peer(bridge) as late:
            late.hear()
            assert late.prove(carl, late.challenge())["name"] == "error"


def test_who_does_not_log_in_is_closed_in_time_and_may_say_little(tmp_path):
    limits = {"login_time": "500 ms", "login_bytes": "2 KiB"}
    with bridging(BridgeProgram(tmp_path, {"limits": limits}, ["ws://127.0.0.1:0"])) as bridge:
        with Peer(bridge) as large:
            large.say("x" * 3000)
            assert large.closed()[0] == 1009
        begun = time.monotonic()
        with Peer(bridge) as nobody:
            nobody.identify("client")
            assert nobody.closed() == (1000, "")
        assert 0.4 < time.monotonic() - begun < 10


def small_window(url: str) -> socket.socket:
    """A connection into which the other end can write little before it is read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    return made


def test_a_client_that_does_not_read_is_closed_and_nobody_waits_for_it(tight, web, anna, bert):
    with (
        Peer(tight) as server,
        Peer(tight) as quick,
        Peer(tight, sock=small_window(tight.url), max_queue=1, close_timeout=0.1) as slow,
    ):
        server.join("server", web, [sum_of(anna), sum_of(bert)])
        quick.join("client", bert, [sum_of(bert)])
        (server.id,) = quick.sights()
        (quick.id,) = server.sights()
        slow.join("client", anna, [sum_of(anna)])
        slow.sights()
        (slow.id,) = set(server.sights()) - {quick.id}

        payload = "x" * 60_000
        for count in range(200):  # more than all the buffers between can hold
            server.pass_on(slow.id, payload)
            server.pass_on(quick.id, str(count))
            assert quick.passed() == (server.id, str(count))
        assert server.sights() == [quick.id]
        assert TOO_SLOW in tight.stderr
        with suppress(ConnectionClosed):
            while True:
                slow.socket.recv(timeout=PATIENCE)


def test_a_server_that_does_not_read_holds_back_only_those_who_speak_to_it(tight, web, anna, bert):
    with (
        Peer(tight, sock=small_window(tight.url), max_queue=1, close_timeout=0.1) as slow,
        Peer(tight) as server,
        Peer(tight) as flooder,
        Peer(tight) as other,
    ):
        slow.join("server", web, [sum_of(anna)])
        flooder.join("client", anna, [sum_of(anna)])
        (slow.id,) = flooder.sights()
        server.join("server", web, [sum_of(bert)])
        other.join("client", bert, [sum_of(bert)])
        (server.id,) = other.sights()
        (other.id,) = server.sights()

        def flood() -> None:
            for _ in range(300):
                flooder.pass_on(slow.id, "x" * 60_000)

        thread = threading.Thread(target=flood)
        thread.start()
        while thread.is_alive():
            other.pass_on(server.id, "still here")
            assert server.passed() == (other.id, "still here")
        thread.join()

        assert flooder.sights() == []  # the slow one was closed when it had read nothing for 1 s
        flooder.settled()


def is_turned_away(bridge: BridgeProgram) -> bool:
    """Whether a new connection is closed before a word is read."""
    with small_window(bridge.url) as opened:
        opened.settimeout(PATIENCE)
        try:
            opened.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return opened.recv(1) == b""
        except ConnectionError:
            return True


def test_who_fails_too_often_is_refused_until_a_key_is_imported(tmp_path, anna):
    with bridging(BridgeProgram(tmp_path, {"auth": {"failures": 2}}, ["ws://127.0.0.1:0"])) as bridge:
        with Peer(bridge) as guesser:
            guesser.identify("client")
            for _ in range(3):
                assert guesser.prove(anna, guesser.challenge())["args"] == "unauthorized"
            assert is_turned_away(bridge)
            assert "refusing 127.0.0.1 for 60 min: 2 failed logins" in bridge.stderr
            bridge.restart()
            assert is_turned_away(bridge)
        file = tmp_path / "anna.pub"
        file.write_bytes(pem(anna))
        bridge.import_key("anna", file)

        until(lambda: "trusted keys: 1, of them new 1; no longer trusted: 0\n" in bridge.stderr, "it noticed")
        assert not is_turned_away(bridge)
        with Peer(bridge) as peer:
            peer.join("client", anna, [sum_of(anna)]).settled()


def test_a_bridge_ends_when_asked_and_comes_back_as_the_same(bridge, web, anna):
    before = bridge.certificate.read_bytes(), bridge.urls
    with Peer(bridge) as server, Peer(bridge) as client:
        server.join("server", web, [sum_of(anna)]).settled()
        client.join("client", anna, [sum_of(anna)])
        begun = time.monotonic()

        assert bridge.stop() == 0
        assert time.monotonic() - begun < 10
        assert server.closed()[0] == client.closed()[0] == 1001
    bridge.start()
    assert (bridge.certificate.read_bytes(), bridge.urls) == before
    assert (bridge.state_dir / "tls.key").stat().st_mode & 0o777 == 0o600
    with Peer(bridge) as server:
        server.join("server", web, [sum_of(anna)]).settled()


def test_a_browser_is_told_what_this_is(bridge):
    context = ssl.create_default_context(cafile=bridge.certificate)
    with pytest.raises(Exception, match="426") as told:
        urlopen(bridge.url.replace("wss", "https"), context=context, timeout=PATIENCE)  # noqa: S310

    told.value.close()  # type: ignore[attr-defined]


def run_bridge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "bridge", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_bridge_that_cannot_start_says_why_in_one_sentence(bridge, tmp_path):
    taken = run_bridge("serve", "--listen", bridge.urls[1], "--state-dir", str(tmp_path / "b"))
    wrong = run_bridge("serve", "--listen", "http://x:1")

    port = bridge.urls[1].rpartition(":")[2]
    assert taken.returncode == 1
    assert re.fullmatch(
        rf"dispatcher: cannot listen on 127\.0\.0\.1 port {port}: "
        rf"(another program|\S+ \(pid {bridge.pid}\)) listens there; "
        r"stop it or change listen: in queues\.yaml\n",
        taken.stderr,
    )
    assert wrong.returncode == 2
    assert "cannot listen on 'http://x:1': write such as wss://10.0.0.1:12149" in wrong.stderr


def test_keys_are_imported_listed_and_removed(tmp_path, web):
    bridge = BridgeProgram(tmp_path)
    file = tmp_path / "web.pub"
    file.write_bytes(pem(web))

    done = bridge.keys("import", "web", str(file), "--only", "server")
    assert (done.returncode, done.stdout) == (0, f"the key {sum_of(web)} of web is trusted\n")
    (found,) = json.loads(bridge.keys("list", "--json").stdout)
    assert found | {"imported": ""} == {
        "nick": "web",
        "only": "server",
        "md5_key": sum_of(web),
        "imported": "",
    }
    assert bridge.keys("list").stdout.splitlines()[1].split()[:3] == ["web", "server", sum_of(web)]
    assert bridge.keys("remove", "web").stdout == "1 key of web removed\n"
    again = bridge.keys("remove", "web", "--json")
    assert (again.returncode, again.stderr) == (
        1,
        "dispatcher: cannot remove 'web': no key is trusted under this nick\n",
    )
