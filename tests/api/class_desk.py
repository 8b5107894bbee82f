"""Class calls over a stand-in for pkg(8), without sockets and without an engine."""

import time
from pathlib import Path
from typing import Any

from dispatcher.access.audit import Audit
from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm.class_calls import ClassCalls
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.quick_commands import QuickCommands
from dispatcher.classes.declaration import ClassFile
from dispatcher.hub import Hub
from dispatcher.logs.history import History
from dispatcher.settings import Settings
from tests.api.fakes import FakeJobs
from tests.api.stand_in_pkg import StandIn

FULL = Caller("admin", Level.FULL)
READER = Caller("reader", Level.READ)


class Desk:
    """Class calls over a stand-in."""

    def __init__(self, folder: Path, *, seconds: float = 20, most_bytes: int = 100_000) -> None:
        self.pkg = StandIn(folder)
        self.jobs = FakeJobs(Hub())
        self.settings = self.settings_with(None)
        quick = QuickCommands(seconds, most_bytes)
        self.audit = Audit(History(folder / "audit.log", 1_000_000, 1), time.time)
        self.calls = ClassCalls(lambda: self.settings, self.jobs, quick, self.audit)

    def settings_with(self, classes: ClassFile | None) -> Settings:
        here = Path("/nonexistent")
        return Settings(None, here, here, here, (), environment=self.pkg.environment, classes=classes)

    async def ask(self, action: str, caller: Caller = FULL, /, *, of: str = "pkg", **args: object) -> Any:
        given = Call("sysadm", of, "x", {"action": action, **args})
        answer = await self.calls.answer(given, caller)
        assert list(answer) == [action.lower()]
        return answer[action.lower()]
