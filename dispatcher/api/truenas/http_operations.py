"""Every path of plain HTTP that is not SysAdm's: methods, parameters, bodies, answers.

Requests are routed by this table, and `/openapi.json` is written from it. Pure.
"""

import re
from collections.abc import Mapping

import msgspec

from dispatcher.api.truenas.uploads import MOST_FILES
from dispatcher.core.model import Value

Schema = Mapping[str, object]

TEXT = "text/plain"
JSON = "application/json"
BYTES = "application/octet-stream"
FORM = "multipart/form-data"

LOGINS = ("basic", "bearer", "auth_token")


class Parameter(Value, frozen=True):
    """A parameter that stands in the path or the query."""

    name: str
    place: str
    schema: Schema
    doc: str


class Answer(Value, frozen=True):
    """What a status means; an error's body is a sentence."""

    status: int
    doc: str
    kind: str = TEXT
    schema: Schema = msgspec.field(default_factory=lambda: {"type": "string"})
    headers: tuple[str, ...] = ()


class Operation(Value, frozen=True):
    """One row. `also` matches further paths that mean the same. GET includes HEAD.

    `logins` names the ways to say who one is; without any, nobody needs to.
    """

    name: str
    methods: tuple[str, ...]
    template: str
    doc: str
    answers: tuple[Answer, ...]
    parameters: tuple[Parameter, ...] = ()
    form: Schema | None = None
    logins: tuple[str, ...] = ()
    also: str = ""

    def matches(self, path: str) -> bool:
        """Tell whether a path is meant."""
        return path == self.template or bool(self.also and re.fullmatch(self.also, path))


_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 999_999_999_999_999}
_DATA: Schema = {
    "type": "object",
    "required": ["method"],
    "properties": {
        "method": {"type": "string", "description": "a task with an input, such as config.upload"},
        "params": {"type": "array", "items": {}, "description": "its arguments"},
    },
}
_UPLOAD: Schema = {
    "type": "object",
    "required": ["data", "file"],
    "properties": {
        "data": _DATA,
        "file": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_FILES,
            "items": {"type": "string", "contentMediaType": BYTES},
            "description": "the input of the job, one file after another",
        },
    },
}
_NO_LOGIN = Answer(401, "nobody is logged in, or by something wrong", headers=("WWW-Authenticate",))
_BUSY = Answer(503, "too many try to log in", headers=("Retry-After",))
_JOBS: Schema = {"type": "array", "items": {"type": "object", "required": ["id", "state"]}}

# What any request may get before its handler is asked: see `dispatcher.net.http`.
EVERYWHERE = (
    Answer(408, "the request did not come in time"),
    Answer(413, "the body is too large"),
    Answer(431, "the head is too large"),
    Answer(500, "the dispatcher could not do it"),
    Answer(503, "too many connections are open"),
)

OPERATIONS = (
    Operation(
        "versions",
        ("GET",),
        "/api/versions",
        "Name the versions of the JSON-RPC protocol; each is a WebSocket at /api/NAME.",
        (
            Answer(
                200,
                "the names",
                JSON,
                {"type": "array", "items": {"type": "string", "pattern": r"^v\d+\.\d+\.\d+$"}},
            ),
        ),
    ),
    Operation(
        "boot_id",
        ("GET",),
        "/api/boot_id",
        "Tell one start of the machine from another.",
        (Answer(200, "the id", JSON),),
    ),
    Operation(
        "openapi",
        ("GET",),
        "/openapi.json",
        "Describe all this.",
        (Answer(200, "this document", JSON, {"type": "object"}),),
    ),
    Operation(
        "ping",
        ("GET",),
        "/api/v2.0/core/ping",
        "Answer pong.",
        (Answer(200, "the word", JSON, {"const": "pong"}),),
    ),
    Operation(
        "get_jobs",
        ("GET",),
        "/api/v2.0/core/get_jobs",
        "List jobs, as core.get_jobs does.",
        (
            Answer(200, "the jobs", JSON, _JOBS),
            Answer(400, "a parameter cannot be read"),
            _NO_LOGIN,
            Answer(403, "a wrong token, or a secret over a plain connection"),
            _BUSY,
        ),
        parameters=(
            Parameter("id", "query", _NUMBER, "only the job with this number"),
            Parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 10_000}, "how many"),
            Parameter(
                "offset",
                "query",
                {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999},
                "how many before",
            ),
        ),
        logins=LOGINS,
    ),
    Operation(
        "upload",
        ("POST",),
        "/_upload",
        "Call a task with the input that the files are; its number is answered when they were read.",
        (
            Answer(
                200,
                "the job",
                JSON,
                {"type": "object", "required": ["job_id"], "properties": {"job_id": _NUMBER}},
            ),
            Answer(400, "the form, the JSON in it, or the login cannot be read"),
            _NO_LOGIN,
            Answer(403, "a wrong token, or one may not call this"),
            Answer(405, "there are other parts than data and then files", headers=("Allow",)),
            Answer(412, "the task cannot be begun now"),
            Answer(413, "the part data is too large"),
            Answer(422, "no such task takes an input"),
            Answer(500, "the arguments are wrong"),
            _BUSY,
        ),
        form=_UPLOAD,
        logins=LOGINS,
        also="/_upload/",
    ),
    Operation(
        "download",
        ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"),
        "/_download/{id}",
        "Fetch what a job writes, or its log: once, by the path that core.download gave.",
        (
            Answer(
                200,
                "the bytes",
                BYTES,
                {"type": "string", "contentMediaType": BYTES},
                ("Content-Disposition",),
            ),
            Answer(401, "no token, or none for this", headers=("WWW-Authenticate",)),
            Answer(404, "no such job"),
            Answer(410, "fetched already, not fetched in time, or its job has failed"),
        ),
        parameters=(Parameter("id", "path", _NUMBER, "the number of the job"),),
        logins=("auth_token",),
        also=r"/_download(/.*)?",
    ),
)
