"""Carry out calls of classes such as sysadm/pkg: queue a job from a template, or answer at once.

What a class may do stands in classes.yaml and in the file that `classes:` names; here is only how.
"""

import random
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from dispatcher.access.audit import Audit
from dispatcher.access.roles import Caller, Level, require
from dispatcher.api.audited import shown
from dispatcher.api.service import JobRequest
from dispatcher.api.sysadm import iocage_answers, pkg_answers
from dispatcher.api.sysadm.class_asking import Answer
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.quick_commands import Output, QuickCommands
from dispatcher.classes.declaration import (
    FOUND,
    UUID,
    AnswerAction,
    ClassFile,
    JobAction,
    JobClass,
)
from dispatcher.classes.reading import built_in_classes
from dispatcher.classes.values import read_values
from dispatcher.core.messages import Submitted
from dispatcher.core.splitting import join
from dispatcher.errors import DispatcherError, InvalidRequest, NotFound, Refused
from dispatcher.settings import Settings
from dispatcher.templates.words import Values, fill, fill_text

ANSWERS: Mapping[str, Answer] = {**pkg_answers.ANSWERS, **iocage_answers.ANSWERS}


class Submits(Protocol):
    """The part of the service that queues jobs."""

    async def submit(
        self, caller: Caller, requests: Sequence[JobRequest]
    ) -> Sequence[Submitted | DispatcherError]:
        """Add jobs; one answer per request."""
        ...


class ClassCalls:
    """All classes, by the settings in force."""

    def __init__(
        self, settings: Callable[[], Settings], jobs: Submits, quick: QuickCommands, audit: Audit
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._quick = quick
        self._audit = audit
        self._merged: tuple[ClassFile | None, Mapping[str, JobClass]] | None = None

    def advertised(self, caller: Caller) -> dict[str, object]:
        """Say for rpc/query which classes are really there, and what the caller may do with them."""
        access = "read/write" if caller.level >= Level.FULL else "read"
        return {
            name: access
            for name, one in self._classes().items()
            if one.is_advertised and not self._missing(one)
        }

    def knows(self, subsystem: str) -> bool:
        """Whether there is a class of this name."""
        return subsystem in self._classes()

    async def answer(self, call: Call, caller: Caller) -> dict[str, object]:
        """Carry out a call of a class that is known."""
        found = self._classes()[call.subsystem]
        args = call.args if isinstance(call.args, dict) else {}
        name = args.get("action")
        actions = {action.name: action for action in found.actions}
        if not isinstance(name, str) or name.lower() not in actions:
            what = f"there is no action {name[:60]!r}" if isinstance(name, str) else "`action` is missing"
            raise InvalidRequest(f"{what}; {call.subsystem} has: {', '.join(actions)}")
        action = actions[name.lower()]
        is_full = isinstance(action, JobAction) or action.is_full
        require(caller, Level.FULL if is_full else Level.READ)
        missing = self._missing(found)
        if missing:
            raise NotFound(
                f"{call.subsystem} is not here: there is no program {missing} in the PATH of `environment`"
            )
        values = read_values(action.name, action.parameters, args)
        if isinstance(action, JobAction):
            queue = _queue_each if action.each else _queue
            return {action.name: await queue(action, values, caller, self._jobs)}
        asked = _Asked(action, values, self._quick, dict(self._settings().environment))
        if not action.is_full:
            return {action.name: await ANSWERS[action.answer](asked)}
        async with self._audit.request(caller, action.name, lambda: {"commands": asked.ran}):
            return {action.name: await ANSWERS[action.answer](asked)}

    def _classes(self) -> Mapping[str, JobClass]:
        given = self._settings().classes
        if self._merged is None or self._merged[0] is not given:
            every = [*built_in_classes(), *(given.classes if given else ())]
            merged = {one.name: one for one in every}
            self._merged = (given, {name: one for name, one in merged.items() if one.actions})
        return self._merged[1]

    def _missing(self, found: JobClass) -> str:
        """Name a program of the class that is not installed; "" if all are."""
        path = dict(self._settings().environment).get("PATH", "")
        return next((name for name in sorted(found.programs) if shutil.which(name, path=path) is None), "")


async def _queue(action: JobAction, values: Values, caller: Caller, jobs: Submits) -> dict[str, object]:
    (found,) = await jobs.submit(caller, [_request(action, values)])
    if isinstance(found, DispatcherError):
        raise found
    text = "; ".join(command.text for command in found.job.commands)
    answer: dict[str, object] = {"proc_cmd": text, "proc_id": found.job.key, "status": "pending"}
    return answer | ({action.told_as: found.job.key} if action.told_as else {})


async def _queue_each(action: JobAction, values: Values, caller: Caller, jobs: Submits) -> dict[str, object]:
    """Queue a job for each value of a list; those that cannot be are told beside, as `run` does."""
    each = values[action.each]
    requests = [
        _request(action, {**values, action.each: one}) for one in (each if isinstance(each, tuple) else ())
    ]
    started: list[str] = []
    rejected: dict[str, str] = {}
    for request, found in zip(requests, await jobs.submit(caller, requests), strict=True):
        if isinstance(found, DispatcherError):
            rejected[request.key or ""] = found.sentence
        else:
            started.append(found.job.key)
    answer: dict[str, object] = {action.told_as or "started": started}
    return answer | ({"rejected": rejected} if rejected else {})


def _request(action: JobAction, values: Values) -> JobRequest:
    # As Qt writes them; from the process's own generator, because it names a job and guards nothing.
    fresh = f"{{{uuid.UUID(int=random.getrandbits(128), version=4)}}}"
    key = fill_text(action.id, {**values, UUID: fresh})
    commands = tuple(fill(template, values) for template in action.commands)
    return JobRequest(commands=commands, key=key, queue=action.queue)


class _Asked:
    """One request for a plain answer."""

    def __init__(
        self, action: AnswerAction, values: Values, quick: QuickCommands, env: Mapping[str, str]
    ) -> None:
        self._commands = dict(action.commands)
        self._values = values
        self._quick = quick
        self._env = env
        self.ran: list[str] = []  # the commands so far, for the audit

    def text(self, name: str) -> str:
        value = self._values.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name)
        return value if isinstance(value, tuple) else ()

    async def output(self, command: str, found: str = "") -> str:
        done = await self.result(command, found)
        if done is None:
            return ""  # an admin's file may leave out what nobody there asks for
        # pkg(8) ends with another status than 0 also if nothing matches, and then says nothing.
        if done.code != 0 and not done.text and done.errors.strip():
            last = done.errors.strip().splitlines()[-1]
            raise Refused(f"cannot answer: {self._program(command)} said: {last[:300]}")
        return done.text

    async def result(self, command: str, found: str = "") -> Output | None:
        template = self._commands.get(command)
        if template is None:
            return None
        argv = fill(template, {**self._values, FOUND: found})
        self.ran.append(shown(join(argv)))
        return await self._quick.run(argv, self._env)

    def _program(self, command: str) -> str:
        return fill(self._commands[command][:1], {})[0]
