"""Write docs/settings-reference.md from the program's table: `.venv/bin/python -m script.settings_page`."""

from decimal import Decimal
from pathlib import Path

from dispatcher.setting_keys import TABLES, Key, Kind
from dispatcher.setting_values import write_size
from dispatcher.settings import Auth, Routes

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings-reference.md"

# Where the defaults of lists stand, which the table leaves to them.
LISTS = {"/auth": Auth(), "/routes": Routes()}

INTRODUCTION = """\
# Every setting

What `queues.yaml` may hold, with defaults and limits. This page is made from the program's own table
(`.venv/bin/python -m script.settings_page`); [Settings](settings.md) explains and shows examples.

Times are seconds or have a unit (`500 ms`, `10 s`, `2 min`, `1 h`, `1 d`), sizes are bytes or have one
(`64 MiB`). Relative paths start at the directory of the file. NAME and N stand for what the file chooses.
"""


def page() -> str:
    """Give the whole page."""
    return INTRODUCTION + "".join(_section(place, keys) for place, keys in TABLES.items())


def _section(place: str, keys: tuple[Key, ...]) -> str:
    title = "At the top" if place == "/" else f"`{place.removeprefix('/').replace('/', ': ')}`"
    rows = "".join(
        f"| `{key.name}` | {key.meaning} | {_default(place, key)} | {_limits(key)} |\n" for key in keys
    )
    return f"\n## {title}\n\n| key | meaning | default | limits |\n|---|---|---|---|\n{rows}"


def _default(place: str, key: Key) -> str:
    default = getattr(LISTS.get(place), key.name, None) if key.kind is Kind.SECTION else key.default
    match default:
        case None:
            return ""
        case tuple():
            words = (": ".join(one) if isinstance(one, tuple) else one for one in default)
            return f"`{', '.join(words)}`"
        case _:
            return f"`{_value(key, default)}`"


def _limits(key: Key) -> str:
    match key.kind:
        case Kind.COUNT | Kind.DAYS | Kind.DURATION | Kind.SIZE:
            return f"{_value(key, key.low)} to {_value(key, key.high)}"
        case Kind.CHOICE:
            return " or ".join(f"`{word}`" for word in key.choices)
        case Kind.FLAG:
            return "`true` or `false`"
        case Kind.PATH:
            return "a path"
        case Kind.ADDRESS:
            return 'an IP address or `"*"`'
        case Kind.SECTION:
            return ""


def _value(key: Key, value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float() if key.kind is Kind.SIZE:
            return write_size(int(value))
        case int() | float():
            plain = format(Decimal(str(value)).normalize(), "f")
            return f"{plain} s" if key.kind is Kind.DURATION else plain
        case _:
            return str(value)


if __name__ == "__main__":
    PAGE.write_text(page())
