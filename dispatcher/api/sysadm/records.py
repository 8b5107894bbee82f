"""Job and log text -> the flat record that SysAdm's dispatcher events carry. Pure.

The record has one key per command that has begun: its text, holding its output so far. So each event
is complete in itself. Fixed keys always win: a command whose text is one of them, begins with
`return_codes/` or is there already gets a number, or somebody could forge a state by naming a command.
"""

import codecs
import time
from collections.abc import Sequence
from typing import assert_never

from dispatcher.core.model import Command, Finished, Job, Pending, Running, Value

FIXED = frozenset(
    {"cmd_list", "current_cmd", "outcome", "process_id", "state", "time_finished", "time_started"}
)
CODES = "return_codes/"


class Span(Value, frozen=True):
    """The bytes of the job's log, from `start` to `end`, that show one command; `cut` stood before them."""

    start: int
    end: int
    cut: int = 0
    is_whole: bool = True  # the command has ended: no byte follows


def spans(job: Job, length: int, command_bytes: int, event_bytes: int) -> list[Span]:
    """Say which part of the log shows each command that has begun.

    `length` is how much of the log is known to be there. The tail is kept of what is longer than
    `command_bytes`; if all is longer than `event_bytes`, the oldest commands are shortened first.
    """
    room = event_bytes
    kept: list[Span] = []
    for span in reversed(_whole_spans(job, length)):
        size = span.end - span.start
        keep = min(size, command_bytes, room)
        room -= keep
        kept.append(Span(span.end - keep, span.end, size - keep, span.is_whole))
    return kept[::-1]


def extent(job: Job, length: int) -> int:
    """Say how far into the job's log an event shows its output."""
    return max((span.end for span in _whole_spans(job, length)), default=0)


def read_text(span: Span, data: bytes) -> str:
    """Decode a command's output, with a first line that says how much was cut.

    Bytes that are no UTF-8, and NUL, become the replacement character. A character that the cap
    cut in two, or that is not wholly written yet, is left out.
    """
    if span.cut:
        partial = next((place for place in range(min(4, len(data))) if data[place] & 0xC0 != 0x80), 0)
        data = data[partial:]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=span.is_whole).replace("\0", "\N{REPLACEMENT CHARACTER}")
    if not span.cut:
        return text
    return f"[{span.cut} bytes were cut here; the job's log has them]\n{text}"


def record(job: Job, texts: Sequence[str]) -> dict[str, object]:
    """Make the record; `texts` has the output of each command that has begun, in order."""
    keys = command_keys(job.commands)
    fields: dict[str, object] = dict(zip(keys, texts, strict=False))
    for key, run in zip(keys, job.runs, strict=False):
        if run.end is not None:
            fields[CODES + key] = str(run.end.code)
        elif isinstance(job.phase, Finished):
            fields[CODES + key] = "-1"  # nobody saw its end
    fields["cmd_list"] = [command.text for command in job.commands]
    fields["process_id"] = job.key
    fields["state"] = job.state.value
    match job.phase:
        case Pending():
            pass
        case Running(started_at=started_at):
            fields["time_started"] = local_time(started_at)
            if texts:
                fields["current_cmd"] = keys[len(texts) - 1]
        case Finished(outcome=outcome, finished_at=finished_at, started_at=begun_at):
            fields["outcome"] = outcome.value
            fields["time_finished"] = local_time(finished_at)
            if begun_at is not None:
                fields["time_started"] = local_time(begun_at)
        case _ as unreachable:
            assert_never(unreachable)
    return fields


def command_keys(commands: Sequence[Command]) -> list[str]:
    """Give each command its key: its text, or `<text> (2)`, `<text> (3)` ... if that is not free."""
    taken = set(FIXED)
    counts: dict[str, int] = {}
    keys: list[str] = []
    for command in commands:
        text = command.text
        count = counts.get(text, 1 if text.startswith(CODES) else 0)
        key = text
        while True:
            count += 1
            key = text if count == 1 else f"{text} ({count})"
            # Its return code needs a place as well, which no earlier command may hold.
            if key not in taken and CODES + key not in taken:
                break
        counts[text] = count
        taken.update((key, CODES + key))
        keys.append(key)
    return keys


def local_time(at: float) -> str:
    """Format an instant as this wire does: local time, seconds, no zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))


def _whole_spans(job: Job, length: int) -> list[Span]:
    if isinstance(job.phase, Pending):
        return []
    found = [
        Span(run.log_start, max(run.log_start, length), 0, is_whole=isinstance(job.phase, Finished))
        if run.end is None
        else Span(run.log_start, run.end.log_end)
        for run in job.runs
    ]
    is_between = not job.runs or job.runs[-1].end is not None
    if isinstance(job.phase, Running) and is_between and len(found) < len(job.commands):
        # The next command is as good as started: what runs is shown from the job's start on.
        start = found[-1].end if found else 0
        found.append(Span(start, max(start, length), 0, is_whole=False))
    return found
