"""Calls of a subsystem of which some change something: those get a line in the audit."""

from collections.abc import Collection

from dispatcher.access.audit import Audit
from dispatcher.access.roles import Caller
from dispatcher.api.sysadm.calls import Subsystem
from dispatcher.api.sysadm.codec import Call

_LONGEST = 2000


class AuditedCalls:
    """Hands calls on; of the actions in `changing` it notes the arguments named in `shown`."""

    def __init__(
        self, inner: Subsystem, audit: Audit, changing: Collection[str], shown: Collection[str]
    ) -> None:
        self._inner = inner
        self._audit = audit
        self._changing = changing
        self._shown = shown

    async def answer(self, call: Call, caller: Caller) -> dict[str, object]:
        """Give what the subsystem answers, or raise what it raises."""
        args = call.args if isinstance(call.args, dict) else {}
        action = args.get("action")
        if not isinstance(action, str) or action not in self._changing:
            return await self._inner.answer(call, caller)
        shown = {
            name: value[:_LONGEST]
            for name, value in args.items()
            if name in self._shown and isinstance(value, str)
        }
        async with self._audit.request(caller, action, lambda: shown):
            return await self._inner.answer(call, caller)
