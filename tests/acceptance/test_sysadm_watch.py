"""What SysAdm's clients hear besides jobs, what rpc/logs shows, and the audit: with the real daemon.

`zpool` is a stand-in that writes recorded output and fails when told to; life-preserver's log is a file
to which the test appends, as a real one does.
"""

import base64
import json
import os
import signal
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.acceptance.daemon_clients import Rpc, until
from tests.acceptance.sysadm_client import Client, call, tls_context
from tests.daemon import FULL, PROGRAM, READ, ROOT, Account

STAMP = "Sun Nov 22 10:00:02 2026"
HEALTHY = "tank\t107G\t13.1G\t93.9G\t-\t6%\t12%\t1.00x\tONLINE\t-\n"
ZPOOL = """\
[ "$1 $2 $3 $4" = "list -H -o name,size,allocated,free,expandsize,fragmentation,capacity,dedupratio,health,altroot" ] || exit 2
[ -e {folder}/zpool.fails ] && exit 1
cat {folder}/zpool.written"""


@pytest.fixture
def watched(make_daemon, tmp_path):
    """A daemon that looks often, with a stand-in for zpool; `tmp_path` has the files of the stand-ins."""
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    (tmp_path / "zpool.written").write_text(HEALTHY)
    (stand_ins / "zpool").write_text(f"#!/bin/sh\n{ZPOOL.format(folder=tmp_path)}\n")
    (stand_ins / "zpool").chmod(0o755)
    (stand_ins / "updates").write_text("#!/bin/sh\necho updatesavailable\n")
    (stand_ins / "updates").chmod(0o755)
    return make_daemon(
        {
            "environment": {"PATH": f"{stand_ins}:/usr/bin:/bin"},
            "watch": {
                "system_state": {"first": 0, "every": "1 h", "look": 1, "updates": ["updates"]},
                "life_preserver": {"log": str(tmp_path / "lpreserver.log")},
            },
        }
    )


def stock_client(daemon):
    """A connection as SysAdm's own client makes it."""
    opening = connect(
        f"wss://localhost:{daemon.tls_port}/",
        ssl=tls_context(daemon),
        origin=Origin("sysadm-client"),
        compression=None,
    )
    return Client(daemon, READ, opening)


def read_logs(client, **args):
    found = client.ask(call("logs", {"action": "read_logs", **args}))
    assert found["name"] == "response", found
    return found["args"]


def add(path, *lines):
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def test_pools_and_replications_are_heard_as_they_happen_in_the_spelling_of_each_client(watched, tmp_path):
    log, progress = tmp_path / "lpreserver.log", tmp_path / "lastrep.log"
    with stock_client(watched) as stock, Client(watched, READ) as other:
        stock.subscribe("system-state")
        other.subscribe("system_state")
        first = stock.event(), other.event()
        (tmp_path / "zpool.written").write_text(HEALTHY.replace("ONLINE", "DEGRADED"))
        ill = stock.event(), other.event()
        # A list that fails is no news; what follows it is compared with what was known before.
        (tmp_path / "zpool.fails").touch()
        until(lambda: "zpool exited with 1" in watched.stderr, "the failure is in the daemon's log")
        (tmp_path / "zpool.fails").unlink()

        for client in (stock, other):
            client.ask(call("unsubscribe", "system-state", namespace="events"))
            client.subscribe("life_preserver")
        add(log, f"{STAMP}: Starting replication MANUAL task on tank1: {progress}")
        heard = [(stock.event(), other.event())]
        add(progress, "total estimated size is 10.0M", "10:00:04   2.50M   tank1/a@auto-1")
        heard.append((stock.event(), other.event()))
        add(log, f"{STAMP}: FAILED replication task on tank1 -> remote1: LOGFILE: /var/log/lp/x.log")
        heard.append((stock.event(), other.event()))

    assert [one["name"] for one in first] == ["system-state", "system_state"]
    assert first[0]["args"] == first[1]["args"]
    assert first[0]["args"]["hostname"] == os.uname().nodename
    assert first[0]["args"]["updates"] == {"status": "updatesavailable"}
    assert first[0]["args"]["priority"] == "2 - Information"
    assert first[0]["args"]["zpools"]["tank"] == {
        "alloc": "13.1G",
        "altroot": "-",
        "capacity": "12%",
        "dedup": "1.00x",
        "expandsz": "-",
        "frag": "6%",
        "free": "93.9G",
        "health": "ONLINE",
        "priority": "0 - Information",
        "size": "107G",
    }
    assert [one["args"]["priority"] for one in ill] == ["9 - Urgent"] * 2
    assert [[one["name"] for one in pair] for pair in heard] == [["life-preserver", "life_preserver"]] * 3
    assert [[one["args"]["priority"] for one in pair] for pair in heard] == [
        ["1 - Information", "1/Information"],
        ["0 - Information", "0/Information"],
        ["7 - Critical", "7/Critical"],
    ]
    assert [pair[0]["args"]["message"] for pair in heard] == [
        f"{STAMP}: Starting replication for tank1",
        "Replicating tank1: 2.50M/10.0M (25%)",
        f"{STAMP}: Replication Failed for tank1\nLogfile available at: /var/log/lp/x.log",
    ]


def test_the_last_event_and_the_place_in_the_log_outlive_the_daemon(watched, tmp_path):
    log = tmp_path / "lpreserver.log"
    with Client(watched, READ) as client:
        client.subscribe("life-preserver")
        add(log, f"{STAMP}: creating snapshot of tank1")
        assert client.event()["args"]["message"].endswith("tank1")
    note = watched.state_dir / "life_preserver.json"
    until(lambda: b"tank1" in note.read_bytes(), "it is noted how far the log was read")
    watched.kill9()
    add(log, f"{STAMP}: creating snapshot of tank2")
    log.rename(tmp_path / "lpreserver.log.0")
    add(log, f"{STAMP}: creating snapshot of tank3")
    watched.start()
    with Client(watched, READ) as client:
        until(
            lambda: "tank3" in json.dumps(read_logs(client, logs="events-lifepreserver")),
            "the log was followed",
        )
        client.say(call("subscribe", "life-preserver", namespace="events"))
        last = client.event()
        client.answer()
        add(log, f"{STAMP}: creating snapshot of tank4")
        live = client.event()
        kept = read_logs(client, logs=["events-lifepreserver"])["events-lifepreserver"]

    assert last["args"]["message"].endswith("tank3")
    assert live["args"]["message"].endswith("tank4")
    assert [one["message"].rpartition(" ")[2] for one in kept.values()] == [
        "tank1",
        "tank2",
        "tank3",
        "tank4",
    ]


def test_read_logs_shows_jobs_logins_and_events(watched):
    with Client(watched) as client, Client(watched, READ) as reader:
        client.subscribe()
        for number in range(3):
            client.run_jobs(**{f"job{number}": "echo hello"})
            client.finished(f"job{number}")
        until(lambda: "events-state" in read_logs(reader), "the first state is told")
        found = read_logs(reader)
        last_minute = read_logs(
            reader, logs=["events-dispatcher"], time_format="relative_second", start_time="60"
        )
        before = read_logs(reader, time_format="relative_day", end_time="1")
        refused = reader.ask(call("logs", {"action": "read_logs", "time_format": "x", "start_time": "1"}))
        advertised = client.ask(call("query", ""))["args"], reader.ask(call("query", ""))["args"]

    events = found["events-dispatcher"]
    assert [one["process_id"] for one in events.values()] == ["job0", "job1", "job2"]
    assert all(one["echo hello"] == "hello\n" and one["outcome"] == "success" for one in events.values())
    assert [json.loads(one) for one in found["dispatcher"].values()] == list(events.values())
    assert sorted(events) == list(events)
    assert last_minute == {"events-dispatcher": events}
    assert before == {}
    assert refused["args"]["code"] == "400"
    assert [one["rpc/logs"] for one in advertised] == ["read/write", "read"]
    host = list(found["hostinfo"].values())
    assert f"User Login Attempt: {READ.name}   Success: true   IP: 127.0.0.1" in host
    assert "Client Launched Processes[127.0.0.1]: job0" in host


def test_an_answer_of_read_logs_is_bounded_and_the_next_ones_hold_the_rest(daemon):
    daemon.script("chatter", "head -c 65000 /dev/zero | tr '\\0' x")
    keys = [f"job{number}" for number in range(20)]
    with Client(daemon) as client:
        client.subscribe()
        client.run_jobs(**dict.fromkeys(keys, "chatter"))
        seen: set[str] = set()
        while len(seen) < len(keys):
            event = client.event()["args"]
            seen |= {event["process_id"]} if event["state"] == "finished" else set()
        pages = [read_logs(client, logs="events-dispatcher")]
        while "next" in pages[-1]:
            pages.append(read_logs(client, next=pages[-1]["next"]))
    entries = [page["events-dispatcher"] for page in pages]

    assert len(pages) == 2
    assert all(len(json.dumps(page)) < 1_100_000 for page in pages)
    assert pages[0]["truncated"] == {"events-dispatcher": len(keys)}
    assert sum(map(len, entries)) == len(entries[0] | entries[1]) == len(keys)
    assert sorted(one["process_id"] for page in entries for one in page.values()) == sorted(keys)


def public_pem():
    """A key of the kind that SysAdm's clients have."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def audit_of(daemon, *arguments):
    """What `dispatcher audit` writes, when it has all that has been asked for."""
    return subprocess.run(
        [*PROGRAM, "audit", "--config", str(daemon.config), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_each_request_that_changes_something_and_each_login_is_in_the_audit(daemon):
    with Client(daemon) as client, Client(daemon, READ) as reader:
        client.subscribe()
        jobs = {"one": "sleep 60", "two": {"commands": "x", "queue": "none"}}
        client.run_jobs(**jobs, three={"commands": [7]}, four={"timeout": 1}, five=7)
        assert reader.run_jobs(six={"timeout": 1})["code"] == "403"
        client.ask(call("dispatcher", {"action": "kill", "job_id": ["one", "nonesuch"]}))
        assert reader.run_jobs(three="true")["code"] == "403"
        reader.list_jobs()
        client.log_in(Account(FULL.name, "wrong"))
        client.answer()  # the first one told that the subscription has ended
        with Rpc(daemon) as rpc:
            rpc.call("pause", queue="pkg_queue")
            rpc.call("resume", queue="pkg_queue")
            rpc.call("reload")
        client.say(call("auth_clear", ""))
        assert client.log_in(FULL)["name"] == "response"
        client.say(call("auth_clear", ""))
        client.say(call("auth_clear", ""))  # nobody is logged in any more
        assert client.log_in(FULL)["name"] == "response"
        pem = base64.b64encode(public_pem()).decode()
        for action in ("register_ssl_cert", "list_ssl_certs", "revoke_ssl_cert"):
            client.ask(call("settings", {"action": action, "pub_key": pem, "nickname": "laptop"}))
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: daemon.stderr.count("nothing has changed") == 2, "the signal was heard")
    daemon.stop()  # what was noted is written before the end
    found = audit_of(daemon, "--json")
    text = audit_of(daemon, "--since", "1h").stdout
    entries = [json.loads(line) for line in found.stdout.splitlines()]
    told = [(one["protocol"], one["who"], one["what"], one["answer"].partition(":")[0]) for one in entries]
    root = told[9][1]

    assert told == [
        ("sysadm", FULL.name, "connect", "done"),
        ("sysadm", FULL.name, "login", "done"),
        ("sysadm", READ.name, "connect", "done"),
        ("sysadm", READ.name, "login", "done"),
        ("sysadm", FULL.name, "submit", "done"),
        ("sysadm", READ.name, "submit", "forbidden"),
        ("sysadm", FULL.name, "kill", "done"),
        ("sysadm", READ.name, "submit", "forbidden"),
        ("sysadm", FULL.name, "login", "not_authenticated"),
        ("jsonrpc", root, "pause", "done"),
        ("jsonrpc", root, "resume", "done"),
        ("jsonrpc", root, "reload", "done"),
        ("sysadm", FULL.name, "login", "done"),
        ("sysadm", FULL.name, "logout", "done"),
        ("sysadm", FULL.name, "login", "done"),
        ("sysadm", FULL.name, "register_ssl_cert", "done"),
        ("sysadm", FULL.name, "revoke_ssl_cert", "done"),
        ("", "", "reload", "done"),
    ]
    assert all(one["from"].startswith("127.0.0.1:") for one in entries[:9])
    assert all(one["from"] == f"unix uid {os.geteuid()}" for one in entries[9:12])
    assert (entries[15]["nickname"], entries[15]["pub_key"], entries[-1]["from"]) == ("laptop", pem, "SIGHUP")
    one, two, four, three = entries[4]["jobs"]
    assert (one["key"], one["commands"], one["number"], one["answer"]) == ("one", ["sleep 60"], 1, "added")
    assert (two["key"], two["answer"].partition(":")[0]) == ("two", "invalid")
    assert four == {"key": "four", "answer": four["answer"]}
    assert four["answer"].startswith("invalid: cannot run: unknown key 'timeout'")
    assert three["answer"].startswith("invalid: cannot run: each command must be")
    assert entries[5]["jobs"] == [{"key": "six", "answer": four["answer"]}]
    assert entries[6]["jobs"] == [
        {"target": "one", "number": 1, "key": "one", "answer": "stopping"},
        {"target": "nonesuch", "answer": "no such job"},
    ]
    assert entries[7]["jobs"][0]["commands"] == ["true"]
    assert "wrong" not in found.stdout.replace("wrong user name or password", "")
    assert (daemon.log_dir / "audit.log").stat().st_mode & 0o777 == 0o600
    assert len(text.splitlines()) == len(entries)
    assert f"{FULL.name}  sysadm" in text
    assert "job 1: sleep 60; two: x (invalid" in text
    assert audit_of(daemon, "--since", "2999-01-01").stdout == ""


@pytest.mark.parametrize("kind", ["absent", "directory"])
def test_an_audit_that_cannot_be_read_is_said_in_a_sentence(daemon, kind):
    daemon.stop()
    path = daemon.log_dir / "audit.log"
    if kind == "directory":
        path.mkdir()
    refused = audit_of(daemon)

    assert refused.returncode == 2
    assert refused.stderr.startswith("dispatcher: cannot read the audit")
    assert refused.stderr.count("\n") == 1
