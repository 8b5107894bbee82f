"""Stopping everything at once, as before the machine goes down: what is asked, answered, remembered.

The rules stand in `holding.py`. While a hold lasts no pending job starts, in any queue; it is not saved,
so the next start of the daemon begins without one.
"""

from dispatcher.core.model import Job, Stop, Value


class StopAll(Value, frozen=True):
    """Stop every running job and start no other one. Answered with `AllStopped`.

    `grace`: seconds between TERM and KILL at most, whatever the queues say; None leaves it to them.
    """

    by: str
    at: float
    reason: str = "killed"
    grace: float | None = None


class StartAgain(Value, frozen=True):
    """Let pending jobs start again. Answered with None."""

    at: float


class AllStopped(Value, frozen=True):
    """The jobs that are being stopped; those that the supervisor itself carried out are finished."""

    jobs: tuple[Job, ...]


class Hold(Value, frozen=True):
    """What holds all queues: the wish that is also meant for who begins in spite of it."""

    stop: Stop
    grace: float | None = None
