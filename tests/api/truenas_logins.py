"""Logins for tests of TrueNAS sessions: a gate without scrypt, and no wait after a wrong password."""

import os
import time
from pathlib import Path
from typing import Any

import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import ApiKeys
from dispatcher.access.audit import Audit
from dispatcher.access.failures import WrongLogin
from dispatcher.access.peers import lacking, origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.api.truenas.logins import Logins
from dispatcher.api.truenas.session_tokens import SessionTokens
from dispatcher.settings import Auth


class FakeGate:
    """`secret` is everybody's password: `admin` may do all, others may read."""

    def __init__(self) -> None:
        self.api_keys = ApiKeys(Path("/nonexistent/keys"))

    async def by_password(self, name: str, password: str, peer: Any, *, protocol: str) -> Caller:
        await trio.lowlevel.checkpoint()
        if password != "secret":
            raise WrongLogin("wrong name or password")
        return Caller(name, Level.FULL if name == "admin" else Level.READ, origin_of(peer), protocol)

    def lacking(self, peer: Any) -> str:
        return lacking(peer, Auth())

    async def by_socket_user(self, peer: Any, *, protocol: str) -> None:
        await trio.lowlevel.checkpoint()


async def no_pause() -> None:
    await trio.lowlevel.checkpoint()


def fake_logins() -> Logins:
    gate: Any = FakeGate()
    accounts = Accounts(Path("/nonexistent/accounts"))
    tokens = SessionTokens(trio.current_time)
    return Logins(gate, accounts, Audit(None, time.time), tokens, daemon_uid=os.getuid(), pause=no_pause)
