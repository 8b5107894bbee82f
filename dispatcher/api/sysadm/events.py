"""A `dispatcher` event on its way to listeners: the encoded record, and what its class adds. Pure.

A job of no class is told as its flat record. An event of a class wraps that record, and may hold an
increment: text that clients append to what earlier events gave them.
"""

from collections.abc import Mapping

import msgspec

from dispatcher.api.sysadm.codec import encode_record
from dispatcher.api.sysadm.records import Span, read_text
from dispatcher.core.model import Job, Value


class Change(Value, frozen=True):
    """A job as it was when something was told, and how much of its log was known then.

    `fresh` are the bytes of the log (start, end) that no earlier event held; None if nobody asks.
    """

    job: Job
    length: int
    is_output: bool = False  # no numbered change: only its log has grown
    fresh: tuple[int, int] | None = None


class Increment(Value, frozen=True):
    """Bytes of a job's log that no earlier event of it held; `cut` more stood before `data`."""

    data: bytes = b""
    cut: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing new."""
        return not self.data and not self.cut

    @property
    def text(self) -> str:
        """The text as clients get it, with a first line that says how much was cut."""
        return read_text(Span(0, len(self.data), self.cut), self.data)

    def followed_by(self, later: "Increment", most: int) -> "Increment":
        """Join what came later; of more than `most` bytes the end is kept."""
        if later.cut:
            return Increment(later.data, self.cut + len(self.data) + later.cut)
        data = self.data + later.data
        over = max(0, len(data) - most)
        return Increment(data[over:], self.cut + over)


NOTHING = Increment()


class Wrapping(Value, frozen=True):
    """What a class puts around the record: `fields`, and the increment under `log_key` if it has one."""

    fields: Mapping[str, object]
    log_key: str = ""


class Event:
    """What is handed to listeners. `most` is how many bytes an increment may have."""

    __slots__ = ("increment", "is_last", "most", "number", "record", "wrapping")

    def __init__(
        self,
        number: int,
        record: bytes,
        wrapping: Wrapping | None = None,
        increment: Increment = NOTHING,
        *,
        most: int = 0,
        is_last: bool = False,
    ) -> None:
        self.number = number
        self.record = record
        self.wrapping = wrapping
        self.increment = increment
        self.most = most
        self.is_last = is_last

    def with_increment(self, increment: Increment) -> "Event":
        """Give the same event with another increment."""
        return Event(self.number, self.record, self.wrapping, increment, most=self.most, is_last=self.is_last)

    def body(self, increment: Increment | None = None) -> bytes:
        """Encode the event's `args`, with its own increment or another one."""
        if self.wrapping is None:
            return self.record
        fields = dict(self.wrapping.fields)
        fields["process_details"] = msgspec.Raw(self.record)
        if self.wrapping.log_key:
            fields[self.wrapping.log_key] = (self.increment if increment is None else increment).text
        return encode_record(fields)
