"""Read what queues.yaml says about the bridges to connect to."""

import re
from urllib.parse import urlsplit

import msgspec

from dispatcher.setting_keys import BRIDGE_ADDRESS, BRIDGES
from dispatcher.setting_values import read_section
from dispatcher.settings import BridgeAddress, Bridges
from dispatcher.yaml_reader import Entry

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z", re.ASCII)
_FINGERPRINT = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_EXAMPLE = "wss://bridge.example:12149"


def read_bridges(entry: Entry | None) -> Bridges:
    """Read the bridges; without the section there are none."""
    if entry is None:
        return Bridges()
    values, entries = read_section(entry, BRIDGES)
    bridges: list[BridgeAddress] = []
    for element in entries["to"].elements("a list; each element begins with '- '") if "to" in entries else ():
        bridge = _read_address(element)
        if bridge.name in {other.name for other in bridges}:
            raise element.wrong(f"there is a bridge {bridge.name} already", "give each another name")
        bridges.append(bridge)
    return msgspec.structs.replace(Bridges(to=tuple(bridges)), **values)


def _read_address(element: Entry) -> BridgeAddress:
    _, entries = read_section(element, BRIDGE_ADDRESS)
    if not entries.keys() >= {"name", "url"}:
        raise element.wrong(
            "a bridge has a name and a url", f"write such as {{name: office, url: {_EXAMPLE}}}"
        )
    name = entries["name"].text("a name")
    if not _NAME.match(name):
        raise entries["name"].wrong(
            f"{name[:80]!r} cannot name a bridge", "use 1 to 64 letters, digits, '_', '-' or '.' of ASCII"
        )
    fingerprint = ""
    if "fingerprint" in entries:
        text = entries["fingerprint"].text("the SHA-256 of a certificate")
        fingerprint = text.replace(":", "").lower()
        if not _FINGERPRINT.match(fingerprint):
            raise entries["fingerprint"].wrong(
                f"{text[:80]!r} is no SHA-256", "write the 64 digits that the bridge says at its start"
            )
    return BridgeAddress(name, _read_url(entries["url"], has_fingerprint=bool(fingerprint)), fingerprint)


def _read_url(entry: Entry, *, has_fingerprint: bool) -> str:
    text = entry.text("the URL of a bridge")
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not text.isascii() or not text.isprintable() or " " in text or "@" in text:
        raise entry.wrong(f"{text[:80]!r} is no URL of a bridge", f"write one such as {_EXAMPLE}")
    if has_fingerprint and text.startswith("ws:"):
        raise entry.wrong("without TLS there is no certificate", "write wss, or remove the fingerprint")
    return text
