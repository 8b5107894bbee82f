"""Build everything, run it in one tree of nurseries, and end it in the right order.

    main                 signals; ends the rest
    +- clients           listeners, one task per connection; cancelled first
    +- heart             engine, pool (spawner, workers), feeds, retention, audit, watches; cancelled last

Only this module knows which store and which runner are in use. Shutdown never waits for a job:
that job may be the one that restarts us. Jobs stay with their workers.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import trio

from dispatcher import settings_change, settings_report, start_report
from dispatcher.access.audit import Audit, audit_files
from dispatcher.access.roles import Caller, Level
from dispatcher.api.routes import AllRoutes
from dispatcher.api.service import Service
from dispatcher.certificate_report import certificate_warnings
from dispatcher.core import messages as m
from dispatcher.core.schedule import HEADS
from dispatcher.engine import Engine
from dispatcher.errors import DispatcherError, StartupError, StoreFailed
from dispatcher.hub import Hub
from dispatcher.job_lines import JobLines
from dispatcher.logs.news import LogNews
from dispatcher.net.listeners import serve
from dispatcher.net.shown_certificate import ShownCertificate
from dispatcher.own_log import keeping_log
from dispatcher.readiness import tell_ready
from dispatcher.retention import forget_old_jobs
from dispatcher.runner.boot import boot_id
from dispatcher.runner.lock import SupervisorLock
from dispatcher.runner.place import Place
from dispatcher.runner.pool import WARM, Pool
from dispatcher.settings import Listener, Settings
from dispatcher.start_conditions import (
    prepare_directory,
    raise_descriptor_limit,
    require_accounts,
    telling_why,
)
from dispatcher.store.port import Restored
from dispatcher.store.sqlite import SqliteStore, open_store
from dispatcher.taking_over import TakingOver
from dispatcher.watch.tasks import start_watches

MARK = "DISPATCHER_JOB"
LISTENING = "listening.json"

_log = logging.getLogger("dispatcher")


def run(settings: Settings, load: Callable[[], Settings]) -> int:
    """Be the daemon until SIGTERM or SIGINT; `load` reads the settings again. Returns the exit status.

    Raises StartupError or StoreFailed if the daemon cannot start here.
    """
    _leave_the_job_that_started_us()
    os.umask(0o077)
    prepare_directory(settings.state_dir, "state_dir")
    prepare_directory(settings.log_dir, "log_dir")
    raise_descriptor_limit()
    with keeping_log(settings), telling_why(settings), SupervisorLock.acquire(settings.state_dir / "lock"):
        require_accounts(settings.accounts)
        trio.run(_Supervisor(settings, load).run, restrict_keyboard_interrupt_to_checkpoints=True)
    return 0


class _Supervisor:
    def __init__(self, settings: Settings, load: Callable[[], Settings]) -> None:
        self._settings = settings
        self._load = load
        self._hub = Hub()
        self._news = LogNews()
        self._engine: Engine | None = None
        self._routes: AllRoutes | None = None
        self._service: Service | None = None
        self._shown: ShownCertificate | None = None

    async def run(self) -> None:
        """Open the store, run, close the store."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            store = await open_store(self._settings.state_dir / "dispatcher.db")
            try:
                restored = await store.restore(HEADS)
                await self._run_heart(store, restored, signals)
            finally:
                await store.aclose()

    async def _run_heart(self, store: SqliteStore, restored: Restored, signals: AsyncIterator[int]) -> None:
        boot = boot_id()
        place = Place(self._settings.state_dir, restored.installation, boot)
        pool = Pool(place, self._current, self._news)
        queues = self._settings.queues
        engine = self._engine = Engine(store, self._hub, pool, queues, restored, boot_id=boot)
        pool.report_to(engine.post)
        self._hub.attach(JobLines(self._current))
        self._hub.attach(taken_over := TakingOver(restored.active))
        audit = Audit(audit_files(self._settings), time.time)
        service = self._service = Service(
            engine,
            store,
            self._hub,
            self._news,
            settings=self._current,
            reload=self._reload,
            clock=time.time,
            audit=audit,
            notice_accounts=self._notice_accounts,
        )
        routes = self._routes = AllRoutes(service, os.getuid(), pool, boot)
        async with trio.open_nursery() as heart:
            await heart.start(pool.run)
            heart.start_soon(engine.run)
            heart.start_soon(routes.run_feeds)
            heart.start_soon(forget_old_jobs, store, self._current, time.time)
            heart.start_soon(audit.run)
            start_watches(heart, self._settings, routes.topics)
            await self._serve_clients(engine, routes, signals, restored, taken_over)
            heart.cancel_scope.cancel()
        _log.info("stopped; running jobs go on with their workers")

    async def _serve_clients(
        self,
        engine: Engine,
        routes: AllRoutes,
        signals: AsyncIterator[int],
        restored: Restored,
        taken_over: TakingOver,
    ) -> None:
        settings = self._settings
        shown = self._shown = ShownCertificate(settings.listen, settings.tls, settings.state_dir)
        await shown.load()
        certificate = shown.certificate
        async with trio.open_nursery() as clients:
            door = partial(
                serve, settings.listen, routes, settings.limits, shown.current, is_refused=routes.is_refused
            )
            bound = await clients.start(door)
            _note_listening(settings, bound)
            routes.listens(bound, certificate)
            shown.on_changed = partial(routes.listens, bound)
            clients.start_soon(shown.keep)
            await engine.execute(m.Prepare(WARM))
            await routes.keep_bridges(settings, clients)
            # Only now, so that a start that fails says why, and nothing else.
            for sentence in start_report.sentences(
                settings, start_report.found(restored), certificate, bound
            ):
                _log.info("%s", sentence)
            for sentence in start_report.drained(settings, restored):
                _log.warning("%s", sentence)
            _warn(settings)
            _log.info("ready")  # for those who wait for it: scripts and tests
            tell_ready()
            clients.start_soon(taken_over.report, engine.settled)
            async for number in signals:
                if number == signal.SIGHUP:
                    await self._reload_on_signal()
                    continue
                _log.info("stopping on %s", signal.Signals(number).name)
                break
            clients.cancel_scope.cancel()

    def _current(self) -> Settings:
        return self._settings

    # --- settings, while running --------------------------------------------------------------

    async def _reload_on_signal(self) -> None:
        # Either way it has been said already.
        with contextlib.suppress(DispatcherError):
            if self._service is not None:
                await self._service.reload(Caller("", Level.FULL, "SIGHUP"))

    async def _notice_accounts(self) -> None:
        if self._routes is not None:
            await self._routes.notice_accounts()

    async def _reload(self) -> list[str]:
        """Read the settings again and apply what can be applied now."""
        if self._engine is None or self._routes is None:
            raise StartupError("the daemon is still starting")
        try:
            new = await trio.to_thread.run_sync(self._load)
            await self._engine.execute(m.Reconfigure(new.queues, time.time()))
        except DispatcherError as error:
            error.sentence = f"cannot reload, the old settings stay in force: {error.sentence}"
            _log.error("%s", error.sentence)
            raise
        self._settings, found = settings_change.merge(self._settings, new)
        found += await self._routes.refresh_accounts()
        found += await self._shown.refresh() if self._shown is not None else []
        sentences = found or ["nothing has changed"]
        for sentence in sentences:
            _log.info("%s", sentence)
        _warn(new)
        return sentences


def _leave_the_job_that_started_us() -> None:
    """Execute ourselves anew without the mark of a job, if a job restarts the dispatcher.

    What carries a job's mark is stopped when that job's worker is lost, and /proc shows the
    environment of the last exec, whatever is removed from it later.
    """
    if os.environ.pop(MARK, None) is not None:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def _warn(settings: Settings) -> None:
    for sentence in settings_report.warnings(settings) + certificate_warnings(settings):
        _log.warning("%s", sentence)


def _note_listening(settings: Settings, bound: Sequence[Listener]) -> None:
    """Write down what is listened on, for those who let the system choose a port."""
    entries = [
        {"unix": str(one.path)} if one.path else {"address": one.address, "port": one.port, "tls": one.tls}
        for one in bound
    ]
    path = settings.state_dir / LISTENING
    try:
        path.write_text(json.dumps(entries) + "\n")
    except OSError as error:
        raise StartupError(f"cannot write {path}: {error.strerror}; make room in state_dir") from error


__all__ = ["StoreFailed", "run"]
