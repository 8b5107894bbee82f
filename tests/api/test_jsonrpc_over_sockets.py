"""The JSON-RPC session behind the real server and a real Unix socket, asked by the real command line."""

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from dispatcher import settings
from dispatcher.api.truenas.client import Clients
from dispatcher.api.truenas.feed import JsonRpcFeed
from dispatcher.net.listeners import serve
from tests.api.jsonrpc_fakes import FakeService, finished, job, running, serve_jsonrpc
from tests.api.truenas_logins import fake_logins

ROOT = Path(__file__).parent.parent.parent


class Site:
    """Routes with one path."""

    def __init__(self, service: Any, feed: JsonRpcFeed) -> None:
        self._handler = partial(
            serve_jsonrpc,
            service=service,
            feed=feed,
            logins=fake_logins(),
            limits=settings.Limits(),
            clients=Clients(),
        )

    def http(self, request):
        raise NotImplementedError

    def socket(self, request):
        return self._handler if request.path == "/api/current" else None


@asynccontextmanager
async def daemon(folder: Path, service: FakeService, feed: JsonRpcFeed):
    path = folder / "s"
    async with trio.open_nursery() as nursery:
        listener = settings.Listener(path=path)
        await nursery.start(serve, [listener], Site(service, feed), settings.Limits(), None)
        with trio.fail_after(20):
            yield [sys.executable, "-m", "dispatcher", "--socket", str(path)]
        nursery.cancel_scope.cancel()


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("d")


async def call(*command: str) -> Any:
    done = await trio.run_process(command, capture_stdout=True, cwd=ROOT)
    return json.loads(done.stdout)


async def test_the_command_line_lists_and_submits(folder):
    service = FakeService(running(7))
    async with daemon(folder, service, JsonRpcFeed()) as dispatcher:
        listed = await call(*dispatcher, "list", "--json")
        added = await call(*dispatcher, "run", "--json", "--", "echo", "é")

    assert (listed["total"], listed["jobs"][0]["key"]) == (1, "build-7")
    assert (added["state"], added["attached"]) == ("pending", False)
    assert service.requests[0].commands == (("echo", "é"),)


async def test_the_command_line_reads_a_long_log(folder):
    service = FakeService(finished(7))
    service.log, service.log_is_over = "€\n".encode() * 100_000, True
    async with daemon(folder, service, JsonRpcFeed()) as dispatcher:
        piece = await call(*dispatcher, "log", "7", "--json")

    assert (piece["text"], piece["end"]) == ("€\n" * 100_000, True)


async def test_the_command_line_hears_events_without_a_gap(folder):
    feed = JsonRpcFeed(last=300)
    service = FakeService(*(job(n, changed=n) for n in range(1, 301)))
    command = ("events", "--since", "0", "--json")
    async with daemon(folder, service, feed) as dispatcher, trio.open_nursery() as nursery:
        run = partial(
            trio.run_process, [*dispatcher, *command], stdout=subprocess.PIPE, check=False, cwd=ROOT
        )
        process = await nursery.start(run)
        seen = []
        rest = b""
        async for data in process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            seen += [json.loads(line)["seq"] for line in lines]
            if seen and feed.last < 400:
                for number in range(301, 401):
                    feed.tell(job(number, changed=number))
            if len(seen) >= 400:
                process.terminate()

    assert seen == list(range(1, 401))
