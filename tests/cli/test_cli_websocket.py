"""The command line's WebSocket, against a library that is not ours."""

import json
import socket
import threading

import pytest
from websockets.sync.server import ServerConnection, unix_serve

from dispatcher.cli.client import Client
from dispatcher.cli.exits import ConnectionLost
from dispatcher.cli.websocket import WebSocket


@pytest.fixture
def echo(tmp_path_factory):
    """A server that pings, then sends back what it gets, in fragments if it begins with 'f'."""

    def serve(connection: ServerConnection) -> None:
        for message in connection:
            assert isinstance(message, str)
            connection.ping().wait(10)
            connection.send([message[:2], message[2:3], message[3:]] if message[:1] == "f" else message)

    path = tmp_path_factory.mktemp("d") / "s"
    with unix_serve(serve, str(path), compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(path))
            connection = WebSocket(stream)
            connection.open("/api/current", "localhost")
            yield connection
            connection.close()
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 65535, 65536, 1_000_001])
def test_a_message_of_any_length_comes_back_whole(echo, size):
    message = b"x" * size
    echo.send(message)

    assert echo.receive() == message


def test_fragments_are_joined_and_pings_answered(echo):
    echo.send("f€ragments".encode())

    assert echo.receive() == "f€ragments".encode()


def pair(answer: bytes) -> tuple[WebSocket, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.sendall(answer)
    return WebSocket(ours), theirs


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_dispatcher_is_noticed(answer):
    connection, theirs = pair(answer)
    with theirs:
        with pytest.raises(ConnectionLost):
            connection.open("/", "localhost")
        connection.close()


def test_the_end_of_the_connection_is_noticed_in_the_middle_of_a_message():
    connection, theirs = pair(b"\x81\x05abc")
    theirs.close()
    with pytest.raises(ConnectionLost):
        connection.receive()
    connection.close()


def test_the_reason_of_a_goodbye_is_told():
    connection, theirs = pair(b"\x88\x07\x03\xe9later")
    with theirs:
        with pytest.raises(ConnectionLost, match="later"):
            connection.receive()
        connection.close()


def test_calls_are_answered_in_any_order_with_notifications_between(scripted):
    scripted.then["b"] = [[{"method": "n", "params": {"x": 1}}]]
    scripted.script = {"a": [1], "b": [2]}
    with Client(str(scripted.path)) as client:
        first, second = client.send("a", given=None, kept=0), client.send("b")

        assert (client.answer(second), client.answer(first)) == (2, 1)
        assert client.next_notification() == ("n", {"x": 1})
    assert json.dumps(scripted.calls[0]) == '["a", {"kept": 0}]'
