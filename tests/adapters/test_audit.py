"""The audit: every request has its line, and none waits for the disk."""

import json
import threading
import time
from functools import partial

import pytest
import trio
import trio.testing

from dispatcher.access import audit as audit_module
from dispatcher.access.audit import Audit
from dispatcher.access.failures import AddressRefused
from dispatcher.access.refused_tries import RefusedTries
from dispatcher.access.roles import Caller, Level
from dispatcher.errors import Forbidden, NotAuthenticated
from dispatcher.logs.history import History

ADMIN = Caller("admin", Level.FULL, "192.0.2.7:4000", "sysadm")


def entries(history):
    return [json.loads(one) for one in history.forwards(b"")]


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "audit.log", 1_000_000, 2)


async def test_a_request_a_refusal_and_a_login_have_a_line_each_in_order(history):
    audit = Audit(history, time.time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        async with audit.request(ADMIN, "pause", lambda: {"queue": "q"}):
            pass
        with pytest.raises(Forbidden):
            async with audit.request(ADMIN, "kill", lambda: {"jobs": []}):
                raise Forbidden("you may not")
        async with audit.request(ADMIN, "submit", lambda: None):
            pass  # nothing was asked for
        audit.login(Caller("eve", Level.NOBODY, "192.0.2.9:1", "jsonrpc"), "password", NotAuthenticated("no"))
        nursery.cancel_scope.cancel()

    found = entries(history)
    assert [one.pop("at")[-1] for one in found] == ["Z"] * 3
    who = {"who": "admin", "from": "192.0.2.7:4000", "protocol": "sysadm"}
    assert found == [
        who | {"what": "pause", "queue": "q", "answer": "done"},
        who | {"what": "kill", "jobs": [], "answer": "forbidden: you may not"},
        {
            "who": "eve",
            "from": "192.0.2.9:1",
            "protocol": "jsonrpc",
            "what": "login",
            "by": "password",
            "answer": "not_authenticated: no",
        },
    ]
    assert history.path.stat().st_mode & 0o777 == 0o600


async def test_a_client_that_leaves_before_the_answer_has_its_line_too(history):
    audit = Audit(history, time.time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        with trio.CancelScope() as scope:
            async with audit.request(ADMIN, "submit", lambda: {"jobs": [1]}):
                scope.cancel()
                await trio.sleep_forever()
        nursery.cancel_scope.cancel()

    (entry,) = entries(history)
    assert entry["jobs"] == [1]
    assert "did not wait" in entry["answer"]


async def test_what_is_noted_while_the_disk_is_busy_is_written_before_the_end(history, monkeypatch):
    audit = Audit(history, time.time)
    begun, go_on = trio.Event(), threading.Event()
    append = history.append

    def slowly(lines):
        trio.from_thread.run_sync(begun.set)
        assert go_on.wait(10)
        append(lines)

    monkeypatch.setattr(history, "append", slowly)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        audit.login(ADMIN, "password")
        await begun.wait()
        audit.login(ADMIN, "token")
        nursery.cancel_scope.cancel()
        go_on.set()

    assert [one["by"] for one in entries(history)] == ["password", "token"]


async def test_what_is_noted_when_the_end_has_begun_is_written(history):
    audit = Audit(history, time.time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        audit.login(ADMIN, "password")

    assert [one["by"] for one in entries(history)] == ["password"]


async def test_text_that_is_no_unicode_is_written_all_the_same(history):
    audit = Audit(history, time.time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        async with audit.request(ADMIN, "submit", lambda: {"jobs": [{"key\ud800": ["\udfff"]}]}):
            pass
        nursery.cancel_scope.cancel()

    assert entries(history)[0]["jobs"] == [{"key\\ud800": ["\\udfff"]}]


async def test_a_disk_that_is_full_holds_up_no_request_and_the_gap_is_told(tmp_path, caplog):
    folder = tmp_path / "logs"
    history = History(folder / "audit.log", 1_000_000, 2)  # the folder is missing: nothing can be written
    audit = Audit(history, time.time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        for missed, queue in enumerate(("a", "b"), 1):
            with trio.fail_after(5):
                async with audit.request(ADMIN, "pause", partial(dict, queue=queue)):
                    pass
            with trio.fail_after(5):
                while audit._missed < missed:  # noqa: ASYNC110 - nobody tells of a line that is lost
                    await trio.sleep(0.001)
        folder.mkdir()
        async with audit.request(ADMIN, "pause", lambda: {"queue": "c"}):
            pass
        nursery.cancel_scope.cancel()

    found = entries(history)
    assert [(one["what"], one.get("queue"), one.get("lines")) for one in found] == [
        ("pause", "c", None),
        ("gap", None, 2),
    ]
    assert caplog.text.count("cannot write the audit") == 1


async def test_a_disk_that_hangs_costs_a_request_a_second_at_most(history, monkeypatch, autojump_clock):
    monkeypatch.setattr(audit_module, "QUEUE_BYTES", 300)
    audit = Audit(history, time.time)  # nobody writes: `run` is not started
    begun = trio.current_time()
    for _ in range(10):
        async with audit.request(ADMIN, "pause", lambda: {"queue": "q"}):
            pass
    waited = trio.current_time() - begun

    assert audit._size < 600
    assert audit._missed == 10 - len(audit._lines)
    assert waited == pytest.approx(audit._missed * audit_module.PATIENCE)


async def test_room_that_was_made_lets_a_waiting_request_go_on_at_once(history, monkeypatch):
    monkeypatch.setattr(audit_module, "QUEUE_BYTES", 300)
    audit = Audit(history, time.time)
    while audit._size < 300:
        audit.login(ADMIN, "password")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        with trio.fail_after(0.9):
            async with audit.request(ADMIN, "pause", lambda: {"queue": "q"}):
                pass
        nursery.cancel_scope.cancel()

    assert entries(history)[-1]["what"] == "pause"
    assert all(one["what"] != "gap" for one in entries(history))


# Tries from addresses that are refused


async def test_tries_from_a_refused_address_cost_one_line_a_minute_with_their_number(
    history, autojump_clock, monkeypatch
):
    async def at_once(function, *arguments, **_):
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    # While a thread writes, this clock would run on by minutes.
    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    eve = Caller("eve", Level.NOBODY, "192.0.2.9:1", "sysadm")
    audit = Audit(history, time.time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit.run)
        audit.blocked("192.0.2.9")
        await trio.sleep(1)
        for _ in range(1000):
            audit.login(eve, "password", AddressRefused("too many", "192.0.2.9"))
            await trio.sleep(0.15)  # 150 s in all
        audit.login(eve, "password", AddressRefused("too many"))  # of a peer without an address
        nursery.cancel_scope.cancel()

    found = [(one["what"], one["address"], one.get("tries")) for one in entries(history)]
    counts = [many for _, address, many in found[1:] if address == "192.0.2.9"]
    assert found[0] == ("block", "192.0.2.9", None)
    assert {what for what, _, _ in found[1:]} == {"refused_logins"}
    assert len(counts) == 3
    assert sum(counts) == 1000
    assert found[-1] == ("refused_logins", "192.0.2.9:1", 1)


def test_who_goes_on_guessing_from_thousands_of_addresses_takes_no_memory():
    now = 0.0
    tries = RefusedTries(lambda: now)
    told = []
    for number in range(25_000):
        tries.note(f"192.0.2.{number}")
        if number % 100 == 0:
            told += tries.due()
    told += tries.due(all_of_them=True)

    assert len({address for address, _ in told}) == sum(many for _, many in told) == 25_000
    assert len(tries._since) <= 25_000


async def test_what_is_refused_stands_in_the_daemons_log_too_but_for_a_reload(history, caplog):
    audit = Audit(history, time.time)
    for what in ("kill", "reload"):
        with pytest.raises(Forbidden):
            async with audit.request(ADMIN, what, dict):
                raise Forbidden("you\nmay not")
    jobs = [{"key": str(n), "answer": "refused: full"} for n in range(12)]
    async with audit.request(ADMIN, "submit", lambda: {"jobs": [{"answer": "added"}, *jobs]}):
        pass

    said = [record.getMessage() for record in caplog.records]
    who = "admin from 192.0.2.7:4000 (sysadm)"
    assert said == [
        f"refused kill of {who}: you\\nmay not",
        *[f"refused submit of {who}: full"] * 10,
        f"refused submit of {who}: and more; the audit has all",
    ]
