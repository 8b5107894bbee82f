"""Somebody who guesses passwords, in a process of its own: guesser.py CERTIFICATE PORT CONNECTIONS GUESSES.

It comes from 127.0.0.2 and opens all of its connections first, because later ones are refused. When they
are open it prints a line, and begins when it can read one. At the end it prints how many guesses were
answered, how many of them were let in, and the seconds.
"""

import json
import socket
import ssl
import sys
import threading
import time

from bench.client import Connection

ADDRESS = "127.0.0.2"
PATIENCE = 120.0  # seconds without an answer, after which this is no measurement


def secured(certificate: str, port: int, source: str) -> socket.socket:
    """Connect from an address to the daemon, which has made its certificate itself."""
    trust = ssl.create_default_context(cafile=certificate)
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return trust.wrap_socket(plain, server_hostname="localhost")


def call(name: str, args: object) -> bytes:
    """Give one call of rpc/..."""
    return json.dumps({"namespace": "rpc", "name": name, "id": "1", "args": args}).encode()


def log_in(password: str) -> bytes:
    """Give a login as admin."""
    return call("auth", {"username": "admin", "password": password})


def guess(connection: Connection, count: int, refused: list[int], let_in: list[int]) -> None:
    """Send all guesses, then count the answers."""
    connection.send([log_in(f"wrong {number}") for number in range(count)])
    answered = 0
    while answered < count:
        for message in connection.messages():
            answered += 1
            (refused if b'"code":"401"' in message else let_in).append(1)


def main() -> None:
    certificate, port, connections, guesses = sys.argv[1], *(int(one) for one in sys.argv[2:5])
    opened = [Connection(secured(certificate, port, ADDRESS), "/") for _ in range(connections)]
    print("open", flush=True)
    sys.stdin.readline()
    refused: list[int] = []
    let_in: list[int] = []
    begun = time.perf_counter()
    threads = [
        threading.Thread(target=guess, args=(one, guesses // connections, refused, let_in), daemon=True)
        for one in opened
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([len(refused), len(let_in), time.perf_counter() - begun]), flush=True)


if __name__ == "__main__":
    main()
