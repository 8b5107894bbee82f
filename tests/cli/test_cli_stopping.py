"""stopjobs: what is sent, said, and with which status it ends."""

import pytest

from tests.cli.fake_daemon import Failure
from tests.cli.test_cli_json import QUEUE, STOPPED

HINT = "none starts until the daemon is started again, or: dispatcher startjobs"


def test_what_was_stopped_is_listed_with_what_still_waits(scripted, say):
    scripted.script["dispatcher.stop_jobs"] = [
        {"ended": [STOPPED, {**STOPPED, "key": "c" * 8}], "running": []}
    ]
    scripted.script["dispatcher.queues"] = [[QUEUE, {**QUEUE, "pending": 0}]]
    said = say("stopjobs")

    assert said == (
        0,
        f"job 7 (build-7) in pkg_queue: killed\njob 7 (cccccccc) in pkg_queue: killed\n3 pending jobs; {HINT}\n",
        "",
    )
    assert scripted.params("dispatcher.stop_jobs") == [{}]


def test_who_has_not_ended_in_time_is_named_and_the_status_tells(scripted, say):
    scripted.script["dispatcher.stop_jobs"] = [{"ended": [], "running": [{**STOPPED, "outcome": None}]}]
    scripted.script["dispatcher.queues"] = [[{**QUEUE, "pending": 1}]]
    said = say("stopjobs", "--wait", "1.5", "--reason", "machine shutdown")

    assert said == (
        1,
        f"1 pending job; {HINT}\n",
        "dispatcher: job 7 (build-7) in pkg_queue is still running\n",
    )
    assert scripted.params("dispatcher.stop_jobs") == [{"reason": "machine shutdown", "wait": 1.5}]


@pytest.mark.parametrize("time", ["soon", "-1", "nan", "inf", "86401"])
def test_a_time_that_is_none_is_a_wrong_argument(say, time):
    said = say("stopjobs", "--wait", time)

    assert said.status == 2
    assert "is no time: write seconds, 0 to 86400" in said.err


def test_who_is_in_no_group_reads_which_is_missing(scripted, say):
    hint = "bob may not use this daemon's socket: it is not in the group 'wheel', who may do all; have root add it"
    scripted.script["dispatcher.stop_jobs"] = [
        Failure("ENOTAUTHENTICATED", "Not authenticated", [[None, hint, 207]])
    ]
    said = say("stopjobs")

    assert (said.status, said.err) == (1, f"dispatcher: {hint}\n")
