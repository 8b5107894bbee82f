"""What the lines of life-preserver's log and of its replication progress mean. Pure.

A line of the log is `<time with two colons>: <message>: <file or more>`. Messages are compared without
regard to case, and their names are shown as they are written: names of datasets differ by case.
"""

import re

from dispatcher.core.model import Value

INFORMATION = 1
PROGRESS = 0
CRITICAL = 7
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([BKMGTPE]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {unit: 1024.0**power for power, unit in enumerate("BKMGTPE")} | {"": 1.0}
_IGNORED = ("send from ", "TIME ", "warning: ")


class PreserverEvent(Value, frozen=True):
    """Something that life-preserver did: `kind` is snapshot or replication."""

    kind: str
    message: str
    priority: int


class Started(Value, frozen=True):
    """A replication began; `progress` is the file that tells how far it is, or empty."""

    event: PreserverEvent
    progress: str


class Ended(Value, frozen=True):
    """A replication is over, well or not."""

    event: PreserverEvent


class Progress(Value, frozen=True):
    """What the progress file of the running replication said last; sizes as they stand there."""

    total: str = ""
    size: str = ""
    pool: str = ""


def read_log_line(line: str) -> PreserverEvent | Started | Ended | None:
    """Read one line of the log; None if it says nothing that is told."""
    fields = line.split(":", 4)
    if len(fields) < 4:
        return None
    when = _squeezed(":".join(fields[:3]))
    message = _squeezed(fields[3])
    rest = fields[4].strip() if len(fields) > 4 else ""
    kind = message.lower()
    if "creating snapshot" in kind:
        return PreserverEvent("snapshot", f"{when}: New snapshot of {message.split()[-1]}", INFORMATION)
    if "starting replication" in kind:
        what = _behind(message, " on ")
        return Started(
            PreserverEvent("replication", f"{when}: Starting replication for {what}", INFORMATION), rest
        )
    if "finished replication task" in kind:
        what = _source(message)
        return Ended(PreserverEvent("replication", f"{when}: Finished replication for {what}", INFORMATION))
    if "failed replication" in kind:
        text = f"{when}: Replication Failed for {_source(message)}"
        file = line.partition("LOGFILE:")[2].strip()
        return Ended(
            PreserverEvent("replication", f"{text}\nLogfile available at: {file}" if file else text, CRITICAL)
        )
    return None


def read_progress(before: Progress, lines: list[str]) -> tuple[Progress, PreserverEvent | None]:
    """Read new lines of the progress file; an event if the size is another one than before.

    The last line may still be without its end: it counts once its size is followed by the dataset.
    """
    found = before
    for line in lines:
        if "estimated size is" in line:
            found = Progress(line.partition("size is")[2].strip(), found.size, found.pool)
        elif not line.startswith(_IGNORED):
            words = line.split()
            if len(words) >= 3 and _SIZE.fullmatch(words[1]):
                found = Progress(found.total, words[1], re.split("[/@]", words[2])[0])
    if found.size == before.size:
        return found, None
    part = _percent(found.size, found.total)
    text = f"Replicating {found.pool}: {found.size}/{found.total or '??'}{part}"
    return found, PreserverEvent("replication", text, PROGRESS)


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _behind(message: str, word: str) -> str:
    _, found, rest = message.rpartition(word)
    return rest if found else message.rsplit(maxsplit=1)[-1]


def _source(message: str) -> str:
    """Give what is replicated: the word before the arrow."""
    before = message.partition(" -> ")[0]
    return before.split()[-1]


def _percent(size: str, total: str) -> str:
    part, whole = _bytes(size), _bytes(total)
    if part is None or not whole:
        return ""
    return f" ({int(part * 1000 / whole) / 10:g}%)"


def _bytes(text: str) -> float | None:
    found = _SIZE.fullmatch(text)
    return float(found[1]) * _UNITS[found[2].upper()] if found else None
