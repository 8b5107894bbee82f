"""The table of HTTP paths, and the description that is written from it."""

import pytest

from dispatcher.api.truenas.downloads import disposition
from dispatcher.api.truenas.http_operations import EVERYWHERE, OPERATIONS, Operation
from dispatcher.api.truenas.openapi import openapi


def named(name: str) -> Operation:
    return next(one for one in OPERATIONS if one.name == name)


@pytest.mark.parametrize(
    ("name", "path", "is_meant"),
    [
        ("upload", "/_upload", True),
        ("upload", "/_upload/", True),
        ("upload", "/_upload/x", False),
        ("upload", "/_uploads", False),
        ("download", "/_download/7", True),
        ("download", "/_download/a/b/7", True),
        ("download", "/_download", True),
        ("download", "/_downloads", False),
        ("versions", "/api/versions", True),
        ("versions", "/api/versions/x", False),
    ],
)
def test_which_paths_a_row_means(name, path, is_meant):
    assert named(name).matches(path) is is_meant


def test_the_description_has_every_row_with_all_its_methods_and_answers():
    document = openapi(OPERATIONS)
    paths = document["paths"]
    assert isinstance(paths, dict)

    assert set(paths) == {one.template for one in OPERATIONS}
    for operation in OPERATIONS:
        told = paths[operation.template]
        methods = {method.lower() for method in operation.methods}
        assert set(told) == methods | ({"head"} if "get" in methods else set())
        for one in told.values():
            statuses = {answer.status for answer in (*operation.answers, *EVERYWHERE)}
            assert set(one["responses"]) == {str(status) for status in statuses}
            assert [set(way) for way in one["security"]] == [{way} for way in operation.logins]
    names = [one["operationId"] for told in paths.values() for one in told.values()]
    assert len(names) == len(set(names))


def test_a_parameter_in_a_path_is_described_and_required():
    for operation in OPERATIONS:
        in_path = {one.name for one in operation.parameters if one.place == "path"}
        assert in_path == {part[1:-1] for part in operation.template.split("/") if part.startswith("{")}


@pytest.mark.parametrize(
    ("filename", "written"),
    [
        ("a.db", 'attachment; filename="a.db"'),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("C:\\x\\y.db", 'attachment; filename="y.db"'),
        ("", 'attachment; filename="download"'),
        ("/", 'attachment; filename="download"'),
        ("a\r\nX: y", 'attachment; filename="aX: y"'),
        ('a"b', "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"),
        ("ä.db", "attachment; filename=\"_.db\"; filename*=UTF-8''%C3%A4.db"),
        ("a%20b", "attachment; filename=\"a_20b\"; filename*=UTF-8''a%2520b"),
        ("x" * 300, f'attachment; filename="{"x" * 255}"'),
    ],
)
def test_a_file_name_cannot_leave_its_place(filename, written):
    assert disposition(filename) == written
    assert disposition(filename).isascii()
