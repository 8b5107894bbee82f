"""Every method that can be called: its name, its parameters, the access it needs, and what does it.

`METHODS` is the page for a security review: besides it only the tasks of queues.yaml can be called.
"""

from collections.abc import Iterable

from dispatcher.api.truenas.auth_methods import AUTH_ROWS
from dispatcher.api.truenas.bulk import bulk_row
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.core_methods import CORE_ROWS
from dispatcher.api.truenas.describe import description_rows
from dispatcher.api.truenas.dispatcher_methods import DISPATCHER_ROWS
from dispatcher.api.truenas.job_methods import JOB_ROWS
from dispatcher.api.truenas.method import Method
from dispatcher.api.truenas.system_methods import SYSTEM_ROWS
from dispatcher.api.truenas.task_methods import TASK_ROWS, find_task, task_method
from dispatcher.api.truenas.transfer_methods import TRANSFER_ROWS


def find_method(client: Client, name: str) -> Method | None:
    """Find a method by its name: one of the table, or a task of the settings in force."""
    method = METHODS.get(name)
    if method is not None:
        return method
    task = find_task(client, name)
    return None if task is None else task_method(task)


def _all() -> Iterable[Method]:
    return METHODS.values()


_ROWS = (
    *CORE_ROWS,
    *AUTH_ROWS,
    *JOB_ROWS,
    *SYSTEM_ROWS,
    *DISPATCHER_ROWS,
    *TASK_ROWS,
    *TRANSFER_ROWS,
    bulk_row(find_method),
    *description_rows(_all),
)
METHODS: dict[str, Method] = {method.name: method for method in _ROWS}
