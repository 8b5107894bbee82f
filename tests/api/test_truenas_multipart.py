"""Forms read as they come: the same parts, whatever pieces the bytes come in."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.api.truenas.multipart import (
    MOST_HEADER_BYTES,
    FormEnded,
    FormReader,
    Malformed,
    NotAForm,
    PartBegun,
    PartEnded,
)

BOUNDARY = "B-7"
KIND = f"multipart/form-data; boundary={BOUNDARY}"
# What looks like a boundary, nearly, is what a reader stumbles over.
CONTENT = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"B", b"--B-", b"\r\n--B-", b"\r\n-", b"x", b"\0"])
).map(b"".join)


def part(name: str, content: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def read(body: bytes, *cuts: int, kind: str = KIND) -> list[object]:
    """Read a body in pieces; give its events, the bytes of a part joined."""
    reader = FormReader(kind)
    found: list[object] = []
    places = [0, *sorted(cuts), len(body)]
    for start, end in pairwise(places):
        for event in reader.feed(body[start:end]):
            if isinstance(event, memoryview) and found and isinstance(found[-1], bytes):
                found[-1] += bytes(event)
            else:
                found.append(bytes(event) if isinstance(event, memoryview) else event)
    return found


def events_of(*contents: bytes) -> list[object]:
    found: list[object] = []
    for number, content in enumerate(contents):
        found += [PartBegun(f"n{number}"), *([content] if content else []), PartEnded()]
    return [*found, FormEnded()]


def form(*contents: bytes) -> bytes:
    parts = b"".join(part(f"n{number}", content) for number, content in enumerate(contents))
    return parts + f"--{BOUNDARY}--\r\n".encode()


def test_a_form_is_the_same_cut_at_any_byte():
    body = form(b'{"method": "x"}', b"a\r\n--B-6\r\n--B-", b"")

    for cut in range(len(body) + 1):
        assert read(body, cut) == events_of(b'{"method": "x"}', b"a\r\n--B-6\r\n--B-", b""), cut


@settings(max_examples=150, deadline=None)
@given(contents=st.lists(CONTENT, min_size=1, max_size=3), data=st.data())
def test_whatever_stands_in_the_parts_and_however_it_is_cut(contents, data):
    contents = [one for one in contents if f"\r\n--{BOUNDARY}".encode() not in b"\r\n" + one]
    body = form(*contents)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))

    assert read(body, *cuts) == events_of(*contents)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('Content-Disposition: form-data; name="file"; filename="a;\\"b"', "file"),
        ("content-disposition: form-data; name=file", "file"),
        ('X: 1\r\nContent-Disposition: form-data; filename="f"; name="\u00e9"', "é"),
        ('Content-Disposition: attachment; name="file"', ""),
        ("Content-Disposition: form-data", ""),
        ("X: y", ""),
    ],
)
def test_the_name_of_a_part(header, name):
    body = f"--{BOUNDARY}\r\n{header}\r\n\r\nx\r\n--{BOUNDARY}--".encode()

    assert read(body)[0] == PartBegun(name)


def test_a_header_of_one_part_is_not_taken_for_the_next_ones():
    body = part("a", b"") + f"--{BOUNDARY}\r\nX: y\r\n\r\n\r\n--{BOUNDARY}--".encode()

    assert [one for one in read(body) if isinstance(one, PartBegun)] == [PartBegun("a"), PartBegun("")]


@pytest.mark.parametrize("cut", [0, 30])
def test_what_came_before_a_mistake_is_told_before_it(cut):
    body = part("a", b"good") + f"--{BOUNDARY}\r\nno head\r\n\r\n".encode() + form(b"never read")

    *before, last = read(body, cut)

    assert before[:2] == [PartBegun("a"), b"good"]
    assert isinstance(last, Malformed)


def test_nothing_counts_behind_the_last_boundary():
    assert read(form(b"x") + b"epilogue\r\n" + form(b"y")) == events_of(b"x")


def test_a_head_without_end_is_refused():
    body = f"--{BOUNDARY}\r\n".encode() + b"X: 12345678\r\n" * MOST_HEADER_BYTES

    assert isinstance(read(body, *range(0, 4000, 100))[-1], Malformed)


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x"]
)
def test_what_is_no_form_is_refused_by_its_header(kind):
    with pytest.raises(NotAForm, match="multipart/form-data"):
        FormReader(kind)
