"""The outbox: whole frames in order, a bound that holds, one writer, and what happens at the end."""

import pytest
import trio
import trio.testing

from dispatcher.net.outbox import CLOSE, SLICE_BYTES, Outbox, OutboxStream, send_in_slices


class Wire(trio.abc.SendStream):
    """A stream that notes each write, and takes one only after `go` when it is held."""

    def __init__(self, *, is_held=False):
        self.writes = []
        self.go = trio.Event()
        if not is_held:
            self.go.set()

    async def send_all(self, data):
        self.writes.append(bytes(data))
        await self.go.wait()

    async def wait_send_all_might_not_block(self):
        await self.go.wait()

    async def aclose(self):
        await trio.lowlevel.checkpoint()

    @property
    def sent(self):
        return b"".join(self.writes)


async def sent_at_once(outbox, *frames):
    wire = Wire()
    for frame in frames:
        assert outbox.offer(frame)
    outbox.finish()
    await outbox.run(wire, 1)
    return wire.writes


async def test_frames_that_wait_are_joined_into_one_write():
    writes = await sent_at_once(Outbox(1000), b"one", b"two", b"three")

    assert writes == [b"onetwothree"]


async def test_no_write_is_larger_than_a_slice_and_no_byte_is_lost():
    large = bytes(range(256)) * 700

    writes = await sent_at_once(Outbox(1_000_000), b"a" * 10, large, b"b" * SLICE_BYTES, b"c")

    assert max(map(len, writes)) <= SLICE_BYTES
    assert b"".join(writes) == b"a" * 10 + large + b"b" * SLICE_BYTES + b"c"


async def test_a_new_limit_counts_at_once_also_for_who_waits(nursery):
    outbox = Outbox(10)
    assert outbox.offer(b"a" * 10)
    nursery.start_soon(outbox.put, b"b" * 5)
    await trio.testing.wait_all_tasks_blocked()
    outbox.limit(20)
    await trio.testing.wait_all_tasks_blocked()

    assert outbox.size == 15
    assert outbox.offer(b"c" * 5)
    assert not outbox.offer(b"d")


async def test_a_full_outbox_refuses_an_offer_and_keeps_what_it_has():
    outbox = Outbox(10)

    answers = [outbox.offer(b"123456"), outbox.offer(b"12345"), outbox.offer(b"1234")]

    assert answers == [True, False, True]
    assert outbox.size == 10


async def test_a_frame_larger_than_the_outbox_is_taken_when_it_is_alone():
    outbox = Outbox(10)

    answers = [outbox.offer(b"x" * 50), outbox.offer(b"y")]

    assert answers == [True, False]


async def test_drained_is_called_once_when_half_is_free_after_a_refusal(autojump_clock):
    outbox = Outbox(3 * SLICE_BYTES)
    wire = Wire()
    sizes = []
    outbox.on_drained = lambda: sizes.append(outbox.size)
    for _ in range(3):
        outbox.offer(b"x" * SLICE_BYTES)
    outbox.offer(b"refused")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run, wire, 1)
        await trio.testing.wait_all_tasks_blocked()
        outbox.finish()

    assert sizes == [SLICE_BYTES]


async def test_drained_is_not_called_without_a_refusal():
    outbox = Outbox(100)
    outbox.on_drained = lambda: pytest.fail("nothing had been refused")

    await sent_at_once(outbox, b"x" * 100)


async def test_what_drained_offers_is_sent_and_it_is_called_again_for_the_rest(autojump_clock):
    outbox = Outbox(10)
    wire = Wire()
    rest = [b"%04d" % number for number in range(20)]

    def more():
        while rest and outbox.offer(rest[0]):
            del rest[0]

    outbox.on_drained = more
    more()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run, wire, 1)
        await trio.testing.wait_all_tasks_blocked()
        outbox.finish()

    assert wire.sent == b"".join(b"%04d" % number for number in range(20))


async def test_put_waits_for_room_and_goes_before_later_offers(autojump_clock):
    outbox = Outbox(10)
    wire = Wire()
    outbox.offer(b"1234567890")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.put, b"first")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(outbox.put, b"second")
        await trio.testing.wait_all_tasks_blocked()
        was_taken = outbox.offer(b"")
        nursery.start_soon(outbox.run, wire, 1)
        await trio.testing.wait_all_tasks_blocked()
        outbox.finish()

    assert not was_taken
    assert wire.sent == b"1234567890firstsecond"


async def test_an_offer_refused_for_a_put_that_gave_up_is_still_told_of_room(autojump_clock):
    outbox = Outbox(10)
    wire = Wire(is_held=True)
    drained = trio.Event()
    outbox.on_drained = drained.set
    outbox.offer(b"123456789")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run, wire, 100)
        with trio.move_on_after(1):
            await outbox.put(b"waits")
        outbox.offer(b"and this is refused")
        wire.go.set()
        with trio.fail_after(1):
            await drained.wait()
        outbox.finish()


async def test_a_put_that_waits_learns_of_the_end(autojump_clock):
    outbox = Outbox(1)
    outbox.offer(b"x")
    async with trio.open_nursery() as nursery:

        async def wait():
            with pytest.raises(trio.ClosedResourceError, match="closed"):
                await outbox.put(b"y")

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        outbox.finish()


async def test_a_send_without_progress_ends_it_and_everyone_hears(autojump_clock):
    outbox = Outbox(10)
    outbox.offer(b"stuck")
    with pytest.raises(trio.TooSlowError):
        await outbox.run(Wire(is_held=True), 30)

    assert trio.current_time() == pytest.approx(30, abs=1)
    assert outbox.ended.is_set()
    assert not outbox.offer(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await outbox.put(b"x")


async def test_nothing_follows_a_close_frame_and_the_close_frame_needs_no_room():
    outbox = Outbox(4)
    wire = Wire()
    stream = OutboxStream(trio.testing.memory_stream_pair()[0], outbox, b"", b"")
    outbox.offer(b"\x81\x02ok")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes((CLOSE, 2)) + b"\x03\xe8")
            await trio.testing.wait_all_tasks_blocked()

            assert not outbox.offer(b"x")
            with pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"\x81\x01x")
            # Who has sent it goes on only when it has left.
            assert nursery.child_tasks
            await outbox.run(wire, 1)
    assert wire.sent == b"\x81\x02ok" + bytes((CLOSE, 2)) + b"\x03\xe8"


async def test_what_came_behind_the_head_waits_until_the_handshake_is_accepted(autojump_clock):
    near, far = trio.testing.memory_stream_pair()
    stream = OutboxStream(near, Outbox(10), b"head", b"early")
    await far.send_all(b"late")

    assert await stream.receive_some() == b"head"
    with trio.move_on_after(5) as waited:
        await stream.receive_some()
    assert waited.cancelled_caught
    stream.accepted.set()
    assert await stream.receive_some() == b"early"
    assert await stream.receive_some() == b"late"


async def test_a_long_answer_is_sent_in_slices_each_with_its_own_time(autojump_clock):
    class Slow(Wire):
        async def send_all(self, data):
            await trio.sleep(20)
            self.writes.append(bytes(data))

    wire = Slow()

    await send_in_slices(wire, b"x" * (SLICE_BYTES * 3 + 1), 30)

    assert [len(one) for one in wire.writes] == [SLICE_BYTES] * 3 + [1]
