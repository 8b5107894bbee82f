"""One call of a method: may the client, and what comes of it."""

from collections.abc import Sequence

from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.jobs import Begun, JobRun, refused
from dispatcher.api.truenas.method import Method
from dispatcher.api.truenas.problems import INVALID_PARAMS, Problem
from dispatcher.errors import Forbidden


async def call(
    client: Client, method: Method, given: Sequence[object], call_id: bytes | None = None
) -> object:
    """Carry out a call; give its answer, a `Stream`, or the `Begun` of the job that it has made.

    `call_id` is the id of a request that waits for that job. Raises Problem or DispatcherError.
    """
    try:
        client.require(method.level)
    except Forbidden as error:
        client.service.audit.refused(client.caller, method.name, error)
        raise
    try:
        answer = await method.call(client, given)
    except Problem as problem:
        if not method.is_job or problem.code != INVALID_PARAMS:
            raise
        # A job method checks its arguments inside the job: what is wrong is its outcome.
        answer = refused(method.name, method.masked(given), problem, method.level)
    if isinstance(answer, JobRun):
        answer = Begun(await client.jobs.begin(answer, client.caller, call_id, client.credentials_json))
    return answer
