"""Events of a class: the wrapping, what a class adds, and classes that plug-ins add."""

import json
import logging
import time
from importlib.metadata import EntryPoint

import pytest
import trio

from dispatcher.api.sysadm.class_extras import fetch_extras, pkg_extras
from dispatcher.api.sysadm.event_classes import BUILT_IN, EventClass, EventClasses, Told, load_event_classes
from dispatcher.core.model import Outcome, State
from tests.api.fakes import House, house
from tests.api.told_jobs import finished, pending, running

INSTALL = "sysadm_pkg_install-{u}"


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def grow(built: House, log: bytes, number: int = 1) -> None:
    """Let a job write, and wait until that is told."""
    built.jobs.logs[number] = log
    built.news.grew(number, len(log))
    await trio.sleep(1.5)


async def test_a_job_of_sysadm_pkg_is_wrapped_from_its_start_to_its_end(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "pkg install -y x", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"Fetching x\n")
        built.jobs.logs[1] = b"Fetching x\nInstalling x\n"
        built.jobs.tell(finished(job, 3, 24))

        heard = [frame["args"] for frame in await client.silence()]

        about = {"event_system": "sysadm/pkg", "action": "pkg_install"}
        record = {"cmd_list": ["pkg install -y x"], "process_id": INSTALL}
        began = {"time_started": "2026-11-22T04:22:45"}
        command = "pkg install -y x"
        assert heard == [
            about | {"state": "pending", "pkg_log": "", "process_details": record | {"state": "pending"}},
            about
            | {"state": "running", "pkg_log": ""}
            | {"process_details": record | began | {"state": "running", "current_cmd": command, command: ""}},
            about
            | {"state": "running", "pkg_log": "Fetching x\n"}
            | {
                "process_details": record
                | began
                | {"state": "running", "current_cmd": command, command: "Fetching x\n"}
            },
            about
            | {"state": "finished", "pkg_log": "Installing x\n"}
            | {
                "process_details": record
                | began
                | {
                    "state": "finished",
                    "outcome": "success",
                    "time_finished": "2026-11-22T04:22:48",
                    command: "Fetching x\nInstalling x\n",
                    f"return_codes/{command}": "0",
                }
            },
        ]


@pytest.mark.parametrize(
    ("key", "system"),
    [
        ("sysadm_iohyve_fetch::{u}", "sysadm/iohyve"),
        ("sysadm_update_runupdates::{u}", "sysadm/update"),
        ("sysadm_update_checkupdates", None),
        ("sysadm_update_runupdates", None),
        ("sysadm_pkg_audit-{u}", "sysadm/pkg"),
        ("sysadm_pkg_update-{u}", "sysadm/pkg"),
        ("sysadm_sourcectl_updateports::{u}", "sysadm/sourcectl"),
        ("sysadm_iocage_create_jail_{u}", None),
        ("system_fetch_ports_tree", None),
        ("{c0ffee}", None),
        ("my_sysadm_pkg", None),
    ],
)
async def test_the_beginning_of_the_id_chooses_the_class(key, system, autojump_clock):
    async with house() as built:
        client = await built.listener()
        built.jobs.logs[1] = b"said\n"
        built.jobs.tell(finished(pending(1, "a", key=key), 2, 5))

        (frame,) = await client.silence()

        args = frame["args"]
        assert args.get("event_system") == system
        assert args.get("process_details", args)["process_id"] == key
        assert ("update_log" in args) == (system in {"sysadm/update", "sysadm/sourcectl"})
        assert args.get("update_log", "said\n") == "said\n"


# --- extras ---------------------------------------------------------------------------------


def told(key: str, text: str, state: State = State.FINISHED, command: str = "x") -> Told:
    return Told(key, state, command, text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x.iso\t10% of 100\t5 Bps\n", ("x.iso", "10% of 100", "5 Bps")),
        ("x.iso\t10% of 1\t5 Bps\nx.iso\t20% of 1\t6 kBps\r", ("x.iso", "20% of 1", "6 kBps")),
        ("a\tb\tc\td Bps", ("a", "b", "c\td Bps")),
        ("lonely Bps", ("lonely Bps", "", "")),
        ("Fetching...\n", None),
        ("", None),
    ],
)
def test_the_newest_progress_of_a_fetch_is_shown(text, found):
    keys = ("filename", "percent_done", "download_rate")
    expected = dict(zip(keys, found, strict=True)) if found else {}

    assert fetch_extras(told("sysadm_iohyve_fetch::{u}", text, State.RUNNING)) == expected
    assert fetch_extras(told("sysadm_iohyve", text, State.RUNNING, "iohyve fetch ftp://x")) == expected
    assert fetch_extras(told("sysadm_iohyve_create", text, State.RUNNING)) == {}


def test_a_check_says_at_its_end_whether_there_are_updates():
    key = "sysadm_pkg_check_upgrade-{u}"

    assert pkg_extras(told(key, "x", State.RUNNING)) == {"action": "pkg_check_upgrade"}
    assert pkg_extras(told(key, "Your packages are up to date.\n"))["updates_available"] == "false"
    assert pkg_extras(told(key, "Number of packages to be upgraded: 3\n"))["updates_available"] == "true"


def test_an_audit_names_each_package_once():
    text = "foo-1 is vulnerable\nPackages that depend on foo: a, b\nPackages that depend on bar: b, c\n"
    text += "Packages that depend on foo: a\nPackages that depend on none: \n"

    found = pkg_extras(told("sysadm_pkg_audit-{u}", text))

    assert found == {
        "action": "pkg_audit",
        "vulnerable_pkgs": ["foo", "bar", "none"],
        "impacts_pkgs": ["a", "b", "c"],
    }


async def test_an_audit_is_read_beyond_what_an_event_shows(autojump_clock):
    async with house(command_bytes=50, event_bytes=50) as built:
        client = await built.listener()
        log = b"Packages that depend on first: a\n" + b"x" * 200 + b"\n"
        built.jobs.logs[1] = log
        built.jobs.tell(finished(pending(1, "pkg audit -qr", key="sysadm_pkg_audit-{u}"), 2, len(log)))

        (frame,) = await client.silence()

        assert frame["args"]["vulnerable_pkgs"] == ["first"]
        assert len(frame["args"]["process_details"]["pkg audit -qr"]) < 110


async def test_after_a_chain_that_failed_early_the_last_command_said_nothing(autojump_clock):
    async with house() as built:
        client = await built.listener()
        built.jobs.logs[1] = b"Your packages are up to date."
        job = pending(1, "a", "b", key="sysadm_pkg_check_upgrade-{u}")
        built.jobs.tell(finished(job, 2, 29, outcome=Outcome.FAILED, code=1))

        (frame,) = await client.silence()

        assert frame["args"]["updates_available"] == "true"
        assert frame["args"]["pkg_log"] == "Your packages are up to date."


# --- plug-ins -------------------------------------------------------------------------------


def broken(_told: Told) -> dict[str, object]:
    raise RuntimeError("plug-in")


MINE = EventClass(
    "acme_", "acme/backup", "acme_log", lambda told: {"state": "forged", "size": str(len(told.text))}
)
FAULTY = EventClass("faulty_", "acme/faulty", extras=broken)
UNSENDABLE = EventClass("odd_", "acme/odd", extras=lambda _told: {"x": object()})
NOTHING = "no class"


def entry(name: str) -> EntryPoint:
    return EntryPoint(name, f"tests.api.test_sysadm_event_classes:{name}", "dispatcher.sysadm_events")


def test_plug_ins_are_added_and_a_broken_one_is_logged_and_left_out(caplog):
    caplog.set_level(logging.ERROR)

    found = load_event_classes([entry("MISSING"), entry("NOTHING"), entry("MINE")])

    added = found.find("acme_1")
    assert added is not None
    assert (added.system, added.log_key) == (MINE.system, MINE.log_key)
    assert [found.find(one.prefix) for one in BUILT_IN] == list(BUILT_IN)
    assert ["MISSING" in caplog.text, "NOTHING" in caplog.text, "MINE" in caplog.text] == [True, True, False]


async def test_a_plug_in_wraps_its_jobs_and_forges_no_fixed_key(autojump_clock, monkeypatch):
    async with house() as built:
        monkeypatch.setattr(built.feed.frames, "classes", EventClasses([MINE]))
        monkeypatch.setattr(built.feed.increments, "_classes", EventClasses([MINE]))
        client = await built.listener()
        built.jobs.logs[1] = b"four"
        built.jobs.tell(finished(pending(1, "a", key="acme_1"), 2, 4))

        (frame,) = await client.silence()

        args = frame["args"]
        assert (args["event_system"], args["state"], args["size"]) == ("acme/backup", "finished", "4")
        assert args["acme_log"] == "four"


def test_extras_that_fail_are_left_out_and_logged_once(caplog):
    classes = EventClasses([FAULTY, UNSENDABLE])

    found = [classes.fields(one, told("k", "")) for one in (FAULTY, FAULTY, UNSENDABLE)]

    assert [json.dumps(fields, sort_keys=True) for fields in found] == [
        '{"event_system": "acme/faulty", "state": "finished"}',
        '{"event_system": "acme/faulty", "state": "finished"}',
        '{"event_system": "acme/odd", "state": "finished"}',
    ]
    assert len(caplog.records) == 2
