"""Following life-preserver's files: rotation, restarts, and a progress file that comes when it likes."""

import pytest
import trio

from dispatcher.watch.life_preserver import NOTE, Preserver, PreserverWatch
from dispatcher.watch.preserver_lines import PreserverEvent

STAMP = "Sun Nov 22 10:00:02 2026"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "lpreserver.log"


@pytest.fixture
def begin(tmp_path, log):
    made = []

    def make():
        made.append(Preserver(log, tmp_path))
        made[-1].begin()
        return made[-1]

    yield make
    for one in made:
        one.close()


def add(path, *lines, end="\n"):
    with path.open("a") as file:
        file.write("\n".join(lines) + end)


def messages(events):
    return [event.message.removeprefix(f"{STAMP}: ") for event in events]


def test_a_replication_is_told_from_its_start_to_its_end(begin, log, tmp_path):
    progress = tmp_path / "lastrep.log"
    preserver = begin()
    assert preserver.look() == []
    add(log, f"{STAMP}: Starting replication task on tank1: {progress}")
    assert messages(preserver.look()) == ["Starting replication for tank1"]
    # The progress file comes only now, and its last line has an end or has none: both are told.
    add(progress, "total estimated size is 10.0M", "10:00:03   1.00M   tank1/a@auto-1")
    assert messages(preserver.look()) == ["Replicating tank1: 1.00M/10.0M (10%)"]
    add(progress, "10:00:04   2.50M   tank1/a@auto-1", end="")
    assert messages(preserver.look()) == ["Replicating tank1: 2.50M/10.0M (25%)"]
    assert preserver.look() == []
    add(progress, "", "10:00:05   9.00M   tank1/a@auto-1")
    add(log, f"{STAMP}: Finished replication task on tank1 -> remote1: x")
    assert messages(preserver.look()) == [
        "Replicating tank1: 9.00M/10.0M (90%)",
        "Finished replication for tank1",
    ]
    add(progress, "10:00:06   10.0M   tank1/a@auto-1")

    assert preserver.look() == []


def test_the_next_replication_reads_the_same_file_from_its_start(begin, log, tmp_path):
    progress = tmp_path / "lastrep.log"
    preserver = begin()
    for size in ("1.00M", "1.00M"):
        progress.write_text(f"estimated size is 2.00M\n10:00:03 {size} tank1@a\n")
        add(log, f"{STAMP}: Starting replication task on tank1: {progress}")
        assert messages(preserver.look()) == [
            "Starting replication for tank1",
            "Replicating tank1: 1.00M/2.00M (50%)",
        ]


def test_a_restart_in_the_middle_of_a_replication_repeats_and_misses_nothing(begin, log, tmp_path):
    progress = tmp_path / "lastrep.log"
    first = begin()
    add(log, f"{STAMP}: Starting replication task on tank1: {progress}")
    add(progress, "estimated size is 10.0M", "10:00:03 1.00M tank1@a")
    assert len(first.look()) == 2
    first.save()
    first.close()
    add(progress, "10:00:03 2.00M tank1@a")
    log.rename(tmp_path / "lpreserver.log.0")
    add(log, f"{STAMP}: creating snapshot of tank1")
    second = begin()

    assert messages([second.last]) == ["Replicating tank1: 1.00M/10.0M (10%)"]
    assert messages(second.look()) == ["New snapshot of tank1", "Replicating tank1: 2.00M/10.0M (20%)"]
    assert second.look() == []


def test_a_note_that_cannot_be_read_is_said_and_begins_anew(begin, log, tmp_path, caplog):
    (tmp_path / NOTE).write_text("{torn")
    add(log, f"{STAMP}: creating snapshot of tank1")

    assert messages(begin().look()) == ["New snapshot of tank1"]
    assert "begins anew" in caplog.text


def test_a_file_that_may_not_be_read_is_said_once(begin, log, caplog):
    log.mkdir()
    preserver = begin()

    assert preserver.look() == preserver.look() == []
    assert caplog.text.count("cannot follow life-preserver") == 1


def test_nothing_new_is_not_written_down_again(begin, log, tmp_path):
    preserver = begin()
    add(log, f"{STAMP}: creating snapshot of tank1")
    preserver.look()
    preserver.save()
    (tmp_path / NOTE).unlink()
    preserver.look()
    preserver.save()

    assert not (tmp_path / NOTE).exists()


async def test_what_was_there_before_the_start_is_told_as_old(log, tmp_path):
    add(log, f"{STAMP}: creating snapshot of tank1")
    told: list[tuple[str, bool]] = []
    recalled: list[PreserverEvent] = []
    send, receive = trio.open_memory_channel[None](10)

    async def tell(event, is_old):
        told.append((messages([event])[0], is_old))
        await send.send(None)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(PreserverWatch(log, tmp_path, tell, recalled.append).run)
            await receive.receive()
            add(log, f"{STAMP}: creating snapshot of tank2")
            await receive.receive()
            while b"tank2" not in (tmp_path / NOTE).read_bytes():  # noqa: ASYNC110 - nobody tells of notes
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(PreserverWatch(log, tmp_path, tell, recalled.append).run)
            while not recalled:  # noqa: ASYNC110 - what is recalled is told to nobody
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    assert told == [("New snapshot of tank1", True), ("New snapshot of tank2", False)]
    assert messages(recalled) == ["New snapshot of tank2"]
