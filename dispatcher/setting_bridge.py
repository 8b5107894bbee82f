"""Read what queues.yaml says about the program between servers and clients, `dispatcher bridge serve`."""

from pathlib import Path

from dispatcher.setting_keys import BRIDGE
from dispatcher.setting_sections import read_each_listener
from dispatcher.setting_values import read_section
from dispatcher.settings import Bridge, Listener
from dispatcher.yaml_reader import Entry


def read_bridge(entry: Entry | None, state_dir: Path) -> Bridge:
    """Read where the bridge listens and keeps its state; `state_dir` is the daemon's."""
    values, entries = read_section(entry, BRIDGE) if entry else ({}, {})
    place = values.get("state_dir", Bridge().state_dir)
    listen = Bridge().listen
    if "listen" in entries and not entries["listen"].is_empty:
        listen = _read_listen(entries["listen"])
    return Bridge(listen, state_dir / place if isinstance(place, Path) else state_dir)


def _read_listen(entry: Entry) -> tuple[Listener, ...]:
    listeners = read_each_listener(entry, Bridge().listen[0].port)
    if not listeners:
        raise entry.wrong("the bridge could not be reached", "write such as [{port: 12149}]")
    for element, listener in zip(entry.elements("a list"), listeners, strict=True):
        if listener.path is not None:
            raise element.wrong("a bridge has no Unix socket", "write an address and a port")
    return listeners
