"""Sessions of both protocols: what is answered, in which order, within which bounds, and how they end."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio

from dispatcher.net.websocket import payload_of
from tests.api.jsonrpc_fakes import STRANGER
from tests.api.truenas_house import JOBS, Ear, House
from tests.api.truenas_house import house as open_house

DATA_KEYS = {"error", "errname", "reason", "trace", "extra", "py_exception"}


@pytest.fixture
async def house(autojump_clock):
    async with open_house() as built:
        yield built


async def reader(house: House) -> Ear:
    """A client that may read, over JSON-RPC."""
    ear = house.current(STRANGER)
    assert await ear.result("auth.login", "reader", "secret") is True
    return ear


async def connect(house: House, how: str, **more: Any) -> Ear:
    return await house.older(**more) if how == "older" else house.current(**more)


both = pytest.mark.parametrize("how", ["current", "older"])


@both
async def test_options_are_set_before_any_login_and_all_are_told(how, house):
    ear = await connect(house, how, peer=STRANGER)

    assert await ear.result("core.set_options", {}) == {
        "legacy_jobs": True,
        "private_methods": False,
        "py_exceptions": False,
    }
    now = await ear.result("core.set_options", {"legacy_jobs": False, "py_exceptions": True, "unknown": [1]})
    assert now == {"legacy_jobs": False, "private_methods": False, "py_exceptions": True}
    assert await ear.result("core.ping") == "pong"
    assert len(ear.sent) == (4 if how == "older" else 3), "nothing comes that was not asked for"


@both
async def test_before_a_login_everything_else_is_error_207(how, house):
    ear = await connect(house, how, peer=STRANGER)

    for method in (JOBS, "core.job_wait", "dispatcher.run", "backup.run", "system.version"):
        error = await ear.error(method)
        data = error if how == "older" else error["data"]
        assert (data["error"], data["errname"]) == (207, "ENOTAUTHENTICATED")
        assert data["reason"] == "[ENOTAUTHENTICATED] Not authenticated"


async def test_a_subscription_before_the_login_is_207_over_both(house):
    current, older = house.current(STRANGER), await house.older(STRANGER)

    error = await current.error("core.subscribe", JOBS)
    older.send_in({"msg": "sub", "id": "s", "name": JOBS})
    answer = await older.take(lambda one: one.get("id") == "s")

    assert (error["code"], error["data"]["error"]) == (-32001, 207)
    assert (answer["msg"], answer["error"]["error"]) == ("result", 207)


@both
@pytest.mark.parametrize("letter", ["x", "é"])
async def test_before_a_login_8192_characters_are_the_most(how, letter, house):
    ear = await connect(house, how, peer=STRANGER)
    head = {"msg": "method"} if how == "older" else {"jsonrpc": "2.0"}
    frame = json.dumps(head | {"id": 1, "method": "core.ping", "params": [], "more": ""}, ensure_ascii=False)

    ear.send_in(frame.replace('"more": "', '"more": "' + letter * (8192 - len(frame))))
    assert (await ear.answer(1))["result"] == "pong"
    ear.send_in(frame.replace('"more": "', '"more": "' + letter * (8193 - len(frame))))
    await house.settle()

    assert ear.closed == (1007, "Anonymous connection max message length is 8 kB")


@both
async def test_after_it_longer_ones_are_taken(how, house):
    ear = await connect(house, how)

    assert (await ear.result("core.set_options", {"unknown": "x" * 100_000}))["legacy_jobs"] is True


@both
async def test_a_binary_message_ends_the_connection_with_1003(how, house):
    ear = await connect(house, how)

    ear.send_in(b'{"jsonrpc":"2.0","id":1,"method":"core.ping"}')
    await house.settle()

    assert ear.closed is not None
    assert ear.closed[0] == 1003


@pytest.mark.parametrize(
    ("text", "code"), [("nonsense", 1007), ("[]", 1007), ("7", 1007), ("{}", 1011), ('{"id":1}', 1011)]
)
async def test_the_older_protocol_closes_where_it_cannot_answer(text, code, house):
    ear = await house.older()

    ear.send_in(text)
    await house.settle()

    assert ear.closed is not None
    assert ear.closed[0] == code


async def test_json_rpc_answers_everything_and_goes_on(house):
    ear = house.current()
    call = {"jsonrpc": "2.0", "id": 1, "method": "core.ping", "params": []}
    for wrong, code, call_id in (
        ("nonsense", -32700, None),
        ([call, call], -32700, None),
        (7, -32700, None),
        (call | {"params": [{"$date": "x"}]}, -32700, None),
        (call | {"jsonrpc": "1.0"}, -32600, 1),
        (call | {"params": {"a": 1}}, -32600, 1),
        (call | {"method": ""}, -32600, 1),
        (call | {"id": True}, -32600, None),
        (call | {"id": [1]}, -32600, None),
        (call | {"method": "nonesuch"}, -32601, 1),
        (call | {"method": "core.ping", "params": [1]}, -32602, 1),
    ):
        ear.send_in(wrong)
        answer = await ear.take(lambda one: "error" in one)
        assert (answer["error"]["code"], answer["id"]) == (code, call_id), wrong
        assert ("data" in answer["error"]) is (code == -32602)
    assert await ear.result("core.ping") == "pong"


@pytest.mark.parametrize("call_id", [1, -7, 2.5, "text", "", None, 2**53])
async def test_an_id_is_told_as_it_came(call_id, house):
    ear = house.current()

    ear.send_in({"jsonrpc": "2.0", "id": call_id, "method": "core.ping"})

    assert await ear.take(lambda _: True) == {"jsonrpc": "2.0", "id": call_id, "result": "pong"}


async def test_a_notification_is_carried_out_and_never_answered(house):
    ear = house.current()
    for method, params in (
        ("core.set_options", [{"legacy_jobs": False}]),
        ("nonesuch", []),
        ("core.ping", [1]),
        ("backup.run", ["tank"]),
    ):
        ear.send_in({"jsonrpc": "2.0", "method": method, "params": params})
    ear.send_in({"jsonrpc": "1.0", "method": "core.ping"})
    await house.settle()

    assert ear.sent == []
    assert (await ear.result("core.set_options", {}))["legacy_jobs"] is False
    assert [one["method"] for one in await ear.result(JOBS)] == ["backup.run"]


async def test_params_may_be_null_or_left_out(house):
    ear = house.current()
    forms: list[dict[str, object]] = [{}, {"params": None}, {"params": []}]
    for more in forms:
        ear.send_in({"jsonrpc": "2.0", "id": 5, "method": "core.ping"} | more)
        assert (await ear.answer(5))["result"] == "pong"


async def test_in_the_first_style_the_number_of_the_job_comes_at_once_after_its_first_event(house):
    ear = house.current()
    await ear.result("core.subscribe", JOBS)

    number = await ear.result("backup.run", "tank")

    assert number == 1
    assert ear.events(1)[0]["msg"] == "added"
    assert ear.sent.index(next(one for one in ear.sent if one.get("result") == 1)) > 1
    await house.finish(1)
    assert (await ear.ended(1))["state"] == "SUCCESS"


@both
async def test_a_jobs_first_event_has_the_id_of_its_call_and_comes_before_any_answer(how, house):
    ear = await connect(house, how)
    listener = house.current()
    await listener.result("core.subscribe", JOBS)
    if how == "older":
        ear.send_in({"msg": "sub", "id": "s", "name": JOBS})
    else:
        await ear.result("core.subscribe", JOBS)
        await ear.result("core.set_options", {"legacy_jobs": False})
    call_id = ear.begin("core.bulk", "core.ping", [])  # over before anybody could ask
    answer = await ear.answer(call_id)

    told = ear.events(1)
    assert told[0]["msg"] == "added"
    assert told[0]["fields"]["state"] == "WAITING"
    assert all(one["fields"]["message_ids"] == ([] if how == "older" else [call_id]) for one in told)
    assert answer["result"] == (1 if how == "older" else [])
    place = ear.sent.index(answer)
    added = next(at for at, one in enumerate(ear.sent) if one.get("params", one).get("msg") == "added")
    assert added < place
    if how == "current":
        assert [one["fields"]["state"] for one in told] == ["WAITING", "RUNNING", "SUCCESS"]
        assert place == len(ear.sent) - 1, "the end is told before it is answered"


async def test_in_the_new_style_the_answer_is_the_result_null_or_the_error(house):
    ear = house.current()
    await ear.result("core.set_options", {"legacy_jobs": False})
    calls = [ear.begin("backup.run", "tank") for _ in range(3)]
    await house.settle()
    assert not any("result" in one for one in ear.sent[1:]), "nothing is answered before the end"

    await house.finish(1)
    await house.finish(2, code=3)
    assert await ear.result("core.job_abort", 3) is None
    await house.finish(3)

    assert (await ear.answer(calls[0]))["result"] == {"outcome": "success", "return_codes": [0]}
    error = (await ear.answer(calls[1]))["error"]
    assert (error["code"], error["data"]["error"]) == (-32001, 14)
    assert error["data"]["reason"] == "[EFAULT] Command backup tank 1 failed (code 3):"
    assert (await ear.answer(calls[2]))["result"] is None


@pytest.mark.parametrize("is_new_style", [False, True])
async def test_no_answer_overtakes_events_that_wait_for_room(is_new_style, house, monkeypatch):
    ear = house.current()
    offer: Callable[[bytes], bool] = ear.offer
    has_room = True
    monkeypatch.setattr(ear, "offer", lambda frame: has_room and offer(frame))
    await ear.result("core.subscribe", JOBS)
    await ear.result("core.set_options", {"legacy_jobs": not is_new_style})
    has_room = False
    call_id = ear.begin("core.bulk", "core.ping", [])
    await house.settle()
    assert len(ear.sent) == 2, "for an answer there would be room"
    has_room = True
    ear.read_on()
    await ear.answer(call_id)

    place = next(at for at, one in enumerate(ear.sent) if one.get("id") == call_id)
    told = [one["params"]["fields"]["state"] for one in ear.sent[2:place]]
    assert told == ["WAITING", "RUNNING", "SUCCESS"]


async def test_wrong_arguments_of_a_job_are_the_outcome_of_a_job(house):
    ear = house.current()
    await ear.result("core.subscribe", JOBS)

    number = await ear.result("backup.run", "TANK", 99)
    job = await ear.ended(number)

    assert (job["state"], job["exc_info"]["type"], job["exc_info"]["errno"]) == ("FAILED", "VALIDATION", 22)
    assert [one[0] for one in job["exc_info"]["extra"]] == ["pool", "count"]
    await ear.result("core.set_options", {"legacy_jobs": False})
    error = await ear.error("backup.run", "TANK", 99)
    assert (error["code"], error["message"]) == (-32602, "Invalid params")
    assert [one[0] for one in error["data"]["extra"]] == ["pool", "count"]


async def test_who_may_not_call_a_method_makes_no_job(house):
    ear = await reader(house)

    error = await ear.error("backup.run", "tank")

    assert (error["code"], error["data"]["error"], error["data"]["errname"]) == (-32001, 13, "EACCES")
    assert await ear.result(JOBS) == []
    assert await ear.result("pool.look") == 1


async def test_a_pipe_that_nobody_holds_is_not_open(house):
    error = await house.current().error("file.take")

    assert (error["code"], error["data"]["error"]) == (-32001, 22)
    assert "Pipe 'input' is not open" in error["data"]["reason"]


async def test_ten_calls_are_carried_out_ten_more_wait_and_the_next_is_refused(house, monkeypatch):
    current, older = house.current(), await house.older()
    gate, begun = trio.Event(), 0
    store_methods = house.store.search

    async def slow(*given: Any) -> Any:
        nonlocal begun
        begun += 1
        await gate.wait()
        return await store_methods(*given)

    monkeypatch.setattr(house.store, "search", slow)
    for ear in (current, older):
        begun, gate = 0, trio.Event()
        calls = [ear.begin(JOBS) for _ in range(23)]
        await house.settle()
        refused = [one["id"] for one in ear.sent if "error" in one]
        assert refused == calls[20:]
        assert begun == 10
        gate.set()
        answers = [await ear.answer(call) for call in calls]
        assert [one["result"] for one in answers[:20]] == [[]] * 20
        error = answers[20]["error"]
        if ear is current:
            assert error == {"code": -32000, "message": "too many concurrent calls"}
        else:
            assert (error["error"], error["errname"]) == (109, "ETOOMANYREFS")
        assert await ear.result("core.ping") == "pong"


async def test_calls_that_wait_for_jobs_hold_nobody_up(house):
    ear = house.current()
    await ear.result("core.set_options", {"legacy_jobs": False})
    waits = [ear.begin("backup.run", "tank") for _ in range(30)]
    await house.settle()

    assert len(await ear.result(JOBS)) == 30
    for number in range(1, 31):
        assert await ear.result("core.job_abort", number) is None
        await house.finish(number)
    for call_id in waits:
        assert (await ear.answer(call_id))["result"] is None


async def test_the_answer_to_a_subscription_comes_before_its_first_event(house):
    ear, other = house.current(), house.current()
    subscribing = ear.begin("core.subscribe", JOBS)
    for _ in range(5):
        other.begin("backup.run", "tank")
    await ear.answer(subscribing)
    await house.settle()

    assert "id" in ear.sent[0]
    assert isinstance(ear.sent[0]["result"], str)
    assert len([one for one in ear.sent[1:] if one["params"]["msg"] == "added"]) in range(6)


async def test_several_subscriptions_bring_each_event_once_until_the_last_ends(house):
    ear = house.current()
    numbers = [await ear.result("core.subscribe", name) for name in (JOBS, JOBS, "*")]
    assert len(set(numbers)) == 3
    await ear.result("backup.run", "tank")
    await house.finish(1)
    told = [one["extra"]["seq"] for one in ear.events(1)]
    assert told == sorted(set(told))

    for number in ("no such", *numbers[:2]):
        assert await ear.result("core.unsubscribe", number) is None
    await ear.result("backup.run", "tank")
    assert ear.events(2) != []
    await ear.result("core.unsubscribe", numbers[2])
    await ear.result("backup.run", "tank")
    await house.settle()
    assert ear.events(3) == []


async def test_the_older_protocol_subscribes_and_unsubscribes_by_the_clients_own_id(house):
    ear = await house.older()
    ear.send_in({"msg": "sub", "id": "mine", "name": JOBS})
    assert await ear.take(lambda one: one["msg"] == "ready") == {"msg": "ready", "subs": ["mine"]}

    await ear.result("backup.run", "tank")
    await house.settle()
    assert [one["msg"] for one in ear.events(1)] == ["added", "changed"]
    before = len(ear.sent)
    ear.send_in({"msg": "unsub", "id": "mine"})
    await ear.result("backup.run", "tank")
    await house.settle()

    assert ear.events(2) == []
    assert len(ear.sent) == before + 1, "an unsub is not answered"


async def test_an_unknown_collection_is_refused_with_those_that_exist(house):
    current, older = house.current(), await house.older()
    older.send_in({"msg": "sub", "id": "s", "name": "disk.query"})

    error = await current.error("core.subscribe", "disk.query")
    answer = await older.take(lambda one: one.get("id") == "s")

    assert error["code"] == -32602
    assert JOBS in error["data"]["reason"]
    assert answer["error"]["type"] == "VALIDATION"


async def test_everything_at_once_is_for_full_access(house):
    ear = await reader(house)

    assert (await ear.error("core.subscribe", "*"))["data"]["error"] == 13
    assert isinstance(await ear.result("core.subscribe", JOBS), str)


async def test_a_replay_brings_what_changed_since_and_then_goes_on(house):
    ear, late = house.current(), house.current()
    await ear.result("core.subscribe", JOBS)
    for _ in range(3):
        await ear.result("backup.run", "tank")
    await house.settle()
    seen = ear.events(2)[-1]["extra"]["seq"]
    await house.finish(1)

    await late.result("core.subscribe", f"{JOBS}:since={seen}")
    await house.finish(3)
    await late.ended(3)

    told = [(one["id"], one["msg"], one["fields"]["state"]) for one in late.events()]
    assert told[:2] == [(3, "changed", "RUNNING"), (1, "changed", "SUCCESS")]
    assert told[-1] == (3, "changed", "SUCCESS")
    seqs = [one["extra"]["seq"] for one in late.events()]
    assert seqs == sorted(set(seqs))
    for wrong in ("x", "-1", ""):
        assert (await late.error("core.subscribe", f"{JOBS}:since={wrong}"))["code"] == -32602


async def test_a_client_that_reads_nothing_is_told_so_and_may_subscribe_again(house, monkeypatch):
    monkeypatch.setattr("dispatcher.api.truenas.following.BEHIND_BYTES", 20_000)
    current, older, other = house.current(), await house.older(), house.current()
    await current.result("core.subscribe", JOBS)
    older.send_in({"msg": "sub", "id": "s", "name": JOBS})
    await older.take(lambda one: one["msg"] == "ready")
    current.stop_reading()
    older.stop_reading()
    for _ in range(30):
        await other.result("backup.run", "tank")
    await house.settle()
    current.read_on()
    older.read_on()

    told = await current.take(lambda one: one.get("method") == "notify_unsubscribed")
    assert told["params"]["collection"] == JOBS
    assert set(told["params"]["error"]) == DATA_KEYS
    assert "since" in told["params"]["error"]["reason"]
    nosub = await older.take(lambda one: one.get("msg") == "nosub")
    assert (nosub["collection"], nosub["error"]["error"]) == (JOBS, 16)
    before = len(current.events())
    await current.result("core.subscribe", JOBS)
    await other.result("backup.run", "tank")
    await house.settle()
    assert current.events(31) != []
    assert before < 30


async def test_jobs_go_on_when_their_client_is_gone_and_what_it_waited_for_is_let_go(house):
    ear, other = house.current(), house.current()
    await ear.result("core.set_options", {"legacy_jobs": False})
    ear.begin("backup.run", "tank")
    await house.settle()
    ear.begin("core.job_wait", 1)
    await house.settle()
    ear.hang_up()
    await house.settle()
    await house.finish(1)

    jobs = await other.result(JOBS)
    assert [(one["id"], one["state"]) for one in jobs] == [(1, "SUCCESS"), (2, "SUCCESS")]


async def test_a_fault_of_ours_is_told_in_full_to_full_access_only_and_the_session_goes_on(
    house, monkeypatch, caplog
):
    async def fail(*_: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(house.store, "search", fail)
    ears = [house.current(), await reader(house), await house.older()]
    errors = [await ear.error(JOBS) for ear in ears]

    full, read = errors[0]["data"], errors[1]["data"]
    assert (full["error"], errors[0]["code"], full["trace"]["class"]) == (22, -32001, "RuntimeError")
    assert full["trace"]["frames"][-1]["method"] == "fail"
    assert set(full["trace"]["frames"][-1]) == {"filename", "lineno", "method", "line"}
    assert read["trace"]["frames"] == []
    assert errors[2]["trace"]["frames"] != []
    assert "secret of the house" not in json.dumps(errors).replace("raise RuntimeError", "").replace(
        json.dumps('("the secret of the house")')[1:-1], ""
    )
    assert [await ear.result("core.ping") for ear in ears] == ["pong"] * 3
    assert "RuntimeError" in caplog.text


async def test_an_answer_above_1_mib_is_an_error_that_says_what_to_do(house):
    ear = house.current()
    for _ in range(30):
        await ear.result("dispatcher.run", {"commands": [["echo", "x" * 60_000]]})

    error = await ear.error(JOBS)

    assert "limit" in error["data"]["reason"]
    assert len(await ear.result(JOBS, [], {"limit": 2, "select": ["id"]})) == 2
    assert len(json.dumps(await ear.result(JOBS, [["id", "=", 3]]))) > 60_000


async def test_no_event_is_above_1_mib(house, monkeypatch):
    ear = house.current()
    frames: list[bytes] = []
    offer: Callable[[bytes], bool] = ear.offer

    def note(frame: bytes) -> bool:
        frames.append(payload_of(frame))
        return offer(frame)

    monkeypatch.setattr(ear, "offer", note)
    await ear.result("core.subscribe", JOBS)
    long = "x" * 200_000
    wrong = await ear.result("backup.run", {long: 1})
    number = await ear.result("dispatcher.run", {"commands": [["echo", long]]})
    progress = {"percent": 5, "description": long, "extra": [long]}
    assert await ear.result("core.job_update", number, {"progress": progress}) is None
    await ear.ended(wrong)
    await ear.job_when(number, lambda job: job["progress"]["percent"] == 5)

    assert max(map(len, frames)) < 200_000
    assert (await ear.result(JOBS, [["id", "=", wrong]]))[0]["exc_info"]["extra"][0][0] == long


async def test_a_reload_of_the_tasks_counts_for_the_next_call(house):
    ear = house.current()
    assert await ear.result("pool.look") == 1
    house.settings = msgspec.structs.replace(house.settings, tasks=())

    assert (await ear.error("pool.look"))["code"] == -32601
