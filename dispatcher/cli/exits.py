"""Exit statuses of the command line, and the errors that lead to them."""

from __future__ import annotations

from dispatcher.errors import DispatcherError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dispatcher.cli.shapes import Job

SUCCESS = 0
FAILURE = 1  # refused, invalid or forbidden; a skipped job
USAGE = 2  # wrong arguments, wrong settings
UNKNOWN = 4  # no such job or queue
NO_DAEMON = 69  # EX_UNAVAILABLE
LOST = 75  # EX_TEMPFAIL
TIMED_OUT = 124  # as timeout(1)
NOT_STARTED = 127  # as a shell
INTERRUPTED = 130  # 128 + SIGINT
KILLED_BY_KILL = 137
BROKEN_PIPE = 141
KILLED_BY_TERM = 143


class CallFailed(DispatcherError):
    """The daemon answered with an error; `name` is its symbolic number, such as ENOENT."""

    code = "call_failed"

    def __init__(self, sentence: str, name: str = "") -> None:
        super().__init__(sentence)
        self.name = name


class NoDaemon(DispatcherError):
    """Nobody listens on the socket."""

    code = "no_daemon"


class ConnectionLost(NoDaemon):
    """The daemon went away in the middle of a call."""


class Usage(DispatcherError):
    """The arguments, or a file that they name, are wrong."""

    code = "usage"


def of_error(error: DispatcherError) -> int:
    """Give the exit status for an error."""
    if isinstance(error, CallFailed) and error.name == "ENOENT":
        return UNKNOWN
    return {"no_daemon": NO_DAEMON, "usage": USAGE, "settings": USAGE}.get(error.code, FAILURE)


def of_job(job: Job) -> int:
    """Give the exit status for a finished job: that of its command where one failed."""
    code = job["return_code"]
    match job["outcome"]:
        case "success":
            return SUCCESS
        case "failed" if code is not None and code < 0:
            return NOT_STARTED
        case "failed":
            return code or FAILURE
        case "killed":
            return KILLED_BY_KILL if job["ended_by"] == "KILL" else KILLED_BY_TERM
        case "lost":
            return LOST
        case "timed_out":
            return TIMED_OUT
        case _:
            return FAILURE
