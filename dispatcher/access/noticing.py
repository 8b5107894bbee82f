"""Notice changed accounts, API keys and users of the system within a second, though nobody asks for anything.

A session that only listens would go on for ever otherwise. At rest this is four calls of `stat` a second.
"""

import time
from collections.abc import Awaitable, Callable

import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import ApiKeys

SECONDS = 1.0


async def notice_changes(
    accounts: Accounts,
    api_keys: ApiKeys,
    refresh_users: Callable[[], Awaitable[None]],
    clock: Callable[[], float] = time.time,
) -> None:
    """Look once a second, until cancelled; those who are told are the files' own `on_...`."""
    while True:
        await trio.sleep(SECONDS)
        accounts.refresh()
        api_keys.refresh()
        api_keys.end_expired(clock())
        await refresh_users()
