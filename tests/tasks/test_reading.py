"""What queues.yaml may say of tasks, and that each mistake is named with its place and remedy."""

import pytest

from dispatcher.config import load, sample
from dispatcher.core.model import ResultKind
from dispatcher.errors import SettingsError
from dispatcher.tasks.declaration import Kind, Parameter
from tests.tasks.declared import task, tasks


def test_a_task_is_read_whole():
    (read,) = tasks("""
        backup.run:
          description: Copies a dataset.
          parameters:
            dataset: {type: string, pattern: '[a-z/]+', required: true, description: which}
            level: {type: integer, min: 1, max: 9, default: 3}
            dry: {type: boolean}
            tags: {type: list, of: {type: enum, choices: [a, b]}, max: 4}
            password: {type: string, secret: true}
          commands:
            - [backup, {when: dry, then: [-n]}, '-{level}', "--", '{dataset}', '{tags}']
            - [sync]
          queue: pkg_queue
          level: read
          progress: {pattern: '(?P<percent>\\d+)%'}
          result: json
          stdin: '{password}'
          cwd: /tmp
          env: {LEVEL: '{level}'}
        """)

    assert read.parameters == (
        Parameter("dataset", Kind.STRING, "[a-z/]+", is_required=True, description="which"),
        Parameter("level", Kind.INTEGER, low=1, high=9, default="3"),
        Parameter("dry", Kind.BOOLEAN),
        Parameter("tags", Kind.LIST, high=4, of=Parameter("tags", Kind.ENUM, choices=("a", "b"))),
        Parameter("password", Kind.STRING, is_secret=True),
    )
    assert (read.queue, read.needs_full, read.result) == ("pkg_queue", False, ResultKind.JSON)
    assert (read.pattern, read.cwd, len(read.commands)) == (r"(?P<percent>\d+)%", "/tmp", 2)
    assert read.has_secrets


def test_the_sample_has_one_task_of_each_sort():
    found = {one.name: one for one in load().tasks}

    assert "catalog.sync_all:" in sample()
    assert found["catalog.sync_all"].pattern
    assert found["config.save"].output
    assert found["config.upload"].input


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("backup: {commands: [[true]]}", "1:1: /backup: 'backup' cannot name a task"),
        (
            "core.x: {commands: [[true]]}",
            "1:1: /core.x: methods that begin with core. are the dispatcher's own",
        ),
        ("a.b: {}", "1:6: /a.b: there are no commands"),
        ("a.b: {commands: []}", "1:17: /a.b/commands: there is no command"),
        ("a.b: {commands: [['{x}']]}", "there is no parameter 'x'; declare it under 'parameters:'"),
        ("a.b: {commands: [['{x}']], parameters: {x: {type: string}}}", "there is no program"),
        ("a.b: {commands: [[x, '{y}']]}", "1:22: /a.b/commands/1/2: there is no parameter 'y'"),
        ("a.b: {comands: [[x]]}", "there is no such key; did you mean 'commands'?"),
        ("a.b: {commands: [[x]], queue: nowhere}", "there is no queue 'nowhere'"),
        ("a.b: {commands: [[x]], result: xml}", "'xml' is not known; there are: json, return_code, stdout"),
        ("a.b: {commands: [[x]], cwd: here}", "'here' is no absolute path; begin it with /"),
        ("a.b: {commands: [[x]], input: true, stdin: x}", "the input is a pipe already"),
        ("a.b: {commands: [[x]], output: true, result: json}", "the output goes into a pipe"),
        ("a.b: {commands: [[x]], progress: {}}", "one way to tell the progress is wanted"),
        ("a.b: {commands: [[x]], progress: {pattern: x}}", "it finds no progress"),
        ("a.b: {commands: [[x]], env: {DISPATCHER_JOB: x}}", "'DISPATCHER_JOB' cannot be set"),
        ("a.b: {commands: [[x]], parameters: {n: {}}}", "there is no type"),
        ("a.b: {commands: [[x]], parameters: {n: {type: text}}}", "'text' is not known"),
        ("a.b: {commands: [[x]], parameters: {n: {type: enum}}}", "there is no choices"),
        ("a.b: {commands: [[x]], parameters: {n: {type: list}}}", "there is no of"),
        ("a.b: {commands: [[x]], parameters: {n: {type: object}}}", "there is no keys"),
        ("a.b: {commands: [[x]], parameters: {n: {type: boolean, min: 1}}}", "type boolean has no min"),
        ("a.b: {commands: [[x]], parameters: {n: {type: integer, max: 1, default: 2}}}", "it does not fit"),
        ("a.b: {commands: [[x]], parameters: {n: {type: any, default: '['}}}", "this is no JSON"),
        (
            "a.b: {commands: [[x]], parameters: {n: {type: string, required: true, default: x}}}",
            "what is required has no default",
        ),
        ("a.b: {commands: [[x]], parameters: {n: {type: string, pattern: '('}}}", "no regular expression"),
        ("a.b: {commands: [[x, 'a{n}']], parameters: {n: {type: list, of: {type: string}}}}", "stand alone"),
    ],
)
def test_a_mistake_is_named_with_its_place(text, complaint):
    with pytest.raises(SettingsError) as error:
        tasks(text)

    assert complaint in error.value.sentence


def test_a_default_is_kept_as_json():
    read = task(
        "{o: {type: object, keys: {a: {type: integer}}, default: {a: 1}}, l: {type: list, of: {type: string}, default: [x]}}"
    )

    assert [parameter.default for parameter in read.parameters] == ['{"a":1}', '["x"]']
