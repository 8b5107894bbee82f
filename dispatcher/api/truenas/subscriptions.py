"""What one connection is subscribed to. Several subscriptions to one collection bring each event once."""

import uuid
from collections.abc import Awaitable, Callable

from dispatcher.access.roles import Caller, Level, require
from dispatcher.api.service import Service
from dispatcher.api.truenas.following import JobFollower
from dispatcher.api.truenas.job_events import COLLECTION, JobEvents
from dispatcher.api.truenas.problems import Mistake, invalid_params
from dispatcher.net.websocket import Socket

ALL = "*"
SINCE = ":since="
REPLAY_PAGE = 100


class Subscriptions:
    """The subscriptions of one connection; `on_lag` is called with the collection that was given up."""

    def __init__(
        self,
        events: JobEvents,
        service: Service,
        socket: Socket,
        on_lag: Callable[[str], None],
        *,
        is_legacy: bool,
    ) -> None:
        self._events = events
        self._service = service
        self._socket = socket
        self._on_lag = on_lag
        self._is_legacy = is_legacy
        self._names: dict[str, str] = {}
        self._follower: JobFollower | None = None
        socket.call_when_drained(self._drained)

    def add(
        self, name: str, caller: Caller, number: str | None = None
    ) -> tuple[str, Callable[[], Awaitable[None]]]:
        """Subscribe; give the subscription's id, and what to await once the client knows it.

        `name` may end in `:since=N`: events after number N are sent first. Raises Problem for a
        collection that does not exist.
        """
        collection, _, since = name.partition(SINCE)
        if collection not in (COLLECTION, ALL) or (SINCE in name and not since.isdecimal()):
            known = f"{COLLECTION}, {COLLECTION}:since=NUMBER, {ALL}"
            sentence = f"there is no collection {name[:80]!r}; there are: {known}"
            raise invalid_params((Mistake("name", sentence),))
        if collection == ALL:
            require(caller, Level.FULL)
        number = number or str(uuid.uuid4())
        self._names[number] = collection
        if self._follower is not None:
            return number, self._nothing
        follower = JobFollower(self._events, self._socket.offer, self._lagged, is_legacy=self._is_legacy)
        self._follower = follower

        async def begin() -> None:
            sent = await self._replay(follower, caller, int(since)) if since else 0
            follower.begin(sent)

        return number, begin

    def remove(self, number: str) -> None:
        """End a subscription; an unknown one is no error."""
        self._names.pop(number, None)
        if not self._names:
            self.end()

    def end(self) -> None:
        """End them all."""
        self._names.clear()
        if self._follower is not None:
            self._follower.end()
            self._follower = None

    async def sent(self, changed: int) -> None:
        """Return when every event up to a number has been given to the socket."""
        await self._events.reached(changed)
        if self._follower is not None:
            await self._follower.caught_up()

    async def _replay(self, follower: JobFollower, caller: Caller, since: int) -> int:
        while not follower.is_over:
            page = await self._service.changed_since(caller, since, REPLAY_PAGE)
            await self._events.excerpts.read(page.jobs)
            for job in page.jobs:
                event = self._events.event_of(job)
                await self._socket.send((event.legacy if self._is_legacy else event.jsonrpc).decode())
                since = job.changed
            if not page.more:
                break
        return since

    def _drained(self) -> None:
        if self._follower is not None:
            self._follower.drained()

    def _lagged(self) -> None:
        self._names.clear()
        self._follower = None
        self._on_lag(COLLECTION)

    async def _nothing(self) -> None:
        """Do nothing: events of the collection flow already."""
