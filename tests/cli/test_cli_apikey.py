"""The verbs of API keys: a key is shown once, and gives no more than its user has."""

import json
import stat
from pathlib import Path

import pytest

from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import ApiKeys
from dispatcher.access.roles import Level


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "queues.yaml"
    file.write_text(f"state_dir: {tmp_path / 'state'}\nauth: {{methods: [accounts]}}\n")
    return file


@pytest.fixture
def apikey(say, settings, tmp_path):
    accounts = Accounts(tmp_path / "state" / "accounts")
    accounts.set("admin", Level.FULL, "a")
    accounts.set("reader", Level.READ, "r")

    def call(*arguments: str):
        return say("apikey", *arguments, "--config", str(settings))

    return call


def test_a_key_is_made_shown_once_listed_and_removed(apikey, tmp_path):
    made = apikey("add", "backup", "--user", "admin")
    key = made.out.strip()

    assert made.status == 0
    assert made.err == "this is API key 1 (backup) of admin; it is not shown again\n"
    file = tmp_path / "state" / "api_keys.json"
    keys = ApiKeys(file)
    keys.load()
    found = keys.matching(key)
    assert found is not None
    assert (found.user, found.name, found.level, found.expires) == ("admin", "backup", Level.FULL, None)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    listed = apikey("list")
    assert [line.split()[:4] for line in listed.out.splitlines()] == [
        ["ID", "NAME", "USER", "LEVEL"],
        ["1", "backup", "admin", "full"],
    ]
    assert key not in listed.out + apikey("list", "--json").out
    assert apikey("remove", "1").out == "API key 1 (backup) of admin is removed\n"
    assert apikey("remove", "1").status == 1
    keys.load()
    assert keys.matching(key) is None


def test_as_json_everything_has_its_name(apikey):
    made = json.loads(
        apikey("add", "graphs", "--user", "admin", "--level", "read", "--days", "2", "--json").out
    )
    listed = json.loads(apikey("--json", "list").out)

    assert made.pop("key").startswith("1-")
    assert listed == [made]
    assert (made["id"], made["name"], made["user"], made["level"]) == (1, "graphs", "admin", "read")
    assert made["created"] < made["expires"]
    assert json.loads(apikey("remove", "1", "--json").out) == made


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--user", "nobody"), "dispatcher passwd nobody"),
        (("--user", "reader", "--level", "full"), "'reader' has level read"),
        (("--user", "admin", "--days", "0"), "--days 1 to 36500"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_2(arguments, sentence, apikey):
    said = apikey("add", "backup", *arguments)

    assert (said.status, said.out) == (2, "")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert apikey("list", "--json").out == "[]\n"


def test_without_a_level_a_key_has_its_users(apikey):
    assert json.loads(apikey("add", "a", "--user", "reader", "--json").out)["level"] == "read"
