"""Every path, who serves it, and the access it needs: the security review on one page.

Over the Unix socket root and the daemon's own user are full without a login. Passwords are
taken over TLS, the Unix socket, loopback, and listeners that say allow_plain_login.
"""

# path                  by           access
# WebSocket
#   /api/current        JSON-RPC     the table in truenas/methods.py names the level of each method
#   /api/v*             JSON-RPC     the same
#   any other           SysAdm       identify and auth: nobody; list, query, events: read; run, kill: full
# HTTP
#   any                 SysAdm REST  the same, with Basic auth on every request

import re
from functools import partial

import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.passwords import PasswordCheck
from dispatcher.access.peers import origin_of
from dispatcher.access.roles import Caller
from dispatcher.access.tokens import Tokens
from dispatcher.api.service import Service
from dispatcher.api.sysadm.feed import SysadmFeed
from dispatcher.api.sysadm.frames import Frames
from dispatcher.api.sysadm.logins import Logins
from dispatcher.api.sysadm.parts import Parts
from dispatcher.api.sysadm.rest import answer_rest
from dispatcher.api.sysadm.session import serve_sysadm
from dispatcher.api.truenas.feed import JsonRpcFeed
from dispatcher.api.truenas.session import serve_jsonrpc
from dispatcher.net.http import HttpHandler, Request, SocketHandler
from dispatcher.net.peer import Peer

_JSONRPC = re.compile(r"/api/(current|v[0-9][0-9A-Za-z.]*)/?")


class AllRoutes:
    """The routes that `net` is handed, and the feeds behind them."""

    def __init__(self, service: Service, daemon_uid: int) -> None:
        limits = service.settings.limits
        self._accounts = accounts = Accounts(service.settings.accounts)
        accounts.refresh()  # what is wrong with the file is told at the start, not at the first login
        self._passwords = PasswordCheck(accounts, limits.password_line)
        frames = Frames(service.read_bytes, limits.event_log_bytes, limits.event_bytes)
        self._sysadm_feed = SysadmFeed(service.hub, service, service.news, frames)
        jsonrpc_feed = JsonRpcFeed(service.changed)
        service.hub.attach(jsonrpc_feed)
        parts = Parts(
            jobs=service,
            feed=self._sysadm_feed,
            logins=Logins(accounts, self._passwords, Tokens(trio.current_time)),
            daemon_uid=daemon_uid,
            list_jobs=limits.list_jobs,
        )
        self._sysadm_http: HttpHandler = partial(answer_rest, parts)
        self._sysadm: SocketHandler = partial(serve_sysadm, parts)
        self._jsonrpc: SocketHandler = partial(
            serve_jsonrpc, service=service, feed=jsonrpc_feed, login=self._login, daemon_uid=daemon_uid
        )

    def http(self, request: Request) -> HttpHandler:
        """Give the handler of a plain request."""
        del request
        return self._sysadm_http

    def socket(self, request: Request) -> SocketHandler | None:
        """Give the handler of a WebSocket."""
        return self._jsonrpc if _JSONRPC.fullmatch(request.path) else self._sysadm

    def refresh_accounts(self) -> list[str]:
        """Notice changed and removed accounts, whose sessions end now; say in sentences what was found.

        A session that only listens asks for nothing, so nobody else would notice for it.
        """
        before = self._accounts.version
        if not self._accounts.refresh():
            return ["accounts cannot be read, so nobody can log in: the log says why"]
        return ["accounts changed: in force now"] if self._accounts.version != before else []

    async def run_feeds(self) -> None:
        """Run what encodes events in the background, until cancelled."""
        await self._sysadm_feed.run()

    async def _login(self, peer: Peer, name: str, password: str) -> Caller:
        return await self._passwords.login(name, password, origin=origin_of(peer), protocol="jsonrpc")
