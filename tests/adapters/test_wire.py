"""The lines between supervisor and worker: golden orders, broken ones, and lines in pieces."""

import json

import pytest

from dispatcher.runner import wire

START: dict[str, object] = {
    "do": "start",
    "job": 7,
    "handover": 1001,
    "commands": [["pkg", "update"], ["true"]],
    "cwd": "/",
    "env": {"PATH": "/bin"},
    "umask": 18,
    "log": "/var/log/0/7.log",
    "cap": 67108864,
    "tail": 1048576,
    "mark": "here:7",
    "leftovers": "keep",
    "grace": 10.0,
}


def decode(message: dict[str, object]) -> wire.Order:
    return wire.decode_order(json.dumps(message).encode())


def test_a_start_is_read_whole():
    order = decode(START)

    assert order == wire.Start(
        job=7,
        handover=1001,
        commands=(("pkg", "update"), ("true",)),
        cwd="/",
        env={"PATH": "/bin"},
        umask=18,
        log="/var/log/0/7.log",
        cap=67108864,
        tail=1048576,
        mark="here:7",
        stops_leftovers=False,
        grace=10.0,
    )


def test_a_start_says_whether_it_was_sent_ahead_and_an_older_supervisor_does_not():
    orders = [decode(START | said) for said in ({}, {"ahead": False}, {"ahead": True})]

    assert [order.is_ahead for order in orders if isinstance(order, wire.Start)] == [False, False, True]
    with pytest.raises(wire.WireError, match="ahead is neither true nor false"):
        decode(START | {"ahead": 1})


def test_a_start_says_what_its_commands_read_and_write():
    everything = {
        "stdin": "text",
        "keeps_stdout": True,
        "pattern": "(?P<percent>[0-9]+)%",
        "progress_fd": True,
        "descriptors": ["stdin", "keeper", "stdout"],
    }

    orders = [decode(START | {"streams": streams}) for streams in ({}, everything)]

    assert [order.streams for order in orders if isinstance(order, wire.Start)] == [
        wire.Streams(),
        wire.Streams("text", True, "(?P<percent>[0-9]+)%", True, ("stdin", "keeper", "stdout")),
    ]


@pytest.mark.parametrize(
    ("message", "order"),
    [
        ({"do": "stop", "job": 7, "grace": 10}, wire.Stop(7, 10.0)),
        ({"do": "withdraw", "job": 8}, wire.Withdraw(8)),
        ({"do": "end_input", "job": 7}, wire.EndInput(7)),
        ({"do": "ack", "seq": 12}, wire.Ack(12)),
        ({"do": "exit", "new": "unknown members are ignored"}, wire.Exit()),
    ],
)
def test_each_order_is_read(message, order):
    assert decode(message) == order


def test_leftovers_stop_is_read():
    order = decode(START | {"leftovers": "stop"})

    assert isinstance(order, wire.Start)
    assert order.stops_leftovers


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{", "it is no JSON"),
        (b"[]", "it is no JSON object"),
        (b'{"do":"dance"}', "the order 'dance': known are start, stop, withdraw, end_input, ack, exit"),
        (b'{"do":["stop"]}', "known are start"),
        (b'{"do":"stop","job":7}', "the order 'stop': it has no grace"),
        (b'{"do":"stop","job":true,"grace":1}', "job is no whole number"),
        (b'{"do":"stop","job":7,"grace":-1}', "grace is no number of seconds"),
        (b'{"do":"stop","job":7,"grace":NaN}', "grace is no number of seconds"),
        (b'{"do":"ack","seq":-1}', "seq is no whole number"),
        (b"[" * 100_000, "it is no JSON"),
    ],
)
def test_what_is_no_order_gets_a_sentence(line, sentence):
    with pytest.raises(wire.WireError, match=r"^cannot") as caught:
        wire.decode_order(line)

    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"commands": "true"}, "commands is no list"),
        ({"commands": [[]]}, "a command is no list of words"),
        ({"commands": [["a", 1]]}, "a command is no list of words"),
        ({"env": {"A": 1}}, "env is no object of texts"),
        ({"leftovers": "eat"}, "leftovers is neither keep nor stop"),
        ({"log": None}, "log is no text"),
        ({"streams": None}, "streams is no object"),
        ({"streams": {"stdin": None}}, "stdin is no text"),
        ({"streams": {"pattern": 1}}, "pattern is no text"),
        ({"streams": {"keeps_stdout": "yes"}}, "keeps_stdout is neither true nor false"),
        ({"streams": {"progress_fd": 3}}, "progress_fd is neither true nor false"),
        ({"streams": {"descriptors": "stdin"}}, "descriptors is no list"),
        ({"streams": {"descriptors": ["stdin", []]}}, "descriptors is no list"),
    ],
)
def test_a_start_with_a_wrong_member_names_it(change, sentence):
    with pytest.raises(wire.WireError, match=sentence):
        decode(START | change)


def test_a_message_is_one_compact_line():
    line = wire.encode({"log": 7, "name": "ü\n", "code": None})

    assert line == '{"log":7,"name":"ü\\n","code":null}\n'.encode()


def test_a_name_that_is_no_text_becomes_one():
    line = wire.encode({"name": "a\udcff"})

    assert line == b'{"name":"a?"}\n'


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_put_together_from_any_pieces(size):
    raw = b'{"a":1}\n\n{"b":2}\n{"c"'
    lines = wire.Lines()

    found = [line for at in range(0, len(raw), size) for line in lines.feed(raw[at : at + size])]

    assert found == [b'{"a":1}', b"", b'{"b":2}']
    assert lines.feed(b":3}\n") == [b'{"c":3}']


def test_a_line_without_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(wire, "MAX_LINE", 10)
    lines = wire.Lines()
    lines.feed(b"0123456789")

    with pytest.raises(wire.WireError, match="more than 10 bytes"):
        lines.feed(b"0")
