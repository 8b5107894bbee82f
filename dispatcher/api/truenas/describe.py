"""`core.get_methods` and `core.get_services`: what can be called, from the table that calls are made by."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from dispatcher.access.roles import Level
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.jobs import JobRun
from dispatcher.api.truenas.method import Method, row
from dispatcher.api.truenas.parameters import Nothing
from dispatcher.core.model import Value
from dispatcher.tasks.declaration import Kind, Parameter, TaskDeclaration

_ROLES = {Level.NOBODY: [], Level.READ: ["READONLY_ADMIN"], Level.FULL: ["FULL_ADMIN"]}
_TYPES = {Kind.STRING: "string", Kind.INTEGER: "integer", Kind.BOOLEAN: "boolean", Kind.ENUM: "string"}
_BOUNDS = {Kind.INTEGER: ("minimum", "maximum"), Kind.LIST: ("minItems", "maxItems")}

Schema = dict[str, Any]


class Asked(Value, frozen=True):
    """Which service's methods; `target` is who would call, and makes no difference here."""

    service: str | None = None
    target: Literal["WS", "CLI", "REST"] = "WS"


class MethodDescription(Value, frozen=True):
    """One method. `accepts` and `returns` are lists of JSON Schemas, one for each parameter."""

    description: str
    accepts: list[Schema]
    returns: list[Schema]
    job: bool
    uploadable: bool
    downloadable: bool
    no_auth_required: bool
    roles: list[str]
    private: bool = False


class ServiceDescription(Value, frozen=True):
    """One service: what stands before the last dot of its methods' names."""

    type: str = "service"
    methods: int = 0


def describe(method: Method) -> MethodDescription:
    """Describe a row of the table."""
    fields = msgspec.structs.fields(method.params)
    accepts = [_schema(field.type) | {"_name_": field.name, "_required_": field.required} for field in fields]
    is_run = method.returns in (None, JobRun, object)
    return MethodDescription(
        method.doc,
        accepts,
        [{} if is_run else _schema(method.returns)],
        method.is_job,
        uploadable=False,
        downloadable=False,
        no_auth_required=method.level is Level.NOBODY,
        roles=_ROLES[method.level],
    )


def describe_task(task: TaskDeclaration) -> MethodDescription:
    """Describe a task."""
    return MethodDescription(
        task.description,
        [
            schema_of(parameter) | {"_name_": parameter.name, "_required_": parameter.is_required}
            for parameter in task.parameters
        ],
        [{}],
        job=True,
        uploadable=task.input,
        downloadable=task.output,
        no_auth_required=False,
        roles=_ROLES[Level.FULL if task.needs_full else Level.READ],
    )


def schema_of(parameter: Parameter) -> Schema:
    """Give the JSON Schema of a task's parameter."""
    schema: Schema = {"description": parameter.description} if parameter.description else {}
    if parameter.kind in _TYPES:
        schema["type"] = _TYPES[parameter.kind]
    is_number = parameter.kind is Kind.INTEGER
    is_list = parameter.kind is Kind.LIST
    low, high = (
        ("minimum", "maximum")
        if is_number
        else ("minItems", "maxItems")
        if is_list
        else ("minLength", "maxLength")
    )
    if parameter.low is not None:
        schema[low] = parameter.low
    if parameter.high is not None:
        schema[high] = parameter.high
    if parameter.pattern:
        schema["pattern"] = f"^(?:{parameter.pattern})$"
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default:
        schema["default"] = msgspec.json.decode(parameter.default)
    if parameter.of is not None:
        schema |= {"type": "array", "items": schema_of(parameter.of)}
    if parameter.kind is Kind.OBJECT:
        schema |= {
            "type": "object",
            "properties": {key.name: schema_of(key) for key in parameter.keys},
            "required": [key.name for key in parameter.keys if key.is_required],
            "additionalProperties": False,
        }
    return schema


def description_rows(methods: Callable[[], Iterable[Method]]) -> tuple[Method, ...]:
    """Make the two methods; `methods` gives the table."""

    def all_of(client: Client) -> dict[str, MethodDescription]:
        found = {method.name: describe(method) for method in methods()}
        return found | {task.name: describe_task(task) for task in client.service.settings.tasks}

    async def get_methods(client: Client, params: Asked) -> dict[str, MethodDescription]:
        return {
            name: one
            for name, one in sorted(all_of(client).items())
            if params.service in (None, name.rpartition(".")[0])
        }

    async def get_services(client: Client, _: Nothing) -> dict[str, ServiceDescription]:
        names = [name.rpartition(".")[0] for name in sorted(all_of(client))]
        return {name: ServiceDescription(methods=names.count(name)) for name in dict.fromkeys(names)}

    return (
        row("core.get_methods", Asked, Level.READ, get_methods, "Describe the methods."),
        row("core.get_services", Nothing, Level.READ, get_services, "List the services."),
    )


def _schema(kind: object) -> Schema:
    try:
        return msgspec.json.schema(kind)
    except TypeError:
        return {}
