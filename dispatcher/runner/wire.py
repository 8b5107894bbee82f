"""The lines between supervisor and worker: compact JSON objects, one a line, UTF-8.

Orders come from the supervisor and are read into values here; whoever writes a line gives
`encode` an object. No line is longer than `MAX_LINE`. Pure: bytes in, values out.
Standard library only, because workers import it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_LINE = 8 * 1024 * 1024
AHEAD = 8  # jobs that a worker may hold besides the one it runs

# Made once: json.dumps makes an encoder for each call that is not plain.
_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class WireError(Exception):
    """A line that cannot be understood; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Streams:
    """What the commands of a job read and write besides the log, and how they tell their progress.

    `stdin` is the text that the first one reads; `pattern` is a regular expression with the named
    groups `percent` and `description`, or empty. `descriptors` names those that came with the order,
    in their order: `stdin`, `keeper` (a write end of the same pipe), `stdout`.
    """

    stdin: str | None = None
    keeps_stdout: bool = False
    pattern: str = ""
    has_progress_fd: bool = False
    descriptors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """Run a job, now or when those before it are done.

    `cap` and `tail` are bytes kept of each command's output; `mark` with the command's number goes
    into its environment; `stops_leftovers` says what happens to what a command leaves behind;
    `handover` is repeated if the job is given back. `is_ahead` means that the supervisor took this
    worker to be busy when it sent the order. `streams` is None for a plain job.
    """

    job: int
    handover: int
    commands: tuple[tuple[str, ...], ...]
    cwd: str
    env: Mapping[str, str]
    umask: int
    log: str
    cap: int
    tail: int
    mark: str
    stops_leftovers: bool
    grace: float
    is_ahead: bool = False
    streams: Streams | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End a job: TERM, `grace` seconds, KILL."""

    job: int
    grace: float


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Give a job back if it has not been taken."""

    job: int


@dataclass(frozen=True, slots=True)
class EndInput:
    """Close the keeper of a job's input pipe: all of the input has been written."""

    job: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Every fact up to number `seq` is saved."""

    seq: int


@dataclass(frozen=True, slots=True)
class Exit:
    """End as soon as there is nothing to do and nothing to tell."""


Order = Start | Stop | Withdraw | EndInput | Ack | Exit


def encode(message: Mapping[str, object]) -> bytes:
    """Give the line of a message, newline included.

    A file name that is no text has lone surrogates, which UTF-8 cannot hold: they become `?`.
    """
    return _to_json(message).encode("utf-8", "replace") + b"\n"


def decode_order(line: bytes) -> Order:
    """Read one order. Raises WireError on anything else; unknown members are ignored."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WireError(f"cannot read an order: it is no JSON ({error})") from None
    if not isinstance(message, dict):
        raise WireError("cannot read an order: it is no JSON object")
    what = message.get("do")
    reader = _READERS.get(what) if isinstance(what, str) else None
    if reader is None:
        raise WireError(f"cannot follow the order {what!r}: known are {', '.join(_READERS)}")
    try:
        return reader(message)
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"cannot follow the order {what!r}: {_complaint(error)}") from None


class Lines:
    """Puts lines together from what a socket gives."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was received; return the lines that are complete now, without their newlines.

        Raises WireError as soon as a line is too long; there is no way on after that.
        """
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._parts, lines[0]])
            self._parts.clear()
            self._size = 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._size > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise WireError(f"cannot read a line of more than {MAX_LINE} bytes")
        return lines


def _read_start(message: Mapping[str, object]) -> Start:
    leftovers = _text(message, "leftovers")
    if leftovers not in {"keep", "stop"}:
        raise ValueError("leftovers is neither keep nor stop")
    return Start(
        job=_count(message, "job"),
        handover=_count(message, "handover"),
        commands=_commands(message["commands"]),
        cwd=_text(message, "cwd"),
        env=_environment(message["env"]),
        umask=_count(message, "umask"),
        log=_text(message, "log"),
        cap=_count(message, "cap"),
        tail=_count(message, "tail"),
        mark=_text(message, "mark"),
        stops_leftovers=leftovers == "stop",
        grace=_seconds(message, "grace"),
        is_ahead=_flag(message, "ahead"),
        streams=_streams(message["streams"]) if "streams" in message else None,
    )


def _streams(value: object) -> Streams:
    if not isinstance(value, dict):
        raise TypeError("streams is no object")
    names = value.get("descriptors", [])
    if not isinstance(names, list) or not {"stdin", "keeper", "stdout"}.issuperset(map(str, names)):
        raise ValueError("descriptors is no list of stdin, keeper, stdout")
    return Streams(
        stdin=_text(value, "stdin") if "stdin" in value else None,
        keeps_stdout=_flag(value, "keeps_stdout"),
        pattern=_text(value, "pattern") if "pattern" in value else "",
        has_progress_fd=_flag(value, "progress_fd"),
        descriptors=tuple(names),
    )


_READERS: dict[str, Callable[[Mapping[str, object]], Order]] = {
    "start": _read_start,
    "stop": lambda message: Stop(_count(message, "job"), _seconds(message, "grace")),
    "withdraw": lambda message: Withdraw(_count(message, "job")),
    "end_input": lambda message: EndInput(_count(message, "job")),
    "ack": lambda message: Ack(_count(message, "seq")),
    "exit": lambda _message: Exit(),
}


def _complaint(error: Exception) -> str:
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)


def _count(message: Mapping[str, object], name: str) -> int:
    value = message[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{name} is no whole number from 0")
    return value


def _flag(message: Mapping[str, object], name: str) -> bool:
    value = message.get(name, False)
    if not isinstance(value, bool):
        raise TypeError(f"{name} is neither true nor false")
    return value


def _seconds(message: Mapping[str, object], name: str) -> float:
    value = message[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise TypeError(f"{name} is no number of seconds")
    return float(value)


def _text(message: Mapping[str, object], name: str) -> str:
    value = message[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _commands(value: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list):
        raise TypeError("commands is no list")
    commands = []
    for argv in value:
        if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
            raise TypeError("a command is no list of words with a program first")
        commands.append(tuple(argv))
    return tuple(commands)


def _environment(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError("env is no object of texts")
    return value
