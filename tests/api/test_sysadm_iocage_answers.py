"""sysadm/iocage: plain answers from what a stand-in for iocage(8) prints, and the jobs with names of their own."""

import json

import pytest
import trio

from dispatcher.api.sysadm import iocage_output
from dispatcher.core.splitting import join
from dispatcher.errors import Forbidden, InvalidRequest, Refused
from tests.api.class_desk import READER, Desk
from tests.api.stand_in_pkg import StandIn

JAILS = """\
+-----+------+------+-------+------+-----------------+----------------+-----+----------+----------+
| JID | NAME | BOOT | STATE | TYPE |     RELEASE     |      IP4       | IP6 | TEMPLATE | BASEJAIL |
+=====+======+======+=======+======+=================+================+=====+==========+==========+
| 3   | web  | on   | up    | jail | 13.2-RELEASE-p4 | em0|192.0.2.10 | -   | -        | no       |
+-----+------+------+-------+------+-----------------+----------------+-----+----------+----------+
| -   | db   | off  | down  | jail | 13.2-RELEASE    | -              | -   | base     | no       |
+-----+------+------+-------+------+-----------------+----------------+-----+----------+----------+
"""
WEB = {
    "jid": "3",
    "name": "web",
    "uuid": "web",
    "tag": "web",
    "boot": "on",
    "state": "up",
    "type": "jail",
    "release": "13.2-RELEASE-p4",
    "ip4": "em0|192.0.2.10",
    "ip6": "-",
    "template": "-",
    "basejail": "no",
}


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    desk.pkg = StandIn(tmp_path, "iocage")
    return desk


async def ask(desk, action, *caller, **args):
    return await desk.ask(action, *caller, of="iocage", **args)


# --- what iocage prints ---------------------------------------------------------------------


async def test_jails_are_told_with_all_the_keys_that_clients_know(desk):
    desk.pkg.answers("list --long", f"Setting up zfs datasets\n{JAILS}")

    found = await ask(desk, "listjails", READER)

    assert list(found["jails"]) == ["web", "db"]
    assert found["jails"]["web"] == WEB
    assert found["jails"]["db"]["template"] == "base"


def test_an_older_iocage_has_uuids_and_tags_and_lacks_columns():
    table = "+-----+------+-----+\n| JID | UUID | TAG |\n+=====+======+=====+\n| 1   | 44-a | web |\n+-----+------+-----+\n"

    assert iocage_output.read_jails(table)["44-a"] == {
        "jid": "1",
        "uuid": "44-a",
        "tag": "web",
    } | dict.fromkeys(("boot", "state", "type", "release", "ip4", "ip6", "template"), "-")


def test_cells_of_several_lines_and_wide_characters_are_read():
    table = "+------+----+\n| NAME | B  |\n+======+====+\n| a    | x  |\n| b    | y  |\n+------+----+\n| 日本 | z  |\n+------+----+\n"

    assert iocage_output.read_table(table) == [{"name": "a b", "b": "x y"}, {"name": "日本", "b": "z"}]


@pytest.mark.parametrize(
    "text", ["", "\n", "+---+\n| A |\n+===+\n", "+--+--+\n|a |b |\n+--+--+\n|b|c|d|\n+-+\n"]
)
def test_a_table_without_whole_rows_has_no_row(text):
    assert iocage_output.read_table(text) in ([], [{"a": "b|c|d", "b": ""}])


@pytest.mark.parametrize("text", ["|\n", "+---+\n", "+-\n| a |\n", "JID  UUID\n1    a\n"])
def test_text_without_a_table_is_refused(text):
    with pytest.raises(Refused, match="there is no table"):
        iocage_output.read_table(text)


async def test_templates_are_their_own_template(desk):
    desk.pkg.answers("list --template --long", JAILS)

    found = await ask(desk, "listtemplates")

    assert found["templates"]["web"] == WEB | {"template": "web"}


async def test_releases_are_told_as_lists_and_without_a_network_only_those_that_are_here(desk):
    desk.pkg.answers(
        "list --release",
        "+---------------+\n| Bases fetched |\n+===============+\n| 13.2-RELEASE  |\n+---------------+\n",
    )
    alone = await ask(desk, "listreleases")
    desk.pkg.answers(
        "list --release --remote", "[0] 9.3-RELEASE (EOL)\n[1] 13.2-RELEASE\n14.0-RELEASE\nPress enter\n"
    )
    both = await ask(desk, "listreleases")
    desk.pkg.answers("list --release --remote", "", err="no network\n", code=1)
    without = await ask(desk, "listreleases")

    assert both == {
        "local": ["13.2-RELEASE"],
        "remote": ["9.3-RELEASE (EOL)", "13.2-RELEASE", "14.0-RELEASE"],
    }
    assert without == {"local": ["13.2-RELEASE"]}
    assert alone["local"] == ["13.2-RELEASE"]


async def test_plugins_are_told_by_the_name_to_fetch_them_with(desk):
    table = "+--------+----------------+--------+------+\n|  NAME  |  DESCRIPTION   |  PKG   | ICON |\n"
    table += "+========+================+========+======+\n| GitLab | Powerful | all | gitlab | x    |\n"
    table += "+--------+----------------+--------+------+\n"
    desk.pkg.answers("list --plugins --long", JAILS)
    desk.pkg.answers("list --plugins --remote --long", table)

    found = await ask(desk, "listplugins")

    assert found["local"]["web_3"] == WEB
    assert found["remote"] == {"gitlab": {"id": "gitlab", "name": "GitLab", "description": "Powerful | all"}}


async def test_room_is_told_by_jail(desk):
    table = "+------+-------+------+------+-------+-------+\n| NAME |  CRT  | RES  | QTA  |  USE  |  AVA  |\n"
    table += (
        "+======+=======+======+======+=======+=======+\n| web  | 2.30x | none | none | 1.69M | 83.4G |\n"
    )
    table += "+------+-------+------+------+-------+-------+\n"
    desk.pkg.answers("df --long", table)

    assert await ask(desk, "df", READER) == {
        "web": {
            "ava": "83.4G",
            "crt": "2.30x",
            "qta": "none",
            "res": "none",
            "tag": "web",
            "use": "1.69M",
            "uuid": "web",
        }
    }


async def test_the_pool_is_told_if_one_is_activated(desk):
    desk.pkg.answers("get -p", "", err="No pool\n", code=1)
    none = await ask(desk, "activatestatus")
    desk.pkg.answers("get -p", "tank\n")

    assert none == {"activated": "false"}
    assert await ask(desk, "activatestatus") == {"activated": "true", "pool": "tank"}


async def test_settings_are_told_one_all_or_of_all_jails(desk):
    desk.pkg.answers("get all default", "vnet:off\ninterfaces:vnet0:bridge0\n")
    desk.pkg.answers("get all web", "vnet:on\n")
    desk.pkg.answers("get vnet web", "on\n")
    table = "+------+-------------+\n| NAME | PROP - vnet |\n+======+=============+\n| web  | on          |\n+------+-------------+\n"
    desk.pkg.answers("get --recursive vnet", table)

    assert await ask(desk, "getdefaultsettings") == {
        "defaults": {"vnet": "off", "interfaces": "vnet0:bridge0"}
    }
    assert await ask(desk, "getjailsettings", jail="web") == {"web": {"vnet": "on"}}
    assert await ask(desk, "getjailsettings", jail="web", prop="all") == {"web": {"vnet": "on"}}
    assert await ask(desk, "getjailsettings", jail="web", prop="vnet") == {"web": {"vnet": "on"}}
    assert await ask(desk, "getjailsettings", prop="vnet", switches="-r") == {
        "web": {"TAG": "web", "vnet": "on"}
    }


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({}, "cannot tell which jail"),
        ({"prop": "vnet"}, "cannot tell which jail"),
        ({"switches": "-r"}, "cannot tell which property"),
        ({"switches": "-r", "prop": "all"}, "cannot tell which property"),
        ({"switches": "-x"}, "'-x' is not known"),
        ({"jail": "--help"}, "'--help' cannot stand here"),
    ],
)
async def test_settings_of_nothing_are_a_mistake(desk, args, sentence):
    with pytest.raises(InvalidRequest) as caught:
        await ask(desk, "getjailsettings", **args)

    assert sentence in caught.value.sentence
    assert desk.pkg.calls == []


async def test_what_iocage_complains_of_is_the_reason(desk):
    desk.pkg.answers("list", "", err="warning\nPool is full\n", code=1)

    with pytest.raises(Refused, match="iocage said: Pool is full"):
        await ask(desk, "listjails")


# --- answers that change something ----------------------------------------------------------


async def test_a_command_is_run_in_a_jail_word_by_word_and_never_by_a_shell(desk):
    desk.pkg.answers("exec", "hi: there: you\n\nhi  again\n")

    found = await ask(desk, "execjail", jail="web", user="root", command='echo "a b" -n ; reboot')
    await ask(desk, "execjail", jail="web", user="root", command=["uptime; reboot"])

    assert found == {
        "success": {"hi": " there: you", "hi again": ""},
        "output": "hi: there: you\n\nhi  again\n",
    }
    head = ["exec", "-U", "root", "web", "--", "/usr/bin/env", "--"]
    assert desk.pkg.calls == [[*head, "echo", "a b", "-n", ";", "reboot"], [*head, "uptime; reboot"]]


async def test_a_command_that_failed_in_a_jail_is_an_error_with_what_it_wrote(desk):
    desk.pkg.answers("exec", "half\n", err="Command: x failed!\n", code=1)

    found = await ask(desk, "execjail", jail="web", user="root", command="x")

    assert found == {"error": "half\nCommand: x failed!"}


async def test_limits_are_applied_again(desk):
    desk.pkg.answers("cap web", "")
    done = await ask(desk, "capjail", jail="web")
    desk.pkg.answers("cap web", "", err="no such command: cap\n", code=2)

    assert done == {"success": "jail web capped."}
    with pytest.raises(Refused, match="no such command"):
        await ask(desk, "capjail", jail="web")


async def test_what_changes_something_takes_full_access_and_is_in_the_audit(desk, tmp_path):
    desk.pkg.answers("exec", "", err="no\n", code=1)
    desk.pkg.answers("cap", "", err="down\n", code=1)
    with pytest.raises(Forbidden):
        await ask(desk, "execjail", READER, jail="web", user="root", command="x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.audit.run)
        await ask(desk, "execjail", jail="web", user="root", command='sh -c "a b"')
        with pytest.raises(Refused):
            await ask(desk, "capjail", jail="web")
        await ask(desk, "activatestatus")
        nursery.cancel_scope.cancel()

    entries = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(one["what"], one["commands"], one["answer"]) for one in entries] == [
        ("execjail", ['iocage exec -U root web -- /usr/bin/env -- sh -c "a b"'], "done"),
        ("capjail", ["iocage cap web"], "refused: cannot answer: iocage said: down"),
    ]


# --- jobs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "args", "key", "command"),
    [
        (
            "clonejail",
            {"jail": "web", "props": 'tag=new notes="a b"'},
            "clone_jail_{",
            'iocage clone web tag=new "notes=a b"',
        ),
        ("clone", {"jail": "web", "name": "w2"}, "clone_jail_{", "iocage clone web -n w2"),
        (
            "createplugin",
            {"plugin": "gitlab", "net_device": "re0", "ip4": "10.20.0.130"},
            "fetch_plugin_gitlab",
            "iocage fetch --verify -P gitlab ip4_addr=re0|10.20.0.130",
        ),
        (
            "createjail",
            {"release": "13.2-RELEASE", "properties": "boot=on vnet=on"},
            "create_jail_{",
            "iocage create -r 13.2-RELEASE boot=on vnet=on",
        ),
    ],
)
async def test_a_job_is_told_by_its_id_also_under_the_name_that_clients_look_for(
    desk, action, args, key, command
):
    answer = await ask(desk, action, **args)

    (request,) = desk.jobs.submitted
    assert join_all(request) == [command]
    assert request.key.startswith(f"sysadm_iocage_{key}")
    told = answer.get("new_dispatcher_id") or answer["started_dispatcher_id"]
    assert (answer["proc_id"], told, answer["status"]) == (request.key, request.key, "pending")


@pytest.mark.parametrize(
    ("action", "args", "expected"),
    [
        (
            "fetchreleases",
            {"releases": ["10.3-RELEASE (EOL)", "13.2-RELEASE", "10.3-RELEASE"]},
            {
                "sysadm_iocage_fetch_release_10.3-RELEASE": "iocage fetch --verify -r 10.3-RELEASE",
                "sysadm_iocage_fetch_release_13.2-RELEASE": "iocage fetch --verify -r 13.2-RELEASE",
            },
        ),
        (
            "fetchplugins",
            {"plugins": "gitlab"},
            {"sysadm_iocage_fetch_plugin_gitlab": "iocage fetch --verify -P gitlab"},
        ),
    ],
)
async def test_each_download_is_a_job_of_its_own_that_holds_up_no_jail(desk, action, args, expected):
    answer = await ask(desk, action, **args)

    assert answer == {"started_dispatcher_id": list(expected)}
    assert {request.key: join_all(request)[0] for request in desk.jobs.submitted} == expected
    assert {request.queue for request in desk.jobs.submitted} == {"no_queue"}


async def test_a_download_that_runs_already_is_told_beside_those_that_begin(desk, monkeypatch):
    submit = desk.jobs.submit

    async def refuse_first(caller, requests):
        return [Refused("key in use"), *(await submit(caller, requests[1:]))]

    monkeypatch.setattr(desk.jobs, "submit", refuse_first)

    assert await ask(desk, "fetchplugins", plugins=["a", "b"]) == {
        "started_dispatcher_id": ["sysadm_iocage_fetch_plugin_b"],
        "rejected": {"sysadm_iocage_fetch_plugin_a": "key in use"},
    }


@pytest.mark.parametrize(
    ("action", "args"),
    [
        ("fetchreleases", {}),
        ("fetchreleases", {"releases": "13.2; reboot"}),
        ("fetchreleases", {"releases": ["13.2-RELEASE", "-x"]}),
        ("fetchplugins", {"plugins": "../x"}),
        ("createplugin", {"plugin": "a", "net_device": "re0", "ip4": "x|y"}),
        ("clonejail", {"jail": "web", "props": "no property"}),
        ("execjail", {"jail": "web", "user": "-u", "command": "x"}),
        ("execjail", {"jail": "web", "user": "root", "command": ""}),
        ("execjail", {"jail": "web", "user": "root", "command": ["a", 3]}),
    ],
)
async def test_a_value_that_cannot_stand_there_is_a_mistake(desk, action, args):
    with pytest.raises(InvalidRequest):
        await ask(desk, action, **args)

    assert desk.pkg.calls == []
    assert desk.jobs.submitted == []


def join_all(request):
    """The texts of a request's commands."""
    return [join(argv) for argv in request.commands]
