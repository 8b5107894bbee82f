"""The `args` of SysAdm's calls, read into typed requests. Pure.

`run` takes the original's forms - a string is one command, an array a chain - and ours: an object
with `commands` and optional `queue`, `cwd`, `env`. There an unknown key is refused by name, because
a setting that is silently ignored is a trap; elsewhere unknown keys are ignored, as ever.
"""

import re

from dispatcher.api.service import JobRequest
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.notices import Topic, topic_of
from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest

_ENVELOPE = frozenset({"namespace", "name", "id"})
_JOB_KEYS = ("commands", "queue", "cwd", "env")
_SINCE = re.compile(r"dispatcher(?::since=(.*))?", re.DOTALL)
_MAX_EVENT = 2**63 - 1

Commands = tuple[str | tuple[str, ...], ...]


class Run(Value, frozen=True):
    """Jobs to submit, by key in sorted order, and the keys whose value is wrong, each with the reason."""

    jobs: tuple[JobRequest, ...]
    rejected: tuple[tuple[str, str], ...] = ()


class ListJobs(Value, frozen=True):
    """Live jobs to list; None means every queue, or as many as the settings allow."""

    queue: str | None = None
    offset: int = 0
    limit: int | None = None


class Kill(Value, frozen=True):
    """Keys of jobs to stop."""

    keys: tuple[str, ...]


class Topics(Value, frozen=True):
    """What to subscribe to: `last` is the last known name or None, `since` an event number or None.

    `with_jobs` tells whether `dispatcher` was named, `others` are the topics besides it.
    """

    last: str | None
    since: int | None = None
    with_jobs: bool = False
    others: tuple[Topic, ...] = ()


def read_dispatcher(call: Call) -> Run | ListJobs | Kill:
    """Read what rpc/dispatcher is asked for; InvalidRequest if that cannot be told."""
    args = call.args
    action = args.get("action") if isinstance(args, dict) else None
    if not isinstance(args, dict) or not isinstance(action, str):
        raise InvalidRequest("cannot tell what to do: give args with `action`: run, list or kill")
    match action.lower():
        case "run":
            # Without args the whole message stands for them; its envelope names no jobs.
            skip = {"action"} if call.has_args else {"action", *_ENVELOPE}
            return _read_run({key: value for key, value in args.items() if key not in skip})
        case "list":
            return _read_list(args)
        case "kill":
            return _read_kill(args.get("job_id"))
        case _:
            raise InvalidRequest(f"there is no action {action[:60]!r}; there are: run, list, kill")


def read_topics(call: Call) -> Topics:
    """Read the names of an events call; unknown ones are skipped."""
    names = [call.args] if isinstance(call.args, str) else call.args
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidRequest('cannot tell which events: give a name or an array of names, as "dispatcher"')
    last, since, with_jobs = None, None, False
    others: list[Topic] = []
    for name in names:
        found, topic = _SINCE.fullmatch(name), topic_of(name)
        if found is not None:
            last, with_jobs = "dispatcher", True
            since = since if found[1] is None else _event_number(found[1])
        elif topic is not None:
            last = name
            others.append(topic)
    return Topics(last, since, with_jobs, tuple(dict.fromkeys(others)))


def read_credentials(args: object) -> tuple[str, str]:
    """Give user name and password; what is missing or no string is empty, and so matches nobody's."""
    return _field(args, "username"), _field(args, "password")


def read_token(args: object) -> str:
    """Give the token; "" if there is none."""
    return _field(args, "token")


def _field(args: object, name: str) -> str:
    value = args.get(name) if isinstance(args, dict) else None
    return value if isinstance(value, str) else ""


def _event_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > _MAX_EVENT:
        raise InvalidRequest(f"cannot replay events since {text[:60]!r}: give an event number, as since=0")
    return int(text)


def _read_run(values: dict[str, object]) -> Run:
    jobs: list[JobRequest] = []
    rejected: list[tuple[str, str]] = []
    for key, value in sorted(values.items()):
        try:
            request = _read_job(key, value)
        except InvalidRequest as error:
            rejected.append((key, error.sentence))
        else:
            jobs.extend([] if request is None else [request])
    return Run(tuple(jobs), tuple(rejected))


def _read_job(key: str, value: object) -> JobRequest | None:
    match value:
        case str():
            return JobRequest(commands=_without_empty((value,)), key=key)
        case list():
            return JobRequest(commands=_without_empty(tuple(map(_element, value))), key=key)
        case dict():
            return _read_object(key, value)
        case _:
            return None  # the original skips numbers, booleans and null without a word


def _read_object(key: str, fields: dict[str, object]) -> JobRequest:
    unknown = sorted(set(fields) - set(_JOB_KEYS))
    if unknown:
        raise InvalidRequest(
            f"cannot run: unknown key {unknown[0][:60]!r}; a job may have {', '.join(_JOB_KEYS)}"
        )
    return JobRequest(
        commands=_commands(fields.get("commands")),
        key=key,
        queue=_optional_text(fields, "queue"),
        cwd=_optional_text(fields, "cwd"),
        env=_environment(fields.get("env")),
    )


def _commands(value: object) -> Commands:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        raise InvalidRequest("cannot run: `commands` must be a string or an array")
    commands: list[str | tuple[str, ...]] = []
    for one in given:
        if isinstance(one, str):
            commands.append(one)
        elif isinstance(one, list) and one and all(isinstance(word, str) for word in one):
            commands.append(tuple(one))
        else:
            raise InvalidRequest("cannot run: each command must be a string or an array of strings")
    return _without_empty(tuple(commands))


def _without_empty(commands: Commands) -> Commands:
    return tuple(one for one in commands if one and one != ("",))


def _element(value: object) -> str | tuple[str, ...]:
    """Read one entry of a chain as the original does; an array in it is an argument list (ours)."""
    if isinstance(value, list):
        return tuple(word if isinstance(word, str) else _scalar(word) for word in value)
    return value if isinstance(value, str) else _scalar(value)


def _scalar(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case int() | float():
            return str(value)
        case _:
            return ""


def _optional_text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest(f"cannot run: `{name}` must be a string")


def _environment(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise InvalidRequest("cannot run: `env` must be an object of strings")
    return tuple(value.items())


def _read_list(args: dict[str, object]) -> ListJobs:
    queue = args.get("queue")
    if queue is not None and not isinstance(queue, str):
        raise InvalidRequest("cannot list: `queue` must be the name of a queue")
    offset, limit = _count(args, "offset", 0), _count(args, "limit", None)
    return ListJobs(queue, offset or 0, limit)


def _count(args: dict[str, object], name: str, default: int | None) -> int | None:
    value = args.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_EVENT:
        raise InvalidRequest(f"cannot list: `{name}` must be a number from 0 up")
    return value


def _read_kill(value: object) -> Kill:
    if isinstance(value, str):
        return Kill((value,))
    if isinstance(value, list) and all(isinstance(key, str) for key in value):
        return Kill(tuple(dict.fromkeys(value)))
    raise InvalidRequest("cannot tell which job to kill: give `job_id` as a string or an array of strings")
