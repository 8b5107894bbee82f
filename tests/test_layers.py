"""The import rules of docs/architecture.md, read from the source: who may know whom, and how large a file gets."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dispatcher"

# What the core may import from outside: nothing here waits or reads a clock, and paths are only names.
PURE = {"abc", "bisect", "collections", "dataclasses", "enum", "functools", "heapq", "itertools", "math"}
PURE |= {"msgspec", "operator", "pathlib", "re", "string", "typing", "types", "contextlib", "dispatcher"}

# A worker is small and outlives every upgrade of the libraries: these need the standard library only.
STANDARD_ONLY = (
    "runner.worker",
    "runner.spawner",
    "runner.journal",
    "runner.wire",
    "runner.reaper",
    "logs.files",
    "api.truenas.pattern_process",
)

# (who, must not import): a name stands for itself and everything below it.
FORBIDDEN = [
    (
        "core",
        ("access", "api", "cli", "config", "engine", "hub", "logs", "net", "runner", "store"),
    ),
    ("errors", ("core", "engine", "api", "net", "store", "runner", "logs", "access", "hub", "settings")),
    ("net", ("core", "engine", "api", "store", "runner", "logs", "hub", "access", "cli", "supervisor")),
    ("store", ("api", "net", "engine", "access", "cli", "runner", "supervisor")),
    ("runner", ("api", "net", "engine", "access", "cli", "store", "supervisor")),
    ("logs", ("api", "net", "engine", "access", "cli", "store", "supervisor")),
    ("engine", ("api", "net", "cli", "access", "supervisor")),
    ("hub", ("api", "net", "cli", "engine", "supervisor")),
    ("access", ("api", "net", "engine", "store", "runner", "cli", "supervisor")),
    ("api", ("store.sqlite", "store.memory", "runner", "cli", "supervisor")),
    ("bridge", ("engine", "store", "runner", "logs", "hub", "cli", "supervisor")),
    ("watch", ("api", "net", "engine", "store", "runner", "cli", "access", "hub", "supervisor")),
    ("cli", ("engine", "store", "runner")),
]

# Adapters are chosen in one place.
ADAPTERS = ("store.sqlite", "store.memory", "runner.pool", "runner.fake")
SHAPELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


def name_of(path: Path, package: Path = PACKAGE) -> str:
    """Give the dotted name below the package: `core.model`; a package's own file has the package's."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    return {name_of(path, package): path for path in sorted(package.rglob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """Give every module named in an import anywhere in the file; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=0) if module:
                yield module
                yield from (f"{module}.{name.name}" for name in names)
            case ast.ImportFrom():
                raise AssertionError(
                    f"{path}:{node.lineno}: a relative import hides the layer it reaches into"
                )


def is_below(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}.")


def breaches(package: Path = PACKAGE) -> list[str]:
    """Say which file breaks which rule."""
    return [
        *impure(package),
        *forbidden(package),
        *adapters(package),
        *not_standard(package),
        *shapeless(package),
    ]


def impure(package: Path) -> Iterator[str]:
    for name, path in modules(package).items():
        if is_below(name, "core") or name in {"errors", "settings"}:
            for target in imports(path):
                if target.split(".", maxsplit=1)[0] not in PURE:
                    yield f"{name} imports {target}: the core waits for nothing and touches nothing"


def forbidden(package: Path) -> Iterator[str]:
    for name, path in modules(package).items():
        targets = set(imports(path))
        if is_below(name, "api") and "sqlite3" in targets:
            yield f"{name} imports sqlite3: only store may"
        for who, tops in FORBIDDEN:
            if is_below(name, who):
                for top in tops:
                    if any(is_below(target, f"dispatcher.{top}") for target in targets):
                        yield f"{name} imports {top}: {who} must not know it"


def adapters(package: Path) -> Iterator[str]:
    for name, path in modules(package).items():
        targets = set(imports(path))
        for adapter in ADAPTERS:
            own_folder = is_below(name, adapter.split(".", maxsplit=1)[0])
            is_named = any(is_below(target, f"dispatcher.{adapter}") for target in targets)
            if is_named and name != "supervisor" and not own_folder:
                yield f"{name} imports {adapter}: only supervisor chooses adapters"


def not_standard(package: Path) -> Iterator[str]:
    known = modules(package)
    # The packages on the way down are executed too, so they are held to the same.
    queue = [name for name in STANDARD_ONLY if name in known]
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        queue.extend(part for part in parents(name) if part in known)
        for target in imports(known[name]):
            if is_below(target, "dispatcher"):
                below = target.removeprefix("dispatcher").lstrip(".")
                queue.extend([below] if below in known else [])
            elif target.split(".", maxsplit=1)[0] not in sys.stdlib_module_names:
                yield f"{name} imports {target}: a worker has the standard library only"


def parents(name: str) -> list[str]:
    parts = name.split(".")
    return ["", *(".".join(parts[:end]) for end in range(1, len(parts)))]


def shapeless(package: Path) -> Iterator[str]:
    for name, path in modules(package).items():
        lines = path.read_text().splitlines()
        if SHAPELESS & set(re.split(r"[._]", name)):
            yield f"{name}: a file is named by its subject"
        if len(lines) > 300:
            yield f"{name} has {len(lines)} lines: ask what it is really about, and divide it"
        docstring = ast.get_docstring(ast.parse("\n".join(lines))) or ""
        if not 1 <= len(docstring.splitlines()) <= 8:
            yield f"{name}: a docstring of one to eight lines opens each file"


def test_every_import_goes_the_one_way_of_the_architecture():
    found = breaches()

    assert found == []


def test_the_modules_that_the_rules_name_exist():
    named = {*STANDARD_ONLY, *(who for who, _ in FORBIDDEN), *ADAPTERS, "supervisor"}

    missing = named - set(modules())

    assert missing == set()


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("core/machine.py", "import time", "core.machine imports time: the core waits for nothing"),
        ("core/machine.py", "def f():\n    import trio.lowlevel", "core.machine imports trio.lowlevel"),
        ("errors.py", "import os", "errors imports os"),
        ("net/http.py", "from dispatcher.core.model import Job", "net.http imports core: net must not"),
        ("net/http.py", "from dispatcher import engine", "net.http imports engine"),
        ("store/sqlite.py", "import dispatcher.api.service", "store.sqlite imports api"),
        ("api/service.py", "import sqlite3", "api.service imports sqlite3"),
        ("api/service.py", "from dispatcher.store.sqlite import X", "only supervisor chooses adapters"),
        (
            "engine.py",
            "from dispatcher.runner.pool import Pool",
            "engine imports runner.pool: only supervisor",
        ),
        ("runner/worker.py", "import msgspec", "runner.worker imports msgspec: a worker has the standard"),
        ("runner/__init__.py", "import psutil", "runner imports psutil: a worker has the standard"),
        ("core/base.py", "", "core.base: a file is named by its subject"),
        ("net/long.py", "#\n" * 300, "net.long has 302 lines"),
    ],
)
def test_each_rule_finds_what_breaks_it(tmp_path, path, text, complaint):
    worker = tmp_path / "runner" / "worker.py"
    worker.parent.mkdir()
    worker.write_text('"""Run jobs."""\nimport os\n')
    broken = tmp_path / path
    broken.parent.mkdir(exist_ok=True)
    broken.write_text(f'"""Say what this is."""\n{text}\n')

    found = breaches(tmp_path)

    assert len([one for one in found if complaint in one]) == 1, found


def test_a_file_that_keeps_the_rules_is_left_in_peace(tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "model.py").write_text('"""Say what."""\nfrom enum import StrEnum\nimport msgspec\n')
    (tmp_path / "supervisor.py").write_text('"""Build."""\nfrom dispatcher.store.sqlite import SqliteStore\n')

    assert breaches(tmp_path) == []
