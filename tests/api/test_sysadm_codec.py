"""SysAdm's codec: what is read from args, and what the envelope looks like."""

import json

import pytest

from dispatcher.api.service import JobRequest
from dispatcher.api.sysadm import codec
from dispatcher.api.sysadm.arguments import (
    Kill,
    ListJobs,
    Run,
    Topics,
    read_credentials,
    read_dispatcher,
    read_token,
    read_topics,
)
from dispatcher.api.sysadm.codec import Call, Malformed
from dispatcher.api.sysadm.notices import Topic
from dispatcher.errors import (
    Forbidden,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    Refused,
    StoreFailed,
)


def dispatcher(args, *, has_args=True):
    return read_dispatcher(Call("rpc", "dispatcher", "x", args, has_args))


def read_run(**jobs):
    return dispatcher({"action": "run", **jobs})


def commands_of(value):
    (job,) = read_run(job=value).jobs
    return job.commands


def test_a_string_is_one_command_and_an_array_a_chain():
    assert read_run(b=["echo a", "echo b"], a="echo hi") == Run(
        (JobRequest(("echo hi",), "a"), JobRequest(("echo a", "echo b"), "b"))
    )


@pytest.mark.parametrize(
    ("value", "commands"),
    [
        ([1, True, False, 1.0, 1.5, "x"], ("1", "true", "false", "1", "1.5", "x")),
        ([None, {}, "x"], ("x",)),
        (["", "x", ""], ("x",)),
        ("", ()),
        ([], ()),
        ([["pkg", "info", ""], "x"], (("pkg", "info", ""), "x")),
        ({"commands": "echo hi"}, ("echo hi",)),
        ({"commands": ["a", ["b", "c d"]]}, ("a", ("b", "c d"))),
    ],
)
def test_the_entries_of_a_chain_become_commands(value, commands):
    assert commands_of(value) == commands


@pytest.mark.parametrize("value", [5, 1.5, True, None])
def test_a_value_that_is_no_list_of_commands_is_skipped(value):
    assert read_run(job=value) == Run(())


def test_the_object_form_names_queue_directory_and_environment():
    value = {"commands": ["make"], "queue": "pkg_queue", "cwd": "/usr/src", "env": {"A": "1"}}

    assert read_run(job=value) == Run((JobRequest(("make",), "job", "pkg_queue", "/usr/src", (("A", "1"),)),))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            {"commands": ["x"], "timeout": 5},
            "unknown key 'timeout'; a job may have commands, queue, cwd, env",
        ),
        ({"queue": "pkg_queue"}, "`commands` must be a string or an array"),
        ({"commands": [5]}, "each command must be a string or an array of strings"),
        ({"commands": [[]]}, "each command must be a string or an array of strings"),
        ({"commands": "x", "queue": 5}, "`queue` must be a string"),
        ({"commands": "x", "cwd": []}, "`cwd` must be a string"),
        ({"commands": "x", "env": {"A": 1}}, "`env` must be an object of strings"),
    ],
)
def test_a_wrong_object_form_is_rejected_alone_and_with_the_reason(value, reason):
    found = read_run(bad=value, good="true")

    assert [job.key for job in found.jobs] == ["good"]
    ((key, sentence),) = found.rejected
    assert key == "bad"
    assert reason in sentence


def test_without_args_the_envelope_names_no_jobs():
    message = {"namespace": "rpc", "name": "dispatcher", "id": "ls", "action": "run", "job": "true"}

    found = read_dispatcher(codec.decode(json.dumps(message)))

    assert found == Run((JobRequest(("true",), "job"),))


def test_within_args_any_key_but_action_names_a_job():
    assert [job.key for job in read_run(id="ls", name="ls").jobs] == ["id", "name"]


@pytest.mark.parametrize("action", ["list", "LIST", "List"])
def test_the_action_may_be_written_in_any_case(action):
    assert dispatcher({"action": action, "junk": 1}) == ListJobs()


@pytest.mark.parametrize("args", ["", [], None, 5, {}, {"action": 5}, {"action": "zzz"}, {"action": None}])
def test_an_action_that_is_missing_or_unknown_is_invalid(args):
    with pytest.raises(InvalidRequest, match="run, list"):
        dispatcher(args)


@pytest.mark.parametrize("job_id", [None, 5, {}, [1], ["a", None], True])
def test_kill_of_anything_but_ids_is_invalid(job_id):
    with pytest.raises(InvalidRequest, match="job_id"):
        dispatcher({"action": "kill", "job_id": job_id})


def test_kill_names_each_id_once():
    assert dispatcher({"action": "kill", "job_id": ["b", "a", "b"]}) == Kill(("b", "a"))


@pytest.mark.parametrize("value", [-1, "5", 1.5, True, 2**63, []])
def test_a_page_of_a_list_is_asked_for_by_counts(value):
    with pytest.raises(InvalidRequest, match="offset"):
        dispatcher({"action": "list", "offset": value})


@pytest.mark.parametrize(
    ("args", "topics"),
    [
        ("dispatcher", Topics("dispatcher", with_jobs=True)),
        (["bogus", "dispatcher", "x"], Topics("dispatcher", with_jobs=True)),
        (
            ["dispatcher", "system-state"],
            Topics("system-state", with_jobs=True, others=(Topic.SYSTEM_STATE,)),
        ),
        (
            ["life-preserver", "system_state", "life_preserver"],
            Topics("life_preserver", others=(Topic.LIFE_PRESERVER, Topic.SYSTEM_STATE)),
        ),
        ("Dispatcher", Topics(None)),
        ("dispatcher:since=0", Topics("dispatcher", 0, with_jobs=True)),
        (["dispatcher", "dispatcher:since=17"], Topics("dispatcher", 17, with_jobs=True)),
        ("dispatchers", Topics(None)),
    ],
)
def test_topics_are_read_and_unknown_ones_skipped(args, topics):
    assert read_topics(Call("events", "subscribe", "x", args)) == topics


@pytest.mark.parametrize(
    "args", ["dispatcher:since=", "dispatcher:since=-1", "dispatcher:since=1e3", "dispatcher:since=\u0661"]
)
def test_a_number_that_is_none_is_no_replay(args):
    with pytest.raises(InvalidRequest, match="since=0"):
        read_topics(Call("events", "subscribe", "x", args))


@pytest.mark.parametrize("args", [None, 5, {}, [], ["dispatcher", 5]])
def test_topics_that_are_no_names_are_invalid(args):
    with pytest.raises(InvalidRequest, match="which events"):
        read_topics(Call("events", "subscribe", "x", args))


@pytest.mark.parametrize("args", ["", None, [], {"username": 5, "token": ["x"], "password": None}])
def test_a_secret_that_is_no_string_is_empty(args):
    assert read_credentials(args) == ("", "")
    assert read_token(args) == ""


def test_no_args_means_the_whole_message():
    call = codec.decode('{"namespace":"rpc","name":"auth_token","token":"t"}')

    assert read_token(call.args) == "t"
    assert not call.has_args


@pytest.mark.parametrize(
    "message",
    [{"name": "x"}, {"namespace": "x"}, {"namespace": 5, "name": "x"}, {"namespace": "", "name": "x"}],
)
def test_a_call_needs_namespace_and_name(message):
    with pytest.raises(Malformed) as caught:
        codec.decode(json.dumps({**message, "id": "kept"}))

    assert caught.value.id == "kept"


def test_replies_are_compact_with_sorted_keys():
    call = Call("rpc", "dispatcher", "7", {})

    text = codec.encode_reply(call, {"b": 1, "a": {"d": "é", "c": []}})

    assert text == '{"args":{"a":{"c":[],"d":"é"},"b":1},"id":"7","name":"response","namespace":"rpc"}'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("x"), "400"),
        (Refused("x"), "400"),
        (NotAuthenticated("x"), "401"),
        (Forbidden("x"), "403"),
        (NotFound("x"), "404"),
        (StoreFailed("x"), "500"),
    ],
)
def test_each_error_has_a_code_that_is_a_string(error, code):
    assert codec.code_of(error) == code


def test_an_event_has_the_documented_four_keys_and_seq_only_if_asked_for():
    record = codec.encode_record({"state": "pending"})

    assert json.loads(codec.encode_event(record)) == {
        "args": {"state": "pending"},
        "id": "none",
        "name": "dispatcher",
        "namespace": "events",
    }
    assert json.loads(codec.encode_event(record, 0))["seq"] == 0
