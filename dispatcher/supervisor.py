"""Build everything, run it in one tree of nurseries, and end it in the right order.

    main                 signals; ends the rest
    +- clients           listeners, one task per connection; cancelled first
    +- heart             engine, pool (spawner, workers), feeds, retention; cancelled last

Only this module knows which store and which runner are in use. Shutdown never waits for a job:
that job may be the one that restarts us. Jobs stay with their workers.
"""

import json
import logging
import os
import resource
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import trio

from dispatcher import settings_report
from dispatcher.api.routes import AllRoutes
from dispatcher.api.service import Service
from dispatcher.core import messages as m
from dispatcher.core.schedule import HEADS
from dispatcher.engine import Engine
from dispatcher.errors import DispatcherError, StartupError, StoreFailed
from dispatcher.hub import Hub
from dispatcher.logs.news import LogNews
from dispatcher.net import tls
from dispatcher.net.listeners import serve
from dispatcher.retention import forget_old_jobs
from dispatcher.runner.boot import boot_id
from dispatcher.runner.lock import SupervisorLock
from dispatcher.runner.place import Place
from dispatcher.runner.pool import WARM, Pool
from dispatcher.settings import Listener, Settings
from dispatcher.store.port import Restored
from dispatcher.store.sqlite import SqliteStore, open_store

MARK = "DISPATCHER_JOB"
LISTENING = "listening.json"

_log = logging.getLogger("dispatcher")


def run(settings: Settings, load: Callable[[], Settings]) -> int:
    """Be the daemon until SIGTERM or SIGINT; `load` reads the settings again. Returns the exit status.

    Raises StartupError or StoreFailed if the daemon cannot start here.
    """
    _leave_the_job_that_started_us()
    os.umask(0o077)
    _prepare_directories(settings)
    _raise_descriptor_limit()
    with SupervisorLock.acquire(settings.state_dir / "lock"):
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
        service = Service(
            engine,
            store,
            self._hub,
            self._news,
            settings=self._current,
            reload=self._reload,
            clock=time.time,
        )
        routes = self._routes = AllRoutes(service, os.getuid())
        async with trio.open_nursery() as heart:
            await heart.start(pool.run)
            heart.start_soon(engine.run)
            heart.start_soon(routes.run_feeds)
            heart.start_soon(forget_old_jobs, store, self._current, time.time)
            await engine.execute(m.Prepare(WARM))
            _log.info("%s", _what_was_found(restored))
            await self._serve_clients(routes, signals)
            heart.cancel_scope.cancel()
        _log.info("stopped; running jobs go on with their workers")

    async def _serve_clients(self, routes: AllRoutes, signals: AsyncIterator[int]) -> None:
        settings = self._settings
        context = await trio.to_thread.run_sync(_tls_context, settings)
        async with trio.open_nursery() as clients:
            bound = await clients.start(partial(serve, settings.listen, routes, settings.limits, context))
            _note_listening(settings, bound)
            for sentence in settings_report.warnings(settings):
                _log.warning("%s", sentence)
            sys.stderr.write("ready\n")  # for those who wait for it: scripts and tests
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
        try:
            for sentence in await self._reload():
                _log.info("%s", sentence)
        except DispatcherError as error:
            _log.error("cannot reload, the old settings stay in force: %s", error.sentence)

    async def _reload(self) -> list[str]:
        """Read the settings again and apply what can be applied now."""
        if self._engine is None or self._routes is None:
            raise StartupError("the daemon is still starting")
        old, new = self._settings, await trio.to_thread.run_sync(self._load)
        await self._engine.execute(m.Reconfigure(new.queues, time.time()))
        sentences = [
            f"{name} changed: this takes a restart"
            for name in ("state_dir", "log_dir", "listen", "tls", "accounts")
            if getattr(old, name) != getattr(new, name)
        ]
        self._settings = Settings(
            source=new.source,
            state_dir=old.state_dir,
            log_dir=old.log_dir,
            accounts=old.accounts,
            listen=old.listen,
            queues=new.queues,
            routes=new.routes,
            environment=new.environment,
            limits=new.limits,
            tls=old.tls,
        )
        changed = [
            f"{name} changed: in force now"
            for name in ("queues", "routes", "environment", "limits")
            if getattr(old, name) != getattr(new, name)
        ]
        sentences += self._routes.refresh_accounts()
        return [*changed, *sentences] or ["nothing changed"]


def _leave_the_job_that_started_us() -> None:
    """Execute ourselves anew without the mark of a job, if a job restarts the dispatcher.

    What carries a job's mark is stopped when that job's worker is lost, and /proc shows the
    environment of the last exec, whatever is removed from it later.
    """
    if os.environ.pop(MARK, None) is not None:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def _prepare_directories(settings: Settings) -> None:
    for path, mode, key in ((settings.state_dir, 0o700, "state_dir"), (settings.log_dir, 0o750, "log_dir")):
        try:
            if not path.is_dir():
                path.mkdir(parents=True)
                path.chmod(mode)
        except OSError as error:
            raise StartupError(
                f"cannot make {key} {path}: {error.strerror}; choose another in queues.yaml"
            ) from None
        if not os.access(path, os.W_OK | os.X_OK):
            raise StartupError(
                f"cannot write to {key} {path}; run as its owner or choose another in queues.yaml"
            )


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not any(listener.tls for listener in settings.listen if listener.path is None):
        return None
    if settings.tls is not None:
        return tls.make_context(settings.tls.certificate, settings.tls.key)
    certificate = tls.self_signed(settings.state_dir)
    _log.info("certificate %s, SHA-256 %s", certificate.certificate, certificate.fingerprint)
    return tls.make_context(certificate.certificate, certificate.key)


def _what_was_found(restored: Restored) -> str:
    running, waiting = len(restored.active), sum(restored.waiting.values())
    return f"{running} jobs to take over, {waiting} pending" if running or waiting else "no jobs from before"


def _note_listening(settings: Settings, bound: Sequence[Listener]) -> None:
    """Write down what is listened on, for those who let the system choose a port."""
    entries = [
        {"unix": str(one.path)} if one.path else {"address": one.address, "port": one.port, "tls": one.tls}
        for one in bound
    ]
    (settings.state_dir / LISTENING).write_text(json.dumps(entries) + "\n")


__all__ = ["StoreFailed", "run"]
