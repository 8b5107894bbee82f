"""The verb run: submit a job, and if wanted stay with it to its end."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

import os

from dispatcher.cli import exits, output
from dispatcher.cli.connection import connect
from dispatcher.cli.watch import explain_interrupt, follow_log, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from dispatcher.cli.client import Client
    from dispatcher.cli.parser import Verbs
    from dispatcher.cli.shapes import Job, Request, Submitted


def add(verbs: Verbs) -> None:
    """Add the parser."""
    parser = verbs.add(
        "run",
        run,
        "run a command, or a list of them from a file, as one job",
        "dispatcher run -- pkg upgrade -y\n"
        "dispatcher run -q backups --id nightly --wait -- zfs snapshot tank@night\n"
        "dispatcher run --follow --file list.yaml\n"
        "printf -- '- pkg update\\n- pkg upgrade -y\\n' | dispatcher run --file -",
    )
    parser.add_argument("command", metavar="CMD", nargs="*", help="the program and its arguments, behind --")
    parser.add_argument("--file", metavar="LIST", help="YAML: a list of commands, or a mapping; - is stdin")
    parser.add_argument("-q", "--queue", metavar="QUEUE", help="the queue (default: by the programs)")
    parser.add_argument("--id", metavar="KEY", help="a name of yours; unique among live jobs")
    parser.add_argument("--cwd", metavar="DIR", help="where the commands run (default: /)")
    parser.add_argument("--env", metavar="K=V", action="append", default=[], help="a variable for them")
    staying = parser.add_mutually_exclusive_group()
    staying.add_argument("--wait", action="store_true", help="wait for the end and exit as the job did")
    staying.add_argument("--follow", action="store_true", help="the same, and write its log meanwhile")


def run(arguments: argparse.Namespace) -> int:
    """Submit a job; wait for it or follow it."""
    request = _request(arguments)
    client = connect(arguments)
    try:
        job = _submit(client, request)
    except KeyboardInterrupt:
        output.say("\nthe daemon has not answered yet: whether it took the job, dispatcher list shows")
        raise
    except BaseException:
        client.close()
        raise
    if arguments.wait or arguments.follow:
        return _stay(arguments, client, job)
    client.close()
    if arguments.json:
        output.write_json(job)
    else:
        print(_accepted(job))
    return exits.SUCCESS


def _request(arguments: argparse.Namespace) -> Request:
    if bool(arguments.command) == bool(arguments.file):
        raise exits.Usage("cannot run: give a command behind '--', or --file LIST, and not both")
    if arguments.file:
        from dispatcher.cli.lists import read_list

        request = read_list(arguments.file)
    else:
        request = {"commands": [arguments.command]}
    if arguments.queue is not None:
        request["queue"] = arguments.queue
    if arguments.id is not None:
        request["id"] = arguments.id
    if arguments.cwd is not None:
        request["cwd"] = os.path.abspath(arguments.cwd)  # noqa: PTH100 - pathlib costs more to import
    for pair in arguments.env:
        name, is_given, value = pair.partition("=")
        if not is_given or not name:
            raise exits.Usage(f"cannot set the variable {pair!r}: write it as NAME=value")
        request["env"] = {**request.get("env", {}), name: value}
    return request


def _submit(client: Client, request: Request) -> Submitted:
    number = client.send("dispatcher.submit", **request)
    # The daemon saves the job meanwhile.
    warning = _warning(request)
    job: Submitted = client.answer(number)
    if warning:
        output.say(f"dispatcher: warning: {warning}")
    return job


def _warning(request: Request) -> str | None:
    from dispatcher.core.askers import warn_of_question
    from dispatcher.core.splitting import read_command
    from dispatcher.errors import InvalidRequest

    try:
        commands = [command for one in request["commands"] if (command := read_command(one))]
    except InvalidRequest:
        return None  # the daemon says why, and runs nothing
    return warn_of_question(commands, request.get("env"))


def _accepted(job: Submitted) -> str:
    said = f"{output.name_of(job)} is {job['state']} in {job['queue']}"
    return f"{said}; it was there already" if job["attached"] else said


def _stay(arguments: argparse.Namespace, client: Client, job: Submitted) -> int:
    watch = follow_log if arguments.follow else wait_for
    try:
        if not arguments.json:
            output.say(_accepted(job))
        ended: Job | None = watch(arguments, client, job["number"])
    except KeyboardInterrupt:  # in the instant before the watching
        explain_interrupt(job["number"])
        return exits.INTERRUPTED
    if ended is None:
        return exits.INTERRUPTED
    if arguments.json:
        output.write_json(ended)
    else:
        output.say(output.summary(ended))
    return exits.of_job(ended)
