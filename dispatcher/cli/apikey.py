"""The verbs of API keys: add, list, remove. They need no running daemon; a running one notices at once."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

from dispatcher.cli import exits, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from dispatcher.access.api_keys import ApiKey, ApiKeys
    from dispatcher.access.roles import Level
    from dispatcher.cli.parser import Verbs
    from dispatcher.settings import Settings

DAY = 86400


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    from dispatcher.cli.parser import verbs_below

    inner = verbs_below(
        verbs.add(
            "apikey",
            list_keys,
            "add, list or remove the API keys of programs",
            "dispatcher apikey add backup --user admin\ndispatcher apikey list\ndispatcher apikey remove 3",
        )
    )
    parser = inner.add(
        "add",
        add_key,
        "make an API key and show it, this once",
        "dispatcher apikey add backup --user admin\n"
        "dispatcher apikey add graphs --user admin --level read --days 90",
    )
    parser.add_argument("name", metavar="NAME", help="what the key is for")
    parser.add_argument("--user", metavar="USER", required=True, help="the account that it logs in as")
    parser.add_argument(
        "--level", choices=("full", "read"), help="what it may do at most (default: what its user may)"
    )
    parser.add_argument("--days", metavar="DAYS", type=int, help="how long it is good (default: for ever)")
    inner.add("list", list_keys, "list the API keys", "dispatcher apikey list")
    parser = inner.add(
        "remove",
        remove_key,
        "remove an API key; sessions that it has logged in end at once",
        "dispatcher apikey remove 3",
    )
    parser.add_argument("id", metavar="ID", type=int, help="the number in front of the key")


def add_key(arguments: argparse.Namespace) -> int:
    """Make a key and write it to stdout: it cannot be shown again."""
    import time

    from dispatcher.access.roles import Level

    if arguments.days is not None and not 0 < arguments.days <= 36500:
        raise exits.Usage("cannot make a key for this time: give --days 1 to 36500")
    settings = _settings(arguments)
    most = _level_of(settings, arguments.user)
    level = {"full": Level.FULL, "read": Level.READ, None: most}[arguments.level]
    if level > most:
        raise exits.Usage(
            f"cannot give the key level full: {arguments.user!r} has level read; leave out --level"
        )
    now = time.time()
    expires = None if arguments.days is None else now + arguments.days * DAY
    text, key = _keys(settings).add(arguments.name, arguments.user, level, now=now, expires=expires)
    if arguments.json:
        output.write_json(_fields(key) | {"key": text})
    else:
        print(text)
        output.say(f"this is API key {key.number} ({key.name}) of {key.user}; it is not shown again")
    return exits.SUCCESS


def list_keys(arguments: argparse.Namespace) -> int:
    """List the keys, without what one would log in with."""
    keys = _keys(_settings(arguments))
    keys.load()
    if arguments.json:
        output.write_json([_fields(key) for key in keys.all()])
        return exits.SUCCESS
    rows = [
        (
            str(key.number),
            key.name,
            key.user,
            key.level.name.lower(),
            output.local_time(_instant(key.created)),
            output.local_time(_instant(key.expires)) if key.expires else "-",
        )
        for key in keys.all()
    ]
    output.write_table(("ID", "NAME", "USER", "LEVEL", "CREATED", "EXPIRES"), rows, frozenset({"ID"}))
    return exits.SUCCESS


def remove_key(arguments: argparse.Namespace) -> int:
    """Remove a key."""
    key = _keys(_settings(arguments)).remove(arguments.id)
    if arguments.json:
        output.write_json(_fields(key))
    else:
        print(f"API key {key.number} ({key.name}) of {key.user} is removed")
    return exits.SUCCESS


def _level_of(settings: Settings, name: str) -> Level:
    from dispatcher.access.accounts import Accounts
    from dispatcher.access.roles import Level
    from dispatcher.access.system_users import SystemUsers

    if "accounts" in settings.auth.methods:
        accounts = Accounts(settings.accounts)
        accounts.load()
        account = accounts.find(name)
        if account is not None:
            return account.level
    user = SystemUsers(settings.auth).find(name) if "pam" in settings.auth.methods else None
    if user is None or user.level is Level.NOBODY:
        raise exits.Usage(
            f"cannot make a key for {name!r}, who may do nothing here:"
            f" make an account with dispatcher passwd {name} --level full"
        )
    return user.level


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.number,
        "name": key.name,
        "user": key.user,
        "level": key.level.name.lower(),
        "created": _instant(key.created),
        "expires": _instant(key.expires),
    }


def _instant(moment: float | None) -> str | None:
    from datetime import UTC, datetime

    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _keys(settings: Settings) -> ApiKeys:
    from dispatcher.access.api_keys import NAME, ApiKeys

    return ApiKeys(settings.accounts.with_name(NAME))


def _settings(arguments: argparse.Namespace) -> Settings:
    from pathlib import Path

    from dispatcher.config import load

    return load(Path(arguments.config).absolute() if arguments.config else None)
