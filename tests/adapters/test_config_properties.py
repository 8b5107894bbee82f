"""Promises about every file: it is read, or refused with one sentence, and never anything else."""

import re
from pathlib import Path

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dispatcher import config
from dispatcher.config import describe, warnings
from dispatcher.errors import SettingsError
from dispatcher.setting_keys import TABLES, TOP
from dispatcher.settings import Settings
from dispatcher.yaml_reader import Source, parse


def read(content: bytes) -> Settings:
    return config._settings(None, parse(content, Source("f", Path("/"))), {})


KEYS = sorted(
    {key.name for table in TABLES.values() for key in table} | {"pkg_queue", "pkg", "A", "<<", "=", ""}
)
SCALARS = st.one_of(
    st.sampled_from(
        ["~", "true", "1", "64 MiB", "10 s", "0", "attach", "pkg_queue", "'*'", "::1", ".inf", "1:30"]
    ),
    st.integers().map(str),
    st.text(max_size=8).map(lambda text: yaml.dump(text, allow_unicode=True)[:-1]),
    st.sampled_from(
        ['"\\ud800"', '"\\0"', "!!binary aGk=", "!x y", "*a", "&a b", '"\\UFFFFFFFF"', "!!int x"]
    ),
)
NODES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4).map(
            lambda pairs: "{" + ", ".join(f'"{key}": {value}' for key, value in pairs.items()) + "}"
        ),
    ),
    max_leaves=12,
)


def try_to_load(content: bytes) -> None:
    try:
        found = read(content)
    except SettingsError as error:
        lines = error.sentence.splitlines()
        is_placed = re.match(r"f:\d+:\d+: .+; .+", lines[0])
    else:
        warnings(found)
        assert read(describe(found).encode()) == found, "what is described is what is in force"
        return

    assert len(lines) == 1
    assert is_placed


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([key.name for key in TOP]), NODES))
def test_a_likely_file_is_read_or_refused_with_a_sentence(top):
    try_to_load("\n".join(f"{key}: {value}" for key, value in top.items()).encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=60) | st.text(alphabet="ab:-[]{}\"'#&*!|>%@`?,~ \n\t\\0x", max_size=40).map(str.encode)
)
def test_any_bytes_are_read_or_refused_with_a_sentence(content):
    try_to_load(content)


NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("\x85\u2028\n\t é"),
    max_size=20,
)
WHOLE = st.fixed_dictionaries(
    {},
    optional={
        "queues": st.dictionaries(
            NAMES,
            st.fixed_dictionaries(
                {},
                optional={
                    "concurrency": st.integers(1, 10_000),
                    "grace": st.floats(0, 86_400).map(lambda seconds: f"{seconds:.9f} s"),
                    "on_duplicate": st.sampled_from(["refuse", "attach"]),
                    "leftovers": st.sampled_from(["keep", "stop"]),
                },
            ),
            max_size=3,
        ),
        "environment": st.dictionaries(
            TEXTS.filter(lambda name: name and "=" not in name), TEXTS, max_size=3
        ),
        "limits": st.fixed_dictionaries(
            {},
            optional={
                "outbox_bytes": st.integers(4096, 2**30),
                "keep_days": st.floats(0, 36_500).map(lambda days: f"{days:.12f}"),
            },
        ),
        "log_dir": TEXTS.filter(lambda text: text.strip()).map(lambda text: f"/{text}"),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WHOLE)
@example({"environment": {"A": "a\x85b\u2028", "B": "é"}})
@example({"limits": {"keep_days": "0.000001"}})
def test_what_is_described_is_read_back_the_same(written):
    content = yaml.safe_dump(written).encode()
    found = read(content)
    again = read(describe(found).encode())

    assert again == found
    assert dict(found.environment).items() >= written.get("environment", {}).items()
