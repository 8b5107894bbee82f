"""What SysAdm's WebSocket and REST sides are served with; made once by the supervisor."""

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dispatcher.access.audit import Audit
from dispatcher.api.sysadm.calls import Classes, Jobs, Subsystem
from dispatcher.api.sysadm.feed import SysadmFeed
from dispatcher.api.sysadm.logins import Logins
from dispatcher.api.sysadm.topics import TopicFeed
from dispatcher.settings import Limits


@dataclass(frozen=True, slots=True)
class Parts:
    """`jobs` is the service; `subsystems` what there is beside rpc/dispatcher, `classes` too."""

    jobs: Jobs
    feed: SysadmFeed
    logins: Logins
    daemon_uid: int
    limits: Limits = field(default_factory=Limits)
    hostname: Callable[[], str] = socket.gethostname
    topics: TopicFeed = field(default_factory=lambda: TopicFeed({}, time.time))
    event_names: Callable[[], str] = lambda: "auto"
    audit: Audit = field(default_factory=lambda: Audit(None, time.time))
    subsystems: Mapping[str, Subsystem] = field(default_factory=dict)
    classes: Classes | None = None
