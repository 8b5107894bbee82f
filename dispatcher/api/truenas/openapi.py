"""The description of the HTTP paths as OpenAPI 3.1, written from the table that routes them. Pure."""

from collections.abc import Iterable

import dispatcher
from dispatcher.api.truenas.http_operations import EVERYWHERE, FORM, Answer, Operation

_ABOUT = (
    "Files in and out of jobs, and a little beside them. Everything else of TrueNAS's methods is JSON-RPC "
    "over a WebSocket at /api/current. Every other path is SysAdm's REST, such as PUT /rpc/dispatcher."
)
_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "name and password of an account"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "auth_token": {
        "type": "apiKey",
        "in": "query",
        "name": "auth_token",
        "description": "what auth.generate_token or core.download gave; also as `Authorization: Token ...`",
    },
}

Document = dict[str, object]


def openapi(operations: Iterable[Operation]) -> Document:
    """Write the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "dispatcher", "version": dispatcher.__version__, "description": _ABOUT},
        "paths": {one.template: _path(one) for one in operations},
        "components": {"securitySchemes": _SCHEMES},
    }


def _path(operation: Operation) -> Document:
    path: Document = {}
    for method in operation.methods:
        path[method.lower()] = _operation(operation, method)
        if method == "GET":
            path["head"] = _operation(operation, "HEAD")
    return path


def _operation(operation: Operation, method: str) -> Document:
    first = method == operation.methods[0]
    told = _told(operation)
    fields: Document = {
        "operationId": operation.name if first else f"{operation.name}_{method.lower()}",
        "summary": operation.doc,
        "responses": {str(answer.status): _answer(answer, method) for answer in told},
        "security": [{name: []} for name in operation.logins],
    }
    if operation.parameters:
        fields["parameters"] = [
            {
                "name": one.name,
                "in": one.place,
                "required": one.place == "path",
                "description": one.doc,
                "schema": one.schema,
            }
            for one in operation.parameters
        ]
    if operation.form is not None:
        encoding = {"data": {"contentType": "application/json"}}
        fields["requestBody"] = {
            "required": True,
            "content": {FORM: {"schema": operation.form, "encoding": encoding}},
        }
    return fields


def _told(operation: Operation) -> list[Answer]:
    """Give the answers of an operation with those of every request, by status."""
    own = {answer.status: answer for answer in operation.answers}
    told = {answer.status: answer for answer in EVERYWHERE} | own
    return sorted(told.values(), key=lambda answer: answer.status)


def _answer(answer: Answer, method: str) -> Document:
    fields: Document = {"description": answer.doc}
    if method != "HEAD":
        fields["content"] = {answer.kind: {"schema": answer.schema}}
    if answer.headers:
        fields["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
    return fields
