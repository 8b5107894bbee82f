"""Command lists in YAML: what is sent, and the place of each mistake."""

import io
import sys

import pytest

from dispatcher.cli.lists import read_list
from tests.cli.fake_daemon import pending


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("- pkg update\n- [sleep, 5]\n", {"commands": ["pkg update", ["sleep", "5"]]}),
        ("- yes\n- 010", {"commands": ["yes", "010"]}),
        (
            "commands: [a]\nid: k\nqueue: q\ncwd: /tmp\nenv: {A: 1, B: no}",
            {"commands": ["a"], "id": "k", "queue": "q", "cwd": "/tmp", "env": {"A": "1", "B": "no"}},
        ),
    ],
)
def test_a_list_or_a_mapping_is_read_as_it_is_written(tmp_path, text, request_):
    file = tmp_path / "list.yaml"
    file.write_text(text)

    assert read_list(str(file)) == request_


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "1:1", "no commands stand here"),
        ("commands:\n- a\n- {b: c}", "3:3", "a mapping stands here"),
        ("- a\n-\n", "2:2", "nothing stands here"),
        ("- [a, [b]]", "1:7", "a list stands here"),
        ("comands: [a]", "1:1", "did you mean 'commands'?"),
        ("id: x", "1:1", "there are no commands"),
        ("commands: []", "1:11", "the list is empty"),
        ("commands: pkg update", "1:11", "write a list of commands"),
        ("commands: [a]\nenv: [A]", "2:6", "a list stands here"),
        ("commands: [a]\nid: {}", "2:5", "a mapping stands here"),
        ("just text", "1:1", "'just text' stands here"),
        ("- &a [*a]", "1:3", "a list stands here"),
        ("- [a", "1:5", "not valid YAML"),
    ],
)
def test_a_mistake_names_its_place(say, tmp_path, text, place, words):
    file = tmp_path / "list.yaml"
    file.write_text(text)
    said = say("run", "--file", str(file))

    assert said.status == 2
    assert said.err.startswith(f"dispatcher: {file}:{place}: ")
    assert words in said.err


def test_a_file_that_is_not_there_is_named(say):
    said = say("run", "--file", "/nonexistent/list.yaml")

    assert said.status == 2
    assert "/nonexistent/list.yaml" in said.err


def test_options_go_before_the_file_and_stdin_is_one(scripted, say, monkeypatch):
    scripted.script["dispatcher.submit"] = [{**pending(), "attached": False}]
    text = b"commands: [a]\nid: k\nqueue: q\nenv: {A: x, B: y}"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    say("run", "--file", "-", "--id", "mine", "--env", "A=z")

    assert scripted.params("dispatcher.submit") == [
        {"commands": ["a"], "id": "mine", "queue": "q", "env": {"A": "z", "B": "y"}}
    ]
