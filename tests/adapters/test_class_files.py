"""Files with classes: what they may say, and that each mistake is named with its place and remedy."""

from pathlib import Path

import pytest

from dispatcher.classes.declaration import (
    ANSWERS,
    AnswerAction,
    JobAction,
    Kind,
    Parameter,
)
from dispatcher.classes.reading import built_in_classes, read_class_file
from dispatcher.classes.values import read_values
from dispatcher.config import describe, load
from dispatcher.errors import InvalidRequest, SettingsError
from dispatcher.settings_change import merge
from dispatcher.settings_report import warnings
from dispatcher.templates.words import fill, fill_text

ACTION = """acme/say:
  actions:
    say:
      queue: no_queue
      id: 'say-{uuid}'
      parameters:
        loud: {type: boolean}
        who: {type: list}
        text: {type: words}
        name: {type: string, required: true}
      commands:
        - %s
"""
EACH = """acme/greet:
  actions:
    greet:
      queue: no_queue
      id: 'greet-{who}'
      each: who
      parameters: {who: {type: list, required: true, pattern: '(?P<value>[a-z]+)!?'}}
      commands: [[say, 'to={who}', '{who}']]
"""


def read(folder: Path, text: str):
    file = folder / "classes.yaml"
    file.write_text(text)
    return read_class_file(file).classes


def action_with(folder: Path, command: str) -> JobAction:
    ((action,),) = [one.actions for one in read(folder, ACTION % command)]
    assert isinstance(action, JobAction)
    return action


def test_the_built_in_classes_can_be_read_and_name_only_answers_that_there_are():
    classes = {one.name: one for one in built_in_classes()}

    actions = [action for one in classes.values() for action in one.actions]
    answers = {action.answer for action in actions if isinstance(action, AnswerAction)}
    assert answers == set(ANSWERS)
    assert {name: (one.programs, one.is_advertised) for name, one in classes.items()} == {
        "sysadm/pkg": (frozenset({"pkg"}), True),
        "sysadm/iocage": (frozenset({"iocage"}), False),
    }


def test_there_is_code_for_every_answer_that_a_file_may_name():
    from dispatcher.api.sysadm.class_calls import ANSWERS as CODE  # noqa: PLC0415 (the layer above)

    assert set(CODE) == set(ANSWERS)


@pytest.mark.parametrize(
    ("command", "values", "argv"),
    [
        ("[say, '{who}']", {"who": ("a", "b c")}, ("say", "a", "b c")),
        ("[say, '{who}', end]", {}, ("say", "end")),
        ("[say, 'to={name}!']", {"name": "-x"}, ("say", "to=-x!")),
        ("[say, 'to={name}!']", {}, ("say",)),
        ("[say, {when: loud, then: [-l]}]", {"loud": True}, ("say", "-l")),
        ("[say, {when: loud, then: [-l]}]", {"loud": False}, ("say",)),
        ("[say, '{text}']", {"text": ("b", "a", "b")}, ("say", "b", "a", "b")),
        ("[say, {unless: loud, then: [-q]}]", {"loud": False}, ("say", "-q")),
        ("[say, {when: name, then: [--to, '{name}']}]", {"name": "x"}, ("say", "--to", "x")),
        ("[say, {when: name, then: [--to, '{name}']}]", {}, ("say",)),
        ("[say, --, '{name}']", {"name": "-x"}, ("say", "--", "-x")),
        ("[say, '{NAME} {}', '$HOME', '']", {}, ("say", "{NAME} {}", "$HOME", "")),
    ],
)
def test_a_template_becomes_arguments(tmp_path, command, values, argv):
    assert fill(action_with(tmp_path, command).commands[0], values) == argv


def test_of_a_list_each_value_may_stand_in_a_word_and_in_the_id(tmp_path):
    ((action,),) = [one.actions for one in read(tmp_path, EACH)]
    assert isinstance(action, JobAction)

    values = read_values("greet", action.parameters, {"who": ["eve!", "bob", "eve"]})

    assert values == {"who": ("eve", "bob")}
    assert fill(action.commands[0], {"who": "eve"}) == ("say", "to=eve", "eve")
    assert fill_text(action.id, {"who": "eve"}) == "greet-eve"


def test_words_are_split_like_a_command_or_taken_as_they_are():
    words = [Parameter("w", Kind.WORDS, is_required=True)]

    assert read_values("a", words, {"w": 'echo "a b" a a'}) == {"w": ("echo", "a b", "a", "a")}
    assert read_values("a", words, {"w": ["echo a", "a", "", "a"]}) == {"w": ("echo a", "a", "a")}
    with pytest.raises(InvalidRequest, match="`w`: it is missing; give a string or an array of strings"):
        read_values("a", words, {"w": "  "})


@pytest.mark.parametrize("command", ["[say, '{name}', --]", "[say, {when: name, then: ['{name}']}]"])
def test_a_value_is_no_option_unless_two_dashes_stand_before_it(tmp_path, command):
    template = action_with(tmp_path, command).commands[0]

    with pytest.raises(InvalidRequest, match="'--' as `name`: it would be taken for an option"):
        fill(template, {"name": "--"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Acme: {}", ":1:1: /Acme: 'Acme' cannot name a class; write such as sysadm/pkg"),
        ("rpc/dispatcher: {}", "'rpc/dispatcher' cannot name a class"),
        ("acme/x: {}", "there are no actions"),
        ("acme/x: {action: {}}", "there is no such key; did you mean 'actions'?"),
        ("acme/x: {actions: {a: {queue: q, id: x, commands: []}}}", "there is no command"),
        ("acme/x: {actions: {a: {id: x, commands: [[a]]}}}", "there is no queue; write 'queue:'"),
        ("acme/x: {actions: {a: {queue: q, commands: [[a]]}}}", "there is no id"),
        ("acme/x: {actions: {a: {queue: q, id: x}}}", "there are no commands"),
        ("acme/x: {actions: {a: {answer: nonesuch, commands: {}}}}", "'nonesuch' is not known; there are"),
        ("acme/x: {actions: {a: {answer: pkg_info, id: x, commands: {}}}}", "queues no job"),
        ("acme/x: {actions: {A: {}}}", "'A' cannot name an action"),
        ("acme/x: {advertise: maybe, actions: {}}", "'maybe' is not known; there are: false, true"),
        (ACTION % "[]", "there is no program; let the list begin with its name"),
        (ACTION % "['{name}']", "there is no program"),
        (ACTION % "[say, '{nam}']", "there is no parameter 'nam'; did you mean 'name'?"),
        (ACTION % "[say, '{found}']", "there is no parameter 'found'"),
        (ACTION % "[say, '{loud}']", "'loud' is true or false, which is no word"),
        (ACTION % "[say, 'x{who}']", "'who' is a list; let it stand alone"),
        (ACTION % "[say, 'x{text}']", "'text' is a list; let it stand alone"),
        ((ACTION % "[say]").replace("      id:", "      each: who\n      id:"), "there is no list of which"),
        ((ACTION % "[say]").replace("      id:", "      told_as: A b\n      id:"), "'A b' cannot name a key"),
        (
            (ACTION % "[say]").replace("      id:", "      access: full\n      id:"),
            "always needs full access",
        ),
        (EACH.replace("each: who", "each: wo"), "'wo' is not known; did you mean 'who'?"),
        (EACH.replace("'{who}'", "'{whom}'"), "there is no parameter 'whom'"),
        (
            "acme/x: {actions: {a: {answer: pkg_info, each: x, commands: {}}}}",
            "an action with an answer queues no job",
        ),
        ("acme/x: {actions: {a: {answer: pkg_info, access: all, commands: {}}}}", "'all' is not known"),
        (ACTION % "[say, {when: loud}]", "this condition is not whole"),
        (ACTION % "[say, {when: loud, unless: who, then: [x]}]", "this condition is not whole"),
        (ACTION % "[say, {when: lout, then: [x]}]", "'lout' is not known; did you mean 'loud'?"),
        (ACTION % "say", "write a list of words"),
        ((ACTION % "[say]").replace("say-{uuid}", "say-{who}"), "there is no parameter 'who'"),
        ((ACTION % "[say]").replace("{type: list}", "{}"), "there is no type"),
        ((ACTION % "[say]").replace("{type: list}", "{type: enum}"), "there are no choices"),
        (
            (ACTION % "[say]").replace("{type: list}", "{type: list, default: x}"),
            "of type list has no default",
        ),
        ((ACTION % "[say]").replace("{type: list}", "{type: list, pattern: '('}"), "no regular expression"),
        ((ACTION % "[say]").replace("who:", "action:"), "'action' has a meaning of its own"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, text, complaint):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)

    assert caught.value.sentence.startswith(f"{tmp_path}/classes.yaml:")
    assert complaint in caught.value.sentence


def test_the_settings_name_a_file_whose_content_counts(tmp_path):
    settings, classes = tmp_path / "queues.yaml", tmp_path / "classes.yaml"
    settings.write_text(f"state_dir: {tmp_path}\nclasses: classes.yaml\n")
    classes.write_text(ACTION % "[say]")
    old = load(settings)
    classes.write_text(ACTION % "[say, -l]")
    new = load(settings)

    merged, sentences = merge(old, new)

    assert sentences == ["classes: changed, in force now"]
    assert merged.classes == new.classes != old.classes
    assert f"classes: {classes}" in describe(new)
    assert warnings(new) == warnings(old)


def test_settings_with_a_wrong_class_file_do_not_load(tmp_path):
    settings = tmp_path / "queues.yaml"
    settings.write_text("classes: classes.yaml\n")

    with pytest.raises(SettingsError, match=r"queues.yaml:1:10: /classes: there is no file .*/classes.yaml"):
        load(settings)
    (tmp_path / "classes.yaml").write_text("acme/x: {actions: 3}")
    with pytest.raises(SettingsError, match=r"classes.yaml:1:19: /acme/x/actions: '3' stands here"):
        load(settings)
