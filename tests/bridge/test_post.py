"""Outboxes over one connection: bounds, turns, and what is dropped."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dispatcher.bridge.post import Post


def as_is(message: bytes) -> str:
    return message.decode()


class Wire:
    """A connection that takes as many messages as the test allows."""

    def __init__(self, room: int = 1000) -> None:
        self.sent: list[str] = []
        self.room = trio.Semaphore(room)

    async def send(self, text: str) -> None:
        await self.room.acquire()
        self.sent.append(text)


async def test_peers_are_sent_to_in_turn_each_in_its_order(nursery, autojump_clock):
    post, wire = Post(1000), Wire()
    one, two, bridge = post.outbox("::{1}"), post.outbox("::{2}"), post.outbox("")
    for number in range(3):
        assert one.offer(b"%d" % number, as_is)
    assert two.offer(b"a", as_is)
    assert bridge.offer(b"{}", as_is)

    nursery.start_soon(post.run, wire.send)
    await wait_all_tasks_blocked()

    assert wire.sent == ["::{1}\n0", "::{2}\na", "{}", "::{1}\n1", "::{1}\n2"]


async def test_a_full_outbox_refuses_and_says_when_there_is_room_and_others_are_not_held_up(
    nursery, autojump_clock
):
    post, wire = Post(10), Wire(0)
    full, other = post.outbox("full"), post.outbox("other")
    told: list[int] = []
    full.on_drained = lambda: told.append(full.size)
    nursery.start_soon(post.run, wire.send)
    await wait_all_tasks_blocked()
    assert full.offer(b"1234", as_is)
    await wait_all_tasks_blocked()  # it is on its way, and stays there
    assert full.offer(b"12345678", as_is)
    assert not full.offer(b"123", as_is)
    assert other.offer(b"123", as_is)

    wire.room.release()
    wire.room.release()
    await wait_all_tasks_blocked()

    assert wire.sent == ["full\n1234", "full\n12345678"]
    assert told == [0]
    assert full.offer(b"123", as_is)


async def test_who_puts_waits_for_room_and_goes_before_those_who_offer(nursery, autojump_clock):
    post, wire = Post(10), Wire(0)
    box = post.outbox("p")
    put: list[str] = []

    async def put_one(text: bytes) -> None:
        await box.put(text, as_is)
        put.append(text.decode())

    await put_one(b"first beyond the limit")  # alone it is taken, or it could never be sent
    nursery.start_soon(put_one, b"second")
    await wait_all_tasks_blocked()
    nursery.start_soon(put_one, b"third")
    await wait_all_tasks_blocked()
    assert put == ["first beyond the limit"]
    assert not box.offer(b"x", as_is)

    nursery.start_soon(post.run, wire.send)
    for _ in range(3):
        wire.room.release()
    await wait_all_tasks_blocked()

    assert put == ["first beyond the limit", "second", "third"]
    assert wire.sent == ["p\nfirst beyond the limit", "p\nsecond", "p\nthird"]


async def test_a_message_is_written_when_it_leaves_and_never_if_it_was_dropped(nursery, autojump_clock):
    post, wire = Post(1000), Wire()
    box = post.outbox("p")
    written: list[bytes] = []

    def write(message: bytes) -> str:
        written.append(message)
        return f"{len(written)}"

    box.offer(b"secret", write)
    box.clear()
    box.offer(b"one", write)
    box.offer(b"two", write)
    assert (written, box.size) == ([], 6)
    nursery.start_soon(post.run, wire.send)
    await wait_all_tasks_blocked()

    assert wire.sent == ["p\n1", "p\n2"]
    assert written == [b"one", b"two"]


async def test_a_closed_outbox_takes_nothing_and_wakes_who_waits(nursery, autojump_clock):
    box = Post(4).outbox("p")
    box.offer(b"1234", as_is)
    raised: list[str] = []

    async def put_one() -> None:
        try:
            await box.put(b"5", as_is)
        except trio.ClosedResourceError as error:
            raised.append(str(error))

    nursery.start_soon(put_one)
    await wait_all_tasks_blocked()
    box.close()
    await wait_all_tasks_blocked()

    assert raised == ["the outbox is closed: the peer is gone"]
    assert not box.offer(b"1", as_is)
    with pytest.raises(trio.ClosedResourceError):
        await box.put(b"1", as_is)
    assert (box.size, box.is_empty) == (0, True)
