"""Forget finished jobs, and their logs, after `limits: keep_days`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from dispatcher.logs.reading import log_path
from dispatcher.settings import Settings
from dispatcher.store.port import Store

EVERY = 3600.0  # seconds between two looks
AT_ONCE = 500  # jobs in one transaction, so that nobody waits for it

_log = logging.getLogger("dispatcher.retention")


async def forget_old_jobs(store: Store, settings: Callable[[], Settings], clock: Callable[[], float]) -> None:
    """Look now and then, until cancelled. The rows go first: a log without a row harms nobody."""
    while True:
        before = clock() - settings().limits.keep_days * 86400.0
        forgotten = 0
        while numbers := await store.forget(before, AT_ONCE):
            await trio.to_thread.run_sync(_remove_logs, settings().log_dir, numbers)
            forgotten += len(numbers)
        if forgotten:
            _log.info(
                "forgot %d jobs that ended more than %g days ago", forgotten, settings().limits.keep_days
            )
        await trio.sleep(EVERY)


def _remove_logs(log_dir: Path, numbers: Sequence[int]) -> None:
    for number in numbers:
        log_path(log_dir, number).unlink(missing_ok=True)
