"""A program of somebody who uses aiotruenas-client: run a job, wait for it, ask what it is. Not a test.

Arguments: ws, wss or unix; HOST:PORT or the path of the socket; key, or NAME and PASSWORD; a folder. Writes one
line of JSON. It runs in an environment of its own, so it imports nothing of ours.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiotruenas_client import CachingMachine
from aiotruenas_client.websockets.job import CachingJobFetcher
from aiotruenas_client.websockets.protocol import truenas_password_auth_protocol_factory
from websockets.client import unix_connect  # type: ignore[attr-defined]  # of an older version


async def connected(how: str, address: str, secrets: list[str]) -> Any:
    if how != "unix":
        if len(secrets) == 1:
            return await CachingMachine.create(address, api_key=secrets[0], secure=how == "wss")
        name, password = secrets
        return await CachingMachine.create(address, username=name, password=password, secure=how == "wss")
    # The client itself knows no Unix socket, but its protocol does not mind.
    machine = CachingMachine()
    protocol = truenas_password_auth_protocol_factory(*secrets)
    machine._client = await unix_connect(address, "ws://localhost/websocket", create_protocol=protocol)
    machine._job_fetcher = await CachingJobFetcher.create(machine=machine)
    return machine


async def main(how: str, address: str, *more: str) -> None:
    *secrets, folder = more
    machine = await connected(how, address, secrets)
    found: dict[str, Any] = {"info": await machine.get_system_info()}

    go = Path(folder) / "go"
    number = await machine.invoke_method("line.up", [str(go)])
    waiting = asyncio.create_task(machine.wait_for_job(number))
    await asyncio.sleep(0)
    go.touch()
    job = await asyncio.wait_for(waiting, 20)
    found["success"] = [job.id == number, job.method, str(job.status), job.result, job.error]

    failing = await machine.invoke_method("line.fail", [str(go)])
    job = await asyncio.wait_for(machine.wait_for_job(failing), 20)
    found["failed"] = [job.method, str(job.status), job.result, job.error]

    listed = await machine.invoke_method("core.get_jobs", [[["id", "=", number]]])
    found["listed"] = [one["state"] for one in listed]
    found["seen again"] = (await machine.get_job(number)).method
    await (machine._client.close() if how == "unix" else machine.close())
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
