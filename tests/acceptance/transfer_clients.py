"""Uploads and downloads made by hand and by `http.client`, so that wrong ones can be made, too."""

import base64
import http.client
import json
import socket
from typing import NamedTuple

from tests.daemon import FULL, Account, Daemon

BOUNDARY = "------------------------d74496d66958873e"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PATIENCE = 30.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def job(self) -> int:
        assert (self.status, self.headers["content-type"]) == (200, "application/json"), self
        number: int = json.loads(self.body)["job_id"]
        return number


def part(name: str | None, content: bytes | str, filename: str | None = None) -> bytes:
    """Write one part, boundary and all, as curl does."""
    head = f"--{BOUNDARY}\r\n"
    if name is not None:
        head += f'Content-Disposition: form-data; name="{name}"'
        head += (
            f'; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n' if filename else "\r\n"
        )
    text = content if isinstance(content, bytes) else content.encode()
    return head.encode() + b"\r\n" + text + b"\r\n"


def data_part(method: object = "config.upload", *params: object) -> bytes:
    return part("data", json.dumps({"method": method, "params": list(params)}))


def file_part(content: bytes | str, name: str = "file") -> bytes:
    return part(name, content, "x.bin")


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def basic(account: Account = FULL) -> str:
    return "Basic " + base64.b64encode(f"{account.name}:{account.password}".encode()).decode()


def ask(
    daemon: Daemon,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    login: str | None = None,
    kind: str | None = None,
) -> Answer:
    """Send one request over the plain listener."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.plain_port, timeout=PATIENCE)
    headers = {"Content-Type": kind} if kind else {}
    if login is not None:
        headers["Authorization"] = login
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def upload(daemon: Daemon, *parts: bytes, login: str | None = "", path: str = "/_upload") -> Answer:
    """Upload a form; with the full account's password unless another login is given."""
    return ask(daemon, "POST", path, form(*parts), login=basic() if login == "" else login, kind=FORM)


def connected(daemon: Daemon) -> socket.socket:
    """Open a plain connection for a request by hand."""
    one = socket.create_connection(("127.0.0.1", daemon.plain_port), timeout=PATIENCE)
    one.settimeout(PATIENCE)
    return one


def head(length: int, *more: str, path: str = "/_upload") -> bytes:
    """Write the head of an upload whose body has so many bytes."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Type: {FORM}",
        f"Content-Length: {length}",
        f"Authorization: {basic()}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def read_until(one: socket.socket, mark: bytes) -> bytes:
    found = b""
    while mark not in found:
        piece = one.recv(65536)
        assert piece, found
        found += piece
    return found
