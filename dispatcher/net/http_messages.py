"""What a request says before its body, and what an answer is; how h11 is told of it."""

from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote

import h11
import msgspec

from dispatcher.net.peer import Peer


class Request(msgspec.Struct, frozen=True):
    """The head of a request; header names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    peer: Peer

    @property
    def path(self) -> str:
        """The path without the query, decoded."""
        target = self.target.partition("?")[0]
        if target.lower().startswith(("http://", "https://")):
            # What is sent to a proxy; RFC 9112, 3.2.2 has every server take it.
            target = "/" + target.partition("://")[2].partition("/")[2]
        return unquote(target)

    @property
    def query(self) -> str:
        """What stands behind the path, as it was sent, without the question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str:
        """Give a header's value, several joined by commas; "" without it. `name` is in lower case."""
        return ", ".join(value for one, value in self.headers if one == name)


class Response(msgspec.Struct, frozen=True):
    """An answer; content-length and date are added on the way."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def read_head(head: h11.Request, peer: Peer) -> Request:
    """Make a request of what h11 has read."""
    return Request(
        head.method.decode("ascii"),
        head.target.decode("latin-1"),
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers),
        peer,
    )


def plain(status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Make an answer of one sentence."""
    body = f"{sentence}\n".encode("utf-8", "replace")
    return Response(status, (("content-type", "text/plain; charset=utf-8"), *headers), body)


def whole_head(response: Response) -> h11.Response:
    """Make the head of an answer whose body is at hand. Raises LocalProtocolError if it cannot be sent."""
    headers = [(name, value) for name, value in response.headers if name.lower() != "content-length"]
    if response.status not in {204, 304}:
        headers.append(("content-length", str(len(response.body))))
    return _head(response.status, headers)


def open_head(status: int, headers: tuple[tuple[str, str], ...]) -> h11.Response:
    """Make the head of an answer of unknown length."""
    return _head(status, list(headers))


def _head(status: int, headers: list[tuple[str, str]]) -> h11.Response:
    if not any(name.lower() == "date" for name, _ in headers):
        headers.append(("date", formatdate(usegmt=True)))
    return h11.Response(status_code=status, headers=headers, reason=_phrase(status))


def _phrase(status: int) -> str:
    # h11 has none of its own, and there are clients that cannot read a status line without one.
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
