"""The description of the HTTP paths as others read it: valid by its standard, and true."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.acceptance.transfer_clients import FORM, Answer, ask, basic, data_part, file_part, form
from tests.acceptance.truenas_client import Current
from tests.daemon import ROOT, Daemon, running

SCHEMATHESIS = ROOT / ".venv-schemathesis" / "bin" / "schemathesis"
SETTINGS = {"auth": {"methods": ["accounts"], "failures": 1_000_000}}


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, SETTINGS)) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def document(shared) -> dict[str, Any]:
    answer = ask(shared, "GET", "/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_the_description_is_valid(document):
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_answer_is_described_with_its_status_and_kind(shared, document):
    with Current(shared) as client:
        path = client.result("core.download", "config.save", [{}], "x")[1]
    asked: list[tuple[str, str, Answer]] = [
        ("/_upload", "post", ask(shared, "POST", "/_upload", body, login=login, kind=FORM))
        for login in (None, basic())
        for body in (form(data_part(), file_part("x")), form(), form(data_part("no.such"), file_part("x")))
    ]
    asked += [("/_download/{id}", "get", ask(shared, "GET", one)) for one in ("/_download/1", path)]
    for template in document["paths"]:
        if "get" in document["paths"][template] and "{" not in template:
            asked += [
                (template, method, ask(shared, method.upper(), template, login=login))
                for method in ("get", "head")
                for login in (None, basic())
            ]
    for template, method, answer in asked:
        told = document["paths"][template][method]["responses"]
        assert str(answer.status) in told, (template, answer)
        if method != "head":
            (kind,) = told[str(answer.status)]["content"]
            assert answer.headers["content-type"].partition(";")[0] == kind, (template, answer)
    assert {answer.status for _, _, answer in asked} >= {200, 401, 405, 422}


def test_a_method_that_is_not_described_is_refused_with_those_that_are(shared, document):
    for template, methods in document["paths"].items():
        if "{" in template:
            continue
        answer = ask(shared, "DELETE", template)
        allowed = {method.strip().lower() for method in answer.headers["allow"].split(",")}
        assert (answer.status, allowed) == (405, set(methods) - {"head"}), template


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="there is no .venv-schemathesis; script/test makes it")
def test_schemathesis_finds_nothing(shared, tmp_path):
    url = f"http://127.0.0.1:{shared.plain_port}/openapi.json"
    options = ("--checks", "all", "--max-time", "10", "--workers", "4", "--no-color")

    done = subprocess.run(
        [str(SCHEMATHESIS), "run", url, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout
    assert "Traceback" not in shared.stderr
