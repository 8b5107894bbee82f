"""What a server needs of the machine before it starts, and the one reason why it could not."""

import contextlib
import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from dispatcher.access.accounts import Accounts
from dispatcher.errors import DispatcherError, SettingsError, StartupError, StoreFailed
from dispatcher.settings import Settings


def prepare_directory(path: Path, key: str) -> None:
    """Make a directory that only we may enter, if it is not there; `key` is its setting.

    Raises StartupError if that cannot be, or if we may not write to it.
    """
    try:
        if not path.is_dir():
            path.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StartupError(
            f"cannot make {key} {path}: {error.strerror}; choose another in queues.yaml"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StartupError(f"cannot write to {key} {path}; run as its owner or choose another in queues.yaml")


def require_accounts(path: Path) -> None:
    """Raise StartupError if there is a file with accounts that cannot be used: others may read it, say."""
    try:
        Accounts(path).load()
    except SettingsError as error:
        raise StartupError(error.sentence) from None


def raise_descriptor_limit() -> None:
    """Allow ourselves as many connections and files as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def telling_why(settings: Settings) -> Iterator[None]:
    """Raise the one reason for which the daemon ends, if there is one; note it where nobody sees stderr."""
    log = logging.getLogger("dispatcher")
    is_seen = settings.log == "stderr"
    try:
        try:
            yield
        except BaseExceptionGroup as group:
            reason = only_reason(group)
            if reason is None:
                raise
            raise reason from None
    except DispatcherError as error:
        if not is_seen:
            log.error("%s", error.sentence)  # noqa: TRY400 - it is a sentence, no fault
        raise
    except BaseException:
        if not is_seen:
            log.exception("a fault ends the daemon")
        raise


def only_reason(group: BaseExceptionGroup[BaseException]) -> DispatcherError | None:
    """Give the sentence that ended all nurseries; None if it was a fault, which has to be seen whole."""
    reasons, others = group.split((StartupError, StoreFailed))
    if others is not None:
        return None
    first: BaseException | None = reasons
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, DispatcherError) else None
