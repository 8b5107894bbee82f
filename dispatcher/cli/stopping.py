"""The verbs for the end of the machine's day: stopjobs, startjobs."""

from __future__ import annotations

from dispatcher.cli import exits, output
from dispatcher.cli.connection import connect
from dispatcher.cli.times import read_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from dispatcher.cli.parser import Verbs
    from dispatcher.cli.shapes import Queue, StoppedJob, StoppedJobs


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    parser = verbs.add(
        "stopjobs",
        stopjobs,
        "stop every running job and start no other one; pending jobs stay for the next start of the daemon",
        "dispatcher stopjobs\n"
        'dispatcher stopjobs --reason "machine shutdown" --wait 90    what a shutdown does',
    )
    parser.add_argument(
        "--reason", metavar="TEXT", help="what the jobs' records say (default: killed by you)"
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=read_seconds,
        help="take no longer: KILL follows TERM so early that all have ended by then"
        " (default: the grace of each queue)",
    )
    verbs.add("startjobs", startjobs, "start jobs again after stopjobs", "dispatcher startjobs")


def stopjobs(arguments: argparse.Namespace) -> int:
    """Stop all running jobs; FAILURE if some have not ended in time."""
    with connect(arguments) as client:
        answer: StoppedJobs = client.call(
            "dispatcher.stop_jobs", reason=arguments.reason, wait=arguments.wait
        )
        queues: list[Queue] = client.call("dispatcher.queues")
    waiting = sum(queue["pending"] for queue in queues)
    if arguments.json:
        output.write_json({**answer, "pending": waiting})
    else:
        for job in answer["ended"]:
            print(f"{_name(job)} in {job['queue']}: {job['outcome']}")
        if not answer["ended"] and not answer["running"]:
            print("no job is running")
        print(
            f"{waiting or 'no'} pending {'job' if waiting == 1 else 'jobs'};"
            " none starts until the daemon is started again, or: dispatcher startjobs"
        )
    if not answer["running"]:
        return exits.SUCCESS
    for job in answer["running"]:
        output.say(f"dispatcher: {_name(job)} in {job['queue']} is still running")
    return exits.FAILURE


def startjobs(arguments: argparse.Namespace) -> int:
    """Let the queues go on."""
    with connect(arguments) as client:
        answer: dict[str, bool] = client.call("dispatcher.start_jobs")
    if arguments.json:
        output.write_json(answer)
    else:
        print("pending jobs start again")
    return exits.SUCCESS


def _name(job: StoppedJob) -> str:
    return output.name_by(job["number"], job["key"])
