"""What each request of a client does to the live jobs.

A request that is not possible raises DispatcherError before it has changed anything.
"""

from collections.abc import Mapping
from typing import assert_never

from msgspec.structs import replace

from dispatcher.core import holding
from dispatcher.core import messages as m
from dispatcher.core.hold import StartAgain, StopAll
from dispatcher.core.live import Live
from dispatcher.core.model import (
    SUPERVISOR,
    Finished,
    Job,
    OnDuplicate,
    Pending,
    Running,
    Stop,
    Submission,
)
from dispatcher.core.schedule import Line
from dispatcher.errors import Refused


def apply(live: Live, message: m.Request, found: Mapping[int | str, Job]) -> None:
    """Apply one request; `found` holds the jobs outside memory that it names."""
    match message:
        case m.Submit():
            _submit(live, message, found)
        case m.Kill():
            _kill(live, message, found)
        case m.Pause():
            _pause(live, message)
        case m.Resume():
            _resume(live, message)
        case m.Reconfigure():
            _reconfigure(live, message)
        case m.Prepare():
            _prepare(live, message.count)
        case StopAll():
            holding.stop_all(live, message)
        case StartAgain():
            holding.start_again(live, message)
        case _:
            assert_never(message)


def _submit(live: Live, message: m.Submit, found: Mapping[int | str, Job]) -> None:
    submission = message.submission
    if not submission.commands:
        _begin_own(live, submission, message.at)
        return
    line = live.lines.get(submission.queue)
    if line is None or line.is_closed:
        raise Refused(f"there is no queue {submission.queue!r}; there are: {live.queue_names()}")
    attaches = line.queue.on_duplicate is OnDuplicate.ATTACH and not submission.has_pipes
    other = live.named(submission.key, found)
    if other is None and attaches and submission.task is not None:
        other = next((job for job in line.heads.values() if _is_same(job, submission)), None)
    if other is not None:
        if attaches and isinstance(other.phase, Pending) and _is_same(other, submission):
            live.do(m.Answer(m.Submitted(other, attached=True)))
            return
        raise Refused(
            f"the key {submission.key!r} is in use by job {other.number}, which is {other.state}; "
            "wait for its end, kill it, or choose another key"
        )
    if line.pending >= line.queue.max_pending:
        raise Refused(
            f"cannot add to queue {line.queue.name!r}: {line.pending} jobs are waiting "
            f"(max_pending: {line.queue.max_pending}); raise it or kill one"
        )
    job = Job(live.next_number, submission, message.at, Pending())
    live.next_number += 1
    job = live.put(job)
    if not line.add(job):
        live.drop(job)
    live.do(m.Answer(m.Submitted(job)))
    live.advance(line, message.at)


def _is_same(job: Job, submission: Submission) -> bool:
    """Tell whether a request asks for what a job does already; `task` holds who called it."""
    other = job.submission
    method = other.task and other.task.method
    return (other.queue, method, other.commands, other.stdin) == (
        submission.queue,
        submission.task and submission.task.method,
        submission.commands,
        submission.stdin,
    )


def _begin_own(live: Live, submission: Submission, at: float) -> None:
    """Begin a job without commands: there is nothing to wait for."""
    job = live.put(Job(live.next_number, submission, at, Pending()))
    live.next_number += 1
    live.put(replace(job, phase=Running(at, SUPERVISOR, live.boot_id)))
    live.do(m.Answer(m.Submitted(job)))


def _kill(live: Live, message: m.Kill, found: Mapping[int | str, Job]) -> None:
    job = live.named(message.target, found)
    stop = Stop(message.at, message.by, message.reason, message.error)
    if job is None or isinstance(job.phase, Finished):
        live.do(m.Answer(m.Killed(None)))
        return
    line = live.line(job.queue)
    match job.phase:
        case Pending(worker=None):
            line.remove(job)
            job = live.end_stopped(job, stop, message.at)
        case Pending(worker=int(worker), stop=None) as pending:
            job = live.put(replace(job, phase=replace(pending, stop=stop)))
            live.do(m.Withdraw(job.number, worker))
        case Running(worker=worker) if worker == SUPERVISOR:
            job = live.end_stopped(job, stop, message.at)
        case Running(stop=None) as running:
            job = live.put(replace(job, phase=replace(running, stop=stop)))
            live.stop(job, running.worker)
        case _:
            pass  # it is being stopped already: no error
    live.do(m.Answer(m.Killed(job)))
    live.advance(line, message.at)


def _pause(live: Live, message: m.Pause) -> None:
    line = live.open_line(message.queue)
    live.pause(line)
    live.do(m.Answer(None))


def _resume(live: Live, message: m.Resume) -> None:
    line = live.open_line(message.queue)
    if line.is_paused:
        line.is_paused = False
        live.do(m.SavePaused(message.queue, paused=False))
    live.do(m.Answer(None))
    live.advance(line, message.at)


def _reconfigure(live: Live, message: m.Reconfigure) -> None:
    named = {queue.name: queue for queue in message.queues}
    for name, line in live.lines.items():
        if name not in named and line.pending and not line.is_closed:
            raise Refused(
                f"cannot take away queue {name!r}: {line.pending} jobs are waiting in it; "
                "kill them or let them run first"
            )
    for name, queue in named.items():
        line = live.lines.setdefault(name, Line(queue))
        line.queue, line.is_closed = queue, False
    for name in [name for name in live.lines if name not in named]:
        line = live.lines[name]
        if line.running or line.pending:
            line.is_closed = True
        else:
            del live.lines[name]
    live.do(m.Answer(m.Reconfigured(message.queues)))
    for line in list(live.lines.values()):
        live.advance(line, message.at)


def _prepare(live: Live, count: int) -> None:
    for _ in range(count - len(live.idle)):
        live.do(m.Fork(live.new_serial()))
    live.do(m.Answer(None))
