"""Two daemons and a client, each in a network of its own that reaches nothing but the bridge."""

import base64
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from dispatcher.access.client_keys import ClientKey, ClientKeys
from dispatcher.bridge.client import SessionEnded, open_bridge
from dispatcher.bridge.relay import Kind
from tests.acceptance.bridge_program import BridgeProgram, bridging
from tests.acceptance.bridged_town import Town, fingerprint, trust, write_key
from tests.acceptance.network_namespaces import Network, NotPermitted
from tests.acceptance.test_bridge import finished, id_of
from tests.daemon import FULL, PROGRAM, Daemon, running

PLACES = ("north", "south", "client")
PORT = 12149


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(PLACES)
    try:
        made.make()
        yield made
    except NotPermitted as reason:
        pytest.skip(f"no network namespaces here: {reason}")
    finally:
        made.remove()


@pytest.fixture
def town(network: Network, accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with ExitStack() as stack:
        at_hub = (*network.inside(network.hub), *PROGRAM)
        bridge = BridgeProgram(tmp_path_factory.mktemp("b"), listen=[f"wss://0.0.0.0:{PORT}"], program=at_hub)
        stack.enter_context(bridging(bridge))
        key = write_key(bridge.folder / "client.key")
        trust(bridge, "desk", bridge.folder / "client.key", Kind.CLIENT)
        daemons = {}
        for name in ("north", "south"):
            folder = tmp_path_factory.mktemp("d")
            state = folder / "state"
            write_key(state / "bridge.key")
            state.chmod(0o700)
            trust(bridge, name, state / "bridge.key", Kind.SERVER)
            text = base64.b64encode(key.pem).decode()
            ClientKeys(state / "client_keys.json").register(ClientKey(FULL.name, text, "", "", ""))
            url = f"wss://{network.hub_address(name)}:{PORT}"
            pin = fingerprint(bridge.certificate)
            bridges = {"require_encryption": True, "to": [{"name": "hub", "url": url, "fingerprint": pin}]}
            listen = [
                {"unix": str(state / "dispatcher.sock")},
                {"address": "0.0.0.0", "port": 12150, "tls": True},
            ]
            settings = {"bridges": bridges, "listen": listen}
            program = (*network.inside(network.space(name)), *PROGRAM)
            daemons[name] = stack.enter_context(running(Daemon(folder, accounts_file, settings, program)))
        yield Town(bridge, daemons, key)


def test_a_client_works_over_a_bridge_with_daemons_that_it_cannot_reach(network, town):
    async def work() -> None:
        url = f"wss://{network.hub_address('client')}:{PORT}"
        pin = fingerprint(town.bridge.certificate)
        with trio.fail_after(60):
            async with open_bridge(url, town.key, fingerprint=pin) as bridge:
                await bridge.wait_for_daemons(lambda present: len(present) == 2)
                north, south = [await id_of(bridge, town, name) for name in ("north", "south")]
                async with (
                    bridge.sealed_session(north, town.daemon_key("north")) as one,
                    bridge.sealed_session(south, town.daemon_key("south")) as two,
                ):
                    await one.subscribe("dispatcher")
                    await two.subscribe("dispatcher")
                    await one.call("dispatcher", {"action": "run", "list": ["echo one", "echo two"]})
                    await two.call("dispatcher", {"action": "run", "long": "sleep 600"})
                    record = await finished(one, "list")
                    assert (record["outcome"], record["echo two"]) == ("success", "two\n")
                    await two.call("dispatcher", {"action": "kill", "job_id": "long"})
                    assert (await finished(two, "long"))["outcome"] == "killed"

                    await trio.to_thread.run_sync(town.daemons["south"].stop)
                    with pytest.raises(SessionEnded, match="the daemon has left"):
                        await two.event()
                    await bridge.wait_for_daemons(lambda present: present == {north})
                    assert await one.call("dispatcher", {"action": "list"}) == {"jobs": {}}

    network.run("client", lambda: trio.run(work))

    for daemon in town.daemons.values():
        assert "connected to the bridge hub" in daemon.stderr


def test_the_places_reach_the_bridge_and_not_each_other(network):
    """What the test above rests on."""

    def connect(address: str) -> str:
        try:
            socket.create_connection((address, PORT), timeout=0.3).close()
        except TimeoutError:
            return "nothing"
        except OSError as error:
            return type(error).__name__
        return "connected"

    for name in ("north", "south"):
        # Something listens there, so that nothing but the way there can be missing.
        listener = network.run(name, lambda: socket.create_server(("0.0.0.0", PORT)))
        with listener:
            assert network.run(name, lambda: connect("127.0.0.1")) == "connected"
            assert network.run("client", lambda name=name: connect(network.address(name))) == "nothing"
    assert network.run("client", lambda: connect(network.hub_address("client"))) == "ConnectionRefusedError"
