"""Lines for the system's log daemon, over its socket; what it does not take at once is dropped.

The form is that of RFC 3164, which syslogd of FreeBSD, rsyslog and journald all read.
"""

import errno
import logging
import os
import socket
import time
from pathlib import Path

PLACES = (Path("/var/run/log"), Path("/dev/log"))  # FreeBSD, Linux
_DAEMON = 3 << 3
_SEVERITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_LONGEST = 1000  # bytes of a text: RFC 3164 allows 1024 in all
_FULL = (errno.EAGAIN, errno.ENOBUFS)
_TRIES = 20
_PAUSE = 0.05  # seconds for a log daemon that is behind


class Syslog:
    """The connection; made anew when the log daemon was restarted."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def write(self, lines: list[tuple[int, str]]) -> None:
        """Send each line. Raises OSError if there is no log daemon."""
        for level, text in lines:
            self._send(_packet(level, text))

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _send(self, packet: bytes) -> None:
        for _ in range(_TRIES):
            try:
                if self._socket is None:
                    self._socket = _connect()
                self._socket.send(packet)
            except OSError as error:
                if error.errno in _FULL:
                    time.sleep(_PAUSE)
                    continue
                # It was restarted, perhaps: once more on a new connection, then it is not there.
                was_connected = self._socket is not None
                self.close()
                if not was_connected:
                    raise
            else:
                return


def _connect() -> socket.socket:
    place = next((one for one in PLACES if one.exists()), PLACES[-1])
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.connect(os.fspath(place))
    except OSError:
        made.close()
        raise
    return made


def _packet(level: int, text: str) -> bytes:
    severity = next((number for above, number in _SEVERITIES if level >= above), 7)
    when = time.localtime()
    stamp = f"{time.strftime('%b', when)} {when.tm_mday:2d} {time.strftime('%H:%M:%S', when)}"
    one_line = text.replace("\n", " | ").encode("utf-8", "backslashreplace")[:_LONGEST]
    return b"<%d>%b dispatcher[%d]: %b" % (_DAEMON | severity, stamp.encode(), os.getpid(), one_line)
