"""The page with every setting is what the program's table says, and nothing is missing in it."""

import pytest

from dispatcher.setting_keys import TABLES
from script.settings_page import PAGE, page


def test_the_page_is_made_from_the_table():
    assert PAGE.read_text() == page(), "make it anew: .venv/bin/python -m script.settings_page"


@pytest.mark.parametrize("place", TABLES)
def test_every_setting_has_its_line(place):
    lines = page().splitlines()

    missing = [
        key.name for key in TABLES[place] if not any(one.startswith(f"| `{key.name}` | ") for one in lines)
    ]

    assert missing == []


@pytest.mark.parametrize(
    "line",
    [
        "| `grace` | time between TERM and KILL when a job is stopped | `10 s` | 0 s to 86400 s |",
        "| `message_bytes` | one message or request | `8 MiB` | 4 KiB to 8 MiB |",
        "| `keep_days` | days that finished jobs and their logs are kept | `30` | 0 to 36500 |",
        "| `tls` | encrypted | `true` | `true` or `false` |",
    ],
)
def test_values_have_their_units(line):
    assert line in page().splitlines()
