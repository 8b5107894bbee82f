"""When the state of the system is told, on a clock that jumps; and running the real stand-in programs."""

import time
from pathlib import Path

import pytest
import trio

from dispatcher.settings import SystemStateWatch
from dispatcher.watch import system_state
from dispatcher.watch.pools import COMMAND
from dispatcher.watch.programs import ProgramFailed, Programs
from dispatcher.watch.system_state import StateWatch, SystemState

ONLINE = "tank\t107G\t13.1G\t93.9G\t-\t6%\t12%\t1.00x\tONLINE\t-\n"
FAULTED = ONLINE.replace("ONLINE", "FAULTED")


class FakePrograms(Programs):
    """What the programs write; an exception is raised instead."""

    def __init__(self, **written):
        super().__init__({})
        self.written = written
        self.calls = []

    def has(self, name):
        return name in self.written

    async def output(self, argv):
        self.calls.append(tuple(argv))
        await trio.lowlevel.checkpoint()
        found = self.written[argv[0]]
        if isinstance(found, Exception):
            raise found
        return found


class World:
    """A host name and pools that the test changes, and all that was told with its time."""

    def __init__(self, nursery, tmp_path, notes, programs=None, **settings):
        self.hostname = "box"
        self.told: list[tuple[float, SystemState]] = []
        self.programs = programs or FakePrograms()
        self.begun = trio.current_time()
        self.notes = notes
        watch = StateWatch(
            SystemStateWatch(**settings), tmp_path, self.programs, self.tell, lambda: self.hostname
        )
        nursery.start_soon(watch.run)

    async def tell(self, state):
        self.told.append((trio.current_time() - self.begun, state))

    async def until(self, seconds):
        await trio.sleep_until(self.begun + seconds)
        await trio.testing.wait_all_tasks_blocked()

    @property
    def times(self):
        return [at for at, _ in self.told]


@pytest.fixture
def notes(monkeypatch):
    """The notes, without a thread and a disk, which would run beside the clock."""
    kept: dict[object, object] = {}

    async def at_once(function, *args):
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    monkeypatch.setattr(system_state, "read_note", lambda path, _kind: kept.get(path))
    monkeypatch.setattr(system_state, "write_note", kept.__setitem__)
    return kept


@pytest.fixture
async def world(tmp_path, notes):
    async with trio.open_nursery() as nursery:

        def make(*args, **settings):
            return World(nursery, tmp_path, notes, *args, **settings)

        yield make
        nursery.cancel_scope.cancel()


async def test_first_after_a_minute_then_every_quarter_of_an_hour(autojump_clock, world):
    here = world()
    await here.until(2000)

    assert here.times == [60, 960, 1860]
    assert here.told[0][1] == SystemState("box")


async def test_another_host_name_is_told_at_the_next_look_and_once(autojump_clock, world):
    here = world(look=10.0)
    await here.until(65)
    here.hostname = "barn"
    await here.until(1000)

    assert here.times == [60, 70, 960]
    assert [state.hostname_changed for _, state in here.told] == [False, True, False]
    assert here.told[1][1].priority == 3


async def test_a_host_name_that_changed_while_the_daemon_was_away_is_told(autojump_clock, world):
    first = world()
    await first.until(60)
    second = world()
    second.hostname = "barn"
    await second.until(60)

    assert (second.told[0][1].hostname, second.told[0][1].hostname_changed) == ("barn", True)


async def test_a_pool_that_falls_ill_or_goes_is_told_at_the_next_look(autojump_clock, world):
    programs = FakePrograms(zpool=ONLINE)
    here = world(programs, look=10.0)
    await here.until(65)
    programs.written["zpool"] = FAULTED
    await here.until(75)
    programs.written["zpool"] = ONLINE + FAULTED.replace("tank", "bad")
    await here.until(85)
    programs.written["zpool"] = ""
    await here.until(200)

    assert here.times == [60, 70, 80, 90]
    assert [state.priority for _, state in here.told] == [0, 9, 9, 0]
    assert set(programs.calls) == {COMMAND}


async def test_pools_that_cannot_be_listed_are_left_out_and_said_once(autojump_clock, world, caplog):
    programs = FakePrograms(zpool=ONLINE)
    here = world(programs, look=10.0)
    await here.until(65)
    programs.written["zpool"] = ProgramFailed("zpool exited with 1")
    await here.until(965)
    programs.written["zpool"] = ONLINE
    await here.until(1100)

    assert here.times == [60, 960]  # a list that fails is no illness
    assert [state.pools is None for _, state in here.told] == [False, True]
    assert caplog.text.count("zpool exited with 1") == 1


async def test_updates_are_asked_for_at_the_interval_only_and_left_out_without_a_command(
    autojump_clock, world
):
    programs = FakePrograms(zpool=ONLINE, up="updatesavailable\n")
    here = world(programs, look=10.0, updates=("up", "--status"))
    await here.until(65)
    programs.written["zpool"] = FAULTED
    await here.until(75)

    assert here.times == [60, 70]
    assert [state.updates.status for _, state in here.told] == ["updatesavailable"] * 2
    assert programs.calls.count(("up", "--status")) == 1


# --- real programs --------------------------------------------------------------------------


def stand_in(tmp_path, text):
    path = tmp_path / "zpool"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Programs({"PATH": f"{tmp_path}:/usr/bin:/bin"}, seconds=5.0)


async def test_a_program_is_found_on_the_path_and_gets_its_arguments_and_a_clean_environment(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SECRET", "x")
    programs = stand_in(tmp_path, 'echo "$@"; env; cat; pwd')

    written = await programs.output(["zpool", "list", "two words"])

    assert written.startswith("list two words\n")
    assert "SECRET" not in written
    assert written.endswith("\n/\n")
    assert programs.has("zpool")
    assert not programs.has("no-such-program")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo half; exit 3", "exited with 3"),
        ("kill -9 $$", "exited with -9"),
        ("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyy; done", "wrote more than"),
    ],
)
async def test_a_program_that_fails_says_why(tmp_path, text, reason):
    with pytest.raises(ProgramFailed, match=reason):
        await stand_in(tmp_path, text).output(["zpool"])


async def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path):
    programs = stand_in(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; sleep 60")
    programs._seconds = 0.5
    begun = time.monotonic()
    with pytest.raises(ProgramFailed, match="took more than"):
        await programs.output(["zpool"])

    assert time.monotonic() - begun < 10
    child = int((tmp_path / "child").read_text())
    with trio.fail_after(10):
        while _lives(child):  # noqa: ASYNC110 - it is nobody's child any more
            await trio.sleep(0.01)


def _lives(pid):
    try:
        with Path(f"/proc/{pid}/stat").open() as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_program_that_cannot_be_ended_delays_nobody_for_long(tmp_path, monkeypatch):
    programs = stand_in(tmp_path, "echo x")
    programs._seconds = 0.1
    monkeypatch.setattr(programs, "_run", lambda *_: time.sleep(1))
    with trio.fail_after(0.9), pytest.raises(ProgramFailed, match="hangs"):
        await programs.output(["zpool"])


async def test_no_program_is_said(tmp_path):
    with pytest.raises(ProgramFailed, match="not on the PATH"):
        await Programs({"PATH": str(tmp_path)}).output(["zpool"])
    (tmp_path / "zpool").write_text("#!/no/such/shell\n")
    (tmp_path / "zpool").chmod(0o755)
    with pytest.raises(ProgramFailed, match="cannot start"):
        await Programs({"PATH": str(tmp_path)}).output(["zpool"])
