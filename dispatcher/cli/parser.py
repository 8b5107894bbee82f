"""The arguments of the command line: what `--help` shows, and which function carries out each verb."""

from __future__ import annotations

import argparse
import os

from dispatcher import __version__
from dispatcher.cli import admin, apikey, audit, bridge, jobs, logs, queues, run, status, stopping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXITS = """\
exit status:
  0    done; for run --wait, run --follow and wait: the job succeeded
  N    of a failed job: what its command exited with; 128 + n if signal n
       ended it, 127 if it could not start
  1    refused, invalid or not permitted; the job was skipped
  2    wrong arguments or settings
  4    no such job or queue
  69   no daemon at the socket
  75   the job was lost
  124  the job ran out of time
  130  Ctrl-C: the watching ended, the job goes on
  137  the job was killed, by KILL
  143  the job was killed, by TERM or before it began
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; exits with status 2 if they are wrong."""
    words = list(argv)
    parser = build()
    # Taken off first: argparse would drop a second "--", which belongs to the command.
    behind = None
    if "--" in words:
        at = words.index("--")
        words, behind = words[:at], words[at + 1 :]
    arguments = parser.parse_args(words)
    if not arguments.verb:
        parser.error("what is to be done? give a VERB; dispatcher --help lists them")
    if arguments.verb == "help":
        parser.parse_args([*arguments.about, "--help"])
    if behind is not None and arguments.verb not in _TAKES_REST:
        parser.error(f"nothing may follow '--' at {arguments.verb!r}")
    if behind is not None:
        arguments.command = [*arguments.command, *behind]
    return arguments


_TAKES_REST = ("run",)


def build() -> argparse.ArgumentParser:
    """Make the parser."""
    parser = argparse.ArgumentParser(
        prog="dispatcher",
        description="Run lists of commands from named queues, and watch them.",
        epilog=EXITS,
        formatter_class=Help,
    )
    parser.add_argument("--version", action="version", version=f"dispatcher {__version__}")
    _add_common(parser, default=None)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", prog="dispatcher", title="verbs")
    for group in (run, jobs, logs, queues, stopping, status, admin, apikey, audit, bridge):
        group.add(Verbs(verbs))
    # Not listed: it is there because people type it.
    verbs.add_parser("help", formatter_class=Help).add_argument("about", metavar="VERB", nargs="*")
    return parser


class Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. argparse asks for it at each argument, and its own way is slow."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=_columns())


def _columns() -> int:
    try:
        return max(60, os.get_terminal_size(1).columns - 2)
    except OSError:
        return 98


class Verbs:
    """Where the groups of verbs put their parsers."""

    def __init__(
        self, parsers: argparse._SubParsersAction[argparse.ArgumentParser], *, are_inner: bool = False
    ) -> None:
        self._parsers = parsers
        self._json = argparse.SUPPRESS if are_inner else False

    def add(self, name: str, function: object, line: str, examples: str) -> argparse.ArgumentParser:
        """Add a verb: `function` takes the arguments and returns the exit status."""
        parser = self._parsers.add_parser(
            name,
            help=line,
            description=line[0].upper() + line[1:] + ".",
            epilog="examples:\n" + "".join(f"  {example}\n" for example in examples.splitlines()),
            formatter_class=Help,
        )
        # Suppressed defaults: what stands in front of the verb must not be forgotten.
        _add_common(parser, default=argparse.SUPPRESS)
        parser.add_argument(
            "--json",
            action="store_true",
            default=self._json,
            help="write JSON; a stream writes one line an event",
        )
        parser.set_defaults(verb_function=function)
        return parser


def verbs_below(parser: argparse.ArgumentParser) -> Verbs:
    """Let a verb have verbs of its own, one of which must follow it."""
    parsers = parser.add_subparsers(metavar="VERB", title="verbs", required=True, dest="inner_verb")
    return Verbs(parsers, are_inner=True)


def _add_common(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--config", metavar="FILE", default=default, help="the settings file (queues.yaml)")
    parser.add_argument("--socket", metavar="PATH", default=default, help="the daemon's Unix socket")
