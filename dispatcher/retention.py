"""Forget finished jobs, and their logs, after `limits: keep_days`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from dispatcher.errors import StoreFailed
from dispatcher.logs.reading import log_path
from dispatcher.settings import Settings
from dispatcher.store.port import Store

EVERY = 3600.0  # seconds between two looks
AT_ONCE = 500  # jobs in one transaction, so that nobody waits for it

_log = logging.getLogger("dispatcher.retention")


async def forget_old_jobs(store: Store, settings: Callable[[], Settings], clock: Callable[[], float]) -> None:
    """Look now and then, until cancelled. What is not possible now, a full disk say, is tried again then."""
    while True:
        try:
            await _look(store, settings(), clock())
        except StoreFailed as failure:
            _log.error("cannot forget old jobs now: %s", failure.sentence)
        await trio.sleep(EVERY)


async def _look(store: Store, settings: Settings, now: float) -> None:
    """Forget what is too old. The rows go first: a log without a row harms nobody."""
    days = settings.limits.keep_days
    forgotten = 0
    while numbers := await store.forget(now - days * 86400.0, AT_ONCE):
        await trio.to_thread.run_sync(_remove_logs, settings.log_dir, numbers)
        forgotten += len(numbers)
    if forgotten:
        _log.info("forgot %d jobs that ended more than %g days ago", forgotten, days)


def _remove_logs(log_dir: Path, numbers: Sequence[int]) -> None:
    for number in numbers:
        path = log_path(log_dir, number)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning(
                "cannot remove %s: %s; its job is forgotten, remove it by hand", path, error.strerror
            )
