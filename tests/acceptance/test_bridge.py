"""Clients that reach daemons through the bridge program: our own, encrypted, and one of the old kind."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from dispatcher.bridge.client import BridgeClient, CallRefused, Session, SessionEnded, open_bridge
from dispatcher.bridge.relay import Kind
from dispatcher.bridge.sealing import ClientHalf, DaemonKey
from dispatcher.errors import NotAuthenticated
from tests.acceptance.bridge_peers import Peer, signed
from tests.acceptance.bridged_town import Town, fingerprint, founded, register, trust, write_key
from tests.acceptance.daemon_clients import until
from tests.acceptance.sysadm_client import Client, call
from tests.daemon import Daemon

PATIENCE = 30


@pytest.fixture(scope="module")
def town(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with founded(accounts_file, tmp_path_factory) as built:
        yield built


@contextlib.asynccontextmanager
async def at_bridge(town: Town, many: int = 2) -> AsyncIterator[BridgeClient]:
    """The client, when it sees so many daemons."""
    pin = fingerprint(town.bridge.certificate)
    with trio.fail_after(PATIENCE * 2):
        async with open_bridge(town.bridge.url, town.key, hostname="desk", fingerprint=pin) as bridge:
            await bridge.wait_for_daemons(lambda present: len(present) == many)
            yield bridge


async def id_of(bridge: BridgeClient, town: Town, name: str) -> str:
    """Find out which id is a daemon's: its key is the one that is wanted."""
    for one in sorted(bridge.present):
        with contextlib.suppress(NotAuthenticated):
            async with bridge.sealed_session(one, town.daemon_key(name)):
                return one
    raise AssertionError(f"{name} is not there")


@contextlib.asynccontextmanager
async def session_with(town: Town, name: str) -> AsyncIterator[Session]:
    """A sealed session with one daemon."""
    async with at_bridge(town) as bridge:
        daemon = await id_of(bridge, town, name)
        async with bridge.sealed_session(daemon, town.daemon_key(name)) as session:
            yield session


async def finished(session: Session, key: str) -> dict[str, Any]:
    """Wait for the end of a job; give its record."""
    while True:
        name, record = await session.event()
        assert name == "dispatcher"
        if (record["process_id"], record["state"]) == (key, "finished"):
            found: dict[str, Any] = record
            return found


async def in_thread(function: Any, *args: object) -> None:
    await trio.to_thread.run_sync(partial(function, *args))


async def test_a_client_works_with_two_daemons_at_once(town):
    async with at_bridge(town) as bridge:
        north, south = [await id_of(bridge, town, name) for name in ("north", "south")]
        async with (
            bridge.sealed_session(north, town.daemon_key("north")) as one,
            bridge.sealed_session(south, town.daemon_key("south")) as two,
        ):
            assert (await one.call("identify", ""))["type"] == "server"
            for session in (one, two):
                await session.subscribe("dispatcher")
            assert await one.call("dispatcher", {"action": "run", "list": ["echo one", "echo two"]}) == {
                "started": ["list"]
            }
            await two.call("dispatcher", {"action": "run", "long": ["sleep 600"]})

            record = await finished(one, "list")
            assert (record["outcome"], record["echo one"], record["echo two"]) == (
                "success",
                "one\n",
                "two\n",
            )
            assert (await one.call("dispatcher", {"action": "list"}))["jobs"] == {}
            assert "long" in (await two.call("dispatcher", {"action": "list"}))["jobs"]["no_queue"]
            assert await two.call("dispatcher", {"action": "kill", "job_id": "long"}) == {
                "killed": {"jobs": ["long"]}
            }
            assert (await finished(two, "long"))["outcome"] == "killed"
            with pytest.raises(CallRefused, match="there is no 'rpc/nonesuch'") as refused:
                await one.call("nonesuch", "")
            assert refused.value.number == "404"


async def test_what_was_done_stands_in_the_audit_with_the_key_and_the_bridge(town):
    async with session_with(town, "north") as session:
        await session.call("dispatcher", {"action": "run", "noted": "true"})

    log = town.daemons["north"].log_dir / "audit.log"
    await in_thread(until, lambda: '"noted"' in log.read_text(), "the job stands in the audit")
    entries = [json.loads(one[one.index("{") :]) for one in log.read_text().splitlines()]
    (entry,) = [one for one in entries if "noted" in json.dumps(one)]
    assert entry["from"] == f"bridge office key {town.key.checksum}"
    assert entry["who"] == Daemon.account.name


async def test_a_daemon_that_goes_is_told_and_comes_back(town):
    south = town.daemons["south"]
    async with at_bridge(town) as bridge:
        north, there = await id_of(bridge, town, "north"), await id_of(bridge, town, "south")
        async with bridge.sealed_session(north, town.daemon_key("north")) as stays:
            async with bridge.sealed_session(there, town.daemon_key("south")) as leaves:
                await in_thread(south.stop)
                with pytest.raises(SessionEnded, match="the daemon has left"):
                    await leaves.event()
            assert bridge.present == {north}
            assert await stays.call("dispatcher", {"action": "list"}) == {"jobs": {}}
            await in_thread(south.start)
            await bridge.wait_for_daemons(lambda present: len(present) == 2)
            (again,) = bridge.present - {north}
            assert again != there
            async with bridge.sealed_session(again, town.daemon_key("south")) as back:
                assert await back.call("dispatcher", {"action": "list"}) == {"jobs": {}}


async def test_a_restarted_bridge_is_found_again_by_both_daemons(town):
    async with at_bridge(town) as before:
        await in_thread(town.bridge.restart)
        with trio.fail_after(PATIENCE):
            await before.wait_for_daemons(lambda present: not present)
        with pytest.raises(SessionEnded):
            await before.wait_for_daemons()

    async with session_with(town, "south") as session:
        assert await session.call("dispatcher", {"action": "list"}) == {"jobs": {}}
    for daemon in town.daemons.values():
        assert "connected to the bridge office" in daemon.stderr


async def test_a_key_that_is_registered_later_is_told_to_the_bridge(town, tmp_path):
    key = write_key(tmp_path / "late.key")
    trust(town.bridge, "late", tmp_path / "late.key", Kind.CLIENT)
    with trio.fail_after(PATIENCE):
        async with open_bridge(town.bridge.url, key) as bridge:
            assert bridge.present == frozenset()
            await in_thread(register, town.daemons["north"], key, Daemon.reader)
            (north,) = await bridge.wait_for_daemons()
            async with bridge.sealed_session(north, town.daemon_key("north")) as session:
                with pytest.raises(CallRefused) as refused:
                    await session.call("dispatcher", {"action": "run", "a": "true"})
                assert refused.value.number == "403"


# --- a client of the old kind ---------------------------------------------------------------


class OldClient:
    """Speaks as the documents have it, with `websockets` and without a line of ours."""

    def __init__(self, peer: Peer, daemon: str, private: Any) -> None:
        self._peer = peer
        self._daemon = daemon
        self._private = private

    def say(self, name: str, args: object, namespace: str = "rpc", *, encoded: bool = True) -> None:
        text = json.dumps({"namespace": namespace, "name": name, "id": name, "args": args})
        self.relay(base64.b64encode(text.encode()).decode() if encoded else text)

    def relay(self, payload: str) -> None:
        """Say something as it is."""
        self._peer.pass_on(self._daemon, payload)

    def passed(self) -> str:
        """Hear something as it is."""
        sender, payload = self._peer.passed()
        assert sender == self._daemon
        return payload

    def hear(self, *, encoded: bool = True) -> Any:
        payload = self.passed()
        return json.loads(base64.b64decode(payload, validate=True) if encoded else payload)

    def log_in(self, checksum: str, private: Any = None) -> Any:
        """Both halves of auth_ssl; the answer to the second."""
        self.say("auth_ssl", {"md5_key": checksum}, encoded=False)
        first = self.hear(encoded=False)
        if first["name"] == "error":
            return first
        text = base64.b64decode(first["args"]["test_string"]).decode()
        assert b"BEGIN PUBLIC KEY" in base64.b64decode(first["args"]["new_ssl_key"])
        self.say("auth_ssl", {"encrypted_string": signed(private or self._private, text)})
        return self.hear()


@contextlib.contextmanager
def old_clients(town: Town) -> Iterator[list[OldClient]]:
    """One connection of the old kind, with a client for each daemon."""
    with Peer(town.bridge) as peer:
        peer.join("client", town.key.private, [town.key.checksum])
        daemons: list[str] = []
        while len(daemons) < 2:
            daemons = peer.sights()
        yield [OldClient(peer, daemon, town.key.private) for daemon in daemons]


def test_a_client_of_the_old_kind_gets_in_where_it_may_and_hears_of_its_list(town):
    with old_clients(town) as clients:
        for one in clients:
            one.say("identify", "", encoded=False)
            assert one.hear(encoded=False)["args"]["type"] == "server"
            one.say("auth", {"username": "admin", "password": Daemon.account.password}, encoded=False)
            assert one.hear(encoded=False)["args"]["code"] == "401"
        answers = [one.log_in(town.key.checksum) for one in clients]
        # South takes nobody without encryption, and says so.
        (refused,) = [one for one in answers if one["name"] == "error"]
        assert "bridges: require_encryption" in refused["args"]["reason"]
        (place,) = [place for place, one in enumerate(answers) if one["name"] != "error"]
        client, (token, seconds) = clients[place], answers[place]["args"]
        assert (len(token), seconds) == (20, 900)
        client.say("subscribe", "dispatcher", "events")
        assert client.hear()["args"] == {"subscribe": "dispatcher"}
        client.say("dispatcher", {"action": "run", "old": "echo x"})

        heard = [client.hear()]
        while heard[-1]["args"].get("state") != "finished":
            heard.append(client.hear())

        assert {"started": ["old"]} in [one["args"] for one in heard]
        assert (heard[-1]["args"]["outcome"], heard[-1]["args"]["echo x"]) == ("success", "x\n")
        with Client(town.daemons["north"], None) as direct:
            answer = direct.ask(call("auth_token", {"token": token}))
            assert answer["args"]["code"] == "401"  # whoever runs the bridge has seen it


def test_the_bridge_passes_on_nothing_that_it_could_read_or_change(town):
    """Seen where it comes out of the bridge; a client of the old kind has said all that in base64."""
    half, key = ClientHalf(town.key.checksum), town.key
    with old_clients(town) as clients:
        for client in clients:
            client.say("auth_ssl", {"md5_key": key.checksum, "sealing": half.offer}, encoded=False)
            answer = client.hear(encoded=False)["args"]
            with contextlib.suppress(NotAuthenticated):
                agreement = half.agree(answer, DaemonKey(town.daemon_key("south")))
                break
        said: list[str] = []

        def ask(name: str, args: object, namespace: str = "rpc") -> Any:
            text = json.dumps({"namespace": namespace, "name": name, "id": name, "args": args})
            said.append(agreement.sealer.seal(text.encode()))
            client.relay(said[-1])
            return hear()

        def hear() -> Any:
            said.append(client.passed())
            return json.loads(agreement.opener.open(said[-1]))

        assert (
            ask("auth_ssl", {"encrypted_string": agreement.sign_as_client(key.private)})["name"] == "response"
        )
        ask("subscribe", "dispatcher", "events")
        heard = [ask("dispatcher", {"action": "run", "plum": "echo cherry"})]
        while heard[-1]["args"].get("state") != "finished":
            heard.append(hear())
        assert heard[-1]["args"]["echo cherry"] == "cherry\n"
        for payload in said:
            for form in (payload.encode(), base64.b64decode(payload, validate=True)):
                assert not [word for word in (b"plum", b"cherry", b"dispatcher") if word in form]

        client.relay(said[-1])  # what the daemon has said, sent back to it
        told = json.loads(client.passed())
        assert (told["id"], told["args"]["code"]) == ("", "401")
        assert "this session has ended" in told["args"]["reason"]


async def test_a_daemon_is_nobody_without_its_own_key_and_encryption_where_it_wants_that(town):
    async with at_bridge(town) as bridge:
        south = await id_of(bridge, town, "south")
        with pytest.raises(NotAuthenticated, match="require_encryption"):
            await bridge.open_session(south).__aenter__()
        with pytest.raises(NotAuthenticated, match="its key is another one"):
            await bridge.sealed_session(south, town.daemon_key("north")).__aenter__()
        (north,) = bridge.present - {south}
        async with bridge.open_session(north) as session:
            assert await session.call("dispatcher", {"action": "list"}) == {"jobs": {}}
    assert "write require_encryption" in town.daemons["north"].stderr
    assert "write require_encryption" not in town.daemons["south"].stderr


async def test_wrong_keys_count_for_the_key_that_was_named_and_for_nobody_else(town, tmp_path):
    named, stranger = write_key(tmp_path / "named.key"), write_key(tmp_path / "stranger.key")
    await in_thread(register, town.daemons["north"], named)

    def guess() -> list[str]:
        with old_clients(town) as clients:
            (client,) = [one for one in clients if one.log_in(town.key.checksum)["name"] != "error"]
            return [client.log_in(named.checksum, stranger.private)["args"]["reason"] for _ in range(6)]

    *wrong, refused = await trio.to_thread.run_sync(guess)

    assert all("no signature of the test string" in one for one in wrong)
    assert "too many logins" in refused
    async with session_with(town, "north") as session:  # the client's own key, over the same bridge
        assert await session.call("dispatcher", {"action": "list"}) == {"jobs": {}}
    refusals = json.loads((town.daemons["north"].state_dir / "refused.json").read_text())
    assert list(refusals) == [f"bridge office key {named.checksum}"]


def test_a_daemon_whose_key_for_bridges_will_not_do_says_why_and_does_not_start(accounts_file, tmp_path):
    to = [{"name": "office", "url": "wss://127.0.0.1:1"}]
    daemon = Daemon(tmp_path, accounts_file, {"bridges": {"key": "missing.key", "to": to}})

    with pytest.raises(AssertionError, match=r"cannot read .*/missing\.key: No such file"):
        daemon.start()
    daemon.end()
