"""What the audit says of submits and kills: enough to know what was done, and no secret."""

from dispatcher.api.audited import LONGEST, killed, submitted
from dispatcher.api.submissions import JobRequest
from dispatcher.core.messages import Killed, Submit, Submitted
from dispatcher.core.model import Command, Submission
from dispatcher.errors import InvalidRequest, Refused
from tests.api.told_jobs import pending

ENV = (("TOKEN", "secret"),)


def submit(text, key="k"):
    return Submit(Submission("q", (Command(("x", "hidden"), text),), key, "admin", "/tmp", ENV), 0.0)


def test_a_job_is_described_by_what_people_may_see_of_it():
    request = JobRequest(commands=(("login", "hidden"),), key=None, env=ENV, cwd="/tmp")
    answer = Submitted(pending(7, "login ***", key="k"))

    assert submitted([request], [submit("login ***")], [answer]) == {
        "jobs": [
            {
                "key": "k",
                "queue": "q",
                "commands": ["login ***"],
                "cwd": "/tmp",
                "env": ["TOKEN"],
                "number": 7,
                "answer": "added",
            }
        ]
    }


def test_what_was_refused_is_described_as_it_was_asked_with_the_reason():
    requests = [JobRequest(commands=("a  b", ("c", "d")), key="k"), JobRequest(commands=("e",), key="l")]
    found = submitted(
        requests,
        [InvalidRequest("no such queue"), submit("e", "l")],
        [InvalidRequest("bad"), Refused("in use")],
    )

    assert found is not None
    assert found["jobs"] == [
        {"key": "k", "queue": "", "commands": ["a  b", "c d"], "answer": "invalid: bad"},
        {"key": "l", "queue": "q", "commands": ["e"], "cwd": "/tmp", "answer": "refused: in use"},
    ]


def test_what_could_not_even_be_read_is_told_too():
    found = submitted([], [], [], [("k", "cannot run: a reason"), ("l" * (LONGEST + 1), "x")])

    assert found == {
        "jobs": [
            {"key": "k", "answer": "invalid: cannot run: a reason"},
            {"key": "l" * LONGEST + "[1 characters more]", "answer": "invalid: x"},
        ]
    }


def test_a_request_that_was_broken_off_is_described_as_far_as_it_came():
    requests = [JobRequest(commands=("a",), key="k"), JobRequest(commands=("b",), key="l")]
    found = submitted(requests, [submit("a")], [])

    assert found is not None
    assert found["jobs"] == [
        {"key": "k", "queue": "q", "commands": ["a"], "cwd": "/tmp"},
        {"key": "l", "queue": "", "commands": ["b"]},
    ]
    assert killed(["k", 7], []) == {"jobs": [{"target": "k"}, {"target": 7}]}


def test_long_texts_are_cut_and_say_so():
    found = submitted([JobRequest(commands=("x" * (LONGEST + 5),))], [], [])

    assert found == {
        "jobs": [{"key": "", "queue": "", "commands": ["x" * LONGEST + "[5 characters more]"]}],
    }


def test_who_asked_for_nothing_has_changed_nothing():
    assert submitted([], [], []) is None
    assert killed([], []) is None


def test_a_kill_names_what_was_asked_and_what_was_found():
    found = killed(["k", 9, 8], [Killed(pending(7, "x", key="k")), Killed(None), Refused("not now")])

    assert found == {
        "jobs": [
            {"target": "k", "number": 7, "key": "k", "answer": "stopping"},
            {"target": 9, "answer": "no such job"},
            {"target": 8, "answer": "refused: not now"},
        ]
    }
