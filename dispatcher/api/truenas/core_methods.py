"""The methods `core.*` about the connection itself."""

from msgspec import UNSET, UnsetType

from dispatcher.access.roles import Level
from dispatcher.api.truenas.client import Client, Stream
from dispatcher.api.truenas.method import row
from dispatcher.api.truenas.parameters import Nothing
from dispatcher.core.model import Value


class Collection(Value, frozen=True):
    """The name of a collection of events."""

    name: str


class SubscriptionId(Value, frozen=True):
    """What `core.subscribe` answered."""

    id: str


class Options(Value, frozen=True):
    """How a connection wants its answers; what is left out stays as it is, other keys are ignored."""

    legacy_jobs: bool | UnsetType = UNSET
    private_methods: bool | UnsetType = UNSET
    py_exceptions: bool | UnsetType = UNSET


class GivenOptions(Value, frozen=True):
    """The parameter of `core.set_options`."""

    options: Options


class OptionsNow(Value, frozen=True):
    """All options of a connection."""

    legacy_jobs: bool
    private_methods: bool
    py_exceptions: bool


async def _ping(_: Client, __: Nothing) -> str:
    return "pong"


async def _set_options(client: Client, given: GivenOptions) -> OptionsNow:
    options = given.options
    if options.legacy_jobs is not UNSET:
        client.legacy_jobs = options.legacy_jobs
    if options.private_methods is not UNSET:
        client.private_methods = options.private_methods
    if options.py_exceptions is not UNSET:
        client.py_exceptions = options.py_exceptions
    return OptionsNow(client.legacy_jobs, client.private_methods, client.py_exceptions)


async def _subscribe(client: Client, params: Collection) -> Stream:
    number, begin = client.subscriptions.add(params.name, client.caller)
    return Stream(number, begin)


async def _unsubscribe(client: Client, params: SubscriptionId) -> None:
    client.subscriptions.remove(params.id)


CORE_ROWS = (
    row("core.ping", Nothing, Level.NOBODY, _ping, "Answer pong."),
    row("core.set_options", GivenOptions, Level.NOBODY, _set_options, "Choose how answers come."),
    row("core.subscribe", Collection, Level.READ, _subscribe, "Tell of every change in a collection."),
    row("core.unsubscribe", SubscriptionId, Level.READ, _unsubscribe, "End a subscription."),
)
