"""What SysAdm's WebSocket and REST sides are served with; made once by the supervisor."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from dispatcher.api.sysadm.calls import Jobs
from dispatcher.api.sysadm.feed import SysadmFeed
from dispatcher.api.sysadm.logins import Logins


@dataclass(frozen=True, slots=True)
class Parts:
    """`jobs` is the service; `list_jobs` the most jobs of one queue that a list shows."""

    jobs: Jobs
    feed: SysadmFeed
    logins: Logins
    daemon_uid: int
    list_jobs: int = 10_000
    hostname: Callable[[], str] = socket.gethostname
