"""The methods that make downloads; the paths that they answer are served over HTTP."""

from dispatcher.access.roles import Level
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.downloads import Asker, Downloads
from dispatcher.api.truenas.excerpts import has_log
from dispatcher.api.truenas.method import row
from dispatcher.api.truenas.problems import Errno, call_error, not_found
from dispatcher.api.truenas.task_methods import find_task, level_of, run_of
from dispatcher.core.model import Value
from dispatcher.errors import NotFound


class DownloadWish(Value, frozen=True):
    """A method with an output, its arguments, the name of the file, and whether to keep it until fetched."""

    method: str
    args: list[object]
    filename: str
    buffered: bool = False


class LogWish(Value, frozen=True):
    """A job, and the name of the file that its log becomes."""

    id: int
    filename: str
    buffered: bool = False


async def _download(client: Client, params: DownloadWish) -> tuple[int, str]:
    task = find_task(client, params.method)
    if task is None or not task.output:
        raise call_error(Errno.ENOMETHOD, f"no method {params.method[:100]!r} has an output")
    if client.caller.level < level_of(task):
        raise call_error(Errno.EACCES, "Not authorized")
    if task.input:
        raise call_error(Errno.EINVAL, "Pipe 'input' is not open", kind="ValueError")
    run = run_of(task, params.args)
    return await _downloads(client).open(_asker(client), run, params.filename, is_buffered=params.buffered)


async def _download_logs(client: Client, params: LogWish) -> str:
    try:
        job = await client.service.show(client.caller, params.id)
    except NotFound:
        raise not_found(f"Job with id {params.id} does not exist") from None
    if not has_log(job):
        raise call_error(Errno.EFAULT, "This job has no logs")
    return _downloads(client).open_log(_asker(client), job, params.filename)


def _downloads(client: Client) -> Downloads:
    if client.downloads is None:
        raise call_error(Errno.EBUSY, "downloads cannot be had on this connection")
    return client.downloads


def _asker(client: Client) -> Asker:
    return Asker(client.identity, client.session, client.peer.address or None)


TRANSFER_ROWS = (
    row(
        "core.download",
        DownloadWish,
        Level.READ,
        _download,
        "Begin a job whose output is fetched over HTTP.",
    ),
    row("core.job_download_logs", LogWish, Level.READ, _download_logs, "Give the path to fetch a log from."),
)
