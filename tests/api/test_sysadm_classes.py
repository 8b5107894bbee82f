"""Calls of classes: jobs from templates, plain answers of pkg(8), who may, and what is said to a mistake."""

import re

import pytest

from dispatcher.access.roles import Caller, Level
from dispatcher.api.service import JobRequest
from dispatcher.api.sysadm.codec import Call
from dispatcher.classes.reading import read_class_file
from dispatcher.core.splitting import join
from dispatcher.errors import Forbidden, InvalidRequest, NotFound, Refused
from tests.api.class_desk import FULL, READER, Desk
from tests.api.fakes import call, house
from tests.api.stand_in_pkg import StandIn

UUID = "{[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}}"


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


# --- jobs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "args", "command"),
    [
        ("pkg_install", {"pkg_origins": "games/angband"}, "pkg install -y games/angband"),
        (
            "pkg_install",
            {"pkg_origins": ["a/b", "", "c"], "repo": "pcbsd-major"},
            "pkg install -y --repository pcbsd-major a/b c",
        ),
        ("pkg_install", {"pkg_origins": "a/b", "repo": "local"}, "pkg install -y a/b"),
        ("pkg_remove", {"pkg_origins": "a/b"}, "pkg delete -y -R a/b"),
        ("pkg_remove", {"pkg_origins": "a/b", "recursive": "false"}, "pkg delete -y a/b"),
        ("pkg_remove", {"pkg_origins": "a/b", "recursive": True}, "pkg delete -y -R a/b"),
        ("pkg_lock", {"pkg_origins": ["misc/pcbsd-base"]}, "pkg lock -y misc/pcbsd-base"),
        ("pkg_unlock", {"pkg_origins": "misc/pcbsd-base"}, "pkg unlock -y misc/pcbsd-base"),
        ("pkg_update", {}, "pkg update"),
        ("pkg_update", {"force": "true"}, "pkg update -f"),
        ("pkg_check_upgrade", {}, "pkg upgrade -n"),
        ("pkg_upgrade", {"unknown": 1}, "pkg upgrade -y"),
        ("pkg_audit", {}, "pkg audit -qr"),
        ("pkg_autoremove", {}, "pkg autoremove -y"),
    ],
)
async def test_an_action_of_sysadm_pkg_queues_its_command(desk, action, args, command):
    answer = await desk.ask(action, **args)

    (request,) = desk.jobs.submitted
    assert [join(argv) for argv in request.commands] == [command]
    assert request.queue == "pkg_queue"
    assert answer == {"proc_cmd": command, "proc_id": request.key, "status": "pending"}


@pytest.mark.parametrize(
    ("action", "args", "expected"),
    [
        ("createjail", {"release": "13.2-RELEASE"}, ("create_jail", "iocage create -r 13.2-RELEASE")),
        (
            "create",
            {"template": "web", "name": "w1", "properties": ["boot=on", "notes=a b; rm"]},
            ("create_jail", 'iocage create -t web -n w1 boot=on "notes=a b; rm"'),
        ),
        ("destroy", {"jail_uuid": "w1"}, ("destroy_jail", "iocage destroy -f w1")),
        ("startjail", {"jail_uuid": "w1"}, ("start_jail", "iocage start w1")),
        ("STOP", {"jail_uuid": "w1"}, ("stop_jail", "iocage stop w1")),
    ],
)
async def test_jails_have_ids_of_their_own_and_the_queue_of_iocage(desk, tmp_path, action, args, expected):
    StandIn(tmp_path, "iocage")

    answer = await desk.ask(action, of="iocage", **args)

    (request,) = desk.jobs.submitted
    begin, command = expected
    assert [join(argv) for argv in request.commands] == [command]
    assert answer["proc_id"] == request.key
    assert request.key.startswith(f"sysadm_iocage_{begin}_" + "{")
    assert request.queue == "iocage_queue"


async def test_every_job_has_an_id_of_the_form_that_events_are_known_by(desk):
    for _ in range(2):
        await desk.ask("pkg_check_upgrade")

    keys = [request.key for request in desk.jobs.submitted]
    assert len(set(keys)) == 2
    assert all(re.fullmatch(f"sysadm_pkg_check_upgrade-\\{UUID}", key) for key in keys), keys


async def test_a_value_stays_one_argument_and_meets_no_shell(desk, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "acme/say:\n  actions:\n    say:\n      queue: no_queue\n      id: 'say-{uuid}'\n"
        "      parameters: {what: {type: string, required: true}}\n"
        "      commands: [[pkg, 'to={what}', --, '{what}']]\n"
    )
    desk.settings = desk.settings_with(read_class_file(file))

    await desk.calls.answer(Call("acme", "say", "x", {"action": "say", "what": "-a $(b); 'c'\"d"}), FULL)

    value = "-a $(b); 'c'\"d"
    assert desk.jobs.submitted[0].commands == (("pkg", f"to={value}", "--", value),)


async def test_a_job_that_cannot_be_queued_is_said(desk, monkeypatch):
    async def refuse(caller: Caller, requests: list[JobRequest]) -> list[Refused]:
        return [Refused("500 jobs are waiting")]

    monkeypatch.setattr(desk.jobs, "submit", refuse)

    with pytest.raises(Refused, match="500 jobs"):
        await desk.ask("pkg_upgrade")


# --- mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({}, "`action` is missing"),
        ({"action": 7}, "`action` is missing"),
        ({"action": "pkg_fly"}, "there is no action 'pkg_fly'; sysadm/pkg has: pkg_install, pkg_remove"),
        ({"action": "pkg_install"}, "`pkg_origins`: it is missing; give a string or an array of strings"),
        ({"action": "pkg_install", "pkg_origins": []}, "`pkg_origins`: it is missing"),
        ({"action": "pkg_install", "pkg_origins": 3}, "`pkg_origins`: 3 stands there"),
        ({"action": "pkg_install", "pkg_origins": ["a", 3]}, "`pkg_origins`: 3 is no string"),
        ({"action": "pkg_install", "pkg_origins": "-f"}, "'-f' cannot stand here"),
        ({"action": "pkg_install", "pkg_origins": "a b"}, "'a b' cannot stand here"),
        ({"action": "pkg_install", "pkg_origins": "a\nb"}, "holds a control character"),
        ({"action": "pkg_install", "pkg_origins": "a", "repo": "../x"}, "`repo`: '../x' cannot stand here"),
        ({"action": "pkg_install", "pkg_origins": ["a"] * 1001}, "1001 values are too many"),
        ({"action": "pkg_update", "force": "maybe"}, "`force`: 'maybe' is neither true nor false"),
        ({"action": "pkg_info", "result": "half"}, "`result`: 'half' is not known; give one of simple, full"),
        ({"action": "pkg_search"}, "`search_term`: it is missing"),
    ],
)
async def test_a_mistake_is_answered_with_400_and_a_sentence(desk, args, sentence):
    with pytest.raises(InvalidRequest) as caught:
        await desk.calls.answer(Call("sysadm", "pkg", "x", args), FULL)

    assert sentence in caught.value.sentence
    assert desk.jobs.submitted == []
    assert desk.pkg.calls == []


async def test_a_value_that_would_be_an_option_is_refused_even_without_a_pattern(desk, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "acme/say:\n  actions:\n    say:\n      queue: no_queue\n      id: 'say-{uuid}'\n"
        "      parameters: {what: {type: list}}\n      commands: [[pkg, '{what}']]\n"
    )
    desk.settings = desk.settings_with(read_class_file(file))

    with pytest.raises(InvalidRequest, match="it would be taken for an option"):
        await desk.calls.answer(Call("acme", "say", "x", {"action": "say", "what": ["a", "--all"]}), FULL)


async def test_a_reader_may_ask_but_change_nothing(desk):
    desk.pkg.answers("query", "www/nginx\n")

    assert await desk.ask("list_categories", READER) == ["www"]
    with pytest.raises(Forbidden):
        await desk.ask("pkg_upgrade", READER)
    with pytest.raises(Forbidden):  # and is not told what would be wrong with it
        await desk.ask("pkg_install", READER)


async def test_a_class_whose_program_is_missing_is_not_there(desk):
    desk.pkg.path.unlink()

    assert desk.calls.advertised(FULL) == {}
    with pytest.raises(NotFound, match="no program pkg in the PATH"):
        await desk.ask("pkg_upgrade")


async def test_only_a_class_that_is_whole_is_advertised(desk, tmp_path):
    StandIn(tmp_path, "iocage")

    assert desk.calls.advertised(FULL) == {"sysadm/pkg": "read/write"}
    assert desk.calls.advertised(READER) == {"sysadm/pkg": "read"}
    assert desk.calls.knows("sysadm/iocage")


async def test_an_admins_file_replaces_adds_and_takes_away(desk, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "sysadm/iocage:\nsysadm/pkg:\n  advertise: true\n  actions:\n    pkg_upgrade:\n      queue: slow\n"
        "      id: 'mine-{uuid}'\n      commands: [[pkg, upgrade, --yes]]\n"
    )
    desk.settings = desk.settings_with(read_class_file(file))

    await desk.ask("pkg_upgrade")

    assert not desk.calls.knows("sysadm/iocage")
    assert desk.jobs.submitted[0].commands == (("pkg", "upgrade", "--yes"),)
    with pytest.raises(InvalidRequest, match="there is no action 'pkg_install'"):
        await desk.ask("pkg_install", pkg_origins="a")


# --- on the wire ----------------------------------------------------------------------------


async def test_over_a_socket_classes_are_listed_called_and_refused(desk, tmp_path):
    async with house() as built:
        object.__setattr__(built.parts, "classes", desk.calls)
        admin, reader = await built.client(), await built.client(Level.READ)

        listed = await reader.ask(call("query", ""))
        queued = await admin.ask(call("PKG", {"action": "pkg_upgrade"}, namespace="sysadm"))
        refused = await reader.ask(call("pkg", {"action": "pkg_upgrade"}, namespace="sysadm"))
        wrong = await admin.ask(call("pkg", {"action": "pkg_install"}, namespace="sysadm"))

        assert listed["args"]["sysadm/pkg"] == "read"
        assert queued["args"]["pkg_upgrade"]["status"] == "pending"
        assert refused["args"]["code"] == "403"
        assert (wrong["args"]["code"], wrong["args"]["message"]) == ("400", "Bad Request")
        assert "`pkg_origins`: it is missing" in wrong["args"]["reason"]
