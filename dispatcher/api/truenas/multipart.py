"""Read multipart/form-data as it comes: bytes in, the parts and their pieces out. Pure.

RFC 7578 with RFC 2046's framing. No piece is kept: only a boundary that may have begun is held back.
"""

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from dispatcher.core.model import Value

MOST_HEADER_BYTES = 8 * 1024  # of one part

# It warns of what clients send; they get an answer, and the log of the daemon is not theirs to fill.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class NotAForm(Exception):
    """The body is not what it should be."""


class PartBegun(Value, frozen=True):
    """A part begins; `name` is that of its field, "" without one."""

    name: str


class PartEnded(Value, frozen=True):
    """All pieces of the part have been given."""


class FormEnded(Value, frozen=True):
    """The last boundary was read: nothing follows that counts."""


class Malformed(Value, frozen=True):
    """What came next is no form; nothing follows."""

    sentence: str


Event = PartBegun | memoryview | PartEnded | FormEnded | Malformed


class FormReader:
    """Reads one body; `feed` takes its bytes in any pieces. Raises NotAForm if the header names no form."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise NotAForm("the body is no form: send multipart/form-data")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_part_data": self._take,
                    "on_part_end": lambda: self._events.append(PartEnded()),
                    "on_header_field": self._take_name,
                    "on_header_value": self._take_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise NotAForm(f"the body cannot be read: {error}") from None
        self._events: list[Event] = []
        self._name = bytearray()
        self._value = bytearray()
        self._header_bytes = 0
        self._disposition = b""
        self._is_over = False

    def feed(self, data: bytes) -> list[Event]:
        """Give what becomes clear by the next bytes, in order, whatever pieces they come in."""
        events = self._events = []
        if not self._is_over:
            try:
                self._parser.write(data)
            except (FormParserError, NotAForm) as error:
                if not self._is_over:  # what follows the last boundary is nobody's
                    self._is_over = True
                    events.append(Malformed(f"the form cannot be read: {error}"))
        return events

    def _begin_part(self) -> None:
        self._disposition = b""
        self._header_bytes = 0

    def _take(self, data: bytes, start: int, end: int) -> None:
        if end > start:
            self._events.append(memoryview(data)[start:end])

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += self._counted(data, start, end)

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data, start, end)

    def _counted(self, data: bytes, start: int, end: int) -> bytes:
        self._header_bytes += end - start
        if self._header_bytes > MOST_HEADER_BYTES:
            raise NotAForm(f"the head of a part has more than {MOST_HEADER_BYTES} bytes")
        return data[start:end]

    def _end_header(self) -> None:
        if bytes(self._name).strip().lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"") if kind == b"form-data" else b""
        self._events.append(PartBegun(name.decode("utf-8", "replace")))

    def _end(self) -> None:
        self._is_over = True
        self._events.append(FormEnded())
