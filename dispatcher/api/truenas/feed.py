"""Events of jobs as JSON-RPC notifications: encoded once, the same bytes for every subscriber.

A subscriber that asks for what it missed first gets each job that changed since, with its newest
record, then what changed while that was read, then each change as it happens: the numbers only grow,
nothing is left out and nothing comes twice.
"""

from dispatcher.access.roles import Caller
from dispatcher.api.service import Service
from dispatcher.api.truenas import jsonrpc
from dispatcher.api.truenas.records import JobRecord, job_record
from dispatcher.core.model import Job, Value
from dispatcher.hub import Member
from dispatcher.net.websocket import Socket, text_frame
from dispatcher.store.port import Changes

REPLAY_PAGE = 100


class Event(Value, frozen=True):
    """A numbered change: the job as it is since."""

    seq: int
    job: JobRecord


def event(job: Job) -> bytes:
    """Encode the event that tells of a job's newest change."""
    return jsonrpc.notification("dispatcher.event", Event(job.changed, job_record(job)))


class JsonRpcFeed:
    """Tell all subscribed JSON-RPC clients; `last` is the number of the newest event told."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self._subscriptions: set[Subscription] = set()

    def tell(self, job: Job) -> None:
        """Take one change, already saved; return at once."""
        self.last = job.changed
        wanted = [one for one in self._subscriptions if one.only in (None, job.number)]
        if wanted:
            frame = text_frame(event(job))
            for subscription in wanted:
                subscription.take(job, frame)

    def join(self, subscription: "Subscription") -> None:
        """Let a subscription hear of every change from now on."""
        self._subscriptions.add(subscription)

    def leave(self, subscription: "Subscription") -> None:
        """Let it hear no more."""
        self._subscriptions.discard(subscription)


class Subscription:
    """One client's subscription, to every job or to `only` one."""

    def __init__(self, feed: JsonRpcFeed, socket: Socket, service: Service, caller: Caller) -> None:
        self.only: int | None = None
        self._feed = feed
        self._socket = socket
        self._service = service
        self._caller = caller
        self._member = Member(socket)
        # While a replay is sent: the newest frame of each job, in the order of change.
        self._held: dict[int, tuple[int, bytes]] | None = {}
        self._is_over = False

    def take(self, job: Job, frame: bytes) -> None:
        """Take one change as it happens."""
        if self._held is None:
            self._member.offer(job.number, frame)
        else:
            self._held.pop(job.number, None)
            self._held[job.number] = (job.changed, frame)

    async def begin(self, since: int | None, only: int | None) -> Changes:
        """Listen from now on; give the first page of what was missed."""
        self.only = only
        # Joined before anything is read: a change is in what is read, or told after, or both.
        self._feed.join(self)
        if since is None:
            return Changes((), 0, more=False)
        if only is None:
            return await self._service.changed_since(self._caller, since, REPLAY_PAGE)
        job = await self._service.show(self._caller, only)
        return Changes((job,) if job.changed > since else (), 0, more=False)

    async def run(self, page: Changes) -> None:
        """Send what was missed, page by page as the client reads it, and go over to what happens."""
        sent = 0
        while page.jobs and not self._is_over:
            for job in page.jobs:
                await self._socket.send(event(job).decode())
            sent = page.jobs[-1].changed
            if not page.more:
                break
            page = await self._service.changed_since(self._caller, sent, REPLAY_PAGE)
        if self._is_over:
            return
        held, self._held = self._held or {}, None
        self._socket.on_drained = self._member.drained
        for number, (changed, frame) in held.items():
            if changed > sent:
                self._member.offer(number, frame)

    def end(self) -> None:
        """Send nothing more."""
        self._is_over = True
        self._feed.leave(self)
