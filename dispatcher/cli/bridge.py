"""The verbs of a bridge, the program between servers and clients: serve, and the keys that it trusts."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

from dispatcher.cli import exits, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from dispatcher.bridge.relay_keys import TrustedKey, TrustedKeys
    from dispatcher.cli.parser import Verbs
    from dispatcher.settings import Listener, Settings


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    from dispatcher.cli.parser import verbs_below

    inner = verbs_below(
        verbs.add(
            "bridge",
            serve,
            "be a bridge between servers and clients, and say which keys it trusts",
            "dispatcher bridge serve\n"
            "dispatcher bridge keys import anna anna.pub\ndispatcher bridge keys list",
        )
    )
    parser = inner.add(
        "serve",
        serve,
        "be the bridge, until TERM",
        "dispatcher bridge serve\ndispatcher bridge serve --listen wss://10.0.0.1:12149",
    )
    parser.add_argument(
        "--listen", metavar="URL", action="append", help="in place of the settings: wss://ADDRESS:PORT"
    )
    _add_state_dir(parser)
    keys = verbs_below(
        inner.add(
            "keys",
            list_keys,
            "the public keys of those who may come to this bridge",
            "dispatcher bridge keys import web1 web1.crt --only server\ndispatcher bridge keys remove web1",
        )
    )
    parser = keys.add(
        "import",
        import_key,
        "trust the key in a PEM file: a certificate, a public or a private key",
        "dispatcher bridge keys import web1 /var/db/dispatcher/bridge.key --only server\n"
        "dispatcher bridge keys import anna anna.pub",
    )
    parser.add_argument("nick", metavar="NICK", help="whose key it is; one owner may have several")
    parser.add_argument("file", metavar="FILE", help=".crt, .key or .pub, in PEM form")
    parser.add_argument("--only", choices=("server", "client"), help="its owner may come as this only")
    _add_state_dir(parser)
    _add_state_dir(keys.add("list", list_keys, "list the trusted keys", "dispatcher bridge keys list"))
    parser = keys.add(
        "remove",
        remove_keys,
        "trust no key of this nick any longer; a running bridge closes its connections",
        "dispatcher bridge keys remove web1",
    )
    parser.add_argument("nick", metavar="NICK")
    _add_state_dir(parser)


def serve(arguments: argparse.Namespace) -> int:
    """Be the bridge."""
    import logging

    import msgspec

    from dispatcher.bridge.relay_server import run
    from dispatcher.start_report import Lines

    settings = _settings(arguments)
    if arguments.listen:
        listen = tuple(map(read_listen, arguments.listen))
        bridge = msgspec.structs.replace(settings.bridge, listen=listen)
        settings = msgspec.structs.replace(settings, bridge=bridge)
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return run(settings)


def read_listen(url: str) -> Listener:
    """Read `wss://ADDRESS:PORT` or `ws://...`; without a port the usual one. Raises Usage."""
    import ipaddress
    from urllib.parse import urlsplit

    from dispatcher.settings import Bridge, Listener

    try:
        parts = urlsplit(url)
        address, port = parts.hostname or "", parts.port
        if address != "*":
            address = str(ipaddress.ip_address(address))
    except ValueError:
        parts, address, port = urlsplit(""), "", None
    if parts.scheme not in {"ws", "wss"} or parts.path not in {"", "/"} or parts.query or not address:
        raise exits.Usage(f"cannot listen on {url!r}: write such as wss://10.0.0.1:12149 or 'wss://*:12149'")
    usual = Bridge().listen[0].port
    return Listener(address=address, port=usual if port is None else port, tls=parts.scheme == "wss")


def import_key(arguments: argparse.Namespace) -> int:
    """Trust a key."""
    from pathlib import Path

    from dispatcher.bridge.relay import Kind

    only = Kind(arguments.only) if arguments.only else None
    key = _keys(arguments).add(arguments.nick, Path(arguments.file), only)
    if arguments.json:
        output.write_json(_shown(key))
    else:
        print(f"the key {key.checksum} of {output.clean(key.nick)} is trusted")
    return exits.SUCCESS


def list_keys(arguments: argparse.Namespace) -> int:
    """List the trusted keys."""
    keys = _keys(arguments)
    keys.load()
    if arguments.json:
        output.write_json([_shown(key) for key in keys.all()])
    else:
        rows = [(key.nick, key.only or "", key.checksum, key.date) for key in keys.all()]
        output.write_table(("NICK", "ONLY", "KEY", "IMPORTED"), rows, frozenset())
    return exits.SUCCESS


def remove_keys(arguments: argparse.Namespace) -> int:
    """Trust no key of a nick any longer."""
    many = _keys(arguments).remove(arguments.nick)
    if arguments.json:
        output.write_json({"nick": arguments.nick, "removed": many})
    else:
        print(f"{many} {'key' if many == 1 else 'keys'} of {output.clean(arguments.nick)} removed")
    return exits.SUCCESS


def _shown(key: TrustedKey) -> dict[str, str | None]:
    return {"nick": key.nick, "only": key.only, "md5_key": key.checksum, "imported": key.date}


def _keys(arguments: argparse.Namespace) -> TrustedKeys:
    from dispatcher.bridge.relay_keys import FILE, TrustedKeys

    return TrustedKeys(_settings(arguments).bridge.state_dir / FILE)


def _settings(arguments: argparse.Namespace) -> Settings:
    from pathlib import Path

    import msgspec

    from dispatcher.config import load

    settings = load(Path(arguments.config).absolute() if arguments.config else None)
    place: Path | None = Path(arguments.state_dir).absolute() if arguments.state_dir else None
    if place is None:
        return settings
    return msgspec.structs.replace(settings, bridge=msgspec.structs.replace(settings.bridge, state_dir=place))


def _add_state_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state-dir", metavar="DIR", help="in place of the settings' state_dir under bridge:"
    )
