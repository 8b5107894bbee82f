"""Carry out calls of classes such as sysadm/pkg: queue a job from a template, or answer at once.

What a class may do stands in classes.yaml and in the file that `classes:` names; here is only how.
"""

import random
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from dispatcher.access.roles import Caller, Level, require
from dispatcher.api.service import JobRequest
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.pkg_answers import ANSWERS
from dispatcher.api.sysadm.quick_commands import QuickCommands
from dispatcher.classes.reading import built_in_classes
from dispatcher.classes.templates import (
    FOUND,
    UUID,
    AnswerAction,
    ClassFile,
    JobAction,
    JobClass,
    Values,
    fill,
    fill_text,
)
from dispatcher.classes.values import read_values
from dispatcher.core.messages import Submitted
from dispatcher.errors import DispatcherError, InvalidRequest, NotFound, Refused
from dispatcher.settings import Settings


class Submits(Protocol):
    """The part of the service that queues jobs."""

    async def submit(
        self, caller: Caller, requests: Sequence[JobRequest]
    ) -> Sequence[Submitted | DispatcherError]:
        """Add jobs; one answer per request."""
        ...


class ClassCalls:
    """All classes, by the settings in force."""

    def __init__(self, settings: Callable[[], Settings], jobs: Submits, quick: QuickCommands) -> None:
        self._settings = settings
        self._jobs = jobs
        self._quick = quick
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
        require(caller, Level.FULL if isinstance(action, JobAction) else Level.READ)
        missing = self._missing(found)
        if missing:
            raise NotFound(
                f"{call.subsystem} is not here: there is no program {missing} in the PATH of `environment`"
            )
        values = read_values(action.name, action.parameters, args)
        if isinstance(action, JobAction):
            return {action.name: await _queue(action, values, caller, self._jobs)}
        asked = _Asked(action, values, self._quick, dict(self._settings().environment))
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
    # As Qt writes them; from the process's own generator, because it names a job and guards nothing.
    fresh = f"{{{uuid.UUID(int=random.getrandbits(128), version=4)}}}"
    key = fill_text(action.id, {**values, UUID: fresh})
    commands = tuple(fill(template, values) for template in action.commands)
    (found,) = await jobs.submit(caller, [JobRequest(commands=commands, key=key, queue=action.queue)])
    if isinstance(found, DispatcherError):
        raise found
    text = "; ".join(command.text for command in found.job.commands)
    return {"proc_cmd": text, "proc_id": found.job.key, "status": "pending"}


class _Asked:
    """One request for a plain answer."""

    def __init__(
        self, action: AnswerAction, values: Values, quick: QuickCommands, env: Mapping[str, str]
    ) -> None:
        self._commands = dict(action.commands)
        self._values = values
        self._quick = quick
        self._env = env

    def text(self, name: str) -> str:
        value = self._values.get(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name)
        return value if isinstance(value, tuple) else ()

    async def output(self, command: str, found: str = "") -> str:
        template = self._commands.get(command)
        if template is None:
            return ""  # an admin's file may leave out what nobody there asks for
        argv = fill(template, {**self._values, FOUND: found})
        done = await self._quick.run(argv, self._env)
        # pkg(8) ends with another status than 0 also if nothing matches, and then says nothing.
        if done.code != 0 and not done.text and done.errors.strip():
            last = done.errors.strip().splitlines()[-1]
            raise Refused(f"cannot answer: {argv[0]} said: {last[:300]}")
        return done.text
