"""The section `bridges`: what it may say, what is complained about, and what is shown of it."""

from pathlib import Path

import pytest

from dispatcher import config, settings_change
from dispatcher.errors import SettingsError
from dispatcher.settings import BridgeAddress, Bridges, Settings

PIN = "ab" * 32


def load(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "queues.yaml"
    file.write_text(f"state_dir: {tmp_path}\n{text}")
    return config.load(file)


def test_without_the_section_there_are_no_bridges(tmp_path):
    assert load(tmp_path, "").bridges == Bridges(require_encryption=False, key=None, to=())
    assert config.load().bridges.to == ()


def test_bridges_are_read_and_written_back_to_the_same(tmp_path):
    settings = load(
        tmp_path,
        f"""
bridges:
  require_encryption: true
  key: some.key
  to:
    - {{name: office, url: "wss://bridge.example:12149", fingerprint: {":".join(["AB"] * 32)}}}
    - {{name: lab.2, url: ws://127.0.0.1:5/path}}
""",
    )

    assert settings.bridges == Bridges(
        require_encryption=True,
        key=tmp_path / "some.key",
        to=(
            BridgeAddress("office", "wss://bridge.example:12149", PIN),
            BridgeAddress("lab.2", "ws://127.0.0.1:5/path"),
        ),
    )
    again = tmp_path / "again.yaml"
    again.write_text(config.describe(settings))
    assert config.load(again).bridges == settings.bridges


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "a mapping"),
        ("{to: {}}", "a list; each element begins"),
        ("{to: [{name: a}]}", "a bridge has a name and a url; write such as {name: office"),
        ("{to: [{url: 'wss://a'}]}", "a bridge has a name and a url"),
        ("{to: [{name: 'a b', url: 'wss://a'}]}", "'a b' cannot name a bridge"),
        ("{to: [{name: a, url: 'wss://a'}, {name: a, url: 'wss://b'}]}", "there is a bridge a already"),
        ("{to: [{name: a, url: 'https://a'}]}", "is no URL of a bridge; write one such as wss://"),
        ("{to: [{name: a, url: bridge.example}]}", "is no URL of a bridge"),
        ("{to: [{name: a, url: 'wss://'}]}", "is no URL of a bridge"),
        ("{to: [{name: a, url: 'wss://a:99999'}]}", "is no URL of a bridge"),
        ("{to: [{name: a, url: 'wss://me:secret@a'}]}", "is no URL of a bridge"),
        ("{to: [{name: a, url: 'wss://a', fingerprint: abc}]}", "'abc' is no SHA-256"),
        (f"{{to: [{{name: a, url: 'ws://a', fingerprint: {PIN}}}]}}", "without TLS there is no certificate"),
        ("{require_encryption: maybe}", "neither true nor false"),
        ("{requireencryption: true}", "did you mean"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(text, complaint, tmp_path):
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, f"bridges: {text}\n")

    assert complaint in raised.value.sentence
    assert raised.value.sentence.startswith(f"{tmp_path}/queues.yaml:2:")


def test_sessions_that_a_bridge_can_read_deserve_a_second_look(tmp_path):
    bridges = "bridges: {{require_encryption: {}, to: [{{name: a, url: 'wss://a'}}]}}\n"

    assert any(
        "act as their clients" in one for one in config.warnings(load(tmp_path, bridges.format("false")))
    )
    assert not any("bridges" in one for one in config.warnings(load(tmp_path, bridges.format("true"))))
    assert not any("bridges" in one for one in config.warnings(load(tmp_path, "")))


def test_other_bridges_take_a_restart(tmp_path):
    old = load(tmp_path, "")
    new = load(tmp_path, "bridges: {to: [{name: a, url: 'wss://a'}]}\n")

    merged, told = settings_change.merge(old, new)

    assert told == ["bridges: changed, this takes a restart"]
    assert merged.bridges == old.bridges
