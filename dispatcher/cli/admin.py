"""The verbs of the machine's admin: serve, check, passwd. They need no running daemon."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

import contextlib
import sys

from dispatcher.cli import exits, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from dispatcher.access.roles import Level
    from dispatcher.cli.parser import Verbs
    from dispatcher.settings import Settings


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    parser = verbs.add(
        "serve", serve, "be the daemon, until TERM", "dispatcher serve\ndispatcher serve --config queues.yaml"
    )
    parser.add_argument("--state-dir", metavar="DIR", help="in place of the settings' state_dir")
    parser.add_argument("--log-dir", metavar="DIR", help="in place of the settings' log_dir")
    parser = verbs.add(
        "check",
        check,
        "check a settings file and show all settings in force",
        "dispatcher check\ndispatcher check /usr/local/etc/dispatcher/queues.yaml",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="(default: --config, or the system's)")
    parser = verbs.add(
        "passwd",
        passwd,
        "add, change, remove or list the accounts of network clients",
        "dispatcher passwd admin --level full\n"
        "dispatcher passwd monitor --level read --stdin < password.txt\n"
        "dispatcher passwd monitor --delete\ndispatcher passwd --list",
    )
    parser.add_argument("name", metavar="NAME", nargs="?")
    parser.add_argument("--level", choices=("full", "read"), help="full may run and kill, read may look")
    parser.add_argument("--stdin", action="store_true", help="read the password from the first line of stdin")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--delete", action="store_true", help="remove the account")
    doing.add_argument("--list", action="store_true", help="list the accounts")


def serve(arguments: argparse.Namespace) -> int:
    """Be the daemon."""
    from dispatcher.supervisor import run

    given = {"state_dir": arguments.state_dir, "log_dir": arguments.log_dir}
    overrides = {name: value for name, value in given.items() if value is not None}
    return run(_settings(arguments, overrides=overrides), lambda: _settings(arguments, overrides=overrides))


def check(arguments: argparse.Namespace) -> int:
    """Check a settings file; a mistake is one sentence and status 2."""
    from dispatcher.certificate_report import certificate_warnings, describe_certificate
    from dispatcher.config import describe, warnings

    settings = _settings(arguments, arguments.file)
    found = warnings(settings) + certificate_warnings(settings)
    certificate = describe_certificate(settings)
    if arguments.json:
        import msgspec

        output.write_json(
            {
                "settings": msgspec.to_builtins(settings, enc_hook=str),
                "certificate": certificate,
                "warnings": found,
            }
        )
        return exits.SUCCESS
    print(describe(settings), end="")
    if certificate:
        print(f"# {certificate}")
    for sentence in found:
        output.say(f"dispatcher: warning: {sentence}")
    return exits.SUCCESS


def passwd(arguments: argparse.Namespace) -> int:
    """Write the accounts file."""
    if arguments.list:
        return _list_accounts(arguments)
    if not arguments.name:
        raise exits.Usage("cannot set a password: give the NAME of the account, or --list")
    from dispatcher.access.accounts import Accounts
    from dispatcher.access.roles import Level

    accounts = Accounts(_settings(arguments).accounts)
    if arguments.delete:
        accounts.delete(arguments.name)
        _tell_daemon(arguments)
        return _say_done(arguments, None)
    if not arguments.level:
        raise exits.Usage(f"cannot set the account {arguments.name!r}: give --level full or --level read")
    level = Level.FULL if arguments.level == "full" else Level.READ
    accounts.set(arguments.name, level, _password(arguments))
    _tell_daemon(arguments)
    return _say_done(arguments, level)


def _password(arguments: argparse.Namespace) -> str:
    if arguments.stdin:
        return sys.stdin.readline().rstrip("\r\n")
    import getpass

    try:
        password = getpass.getpass(f"Password for {arguments.name}: ")
        again = getpass.getpass("Once more: ")
    except EOFError:
        raise exits.Usage("cannot ask for a password: there is no terminal; use --stdin") from None
    if password != again:
        raise exits.Usage("cannot set the password: the two were not the same; try again")
    return password


def _tell_daemon(arguments: argparse.Namespace) -> None:
    """Have a running daemon look at the accounts at once; without this it looks within a second."""
    from dispatcher.cli.connection import connect
    from dispatcher.errors import DispatcherError

    # None may be running, or an older one, or another user's.
    with contextlib.suppress(DispatcherError), connect(arguments) as client:
        client.call("dispatcher.accounts_changed")


def _say_done(arguments: argparse.Namespace, level: Level | None) -> int:
    if arguments.json:
        output.write_json({"name": arguments.name, "level": level and level.name.lower()})
    elif level is None:
        print(f"account {arguments.name} is removed")
    else:
        print(f"account {arguments.name} has level {level.name.lower()}")
    return exits.SUCCESS


def _list_accounts(arguments: argparse.Namespace) -> int:
    from dispatcher.access.accounts import Accounts

    accounts = Accounts(_settings(arguments).accounts)
    accounts.load()
    found = [(name, level.name.lower()) for name, level in accounts.names()]
    if arguments.json:
        output.write_json([{"name": name, "level": level} for name, level in found])
    else:
        output.write_table(("ACCOUNT", "LEVEL"), found, frozenset())
    return exits.SUCCESS


def _settings(
    arguments: argparse.Namespace, file: str | None = None, overrides: Mapping[str, str] | None = None
) -> Settings:
    from pathlib import Path

    from dispatcher.config import load

    name = file or arguments.config
    return load(Path(name).absolute() if name else None, overrides or {})
