"""What a reload changes, says, and keeps for a restart; and what a start says."""

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from dispatcher.core.model import Queue
from dispatcher.settings import Limits, Listener, Settings, Tls
from dispatcher.settings_change import AT_ONCE, AT_START, LIMITS_AT_ONCE, merge
from dispatcher.start_report import Lines

NOW = Settings(
    source=Path("/q.yaml"),
    state_dir=Path("/s"),
    log_dir=Path("/l"),
    accounts=Path("/a"),
    listen=(Listener(path=Path("/s/d.sock")),),
)


def test_the_same_settings_change_nothing():
    assert merge(NOW, NOW) == (NOW, [])


def test_every_setting_is_one_of_the_three_kinds():
    assert {*AT_START, *AT_ONCE, "queues", "limits", "source"} == set(Settings.__struct_fields__)


def test_each_queue_is_told_by_name():
    first, second = NOW.queues[:2]
    queues = (first, replace(second, concurrency=2), Queue("backups"))

    assert merge(NOW, replace(NOW, queues=queues)) == (
        replace(NOW, queues=queues),
        ["queue pkg_queue changed, in force now", "queue backups is new", "queue iocage_queue is gone"],
    )


def test_environment_counts_at_once_and_a_state_dir_at_the_next_start():
    new = replace(NOW, state_dir=Path("/x"), environment=(("A", "1"),), tls=Tls(Path("/c"), Path("/k")))

    assert merge(NOW, new) == (
        replace(NOW, environment=(("A", "1"),)),
        [
            "environment: changed, in force now",
            "state_dir: changed, this takes a restart",
            "tls: changed, this takes a restart",
        ],
    )


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_each_limit_counts_when_it_is_said_to(name):
    new = replace(NOW, limits=replace(NOW.limits, **{name: 1}))
    merged, sentences = merge(NOW, new)
    is_now = name in LIMITS_AT_ONCE

    assert sentences == [f"limits: {name} changed, {'in force now' if is_now else 'this takes a restart'}"]
    assert getattr(merged.limits, name) == (1 if is_now else getattr(NOW.limits, name))


@pytest.mark.parametrize(
    ("level", "line"),
    [(logging.INFO, "ready"), (logging.WARNING, "warning: ready"), (logging.ERROR, "error: ready")],
)
def test_a_line_has_its_level_where_it_is_not_just_news(level, line):
    record = logging.LogRecord("x", level, "", 0, "%s", ("ready",), None)

    assert Lines().format(record) == line
