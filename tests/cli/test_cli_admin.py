"""The verbs that need no daemon, and how the daemon's socket is found."""

import io
import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from dispatcher import config
from dispatcher.access.accounts import Accounts
from dispatcher.cli import connection, main


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "queues.yaml"
    file.write_text(f"state_dir: {tmp_path / 'state'}\n")
    return file


def test_check_shows_the_settings_in_force(say, settings, tmp_path):
    said = say("check", str(settings))

    assert said.status == 0
    assert f"state_dir: {tmp_path / 'state'}\n" in said.out
    assert say("check", "--config", str(settings)).out == said.out


def test_check_as_json_has_the_settings_and_the_warnings(say, settings):
    settings.write_text(settings.read_text() + "listen: [{address: 0.0.0.0, port: 1, tls: false}]\n")
    said = say("check", "--json", str(settings))

    answer = json.loads(said.out)
    assert answer["settings"]["queues"][1]["name"] == "pkg_queue"
    assert len(answer["warnings"]) == 1
    assert answer["warnings"][0] in say("check", str(settings)).err


def test_a_mistake_in_the_settings_is_one_sentence_and_2(say, settings):
    settings.write_text("queues:\n  pkg_queue: {concurency: 1}\n")
    said = say("check", str(settings))

    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"dispatcher: {settings}:2:15: ")
    assert said.err.count("\n") == 1


def test_an_account_is_made_listed_and_removed(say, settings, monkeypatch):
    def passwd(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("secret\nmore"))
        said = say("passwd", *arguments, "--config", str(settings))
        return said.status, said.out

    assert passwd("ann", "--level", "full", "--stdin") == (0, "account ann has level full\n")
    assert passwd("bob", "--level", "read", "--stdin", "--json") == (0, '{"name": "bob", "level": "read"}\n')
    assert passwd("--list") == (0, "ACCOUNT  LEVEL\nann      full\nbob      read\n")
    assert passwd("ann", "--delete") == (0, "account ann is removed\n")
    assert json.loads(passwd("--list", "--json")[1]) == [{"name": "bob", "level": "read"}]
    assert passwd("ann", "--delete")[0] == 1


def test_the_password_on_stdin_is_its_first_line(say, settings, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(" se cret \r\nmore"))
    say("passwd", "ann", "--level", "full", "--stdin", "--config", str(settings))
    accounts = Accounts(config.load(settings).accounts)
    accounts.load()

    account = accounts.find("ann")
    assert account is not None
    assert account.matches(" se cret ")


def test_accounts_that_cannot_be_written_are_one_sentence_and_2(say, settings, monkeypatch, tmp_path):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    said = say("passwd", "ann", "--level", "full", "--stdin", "--config", str(settings))

    assert said.status == 2
    assert said.err.startswith(
        f"dispatcher: {tmp_path}/state/accounts: cannot write the accounts: Permission denied;"
    )
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_two_passwords_that_differ_are_refused(say, settings, monkeypatch):
    typed = iter(["one", "two"])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(typed))
    said = say("passwd", "ann", "--level", "full", "--config", str(settings))

    assert said.status == 2
    assert "not the same" in said.err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# state_dir: /x\nqueues: {a: {}}\n",
        "state_dir: /var/tmp/d\n",
        "queues: {a: {}}\nstate_dir:   /var/tmp/d  \n# state_dir: /x\nlimits: {}\n",
        "state_dir: /var/tmp/d\n  e\n",
        "state_dir: /var/tmp/d # here\n",
        "state_dir: /var/lib/dispatcher\n",
        "state_dir: d\n",
        "state_dir: /var/tmp/d\nlisten: [{unix: /var/tmp/d.sock}]\n",
        "listen: [{unix: /var/tmp/d.sock}]\n",
        '{"st\\x61te_dir": /var/tmp/e}\n',
        None,
    ],
)
def test_the_socket_is_the_one_that_the_daemon_would_take(tmp_path, text):
    file = None
    if text is not None:
        file = tmp_path / "queues.yaml"
        file.write_text(text)
    found = connection.socket_path(Namespace(socket=None, config=file and str(file)))

    assert found == str(config.load(file).socket)


@pytest.mark.parametrize("also", ["", "state_dir: /var/tmp/d\n"])
def test_plain_settings_need_no_reading_as_a_whole(tmp_path, monkeypatch, also):
    file = tmp_path / "queues.yaml"
    file.write_text(config.sample() + also)
    expected = str(config.load(file).socket)
    monkeypatch.setattr(config, "load", None)

    assert connection.socket_path(Namespace(socket=None, config=str(file))) == expected
    assert connection.default_file() == str(config.default_file())


def test_settings_that_are_not_there_are_named(capsys):
    assert main(["--config", "/nonexistent.yaml", "list"]) == 2
    assert "/nonexistent.yaml" in capsys.readouterr().err


def test_options_in_front_of_the_verb_and_behind_it_are_the_same(tmp_path, capsys):
    for arguments in (["--socket", "/x/y", "list"], ["list", "--socket", "/x/y"]):
        assert main(arguments) == 69
        assert "at /x/y:" in capsys.readouterr().err
