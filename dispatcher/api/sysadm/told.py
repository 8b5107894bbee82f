"""What an event class is told of a job, to make its extras of."""

from dispatcher.core.model import State, Value


class Told(Value, frozen=True):
    """A job's key and state; the command that runs, or of a finished job the last of its list.

    `text` is the output of that command: its end, if it is long; "" if it never began.
    """

    key: str
    state: State
    command: str
    text: str
