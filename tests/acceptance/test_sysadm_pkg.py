"""sysadm/pkg through a real daemon, with a stand-in for pkg(8): jobs, their wrapped events, plain answers."""

import json
from typing import Any

from tests.acceptance.sysadm_client import DATA, KEY, Client, call, record, without_times
from tests.daemon import READ, Daemon

SHOW_ARGUMENTS = """printf '[%s]' "$@"; echo"""
AUDIT = """[ "$1" = audit ] || exit 3
echo "foo-1 is vulnerable"; sleep 1.3; echo "Packages that depend on foo: a, b\""""


def ask(client: Client, action: str, **args: object) -> Any:
    answer = client.ask(call("pkg", {"action": action, **args}, namespace="sysadm"))
    return answer["args"].get(action, answer["args"])


def test_the_events_of_a_class_have_exactly_these_frames(daemon):
    daemon.script("pkg", SHOW_ARGUMENTS)
    wanted = json.loads((DATA / "wrapped_install_events.json").read_text())
    with Client(daemon) as client:
        client.subscribe()
        client.run_jobs(**{KEY: wanted[0]["args"]["process_details"]["cmd_list"]})
        events = client.events_until(lambda args: args["state"] == "finished")

    details = without_times([{"args": record(event["args"])} for event in events])
    for event, detail in zip(events, details, strict=True):
        event["args"]["process_details"] = detail["args"]
    # Output that came before the next command began is told with it; the whole is what counts.
    assert "".join(event["args"].pop("pkg_log") for event in events) == "".join(
        event["args"].pop("pkg_log") for event in wanted
    )
    assert events == wanted


def test_a_package_is_installed_in_its_queue_and_told_as_a_class(daemon):
    daemon.script("pkg", SHOW_ARGUMENTS)
    with Client(daemon) as client:
        client.subscribe()
        answer = ask(client, "pkg_install", pkg_origins=["games/angband", "x11/lumina"], repo="major")
        events = client.events_until(lambda args: args["state"] == "finished")

    command = "pkg install -y --repository major games/angband x11/lumina"
    assert (answer["proc_cmd"], answer["status"]) == (command, "pending")
    assert {event["args"]["process_details"]["process_id"] for event in events} == {answer["proc_id"]}
    assert {(event["args"]["event_system"], event["args"]["action"]) for event in events} == {
        ("sysadm/pkg", "pkg_install")
    }
    output = "[install][-y][--repository][major][games/angband][x11/lumina]\n"
    assert "".join(event["args"]["pkg_log"] for event in events) == output
    assert events[-1]["args"]["process_details"][command] == output


def test_an_audit_tells_its_log_once_and_at_the_end_what_it_found(daemon):
    daemon.script("pkg", AUDIT)
    with Client(daemon) as client:
        client.subscribe()
        ask(client, "pkg_audit")
        events = client.events_until(lambda args: args["state"] == "finished")

    logs = [event["args"]["pkg_log"] for event in events]
    assert "".join(logs) == "foo-1 is vulnerable\nPackages that depend on foo: a, b\n"
    assert logs[-1] != "".join(logs)
    end = events[-1]["args"]
    assert (end["vulnerable_pkgs"], end["impacts_pkgs"]) == (["foo"], ["a", "b"])


def test_readers_get_plain_answers_and_change_nothing(daemon):
    daemon.script("pkg", """[ "$1" = query ] && printf 'www/nginx\\nx11/lumina\\n'""")
    with Client(daemon, READ) as reader:
        listed = reader.ask(call("query", ""))["args"]
        categories = ask(reader, "list_categories", repo="local")
        refused = ask(reader, "pkg_upgrade")

    assert listed["sysadm/pkg"] == "read"
    assert categories == ["www", "x11"]
    assert refused["code"] == "403"


def test_a_class_of_the_admins_own_is_in_force_after_a_reload(daemon: Daemon):
    daemon.script("greet", SHOW_ARGUMENTS)
    file = daemon.folder / "classes.yaml"
    file.write_text(
        "acme/greet:\n  advertise: true\n  actions:\n    greet:\n      queue: no_queue\n"
        "      id: 'greet-{uuid}'\n      parameters: {who: {type: list, required: true}}\n"
        "      commands: [[greet, --, '{who}']]\n"
    )
    with Client(daemon) as client:
        assert "acme/greet" not in client.ask(call("query", ""))["args"]
        daemon.configure({"classes": str(file)})
        done = daemon.cli("--config", str(daemon.config), "reload")
        assert "classes: changed, in force now" in done.stdout + done.stderr
        client.subscribe()

        answer = client.ask(call("greet", {"action": "greet", "who": ["-a b", "c"]}, namespace="acme"))
        end = client.finished(answer["args"]["greet"]["proc_id"])

        assert client.ask(call("query", ""))["args"]["acme/greet"] == "read/write"
        assert end['greet -- "-a b" c'] == "[--][-a b][c]\n"
