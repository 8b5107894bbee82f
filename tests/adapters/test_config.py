"""Settings: what a file says, what it leaves out, and one sentence for each mistake."""

import os
import pwd
import sys
from pathlib import Path

import msgspec
import pytest

from dispatcher import config
from dispatcher.config import load, sample, warnings
from dispatcher.core.model import Leftovers, OnDuplicate, Queue
from dispatcher.errors import SettingsError
from dispatcher.setting_keys import TABLES, TOP, Kind
from dispatcher.settings import (
    DEFAULT_PATH,
    DEFAULT_QUEUES,
    AuditFiles,
    Bridge,
    LifePreserverWatch,
    Limits,
    Listener,
    Routes,
    Settings,
    Sysadm,
    SystemStateWatch,
    Tls,
    Watch,
)

DATA = Path(__file__).parent.parent / "data" / "settings"
GOLDEN = dict(line.split(": ", 1) for line in (DATA / "sentences.txt").read_text().splitlines())


@pytest.fixture(autouse=True)
def _as_root_of_a_bare_system(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(config, "default_file", lambda: tmp_path / "none.yaml")


def load_text(tmp_path: Path, text: str | bytes) -> Settings:
    file = tmp_path / "queues.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(file)


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.yaml")))
def test_each_mistake_gets_its_one_sentence(name):
    with pytest.raises(SettingsError) as caught:
        load(DATA / f"{name}.yaml")

    assert caught.value.sentence.replace(str(DATA), "") == f"/{name}.yaml:{GOLDEN[name]}"
    assert "\n" not in caught.value.sentence


def test_no_sentence_is_left_over():
    assert sorted(GOLDEN) == sorted(path.stem for path in DATA.glob("*.yaml"))


def test_nothing_written_is_the_sample_and_the_built_in_settings(tmp_path):
    bare = load_text(tmp_path, "")
    built_in = load()

    assert built_in.source is None
    assert bare.source == tmp_path / "queues.yaml"
    for file in ("good/nothing.yaml", "good/empty_sections.yaml"):
        assert msgspec.structs.replace(load(DATA / file), source=None) == built_in
    assert msgspec.structs.replace(bare, source=None) == built_in
    assert msgspec.structs.replace(load_text(tmp_path, sample()), source=None) == built_in
    assert built_in.queues == DEFAULT_QUEUES
    assert built_in.routes == Routes()
    assert built_in.limits == Limits()
    assert built_in.tls is None
    assert warnings(built_in) == []


def test_the_sample_names_every_key():
    words = set(sample().replace("{", " ").replace(":", " ").replace("#", " ").split())

    assert {key.name for table in TABLES.values() for key in table} - {"unix"} <= words
    assert "- unix: PATH" in sample()


def test_the_built_in_listeners_and_environment(monkeypatch):
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: type("Entry", (), {"pw_dir": "/home/d"}))
    monkeypatch.setattr(sys, "platform", "linux")
    built_in = load()

    assert built_in.listen == (
        Listener(path=Path("/run/dispatcher/dispatcher.sock")),
        Listener(address="*", port=12150),
        Listener(address="*", port=12151),
        Listener(address="127.0.0.1", port=12180, tls=False),
        Listener(address="::1", port=12180, tls=False),
    )
    assert dict(built_in.environment) == {
        "PATH": DEFAULT_PATH,
        "HOME": "/home/d",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }


@pytest.mark.parametrize(
    ("platform", "uid", "given_dir", "expected"),
    [
        (
            "freebsd14",
            0,
            None,
            ("/var/db/dispatcher", "/var/log/dispatcher", "/var/run/dispatcher/dispatcher.sock"),
        ),
        ("linux", 0, None, ("/var/lib/dispatcher", "/var/log/dispatcher", "/run/dispatcher/dispatcher.sock")),
        (
            "linux",
            5,
            None,
            ("/var/lib/dispatcher", "/var/lib/dispatcher/log", "/var/lib/dispatcher/dispatcher.sock"),
        ),
        ("linux", 0, "/own", ("/own", "/own/log", "/own/dispatcher.sock")),
    ],
)
def test_places_follow_the_system_and_the_state_directory(monkeypatch, platform, uid, given_dir, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    found = load(None, {"state_dir": given_dir} if given_dir else {})

    assert (str(found.state_dir), str(found.log_dir), str(found.socket)) == expected
    assert found.accounts == found.state_dir / "accounts"
    assert found.bridge == Bridge(state_dir=found.state_dir / "bridge")


def test_the_default_file_is_where_the_system_keeps_settings(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert str(config.default_file()) == "/usr/local/etc/dispatcher/queues.yaml"
    monkeypatch.setattr(sys, "platform", "linux")
    assert str(config.default_file()) == "/etc/dispatcher/queues.yaml"


def test_the_system_s_file_is_read_when_none_is_named(tmp_path):
    (tmp_path / "none.yaml").write_text("limits: {connections: 9}")

    assert load().limits.connections == 9


def test_a_file_may_say_everything():
    found = load(DATA / "good/everything.yaml")

    assert found.queues == (
        DEFAULT_QUEUES[0],
        Queue("pkg_queue", concurrency=1, grace=90.0),
        Queue("iocage_queue", concurrency=1, grace=120.0, max_pending=9),
        Queue("no", 10, 90.0, OnDuplicate.ATTACH, 5, Leftovers.STOP),
    )
    assert isinstance(found.queues[3].on_duplicate, OnDuplicate)
    assert dict(found.routes.programs) == {
        "pkg": "no_queue",
        "pkg-static": "pkg_queue",
        "iocage": "iocage_queue",
        "make": "no",
    }
    assert found.routes.look_through == ("env", "timeout")
    assert found.listen == (
        Listener(address="2001:db8::1", port=0),
        Listener(address="0.0.0.0", port=80),
        Listener(address="::1", port=80),
        Listener(address="*", port=0, tls=False, allow_plain_login=True),
        Listener(path=DATA / "good/run/d.sock"),
    )
    assert found.socket == DATA / "good/run/d.sock"
    assert dict(found.environment).items() >= {
        ("PATH", DEFAULT_PATH),
        ("DEBUG", "1"),
        ("LANG", "de_DE.UTF-8"),
        ("EMPTY", ""),
        ("YES", "yes"),
        ("WHEN", "2001-01-01"),
    }
    assert found.state_dir == DATA / "good/state"
    assert found.log_dir == Path("/logs")
    assert found.accounts == DATA / "good/../people"
    assert found.tls == Tls(DATA / "good/cert.pem", Path("/keys/key.pem"))
    assert found.limits == Limits(
        message_bytes=2**20, send_timeout=0.5, log_cap_bytes=2**29, keep_days=0.5, connections=7
    )
    assert found.sysadm == Sysadm("both")
    assert found.watch == Watch(
        SystemStateWatch(False, 0.0, 300.0, 5.0, ("/bin/updates", "-s")),
        LifePreserverWatch(False, DATA / "good/lp.log"),
    )
    assert found.audit == AuditFiles(2**20, 0)
    assert found.bridge == Bridge(
        (Listener(address="::1", port=12149), Listener(address="*", port=5, tls=False)), DATA / "good/relay"
    )


def test_given_places_win_and_start_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load(DATA / "good/everything.yaml", {"state_dir": "var", "accounts": Path("/a")})

    assert (found.state_dir, found.log_dir, found.accounts) == (tmp_path / "var", Path("/logs"), Path("/a"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"state_dir": ""}, "cannot set state_dir to '': give one of state_dir, log_dir, accounts a path"),
        ({"port": "1"}, "cannot set port to '1': give one of state_dir, log_dir, accounts a path"),
        (
            {"state_dir": "/" + "a" * 99},
            f"state_dir /{'a' * 99} is too long for the Unix sockets in it; use at most 87 bytes, directories included",
        ),
    ],
)
def test_wrong_given_places_are_refused(overrides, sentence):
    with pytest.raises(SettingsError) as caught:
        load(None, overrides)

    assert caught.value.sentence == sentence


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    def sentence(path: Path) -> str:
        with pytest.raises(SettingsError) as caught:
            load(path)
        return caught.value.sentence

    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (1024 * 1024 + 1))

    assert sentence(tmp_path / "no") == f"cannot read {tmp_path}/no: there is no such file; check the name"
    assert sentence(tmp_path) == (
        f"cannot read {tmp_path}: it is a directory; name the file in it, such as {tmp_path}/queues.yaml"
    )
    assert sentence(large) == f"cannot read {large}: it is larger than 1 MiB; name a settings file"
    assert (
        sentence(large / "x") == f"cannot read {large}/x: Not a directory; check the name and its permissions"
    )
    assert "null byte" in sentence(Path("a\0b"))


def test_a_relative_name_stays_relative_in_the_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("q.yaml").write_text("state_dir: s\nbad: 1\n")
    with pytest.raises(SettingsError, match=r"^q\.yaml:2:1: /bad: there is no such key"):
        load(Path("q.yaml"))
    Path("q.yaml").write_text("state_dir: s\n")

    assert load(Path("q.yaml")).state_dir == tmp_path / "s"


def test_warnings_name_what_may_not_be_meant(tmp_path):
    found = load_text(
        tmp_path,
        "listen:\n- {port: 1, tls: false}\n- {address: 10.0.0.1, port: 2, tls: false, allow_plain_login: true}\n"
        "- {address: 127.0.0.9, port: 3, tls: false, allow_plain_login: true}\n"
        "- {port: 4, allow_plain_login: true}\n"
        "queues: {pkg_queue: {concurrency: 2}, x: {concurrency: 2}}\n"
        "environment: {PATH: '/bin:bin:'}\n"
        "bridge: {listen: [{address: 10.0.0.2, tls: false}, {address: '::1', tls: false}]}\n",
    )

    assert [sentence.split(";")[0] for sentence in warnings(found)] == [
        "listen: * port 1 is open to other machines without tls, so anybody on the way can read and change what is sent",
        "listen: 10.0.0.1 port 2 takes passwords without tls, so anybody on the way can read them",
        "listen: allow_plain_login does nothing at * port 4, which has tls",
        "bridge: listen: 10.0.0.2 port 12149 is open to other machines without tls, so anybody on the way can read and change what is sent",
        "queues: pkg_queue runs 2 jobs at once, and they work on the same database",
        "environment: PATH holds 'bin', which is looked up in the job's own directory",
        "environment: PATH holds '', which is looked up in the job's own directory",
    ]


def test_every_key_of_the_table_has_a_meaning_and_a_default_within_its_range():
    for table in TABLES.values():
        for key in table:
            assert key.meaning
            if isinstance(key.default, int | float) and key.kind is not Kind.FLAG:
                assert key.low <= key.default <= key.high, key.name
    fields = {field for field in Settings.__struct_fields__ if field != "source"}
    assert {key.name for key in TOP} == fields
    assert {key.name for key in TABLES["/limits"]} == set(Limits.__struct_fields__)
    assert {key.name for key in TABLES["/queues/NAME"]} == set(Queue.__struct_fields__) - {"name"}
