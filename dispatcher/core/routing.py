"""Choose the queue of a job: the one it names, or the one that its commands are routed to.

Every command of the list is looked at, by the base name of its program. Commands that belong
to two queues are refused unless a queue is named: whichever was chosen, the other's promise
(pkg runs one at a time) would be broken unseen.
"""

from collections.abc import Collection, Sequence

from dispatcher.core.look_through import DEFAULT_PROGRAMS, look_through
from dispatcher.core.model import Command, Value
from dispatcher.errors import InvalidRequest, Refused

DEFAULT_QUEUE = "no_queue"


class Routes(Value, frozen=True):
    """Which queue a command belongs to: program base name -> queue, and programs looked through."""

    # pkg-static is pkg under another name, with the same database.
    programs: tuple[tuple[str, str], ...] = (
        ("pkg", "pkg_queue"),
        ("pkg-static", "pkg_queue"),
        ("iocage", "iocage_queue"),
    )
    look_through: tuple[str, ...] = DEFAULT_PROGRAMS


def route(
    commands: Sequence[Command], routes: Routes, named_queue: str | None, known_queues: Collection[str]
) -> str:
    """Give the name of the queue.

    Raises InvalidRequest for a named queue that does not exist, Refused for commands that
    belong to two.
    """
    if named_queue is not None:
        if named_queue not in known_queues:
            raise InvalidRequest(
                f"cannot use queue {named_queue!r}: there is none of that name; "
                f"name one of {', '.join(sorted(known_queues))}"
            )
        return named_queue
    queues = dict(routes.programs)
    chosen: tuple[str, str] | None = None
    for command in commands:
        program = look_through(command.argv, routes.look_through, stop_at=queues).program
        queue = queues.get(program)
        if queue is None:
            continue
        if chosen is None:
            chosen = program, queue
        elif queue != chosen[1]:
            raise Refused(
                f"cannot choose a queue: {chosen[0]} belongs to {chosen[1]} and {program} to {queue}; "
                "submit them as two jobs or name the queue"
            )
    return chosen[1] if chosen else DEFAULT_QUEUE
