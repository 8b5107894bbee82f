"""The logs of rpc/logs by name, and what an entry of each is worth."""

from collections.abc import Callable, Mapping, Sequence

import trio

from dispatcher.api.sysadm.events import Change
from dispatcher.api.sysadm.frames import Frames
from dispatcher.api.sysadm.host_lines import host_line
from dispatcher.api.sysadm.log_sources import HistorySource, JobSource, Pages
from dispatcher.api.sysadm.logs import Logs
from dispatcher.api.sysadm.notices import Topic
from dispatcher.api.sysadm.records import extent
from dispatcher.core.model import Job
from dispatcher.logs.history import History

READERS = 2  # files are read side by side


def make_logs(
    jobs: Pages,
    frames: Frames,
    audit: History,
    histories: Mapping[Topic, History],
    clock: Callable[[], float],
) -> Logs:
    """Put the logs together: jobs from the store, the host's lines from the audit, events from files."""
    readers = trio.CapacityLimiter(READERS)

    async def records(finished: Sequence[Job]) -> list[bytes]:
        events = await frames.encode([Change(job, 0) for job in finished])
        return [event.record for event in events]

    async def events(finished: Sequence[Job]) -> list[bytes]:
        # As if nobody had heard of the job before: what clients append to is there as a whole.
        changes = [Change(job, 0, fresh=(0, extent(job, 0))) for job in finished]
        return [event.body() for event in await frames.encode(changes)]

    return Logs(
        {
            "hostinfo": HistorySource(audit, host_line, readers),
            "dispatcher": JobSource(jobs, records, as_text=True),
            "events-dispatcher": JobSource(jobs, events, as_text=False),
            "events-lifepreserver": HistorySource(histories[Topic.LIFE_PRESERVER], _args, readers),
            "events-state": HistorySource(histories[Topic.SYSTEM_STATE], _args, readers),
        },
        clock,
    )


def _args(line: Mapping[str, object]) -> object:
    return line.get("args")
