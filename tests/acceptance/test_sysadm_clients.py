"""SysAdm's documented messages, said to a real daemon by a client that is not ours: `websockets` over wss."""

import time

import pytest

from tests.acceptance.sysadm_client import KEY, Client, answer_to, call, documented, golden, without_times
from tests.daemon import READ, Daemon, running

SHOW_ARGUMENTS = """printf '[%s]' "$@"; echo"""


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory):
    """One daemon for the tests that leave nothing behind in it."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file)) as daemon:
        yield daemon


# --- the documented calls -------------------------------------------------------------------------


def test_the_documented_calls_get_the_documented_answers_over_wss(daemon):
    daemon.script("pkg", "exec sleep 1000")
    with Client(daemon) as client:
        client.subscribe()
        assert client.ask(documented("run.request.json")) == answer_to("run")
        client.begun(KEY)
        assert client.ask(documented("list.request.json")) == answer_to("list")
        assert client.ask(documented("kill.request.json")) == answer_to("kill")
        end = client.finished(KEY)

        assert (end["outcome"], end[f"return_codes/{end['cmd_list'][0]}"]) == ("killed", "143")
        assert client.list_jobs() == {"jobs": {}}
        # A second kill is no error: what has ended is left out.
        assert client.ask(documented("kill.request.json"))["args"] == {"killed": {"jobs": []}}


def test_the_documented_subscriptions_get_the_documented_answers(daemon):
    with Client(daemon, READ) as reader, Client(daemon) as client:
        # The name in the answer is the last one that was asked for.
        everything = reader.ask(documented("subscribe_all.request.json"))
        assert everything == answer_to("subscribe") | {"args": {"subscribe": "system-state"}}
        assert reader.ask(documented("subscribe.request.json")) == answer_to("subscribe")
        client.subscribe()
        client.run_jobs(first="true")
        client.finished("first")
        reader.finished("first")
        assert reader.ask(documented("unsubscribe.request.json")) == answer_to("unsubscribe")
        client.run_jobs(second="true")
        client.finished("second")

        assert reader.ask(call("identify", ""))["args"]["type"] == "server"
        assert reader.silence(0.1) == []


# --- the events of a list ---------------------------------------------------------------------------


def test_the_events_of_three_commands_have_exactly_these_frames_and_keys(shared):
    shared.script("pkg", SHOW_ARGUMENTS)
    wanted = golden("install_events.json")[0]["args"]
    before = time.time()
    with Client(shared) as client, Client(shared, READ) as other:
        client.subscribe()
        other.subscribe()
        client.run_jobs(**{wanted["process_id"]: wanted["cmd_list"]})
        events = client.events_until(lambda args: args["state"] == "finished")
        others = other.events_until(lambda args: args["state"] == "finished")
        rest = client.silence(1.5)  # longer than what gathers new output of a job

    assert without_times(events) == golden("install_events.json")
    assert others == events
    assert rest == []
    starts = {event["args"]["time_started"] for event in events[1:]}
    assert len(starts) == 1
    begun, ended = (
        time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
        for text in (starts.pop(), events[-1]["args"]["time_finished"])
    )
    assert int(before) <= begun <= ended <= time.time()


def test_the_documented_events_come_word_for_word(shared):
    shared.script(
        "<command", """[ "$1" = "1>" ] && echo "<log after running command1>" || echo "<log for command2>" """
    )
    wanted = golden("documented/events.json")
    with Client(shared) as client:
        client.ask(documented("subscribe.request.json"))
        client.run_jobs(**{"<random>": wanted[0]["args"]["cmd_list"]})
        events = client.events_until(lambda args: args["state"] == "finished")

    assert without_times(events) == wanted


def test_the_same_command_twice_keeps_its_outputs_apart(shared):
    shared.script("count", f"echo x >>{shared.folder}/lines; wc -l <{shared.folder}/lines | tr -d ' '")
    with Client(shared) as client:
        client.subscribe()
        client.run_jobs(twice=["count", "count", "state", "count"])
        end = client.finished("twice")

    assert end["cmd_list"] == ["count", "count", "state", "count"]
    assert (end["count"], end["count (2)"]) == ("1\n", "2\n")
    assert (end["return_codes/count"], end["return_codes/count (2)"]) == ("0", "0")
    # A command named like a fixed key cannot forge it; it could not start, so the fourth never ran.
    assert (end["state"], end["return_codes/state (2)"], end["outcome"]) == ("finished", "-1", "failed")
    assert "count (3)" not in end


@pytest.mark.parametrize(
    ("script", "code", "outcome"),
    [
        ("echo out; exit 3", "3", "failed"),
        ("echo out; kill -SEGV $$", "139", "failed"),
        ("echo out; kill -KILL $$", "137", "failed"),
    ],
)
def test_a_return_code_tells_how_a_command_ended_and_the_next_one_has_no_key(script, code, outcome, shared):
    shared.script("odd", script)
    with Client(shared) as client:
        client.subscribe()
        client.run_jobs(k=["odd", "echo never"])
        events = client.events_until(lambda args: args["state"] == "finished")

    assert [event["args"]["state"] for event in events] == ["pending", "running", "finished"]
    assert without_times(events)[-1]["args"] == {
        "cmd_list": ["odd", "echo never"],
        "odd": "out\n",
        "outcome": outcome,
        "process_id": "k",
        "return_codes/odd": code,
        "state": "finished",
        "time_finished": "<time>",
        "time_started": "<time>",
    }


def test_a_command_that_cannot_start_has_code_minus_1_and_its_log_says_why(shared):
    with Client(shared) as client:
        client.subscribe()
        client.run_jobs(k="no-such-program --at-all")
        end = client.finished("k")

    assert end["return_codes/no-such-program --at-all"] == "-1"
    assert "no-such-program" in end["no-such-program --at-all"]
    assert end["outcome"] == "failed"


# --- the ways to run and to list ----------------------------------------------------------------------


def test_the_object_form_names_queue_directory_and_environment(shared, tmp_path):
    shared.script("where", 'pwd; echo "$COLOUR"; echo "$1"')
    with Client(shared) as client:
        client.subscribe()
        job = {"commands": [["where", "a  b"]], "queue": "pkg_queue", "cwd": str(tmp_path)}
        started = client.run_jobs(k=job | {"env": {"COLOUR": "blue"}})
        end = client.finished("k")

    assert started == {"started": ["k"]}
    assert end[end["cmd_list"][0]] == f"{tmp_path}\nblue\na  b\n"


def test_what_cannot_run_is_refused_by_name_and_the_rest_runs(shared):
    with Client(shared) as client:
        client.subscribe()
        answer = client.run_jobs(
            good="true",
            late={"commands": ["true"], "timeout": 5},
            lost={"commands": ["true"], "queue": "nowhere"},
            mixed=["pkg info", "iocage list"],
        )
        client.finished("good")

    assert answer["started"] == ["good"]
    assert set(answer["rejected"]) == {"late", "lost", "mixed"}
    assert "'timeout'" in answer["rejected"]["late"]
    assert "commands, queue, cwd, env" in answer["rejected"]["late"]
    assert "nowhere" in answer["rejected"]["lost"]
    assert "iocage_queue, no_queue, pkg_queue" in answer["rejected"]["lost"]
    assert "pkg_queue" in answer["rejected"]["mixed"]
    assert "iocage_queue" in answer["rejected"]["mixed"]


def test_a_key_in_use_is_rejected_until_its_job_has_ended(shared):
    with Client(shared) as client:
        client.subscribe()
        client.run_jobs(k="sleep 1000")
        client.begun("k")
        again = client.run_jobs(k="true", other="true")
        client.finished("other")
        client.ask(call("dispatcher", {"action": "kill", "job_id": ["k"]}))
        client.finished("k")

        assert again["started"] == ["other"]
        assert "'k'" in again["rejected"]["k"]
        assert client.run_jobs(k="true") == {"started": ["k"]}
        assert client.finished("k")["outcome"] == "success"


def test_a_list_counts_positions_in_starting_order_and_pages(make_daemon):
    daemon = make_daemon({"limits": {"list_jobs": 3}})
    daemon.script("pkg", "exec sleep 1000")
    with Client(daemon) as client:
        assert client.list_jobs() == {"jobs": {}}
        client.subscribe()
        for key in ("z", "y", "x", "w", "v"):
            client.run_jobs(**{key: f"pkg {key}"})
        client.run_jobs(free="sleep 1000")
        client.begun("free")
        listed = client.list_jobs()
        paged = client.list_jobs(queue="pkg_queue", offset=3, limit=10)
        client.ask(call("dispatcher", {"action": "kill", "job_id": ["x"]}))
        end = client.finished("x")
        after = client.list_jobs(queue="pkg_queue", offset=1)

    def job(key: str, place: int) -> dict[str, object]:
        state = "pending" if place else "running"
        return {"commands": [f"pkg {key}"], "queue_position": str(place), "state": state}

    assert listed == {
        "jobs": {
            "no_queue": {"free": {"commands": ["sleep 1000"], "state": "running"}},
            "pkg_queue": {"z": job("z", 0), "y": job("y", 1), "x": job("x", 2)},
        },
        "truncated": {"pkg_queue": 5},
    }
    assert paged == {"jobs": {"pkg_queue": {"w": job("w", 3), "v": job("v", 4)}}}
    # Killed while it waited: it never began, so it has neither a start nor a code.
    assert set(end) == {"cmd_list", "outcome", "process_id", "state", "time_finished"}
    assert after == {"jobs": {"pkg_queue": {"y": job("y", 1), "w": job("w", 2), "v": job("v", 3)}}}
