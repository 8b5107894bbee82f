"""A SysAdm client that was away asks for what it missed, and goes on without gap or repetition."""

import time

from tests.acceptance.sysadm_client import PATIENCE, Client
from tests.daemon import READ


def numbers(events):
    return [event["seq"] for event in events]


def test_since_gives_the_newest_record_of_each_job_and_then_goes_on_with_numbers(daemon):
    with Client(daemon) as client:
        client.subscribe()
        for key in ("one", "two"):
            client.run_jobs(**{key: "echo hello"})
            client.finished(key)
        with Client(daemon, READ) as late:
            assert late.subscribe("dispatcher:since=0") == {"subscribe": "dispatcher"}
            kept = [late.event(), late.event()]
            client.run_jobs(three="true")
            live = late.events_until(lambda args: args["state"] == "finished")
        seen = client.events_until(lambda args: args["state"] == "finished")

    assert [(event["args"]["process_id"], event["args"]["state"]) for event in kept] == [
        ("one", "finished"),
        ("two", "finished"),
    ]
    assert kept[0]["args"]["echo hello"] == "hello\n"
    assert [event["args"]["state"] for event in live] == ["pending", "running", "finished"]
    assert numbers([*kept, *live]) == sorted(set(numbers([*kept, *live])))
    # Who did not ask for numbers gets the four documented keys and nothing else.
    assert all(set(event) == {"args", "id", "name", "namespace"} for event in seen)
    assert all(set(event) == {"args", "id", "name", "namespace", "seq"} for event in [*kept, *live])
    assert [event["args"] for event in seen] == [event["args"] for event in live]


def test_since_the_last_number_over_a_restart_misses_nothing_and_repeats_nothing(daemon):
    daemon.script("hold", f"read line < {daemon.folder}/go; echo $line")
    with Client(daemon) as client:
        client.subscribe("dispatcher:since=0")
        client.run_jobs(before="true")
        last = client.events_until(lambda args: args["state"] == "finished")[-1]["seq"]
    with Client(daemon) as client:
        client.subscribe()
        (daemon.folder / "go").write_text("gone on\n")
        client.run_jobs(meanwhile="hold")
        client.finished("meanwhile")
    daemon.restart()
    with Client(daemon) as client:
        assert client.subscribe(f"dispatcher:since={last}") == {"subscribe": "dispatcher"}
        missed = client.event()
        rest = client.silence(0.2)

    assert missed["args"]["process_id"] == "meanwhile"
    assert missed["args"]["hold"] == "gone on\n"
    assert missed["seq"] > last
    assert rest == []


def test_a_number_from_before_what_is_kept_is_answered_with_the_first_that_is(make_daemon):
    daemon = make_daemon({"limits": {"keep_days": 0}})
    with Client(daemon) as client:
        client.subscribe("dispatcher:since=0")
        for key in ("one", "two"):
            client.run_jobs(**{key: "true"})
            last = client.events_until(lambda args: args["state"] == "finished")[-1]["seq"]
    daemon.restart()  # forgets, as the settings say, what has ended
    deadline = time.monotonic() + PATIENCE
    while "forgot 2 jobs" not in daemon.stderr:
        assert time.monotonic() < deadline, daemon.stderr
        time.sleep(0.02)
    with Client(daemon) as client:
        since_all = client.subscribe("dispatcher:since=0")
        since_one = client.subscribe("dispatcher:since=1")
        since_last = client.subscribe(f"dispatcher:since={last}")

    assert since_all == {"subscribe": "dispatcher"}
    assert since_one == {"subscribe": "dispatcher", "truncated": last + 1}
    assert since_last == {"subscribe": "dispatcher"}
