"""The methods `auth.*`: logging in by every way that TrueNAS clients know, tokens, and logging out.

What went wrong with a login is a result and no error, as clients expect it.
"""

from collections.abc import Awaitable

import msgspec

from dispatcher.access.gate import KeyExpired, NoAccess
from dispatcher.access.roles import Level
from dispatcher.api.truenas.auth_shapes import (
    TTL,
    ApiKeyPlain,
    Failed,
    KeyLogin,
    LoginContinued,
    LoginEx,
    OtpToken,
    PasswordLogin,
    PasswordPlain,
    Scram,
    ScramAnswer,
    SessionId,
    Success,
    TokenLogin,
    TokenPlain,
    TokenWish,
    Wishes,
)
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.credentials import Identity
from dispatcher.api.truenas.method import row
from dispatcher.api.truenas.parameters import Nothing
from dispatcher.api.truenas.session_tokens import Grant
from dispatcher.api.truenas.user_info import UserInfo
from dispatcher.errors import Forbidden, InvalidRequest, NotAuthenticated, NotFound

_MAX_ATTRS = 4096  # bytes as JSON


async def _login(client: Client, params: PasswordLogin) -> bool:
    logins = client.logins
    tried = logins.by_password(client.peer, params.username, params.password, client.protocol)
    return await _entered(client, tried) is None


async def _login_with_api_key(client: Client, params: KeyLogin) -> bool:
    tried = client.logins.by_api_key(client.peer, params.api_key, protocol=client.protocol)
    return await _entered(client, tried) is None


async def _login_with_token(client: Client, params: TokenLogin) -> bool:
    tried = client.logins.by_token(client.peer, params.token, client.protocol)
    return await _entered(client, tried, params.token) is None


async def _login_ex(client: Client, params: LoginEx) -> Failed | Success | ScramAnswer:
    logins, peer, protocol = client.logins, client.peer, client.protocol
    match params.login_data:
        case PasswordPlain(username, password, wishes):
            failed = await _entered(client, logins.by_password(peer, username, password, protocol))
        case ApiKeyPlain(username, api_key, wishes):
            failed = await _entered(client, logins.by_api_key(peer, api_key, username, protocol))
        case TokenPlain(token, wishes):
            failed = await _entered(client, logins.by_token(peer, token, protocol), token)
        case Scram() as message:
            return await _scram(client, message)
        case OtpToken():
            raise _no_second_factor()
    return failed or await _success(client, wishes)


async def _login_ex_continue(_: Client, __: LoginContinued) -> Failed:
    raise _no_second_factor()


async def _entered(client: Client, tried: Awaitable[Identity], token: str = "") -> Failed | None:
    """Let a client in, or say why not; then it is nobody."""
    client.proof = None
    try:
        identity = await tried
    except NotAuthenticated as error:
        client.fail()
        return _failed(error)
    client.become(identity, token)
    return None


async def _success(client: Client, wishes: Wishes) -> Success:
    identity = client.identity
    token = None
    if wishes.reconnect_token:
        address = client.peer.address
        token = client.logins.tokens.issue(
            Grant(identity, client.session, float(TTL), address=address, is_single_use=True)
        )
    return Success(await client.logins.describe(identity) if wishes.user_info else None, token)


async def _scram(client: Client, message: Scram) -> Failed | ScramAnswer:
    proof, client.proof = client.proof, None
    try:
        if message.scram_type == "CLIENT_FIRST_MESSAGE":
            begun = await client.logins.begin_scram(client.peer, message.rfc_str, client.protocol)
            client.proof = begun
            return ScramAnswer("SERVER_FIRST_RESPONSE", begun.exchange.server_first)
        if message.scram_type != "CLIENT_FINAL_MESSAGE":
            raise InvalidRequest("`scram_type` is CLIENT_FIRST_MESSAGE or CLIENT_FINAL_MESSAGE")
        if proof is None:
            raise InvalidRequest("no SCRAM login has begun here: send CLIENT_FIRST_MESSAGE first")
        identity, answer = await client.logins.finish_scram(
            client.peer, proof, message.rfc_str, client.protocol
        )
    except NotAuthenticated as error:
        client.fail()
        return _failed(error)
    client.become(identity)
    return ScramAnswer("SERVER_FINAL_RESPONSE", answer, await client.logins.describe(identity))


def _failed(error: NotAuthenticated) -> Failed:
    match error:
        case KeyExpired():
            return Failed("EXPIRED")
        case NoAccess():
            return Failed("DENIED")
        case _:
            return Failed("AUTH_ERR")


def _no_second_factor() -> InvalidRequest:
    return InvalidRequest("no one-time password was asked for: log in with another mechanism")


async def _mechanism_choices(client: Client, _: Nothing) -> tuple[str, ...]:
    return client.logins.ways(client.peer)


async def _me(client: Client, _: Nothing) -> UserInfo:
    return await client.logins.describe(client.identity)


async def _generate_token(client: Client, params: TokenWish) -> str:
    if len(msgspec.json.encode(params.attrs)) > _MAX_ATTRS:
        raise InvalidRequest(f"cannot make a token: `attrs` has more than {_MAX_ATTRS} bytes")
    if "job" in params.attrs:
        await _require_download(client, params.attrs["job"])
    ttl = None if params.ttl is None else float(params.ttl)
    address = client.peer.address if params.match_origin else None
    return client.logins.tokens.issue(
        Grant(client.identity, client.session, ttl, params.attrs, address, params.single_use)
    )


async def _require_download(client: Client, number: object) -> None:
    """Raise an error if this is no job that the client may fetch something from."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidRequest("cannot make a token: `attrs.job` is the number of a job")
    try:
        job = await client.service.show(client.caller, number)
    except NotFound:
        raise NotFound(f"{number}: job does not exist.") from None
    if client.caller.level is not Level.FULL and job.submission.owner != client.caller.name:
        raise Forbidden(f"job {number} is not yours: make a token for a job of your own")
    if job.submission.task is None or not job.submission.task.output:
        raise InvalidRequest(f"job {number} has nothing to download: start it with core.download")


async def _logout(client: Client, _: Nothing) -> bool:
    client.log_out()
    return True


async def _terminate_session(client: Client, params: SessionId) -> bool:
    found = client.clients.with_login(params.id) if client.clients else None
    if found is None:
        return False
    if client.caller.level is not Level.FULL and found.caller.name != client.caller.name:
        raise Forbidden("this session is not yours: only those with full access may end it")
    client.logins.tokens.end_session(found.session)
    found.log_out()
    await found.socket.close(1000, "the session was terminated")
    return True


AUTH_ROWS = (
    row("auth.login", PasswordLogin, Level.NOBODY, _login, "Log in with name and password."),
    row("auth.login_ex", LoginEx, Level.NOBODY, _login_ex, "Log in by any mechanism, step by step."),
    row(
        "auth.login_ex_continue",
        LoginContinued,
        Level.NOBODY,
        _login_ex_continue,
        "Go on with a login that asked for a second factor.",
    ),
    row("auth.login_with_api_key", KeyLogin, Level.NOBODY, _login_with_api_key, "Log in with an API key."),
    row("auth.login_with_token", TokenLogin, Level.NOBODY, _login_with_token, "Log in with a token."),
    row("auth.mechanism_choices", Nothing, Level.NOBODY, _mechanism_choices, "Name the ways to log in."),
    row("auth.generate_token", TokenWish, Level.READ, _generate_token, "Make a token."),
    row("auth.me", Nothing, Level.READ, _me, "Describe who is logged in."),
    row("auth.logout", Nothing, Level.READ, _logout, "Log out."),
    row("auth.terminate_session", SessionId, Level.READ, _terminate_session, "Log a session out."),
)
