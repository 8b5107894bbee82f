"""Methods about jobs, over both protocols' sessions: wait, abort, update, bulk, and what can be called."""

import json
from typing import Any

import pytest

from dispatcher.api.truenas.methods import METHODS
from tests.api.jsonrpc_fakes import STRANGER
from tests.api.truenas_house import JOBS, Ear, House
from tests.api.truenas_house import house as open_house
from tests.daemon import ROOT


@pytest.fixture
async def house(autojump_clock):
    async with open_house() as built:
        yield built


@pytest.fixture
async def ear(house) -> Ear:
    """A client with full access that follows the jobs."""
    ear: Ear = house.current()
    await ear.result("core.subscribe", JOBS)
    return ear


async def reader(house: House, name: str = "reader") -> Ear:
    found = house.current(STRANGER)
    assert await found.result("auth.login", name, "secret") is True
    return found


async def job(ear: Ear, number: int) -> dict[str, Any]:
    found: dict[str, Any] = await ear.result(JOBS, [["id", "=", number]], {"get": True})
    return found


async def test_an_abort_is_answered_before_the_job_has_stopped(house, ear):
    number = await ear.result("backup.run", "tank")

    assert await ear.result("core.job_abort", number) is None
    assert (await job(ear, number))["state"] == "RUNNING"
    assert house.runner.stopped == [number]
    await house.finish(number)

    ended = await ear.ended(number)
    assert (ended["state"], ended["error"], ended["result"]) == ("ABORTED", None, None)
    assert await ear.result("core.job_abort", number) is None, "a finished one stays as it is"


async def test_a_job_that_waits_is_aborted_at_once(house, ear):
    first, second = [await ear.result("dispatcher.run", {"commands": ["a"], "queue": "line"}) for _ in "12"]

    await ear.result("core.job_abort", second)

    assert (await ear.ended(second))["state"] == "ABORTED"
    assert (await job(ear, first))["state"] == "RUNNING"


@pytest.mark.parametrize("method", ["core.job_abort", "core.job_wait"])
@pytest.mark.parametrize("is_legacy", [False, True])
async def test_a_job_that_does_not_exist_is_named(method, is_legacy, house):
    ear = await house.older() if is_legacy else house.current()
    if is_legacy and method == "core.job_wait":
        ear.send_in({"msg": "sub", "id": "s", "name": JOBS})
        info = (await ear.ended(await ear.result(method, 7)))["exc_info"]
        assert info["extra"] == [[None, "Job with id 7 does not exist", 2]]
        return
    await ear.result("core.set_options", {"legacy_jobs": False})

    error = await ear.error(method, 7)

    if not is_legacy:
        assert error["code"] == -32602
    data = error if is_legacy else error["data"]
    assert data["extra"] == [[None, "Job with id 7 does not exist", 2]]
    assert data["error"] == (2 if is_legacy else 22)


async def test_who_may_only_read_aborts_their_own_jobs_only(house, ear):
    one, other = await reader(house), await reader(house, "else")
    mine, foreign = await one.result("pool.look"), await ear.result("pool.look")

    for asked in (other, one):
        error = await asked.error("core.job_abort", foreign)
        assert error["data"]["reason"] == "[EPERM] Job is not owned by current session"
    assert await one.result("core.job_abort", mine) is None

    assert house.runner.stopped == [mine]


async def test_a_wait_is_a_job_that_goes_and_ends_as_the_other_does(house, ear):
    target = await ear.result("backup.run", "tank")
    await house.settle()
    waiting = await ear.result("core.job_wait", target)
    await house.settle()
    assert (await job(ear, waiting))["arguments"] == [target]

    await house.tell_progress(target, 50, "half way")
    mirrored = await ear.job_when(waiting, lambda one: one["progress"]["percent"] == 50)
    assert mirrored["progress"] == {"percent": 50, "description": "half way", "extra": None}
    await house.finish(target)

    ended = await ear.ended(waiting)
    assert (ended["method"], ended["state"]) == ("core.job_wait", "SUCCESS")
    assert (
        ended["result"] == {"outcome": "success", "return_codes": [0]} == (await job(ear, target))["result"]
    )


async def test_a_wait_for_a_job_that_is_over_ends_at_once(house, ear):
    target = await ear.result("backup.run", "tank")
    await house.finish(target)

    assert (await ear.ended(await ear.result("core.job_wait", target)))["state"] == "SUCCESS"


async def test_a_wait_fails_with_the_error_of_its_job_and_its_class(house, ear):
    failing = await ear.result("backup.run", "tank")
    await house.finish(failing, code=3)
    wrong = await ear.result("backup.run", "TANK")
    for target in (failing, wrong):
        original = await ear.ended(target)
        ended = await ear.ended(await ear.result("core.job_wait", target))
        assert ended["state"] == "FAILED"
        assert (ended["error"], ended["exc_info"]) == (original["error"], original["exc_info"])
    await ear.result("core.set_options", {"legacy_jobs": False})

    assert (await ear.error("core.job_wait", failing))["code"] == -32001
    assert (await ear.error("core.job_wait", wrong))["code"] == -32602


async def test_a_wait_for_an_aborted_job_is_a_success_without_a_result(house, ear):
    target = await ear.result("backup.run", "tank")
    waiting = await ear.result("core.job_wait", target)
    await ear.result("core.job_abort", target)
    await house.finish(target)

    ended = await ear.ended(waiting)
    assert (ended["state"], ended["result"], ended["error"]) == ("SUCCESS", None, None)


async def test_a_wait_can_be_aborted_and_leaves_its_job_alone(house, ear):
    target = await ear.result("backup.run", "tank")
    waiting = await ear.result("core.job_wait", target)

    await ear.result("core.job_abort", waiting)

    assert (await ear.ended(waiting))["state"] == "ABORTED"
    assert (await job(ear, target))["state"] == "RUNNING"
    assert house.runner.stopped == []


async def test_progress_can_be_told_from_outside_by_full_access_only(house, ear):
    number = await ear.result("backup.run", "tank")
    update = {"progress": {"percent": 30, "description": "thirty", "extra": {"step": 3}}}

    assert await ear.result("core.job_update", number, update) is None
    assert await ear.result("core.job_update", number, {"progress": {"percent": 40.9}}) is None

    told = await ear.job_when(number, lambda one: one["progress"]["percent"] == 40)
    assert told["progress"] == {"percent": 40, "description": "thirty", "extra": {"step": 3}}
    for wrong in ({"progress": {"percent": 101}}, {"progress": {"percent": "x"}}, {}):
        assert (await ear.error("core.job_update", number, wrong))["code"] == -32602
    assert (await (await reader(house)).error("core.job_update", number, update))["data"]["error"] == 13


async def test_a_bulk_calls_a_method_once_for_each_entry_in_order(house, ear):
    number = await ear.result("core.bulk", "backup.run", [["one"], ["two", 2], ["BAD"]], "Saving {0}")

    started = []
    for target in (2, 3):
        await house.settle()
        assert [one for one in house.runner.started if one not in started] == [target], "one after the other"
        started.append(target)
        await house.finish(target, code=0 if target == 2 else 1)
    ended = await ear.ended(number)

    done = {"outcome": "success", "return_codes": [0]}
    assert ended["state"] == "SUCCESS"
    assert ended["result"] == [
        {"job_id": 2, "result": done, "error": None},
        {"job_id": 3, "result": None, "error": "[EFAULT] Command backup two 2 failed (code 1):"},
        {"job_id": 4, "result": None, "error": "[EINVAL] pool: does not match [a-z]+\n"},
    ]
    told = [one["fields"]["progress"]["description"] for one in ear.events(number)]
    assert list(dict.fromkeys(told)) == [
        "",
        "0 / 3: Saving one",
        "1 / 3: Saving two",
        "2 / 3: Saving BAD",
        "3 / 3",
    ]
    assert {one["fields"]["progress"]["percent"] for one in ear.events(number)} == {0, 33, 66, 100}


async def test_a_bulk_of_plain_methods_has_no_jobs_and_fails_for_no_entry(house, ear):
    await ear.result("core.set_options", {"legacy_jobs": False})

    assert await ear.result("core.bulk", "core.ping", []) == []
    assert await ear.result("core.bulk", "core.ping", [[], [1]]) == [
        {"job_id": None, "result": "pong", "error": None},
        {
            "job_id": None,
            "result": None,
            "error": "[EINVAL] : Too many arguments (expected 0, found 1)\n",
        },
    ]
    streams = await ear.result("core.bulk", "core.subscribe", [[JOBS]])
    assert "cannot be called here" in streams[0]["error"]


async def test_a_bulk_shows_no_secret(house, ear):
    number = await ear.result("core.bulk", "backup.run", [["tank", 1, "s3cret"]], "{0} with {2} and {9}")
    await house.settle()
    await house.finish(2)
    ended = await ear.ended(number)

    assert ended["arguments"] == ["backup.run", [["tank", 1, "********"]], "{0} with {2} and {9}"]
    assert "0 / 1: tank with ******** and " in str(ear.events(number))
    assert "s3cret" not in json.dumps(ear.sent)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("{0.__class__}", "numbers"),
        ("{x}", "numbers"),
        ("{0!r}", "numbers"),
        ("{0:>9}", "numbers"),
        ("{", "read"),
    ],
)
async def test_a_description_can_ask_for_arguments_and_nothing_else(description, words, ear):
    await ear.result("core.set_options", {"legacy_jobs": False})

    error = await ear.error("core.bulk", "core.ping", [[]], description)

    assert error["code"] == -32602
    assert words in error["data"]["reason"]


async def test_of_two_bulks_of_one_method_the_later_waits_and_others_do_not(house, ear):
    first = await ear.result("core.bulk", "backup.run", [["a"]])
    await house.settle()
    second = await ear.result("core.bulk", "backup.run", [["b"]])
    other = await ear.result("core.bulk", "core.ping", [[]])
    await house.settle()

    assert (await ear.ended(other))["state"] == "SUCCESS"
    assert len(house.runner.started) == 1
    await house.finish(next(iter(house.runner.started)))
    assert (await ear.ended(first))["state"] == "SUCCESS"
    await house.settle()
    await house.finish(next(iter(house.runner.started)))
    assert (await ear.ended(second))["state"] == "SUCCESS"


async def test_an_aborted_bulk_calls_nothing_more_and_lets_the_next_one_go(house, ear):
    first = await ear.result("core.bulk", "backup.run", [["a"], ["b"]])
    await house.settle()
    second = await ear.result("core.bulk", "backup.run", [["c"]])
    await house.settle()

    await ear.result("core.job_abort", first)
    assert (await ear.ended(first))["state"] == "ABORTED"
    await house.settle()

    shown = [one["arguments"] for one in await ear.result(JOBS, [["method", "=", "backup.run"]])]
    assert shown == [["a"], ["c"]]
    assert (await job(ear, second))["state"] == "RUNNING"


async def test_a_bulk_of_what_one_may_not_call_fails_and_of_nothing_is_wrong(house):
    one = await reader(house)
    await one.result("core.set_options", {"legacy_jobs": False})

    error = await one.error("core.bulk", "backup.run", [["tank"]])
    unknown = await one.error("core.bulk", "no.such", [])

    assert (error["data"]["error"], error["data"]["reason"]) == (1, "[EPERM] Not authorized")
    assert unknown["code"] == -32602
    assert [job["method"] for job in await one.result(JOBS)] == ["core.bulk", "core.bulk"]


async def test_equal_calls_are_one_job_where_the_queue_says_so_and_both_are_answered(house, ear):
    other, older = house.current(), await house.older()
    for one in (ear, other):
        await one.result("core.set_options", {"legacy_jobs": False})
    running = ear.begin("line.up")
    await house.settle()
    first = ear.begin("line.up")
    await house.settle()
    second = other.begin("line.up")
    assert await older.result("line.up") == 2
    await house.settle()

    told = await ear.job_when(2, lambda one: len(one["message_ids"]) == 2)
    assert told["message_ids"] == [first, second]
    assert [one["msg"] for one in ear.events(2)] == ["added", "changed"], "one job, told again"
    await house.finish(1)
    await house.finish(2)
    done = {"outcome": "success", "return_codes": [0]}
    for asked, call_id in ((ear, running), (ear, first), (other, second)):
        assert (await asked.answer(call_id))["result"] == done
    assert await ear.result(JOBS, [], {"count": True}) == 2


async def test_a_list_shows_what_every_protocol_has_made(house, ear):
    submitted = await ear.result("dispatcher.submit", ["pkg update"], "build-1")
    number = await ear.result("dispatcher.run", {"commands": [["a b", "c"]], "id": "mine"})
    called = await ear.result("backup.run", {"pool": "tank"})

    jobs = await ear.result(JOBS)
    assert [(one["id"], one["method"], one["arguments"]) for one in jobs] == [
        (
            submitted["number"],
            "dispatcher.run",
            [{"id": "build-1", "queue": "pkg_queue", "commands": ["pkg update"]}],
        ),
        (number, "dispatcher.run", [{"id": "mine", "queue": "no_queue", "commands": ['"a b" c']}]),
        (called, "backup.run", [{"pool": "tank"}]),
    ]
    assert (await ear.result("dispatcher.show", called))["key"].startswith("backup.run-{")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"commands": []},
        {"commands": "x"},
        {"commands": ["x"], "more": 1},
        {"commands": ["x"], "queue": "nonesuch"},
        {"commands": [["x", 1]]},
    ],
)
async def test_a_list_that_cannot_be_run_is_refused(wrong, ear):
    await ear.result("core.set_options", {"legacy_jobs": False})

    assert (await ear.error("dispatcher.run", wrong))["code"] in (-32602, -32001)


async def test_every_method_is_described_with_what_it_takes(house, ear):
    methods = await ear.result("core.get_methods")

    assert {"core.ping", JOBS, "core.bulk", "auth.login_ex", "dispatcher.run", "backup.run"} <= set(methods)
    assert list(methods) == sorted(methods)
    backup = methods["backup.run"]
    assert backup["description"] == "Back up a pool"
    assert backup["job"] is True
    assert [one["_name_"] for one in backup["accepts"]] == ["pool", "count", "password"]
    assert backup["accepts"][0] | {"type": "string", "_required_": True} == backup["accepts"][0]
    assert backup["accepts"][1]["maximum"] == 9
    assert methods["file.take"]["uploadable"] is True
    assert methods["core.bulk"]["job"] is methods["core.job_wait"]["job"] is True
    assert methods["core.ping"]["no_auth_required"] is True
    assert methods["pool.look"]["roles"] == ["READONLY_ADMIN"]
    assert all(one["accepts"] is not None and one["returns"] for one in methods.values())


def test_every_method_stands_in_the_docs():
    pages = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))

    # Those of the command line have a page of their own kind.
    names = [name for name in METHODS if not name.startswith("dispatcher.") or name == "dispatcher.run"]
    assert [name for name in names if f"`{name}`" not in pages] == []


async def test_methods_are_listed_by_service(house, ear):
    services = await ear.result("core.get_services")

    assert {"core", "auth", "system", "dispatcher", "backup", "pool"} <= set(services)
    assert services["backup"] == {"type": "service", "methods": 1}
    assert list(await ear.result("core.get_methods", "backup", "CLI")) == ["backup.run"]
    assert (await ear.error("core.get_methods", "backup", "X"))["code"] == -32602


async def test_the_system_names_a_version_that_clients_accept(ear):
    version = await ear.result("system.version")
    info = await ear.result("system.info")

    assert version == info["version"]
    assert tuple(int(part) for part in version.removeprefix("TrueNAS-").split(".")[:2]) >= (25, 0)
    assert set(info) == {"version", "uptime", "uptime_seconds", "hostname", "datetime"}
    assert info["datetime"]["$date"] > 1_700_000_000_000
    assert info["uptime"].split()[1].rstrip("s") in ("day", "hour", "minute", "second")
