"""Every path, who serves it, and the access it needs: the security review on one page.

Over the Unix socket root and the daemon's own user are full without a login; for TrueNAS's protocols
other users are what their groups give them. Passwords, keys and tokens are taken over TLS, the Unix
socket, loopback, and listeners that say allow_plain_login.
"""

# path                  by           access
# WebSocket
#   /api/current        JSON-RPC     the table in truenas/methods.py names the level of each method
#   /api/v*             JSON-RPC     the same
#   /websocket          TrueNAS      the same: its older protocol
#   any other           SysAdm       identify and auth: nobody; list, query, events: read; run, kill: full
#   over a bridge       SysAdm       the same, but logins by a registered key only
# HTTP: the table in truenas/http_operations.py has the methods, parameters and answers of TrueNAS's paths
#   /api/versions       TrueNAS      nobody
#   /api/boot_id        TrueNAS      nobody
#   /openapi.json       TrueNAS      nobody
#   /api/v2.0/core/...  TrueNAS      ping: nobody; get_jobs: read, by password, API key or token
#   /_upload            TrueNAS      the level of the task, by password, API key or token
#   /_download/ID       TrueNAS      whoever has the token that core.download gave, once
#   any other           SysAdm REST  the same, with Basic auth on every request

import re
import time
from collections.abc import Sequence
from functools import partial

import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import NAME as API_KEYS
from dispatcher.access.api_keys import ApiKeys
from dispatcher.access.audit import audit_files
from dispatcher.access.client_keys import ClientKeys
from dispatcher.access.failures import Failures
from dispatcher.access.gate import Gate, LocalPeer
from dispatcher.access.noticing import notice_changes
from dispatcher.access.pam_check import PamCheck
from dispatcher.access.passwords import PasswordCheck
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
from dispatcher.api.truenas.entrance import TruenasEntrance
from dispatcher.api.truenas.logins import Logins as TruenasLogins
from dispatcher.api.truenas.logins import Place
from dispatcher.api.truenas.session_tokens import SessionTokens
from dispatcher.api.truenas.transfer_pipes import JobPipes
from dispatcher.net.end_point import server_end_point
from dispatcher.net.exchange import Streaming
from dispatcher.net.http import HttpHandler, Request, SocketHandler
from dispatcher.net.owner import owner_of
from dispatcher.net.peer import is_loopback
from dispatcher.net.tls import Certificate
from dispatcher.settings import Listener, Settings

_LEGACY = re.compile(r"/websocket/?")
_JSONRPC = re.compile(r"/api/(current|v[0-9][0-9A-Za-z.]*)/?")


class AllRoutes:
    """The routes that `net` is handed, and the feeds behind them."""

    def __init__(self, service: Service, daemon_uid: int, pipes: JobPipes, boot_id: str) -> None:
        settings = service.settings
        limits = settings.limits
        histories = topic_histories(settings.log_dir)
        self.topics = TopicFeed(histories, time.time)
        self._accounts = accounts = Accounts(settings.accounts)
        accounts.refresh()  # what is wrong with the file is told at the start, not at the first login
        self._told_accounts = accounts.version
        self._api_keys = api_keys = ApiKeys(settings.accounts.with_name(API_KEYS))
        api_keys.refresh()
        keys = ClientKeys(settings.state_dir / "client_keys.json")
        users = SystemUsers(settings.auth)
        self._gate = Gate(
            settings.auth,
            accounts,
            PasswordCheck(accounts, limits.password_line),
            Failures(settings.state_dir / "refused.json", settings.auth, time.time),
            keys,
            api_keys=api_keys,
            pam=PamCheck(users, limits.password_line),
            users=users,
            owner_of=_owner_of,
        )
        self._logins = Logins(accounts, self._gate, Tokens(trio.current_time, settings.auth.token_time))
        frames = Frames(
            service.logs.read_bytes, limits.event_log_bytes, limits.event_bytes, load_event_classes()
        )
        self._sysadm_feed = SysadmFeed(service.hub, service, service.news, frames)
        self._truenas_logins = TruenasLogins(
            self._gate, accounts, service.audit, SessionTokens(trio.current_time), daemon_uid=daemon_uid
        )
        self._truenas = truenas = TruenasEntrance(
            service, self._truenas_logins, limits, pipes, boot_id=boot_id
        )
        logs = make_logs(service, frames, audit_files(settings), histories, time.time)
        self._gate.failures.on_refused = service.audit.blocked
        certificates = AuditedCalls(
            Certificates(keys, self._logins.tokens.end_key),
            service.audit,
            changing=("register_ssl_cert", "revoke_ssl_cert"),
            shown=("user", "nickname", "email", "pub_key"),
        )
        self._keys = keys
        self._parts = parts = Parts(
            jobs=service,
            feed=self._sysadm_feed,
            logins=self._logins,
            daemon_uid=daemon_uid,
            limits=limits,
            topics=self.topics,
            event_names=lambda: service.settings.sysadm.event_names,
            audit=service.audit,
            subsystems={"rpc/settings": certificates, "rpc/logs": logs},
            classes=ClassCalls(lambda: service.settings, service, QuickCommands(), service.audit),
        )
        end_tokens = accounts.on_changed

        def log_out(name: str) -> None:
            end_tokens(name)
            truenas.account_changed(name)

        accounts.on_changed = log_out
        api_keys.on_removed = truenas.key_removed
        self._sysadm_http: HttpHandler = partial(answer_rest, parts)
        self._sysadm: SocketHandler = partial(serve_sysadm, parts)

    def http(self, request: Request) -> HttpHandler | Streaming:
        """Give the handler of a plain request."""
        return self._truenas.http.find(request) or self._sysadm_http

    def socket(self, request: Request) -> SocketHandler | None:
        """Give the handler of a WebSocket."""
        if _JSONRPC.fullmatch(request.path):
            return self._truenas.jsonrpc
        return self._truenas.legacy if _LEGACY.fullmatch(request.path) else self._sysadm

    def is_refused(self, address: str) -> bool:
        """Tell whether connections from an address are closed at once: too many logins have failed."""
        return self._gate.failures.is_refused(address)

    def listens(self, bound: Sequence[Listener], certificate: Certificate | None) -> None:
        """Note where clients find us, and the certificate that they see."""
        end_point = server_end_point(certificate.certificate) if certificate is not None else b""
        ports = [one.port for one in bound if one.tls and one.path is None]
        self._truenas_logins.place = Place(ports[0] if ports else None, end_point)

    async def notice_accounts(self) -> bool:
        """Notice changed and removed accounts, whose sessions end now; False if they cannot be read."""
        await self._logins.refresh_users(is_forced=True)
        self._api_keys.refresh()
        return self._accounts.refresh()

    async def refresh_accounts(self) -> list[str]:
        """Notice changed accounts, as above; say in sentences what was found since the last time."""
        before = self._told_accounts
        if not await self.notice_accounts():
            return ["accounts cannot be read, so nobody can log in: the log says why"]
        # They may have been noticed before; who asks wants to know all the same.
        self._told_accounts = self._accounts.version
        return ["accounts changed: in force now"] if self._accounts.version != before else []

    async def keep_bridges(self, settings: Settings, nursery: trio.Nursery) -> None:
        """Connect to the bridges in the settings, in tasks of a nursery. Raises StartupError."""
        if not settings.bridges.to:
            return
        # Imported here: it takes 50 ms and 10 MB, and most daemons have no bridge.
        from dispatcher.api.sysadm.bridge_clients import make_links  # noqa: PLC0415

        links = await make_links(self._parts, self._keys, settings)

        def tell_keys() -> None:
            for link in links:
                link.tell_keys()

        self._keys.on_changed = tell_keys
        for link in links:
            nursery.start_soon(link.run)

    async def run_feeds(self) -> None:
        """Run what encodes events in the background, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sysadm_feed.run)
            nursery.start_soon(self._truenas.run)
            nursery.start_soon(notice_changes, self._accounts, self._api_keys, self._logins.refresh_users)


def _owner_of(peer: LocalPeer) -> int | None:
    """Give the user at the other end of a connection that does not leave this machine."""
    if not peer.address:
        return peer.uid
    return owner_of((peer.address, peer.port), peer.local) if is_loopback(peer.address) else None
