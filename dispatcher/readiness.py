"""Tell the service manager that we are ready: sd_notify(3), the protocol of systemd's `Type=notify`.

One datagram to the Unix socket that NOTIFY_SOCKET names. Without that variable nobody asked, as on FreeBSD.
"""

import contextlib
import os
import socket


def tell_ready() -> None:
    """Say that clients may come, once. A manager that does not listen is none of our concern."""
    place = os.environ.pop("NOTIFY_SOCKET", "")
    if not place:
        return
    # A name that begins with @ is none of a file: Linux's abstract sockets begin with a zero byte.
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.sendto(b"READY=1", address)
