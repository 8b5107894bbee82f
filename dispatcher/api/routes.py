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
import time
from functools import partial

import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.audit import audit_files
from dispatcher.access.client_keys import ClientKeys
from dispatcher.access.failures import Failures
from dispatcher.access.gate import Gate, LocalPeer
from dispatcher.access.pam_check import PamCheck
from dispatcher.access.passwords import PasswordCheck
from dispatcher.access.peers import origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.access.system_users import SystemUsers
from dispatcher.access.tokens import Tokens
from dispatcher.api.service import Service
from dispatcher.api.sysadm.all_logs import make_logs
from dispatcher.api.sysadm.audited_calls import AuditedCalls
from dispatcher.api.sysadm.certificates import Certificates
from dispatcher.api.sysadm.class_calls import ClassCalls
from dispatcher.api.sysadm.event_classes import load_event_classes
from dispatcher.api.sysadm.feed import SysadmFeed
from dispatcher.api.sysadm.frames import Frames
from dispatcher.api.sysadm.logins import Logins
from dispatcher.api.sysadm.parts import Parts
from dispatcher.api.sysadm.quick_commands import QuickCommands
from dispatcher.api.sysadm.rest import answer_rest
from dispatcher.api.sysadm.session import serve_sysadm
from dispatcher.api.sysadm.topics import TopicFeed, topic_histories
from dispatcher.api.truenas.client import Clients
from dispatcher.api.truenas.feed import JsonRpcFeed
from dispatcher.api.truenas.session import serve_jsonrpc
from dispatcher.errors import DispatcherError
from dispatcher.net.http import HttpHandler, Request, SocketHandler
from dispatcher.net.owner import owner_of
from dispatcher.net.peer import Peer, is_loopback

_JSONRPC = re.compile(r"/api/(current|v[0-9][0-9A-Za-z.]*)/?")


class AllRoutes:
    """The routes that `net` is handed, and the feeds behind them."""

    def __init__(self, service: Service, daemon_uid: int) -> None:
        settings = service.settings
        limits = settings.limits
        histories = topic_histories(settings.log_dir)
        self.topics = TopicFeed(histories, time.time)
        self._audit = service.audit
        self._accounts = accounts = Accounts(settings.accounts)
        accounts.refresh()  # what is wrong with the file is told at the start, not at the first login
        keys = ClientKeys(settings.state_dir / "client_keys.json")
        users = SystemUsers(settings.auth)
        self._gate = Gate(
            settings.auth,
            accounts,
            PasswordCheck(accounts, limits.password_line),
            Failures(settings.state_dir / "refused.json", settings.auth, time.time),
            keys,
            pam=PamCheck(users, limits.password_line),
            users=users,
            owner_of=_owner_of,
        )
        self._logins = Logins(accounts, self._gate, Tokens(trio.current_time, settings.auth.token_time))
        frames = Frames(service.read_bytes, limits.event_log_bytes, limits.event_bytes, load_event_classes())
        self._sysadm_feed = SysadmFeed(service.hub, service, service.news, frames)
        jsonrpc_feed = JsonRpcFeed(service.changed)
        service.hub.attach(jsonrpc_feed)
        logs = make_logs(service, frames, audit_files(settings), histories, time.time)
        certificates = AuditedCalls(
            Certificates(keys),
            service.audit,
            changing=("register_ssl_cert", "revoke_ssl_cert"),
            shown=("user", "nickname", "email", "pub_key"),
        )
        parts = Parts(
            jobs=service,
            feed=self._sysadm_feed,
            logins=self._logins,
            daemon_uid=daemon_uid,
            limits=limits,
            topics=self.topics,
            event_names=lambda: service.settings.sysadm.event_names,
            audit=service.audit,
            subsystems={"rpc/settings": certificates, "rpc/logs": logs},
            classes=ClassCalls(lambda: service.settings, service, QuickCommands()),
        )
        clients = Clients()
        end_tokens = accounts.on_changed

        def log_out(name: str) -> None:
            end_tokens(name)
            clients.account_changed(name)

        accounts.on_changed = log_out
        self._sysadm_http: HttpHandler = partial(answer_rest, parts)
        self._sysadm: SocketHandler = partial(serve_sysadm, parts)
        self._jsonrpc: SocketHandler = partial(
            serve_jsonrpc,
            service=service,
            feed=jsonrpc_feed,
            login=self._login,
            daemon_uid=daemon_uid,
            limits=limits,
            clients=clients,
        )

    def http(self, request: Request) -> HttpHandler:
        """Give the handler of a plain request."""
        del request
        return self._sysadm_http

    def socket(self, request: Request) -> SocketHandler | None:
        """Give the handler of a WebSocket."""
        return self._jsonrpc if _JSONRPC.fullmatch(request.path) else self._sysadm

    def is_refused(self, address: str) -> bool:
        """Tell whether connections from an address are closed at once: too many logins have failed."""
        return self._gate.failures.is_refused(address)

    async def refresh_accounts(self) -> list[str]:
        """Notice changed and removed accounts, whose sessions end now; say in sentences what was found.

        A session that only listens asks for nothing, so nobody else would notice for it.
        """
        await self._logins.refresh_users(is_forced=True)
        before = self._accounts.version
        if not self._accounts.refresh():
            return ["accounts cannot be read, so nobody can log in: the log says why"]
        return ["accounts changed: in force now"] if self._accounts.version != before else []

    async def run_feeds(self) -> None:
        """Run what encodes events in the background, until cancelled."""
        await self._sysadm_feed.run()

    async def _login(self, peer: Peer, name: str, password: str) -> Caller:
        try:
            caller = await self._gate.by_password(name, password, peer, protocol="jsonrpc")
        except DispatcherError as error:
            self._audit.login(Caller(name, Level.NOBODY, origin_of(peer), "jsonrpc"), "password", error)
            raise
        self._audit.login(caller, "password")
        return caller


def _owner_of(peer: LocalPeer) -> int | None:
    """Give the user at the other end of a connection that does not leave this machine."""
    if not peer.address:
        return peer.uid
    return owner_of((peer.address, peer.port), peer.local) if is_loopback(peer.address) else None
