"""Networks of their own for a test: places that reach one hub in the middle, and not each other.

Linux only, for root; `make_network` says why if it cannot be.
"""

import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_numbers = itertools.count()


class NotPermitted(Exception):
    """Namespaces cannot be made here, with the reason."""


class Network:
    """A hub, and a namespace for each place, wired to the hub only."""

    def __init__(self, places: Sequence[str]) -> None:
        self._prefix = f"t{os.getpid()}-{next(_numbers)}"
        self.hub = f"{self._prefix}-hub"
        self._places = {name: number for number, name in enumerate(places, 1)}

    def make(self) -> None:
        """Make all of it. Raises NotPermitted."""
        if not sys.platform.startswith("linux") or shutil.which("ip") is None:
            raise NotPermitted("there is no ip(8) here, or no Linux")
        try:
            _ip("netns", "add", self.hub)
        except subprocess.CalledProcessError as error:
            raise NotPermitted(f"ip netns add: {error.stderr.strip()}") from None
        _ip("-n", self.hub, "link", "set", "lo", "up")
        # What comes from one place must not be passed on to another.
        subprocess.run(
            [*self.inside(self.hub), "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"], check=True
        )
        for name, number in self._places.items():
            space = self.space(name)
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
            _ip(
                "-n",
                self.hub,
                "link",
                "add",
                f"h{number}",
                "type",
                "veth",
                "peer",
                "name",
                "up0",
                "netns",
                space,
            )
            for where, device, address in (
                (self.hub, f"h{number}", self.hub_address(name)),
                (space, "up0", self.address(name)),
            ):
                _ip("-n", where, "addr", "add", f"{address}/24", "dev", device)
                _ip("-n", where, "link", "set", device, "up")
            _ip("-n", space, "route", "add", "default", "via", self.hub_address(name))

    def remove(self) -> None:
        """Take all of it away, as far as it is there."""
        for name in (self.hub, *map(self.space, self._places)):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def space(self, place: str) -> str:
        """The namespace of a place."""
        return f"{self._prefix}-{place}"

    def address(self, place: str) -> str:
        """The address of a place."""
        return f"10.99.{self._places[place]}.2"

    def hub_address(self, place: str) -> str:
        """The address by which a place reaches the hub."""
        return f"10.99.{self._places[place]}.1"

    def inside(self, space: str) -> tuple[str, ...]:
        """What stands before a command that is to run in a namespace."""
        return ("ip", "netns", "exec", space)

    def run(self, place: str, function: Callable[[], Any]) -> Any:
        """Call a function in a thread whose sockets are those of a place."""
        results: list[Any] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                _set_namespace(Path("/run/netns", self.space(place)))
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - it is raised again below
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


def _set_namespace(path: Path) -> None:
    """Let this thread make its sockets in another namespace from now on."""
    with path.open("rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns", str(path))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
