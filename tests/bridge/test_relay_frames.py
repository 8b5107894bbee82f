"""What a bridge reads and writes, compared with a recorded conversation where there is one."""

import json

import pytest

from dispatcher.bridge import relay_frames as frames
from dispatcher.bridge.relay_frames import Answered, Asked, Passed, read

PEER = "::{cb658091-9af9-425a-b596-feb135a11116}"


@pytest.mark.parametrize(
    ("message", "passed"),
    [
        (f"{PEER}\neyJhIjoxfQ==", Passed(PEER, "\neyJhIjoxfQ==")),
        (f'{PEER}\n{{"a":1}}\nb\n', Passed(PEER, '\n{"a":1}\nb\n')),
        (f"{PEER}\n".encode(), Passed(PEER, "\n")),
        ("hello\n", Passed("hello", "\n")),
        ("\nx", Passed("", "\nx")),
        (' {"a":1}\nx', Passed(' {"a":1}', "\nx")),
    ],
)
def test_what_does_not_begin_with_a_brace_is_for_the_peer_of_its_first_line(message, passed):
    assert read(message) == passed


def test_requests_and_replies_are_told_apart_by_their_name():
    asked = read('{"namespace":"rpc","name":"auth_ssl","id":"b1","args":""}')
    odd = read('{"namespace":"x","name":"y","id":7,"args":[1],"more":0}')
    answered = read(b'{"namespace":"rpc","name":"response","id":"i","args":{"type":"client"}}')

    assert asked == Asked("rpc", "auth_ssl", "b1", "")
    assert odd == Asked("x", "y", 7, [1])
    assert answered == Answered("i", {"type": "client"})


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "{",
        "{}",
        '{"name":"identify","id":"1","args":""}',
        '{"namespace":"rpc","id":"1","args":""}',
        '{"namespace":"rpc","name":"identify","args":""}',
        '{"namespace":"rpc","name":"identify","id":"1"}',
        '{"namespace":"rpc","name":"error","id":"1","args":""}',
        '{"namespace":5,"name":"identify","id":"1","args":""}',
        '{"namespace":"rpc","name":["x"],"id":"1","args":""}',
        '{"a":' + "[" * 100_000,
        b"\xff\xfe",
        b'{"namespace":"rpc","name":"\xff","id":"1","args":""}',
    ],
)
def test_everything_else_gets_no_reply(message):
    assert read(message) is None


@pytest.mark.parametrize(
    ("args", "sums"),
    [
        ({"md5_keys": ["Aoawx1HAVP7QE0TmzLTxLw==", "b"]}, {"Aoawx1HAVP7QE0TmzLTxLw==", "b"}),
        ({"md5_keys": []}, set()),
        ({"md5_keys": ["a", "a", "", 5, None, ["b"], "x" * 65, "x" * 64]}, {"a", "x" * 64}),
        ({"md5_keys": ["a"] * 10_000}, {"a"}),
        ({"md5_keys": ["a"] * 10_001}, None),
        ({"md5_keys": "a"}, None),
        ({}, None),
        ("", None),
        (None, None),
    ],
)
def test_a_list_of_sums_is_bounded_and_holds_texts(args, sums):
    assert frames.read_sums(args) == sums


def test_what_is_written_is_what_was_recorded():
    asked = Asked("rpc", "auth_ssl", "b1", "")

    assert frames.ask_identity() == (
        '{"args":"","id":"sysadm_bridge_request_ident","name":"identify","namespace":"rpc"}'
    )
    assert frames.ask_keys() == (
        '{"args":{"action":"list_ssl_checksums"},"id":"bridge_request_list_keys",'
        '"name":"settings","namespace":"rpc"}'
    )
    assert frames.event([PEER]) == (
        f'{{"args":{{"available_connections":["{PEER}"]}},"id":"","name":"bridge","namespace":"events"}}'
    )
    assert frames.reply(asked, {"test_string": "x"}) == (
        '{"args":{"test_string":"x"},"id":"b1","name":"response","namespace":"rpc"}'
    )
    assert json.loads(frames.reply(Asked("Odd", "x", {"a": 1}, ""), None, is_error=True)) == {
        "args": None,
        "id": {"a": 1},
        "name": "error",
        "namespace": "Odd",
    }
