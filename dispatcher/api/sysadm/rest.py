"""SysAdm over plain HTTP: `PUT /rpc/dispatcher` with a JSON body and Basic authentication.

GET, PUT and POST mean the same. The first part of the path is the namespace, the rest the name;
the body's `args`, or without them the whole body, are the arguments. The answer is the whole
object that a WebSocket client would get, indented, and its error code is the HTTP status.
"""

import base64
import binascii

from dispatcher.access.challenge import Challenge
from dispatcher.access.peers import caller_of, origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm import calls, codec
from dispatcher.api.sysadm.arguments import read_token
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.login_notes import note_login, note_logout, note_refusal, note_wrong
from dispatcher.api.sysadm.logins import PROTOCOL, asks_for_challenge, require_secrecy
from dispatcher.api.sysadm.parts import Parts
from dispatcher.errors import DispatcherError, InvalidRequest, NotAuthenticated, Refused
from dispatcher.net.http import Request, Response

_JSON = ("content-type", "text/json; charset=utf-8")
_ACCEPT = ("accept", "text/json")
_LOGIN = ("www-authenticate", 'Basic realm="dispatcher", charset="UTF-8"')


async def answer_rest(parts: Parts, request: Request, body: bytes) -> Response:
    """Answer one HTTP request."""
    match request.method:
        case "GET" | "PUT" | "POST":
            pass
        case "OPTIONS":
            allow = ("allow", "HEAD, GET, PUT, POST, OPTIONS")
            return Response(200, (allow, ("hosts", "/syscache"), _ACCEPT, _JSON), b"")
        case "HEAD":
            return Response(200, (_ACCEPT, _JSON), b"")
        case method:
            return _error("", "400", f"cannot {method[:20]} here: use GET, PUT or POST")
    try:
        call = read_call(request.target, body)
    except codec.Malformed as error:
        return _error(error.id, "400", error.sentence)
    try:
        args = await _carry_out(call, request, parts)
    except DispatcherError as error:
        return _error(call.id, codec.code_of(error), error.sentence)
    fields = {"args": args, "id": call.id, "name": "response", "namespace": call.namespace}
    return Response(200, (_JSON,), codec.encode_indented(fields))


def read_call(target: str, body: bytes) -> Call:
    """Make a call of a path and a body; Malformed if that is not possible. An absent body is `{}`."""
    fields = codec.decode_object(body) if body.strip() else {}
    given = fields.get("id")
    call_id = given if isinstance(given, str) else ""
    # A query is part of the name here, and no subsystem has such a name.
    namespace, _, name = target.removeprefix("/").partition("/")
    if not namespace or not name:
        raise codec.Malformed("cannot tell what is asked: use a path like /rpc/dispatcher", call_id)
    return Call(namespace, name, call_id, fields.get("args", fields), "args" in fields)


async def _carry_out(call: Call, request: Request, parts: Parts) -> object:
    if call.is_identify:
        return calls.identify(parts.hostname())
    if call.is_auth:
        return await _authenticate(call, request, parts)
    caller = await _caller(request, parts)
    if caller.level is not Level.NOBODY and call.space == "events":
        raise InvalidRequest("cannot send events over plain HTTP: subscribe over a WebSocket")
    return await calls.answer(
        call, caller, parts.jobs, parts.limits.list_jobs, parts.subsystems, classes=parts.classes
    )


async def _authenticate(call: Call, request: Request, parts: Parts) -> object:
    if call.name == "auth_clear":
        # There is no session here whose token could be meant, so it has to be named.
        token = read_token(call.args)
        login = parts.logins.tokens.find(token)
        if login is not None:
            caller = login.caller
            note_logout(parts.audit, Caller(caller.name, caller.level, origin_of(request.peer), PROTOCOL))
        parts.logins.tokens.end(token)
        return {}
    if asks_for_challenge(call):
        raise NotAuthenticated("cannot log in by key over plain HTTP: use a WebSocket")
    try:
        token, login = await parts.logins.log_in(call, request, Challenge())
    except DispatcherError as error:
        note_refusal(parts.audit, call, request.peer, error)
        if isinstance(error, Refused):
            raise NotAuthenticated(error.sentence) from error
        raise
    note_login(parts.audit, call, login.caller)
    return parts.logins.success(token)


async def _caller(request: Request, parts: Parts) -> Caller:
    header = request.header("authorization")
    if not header:
        return caller_of(request.peer, parts.daemon_uid, PROTOCOL)
    require_secrecy(request.peer)
    name, password = _basic(header)
    try:
        return await parts.logins.by_password(name, password, request)
    except DispatcherError as error:
        # One that is right is no line: it comes with each request, and those that change something have one.
        note_wrong(parts.audit, name, request.peer, "basic", error)
        if isinstance(error, Refused):
            raise NotAuthenticated(error.sentence) from error
        raise


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise NotAuthenticated(f"cannot log in by {scheme[:20]!r}: use Basic authentication")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise NotAuthenticated("cannot read the Basic authentication: it is no base64 of UTF-8") from error
    name, _, password = text.partition(":")  # the password may hold more of them
    return name, password


def _error(call_id: str, code: str, reason: str) -> Response:
    headers = (_JSON, _LOGIN) if code == "401" else (_JSON,)
    return Response(int(code), headers, codec.encode_indented(codec.error_fields(call_id, code, reason)))
