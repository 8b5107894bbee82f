"""Files into jobs and out of them over HTTP: each row of both tables, curl as the documents have it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.acceptance.daemon_clients import until
from tests.acceptance.transfer_clients import (
    FORM,
    Answer,
    ask,
    basic,
    connected,
    data_part,
    file_part,
    form,
    head,
    part,
    read_until,
    upload,
)
from tests.acceptance.truenas_client import Current
from tests.daemon import FULL, READ, Account, Daemon, running

SEED = Account("root", "freenas")  # as the documents have it
MIB = 1024 * 1024
SHA = [
    sys.executable,
    "-c",
    "import hashlib,sys;print(hashlib.file_digest(sys.stdin.buffer,'sha256').hexdigest())",
]
# A MiB of bytes that do not repeat, again and again.
MUCH = "import os,sys; one = bytes(range(256)) * 4096\nfor _ in range({count}): sys.stdout.buffer.write(one)"
COUNT = {"count": {"type": "integer", "default": 1}}
SETTINGS = {
    "auth": {"methods": ["accounts"], "failures": 1000},
    "queues": {"narrow": {"concurrency": 1, "max_pending": 1, "on_duplicate": "attach"}},
    "tasks": {
        "config.upload": {"commands": [["cksum"]], "input": True, "result": "stdout"},
        "config.save": {
            "parameters": {"options": {"type": "object", "keys": {}, "default": {}}},
            "commands": [["printf", "one\\n"], ["printf", "two\\n"]],
            "output": True,
        },
        "catalog.sync_all": {"commands": [["true"]]},
        "in.sum": {"commands": [SHA], "input": True, "result": "stdout", "level": "read"},
        "in.two": {"commands": [["head", "-n", "1"], ["cat"]], "input": True, "result": "stdout"},
        "in.never": {"commands": [["sleep", "1000"]], "input": True},
        "in.deaf": {"commands": [["true"]], "input": True},
        "in.typed": {"commands": [["cat"]], "input": True, "parameters": COUNT},
        "in.narrow": {"commands": [["cat"]], "input": True, "queue": "narrow", "result": "stdout"},
        "in.out": {"commands": [["cat"]], "input": True, "output": True},
        "out.much": {
            "commands": [[sys.executable, "-c", MUCH.replace("{count}", "int(sys.argv[1])"), "{count}"]],
            "output": True,
            "parameters": COUNT,
        },
        "out.read": {"commands": [["printf", "for readers"]], "output": True, "level": "read"},
        "out.slow": {"commands": [["sh", "-c", "echo one; sleep 1000"]], "output": True},
        "out.bad": {"commands": [["sh", "-c", "echo one; exit 3"]], "output": True},
        "out.left": {"commands": [["sh", "-c", "echo one; sleep 1000 &"]], "output": True},
    },
}


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("d"), accounts_file, SETTINGS)
    daemon.cli(
        *("--config", str(daemon.config), "passwd", SEED.name, "--level", "full", "--stdin"),
        text=f"{SEED.password}\n",
        check=True,
    )
    with running(daemon):
        yield daemon


@pytest.fixture(scope="module")
def key(shared) -> str:
    done = shared.cli(
        *("--config", str(shared.config), "apikey", "add", "files", "--user", FULL.name), check=True
    )
    found = re.search(r"\d+-[A-Za-z0-9]{64}", done.stdout)
    assert found, done.stdout
    return found[0]


@pytest.fixture
def client(shared) -> Iterator[Current]:
    with Current(shared) as client:
        yield client


def curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cksum(content: bytes) -> str:
    return subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout.decode()


def fetch(daemon: Daemon, path: str, method: str = "GET") -> Answer:
    return ask(daemon, method, path)


# --- uploads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 3 * MIB])
def test_curl_uploads_as_the_documents_have_it(size, shared, client, tmp_path):
    content = os.urandom(size)
    (tmp_path / "config").write_bytes(content)
    data = '{"method": "config.upload", "params": []}'
    url = f"http://127.0.0.1:{shared.plain_port}/_upload/"

    answer = curl(
        *("-X", "POST", "-u", "root:freenas", "-H", "Content-Type: multipart/form-data"),
        *("-F", f"data={data}", "-F", f"file=@{tmp_path}/config", url),
    )

    number = json.loads(answer)["job_id"]
    job = client.finished(number)
    assert answer == f'{{"job_id": {number}}}'
    assert (job["state"], job["method"], job["arguments"]) == ("SUCCESS", "config.upload", [])
    assert job["result"] == cksum(content)
    assert job["credentials"]["data"]["username"] == "root"


def test_an_upload_over_tls_and_one_over_the_unix_socket_without_a_login(shared, client, tmp_path):
    (tmp_path / "f").write_bytes(b"hello")
    fields = ("-F", 'data={"method": "config.upload"}', "-F", f"file=@{tmp_path}/f")
    secure = curl(
        *("--cacert", str(shared.state_dir / "tls.crt"), "-u", f"{FULL.name}:{FULL.password}", *fields),
        f"https://localhost:{shared.tls_port}/_upload",
    )
    local = curl("--unix-socket", str(shared.socket), *fields, "http://localhost/_upload")

    for answer in (secure, local):
        assert client.finished(json.loads(answer)["job_id"])["result"] == cksum(b"hello")


def test_up_to_five_files_reach_the_commands_one_after_another(shared, client):
    parts = [file_part(f"{number}\n") for number in range(5)]

    job = client.finished(upload(shared, data_part("in.two"), *parts).job)

    assert job["result"] == "0\n" or job["result"].startswith("0\n")
    assert client.finished(upload(shared, data_part("in.sum"), *parts).job)["result"] == (
        hashlib.sha256(b"0\n1\n2\n3\n4\n").hexdigest() + "\n"
    )


def test_each_way_to_log_in(shared, client, key):
    token = client.result("auth.generate_token", 600, {}, False)
    for login, path in (
        (basic(), "/_upload"),
        (f"Bearer {key}", "/_upload"),
        (f"bearer {key}", "/_upload"),
        (f"Token {token}", "/_upload"),
        (None, f"/_upload?auth_token={token}"),
        (None, f"/_upload/?x=1&auth_token={token}"),
    ):
        answer = upload(shared, data_part(), file_part("x"), login=login, path=path)
        assert client.finished(answer.job)["state"] == "SUCCESS", (login, path)


def test_who_is_not_let_in(shared, client):
    for_a_job = client.result("auth.generate_token", 600, {"filename": "x"}, False)
    rows = [
        (None, "/_upload", 401, "Not authenticated"),
        (basic(Account(FULL.name, "wrong")), "/_upload", 401, "Bad username or password"),
        (basic(Account("nobody-here", "")), "/_upload", 401, "Bad username or password"),
        ("Basic ???", "/_upload", 400, "base64"),
        ("Basic YQ==", "/_upload", 400, "colon"),
        ("Bearer 1-wrong", "/_upload", 401, "Invalid API key"),
        ("Token wrong", "/_upload", 403, "Invalid token"),
        (f"Token {for_a_job}", "/_upload", 403, "Invalid token"),
        (None, "/_upload?auth_token=wrong", 403, "Invalid token"),
        ("Digest x", "/_upload", 401, "cannot log in by 'Digest'"),
    ]
    # All at once, because a wrong login is made to wait.
    with ThreadPoolExecutor(len(rows)) as threads:
        answers = threads.map(
            lambda row: upload(shared, data_part(), file_part("x"), login=row[0], path=row[1]), rows
        )
        for (login, path, status, text), answer in zip(rows, answers, strict=True):
            assert (answer.status, text in answer.text) == (status, True), (login, path, answer)
            assert ("www-authenticate" in answer.headers) == (status == 401)


def test_an_account_that_may_only_read_may_upload_to_tasks_for_it(shared, client):
    allowed = upload(shared, data_part("in.sum"), file_part("x"), login=basic(READ))
    refused = upload(shared, data_part("config.upload"), file_part("x"), login=basic(READ))
    with Current(shared, "ws") as reader:
        reader.log_in(READ)
        token = reader.result("auth.generate_token")
    by_token = upload(shared, data_part("config.upload"), file_part("x"), login=f"Token {token}")

    assert client.finished(allowed.job)["state"] == "SUCCESS"
    assert (refused.status, "level full" in refused.text) == (403, True)
    assert (by_token.status, by_token.text) == (403, "Invalid token\n")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (form(), 405, "no part"),
        (b"", 405, "cannot be read|not whole"),
        (b"no form at all", 405, "cannot be read"),
        (form(file_part("x"), data_part()), 405, 'must be named "data"'),
        (form(part(None, "x")), 405, 'must be named "data"'),
        (form(part("data", "{"), file_part("x")), 400, "no JSON"),
        (
            form(part("data", '{"method": "config.upload", "params": [{"$date": "x"}]}'), file_part("x")),
            400,
            "date",
        ),
        (form(part("data", "[]"), file_part("x")), 422, "method"),
        (form(part("data", '{"params": []}'), file_part("x")), 422, "method"),
        (form(part("data", '{"method": 7}'), file_part("x")), 422, "method"),
        (form(part("data", '{"method": "config.upload", "params": {}}'), file_part("x")), 422, "params"),
        (form(part("data", " " * 70_000), file_part("x")), 413, "65536"),
        (form(data_part()), 405, "second part"),
        (form(data_part(), file_part("x", "other")), 405, "second part"),
        (form(data_part("no.such"), file_part("x")), 422, "no.such"),
        (form(data_part("core.ping"), file_part("x")), 422, "core.ping"),
        (form(data_part("config.save"), file_part("x")), 422, "config.save"),
        (form(data_part("in.typed", "x"), file_part("x")), 500, r"\[EINVAL\] count: "),
        (form(data_part("in.typed", 1, 2), file_part("x")), 500, "Too many arguments"),
        (form(data_part("in.out"), file_part("x")), 412, "Pipe 'output' is not open"),
    ],
)
def test_what_is_wrong_with_an_upload_is_told_by_its_status(body, status, text, shared, client):
    before = client.result("core.get_jobs", [], {"count": True})

    answer = ask(shared, "POST", "/_upload", body, login=basic(), kind=FORM)

    assert answer.status == status, answer
    assert re.search(text, answer.text), answer
    assert client.result("core.get_jobs", [], {"count": True}) == before


def test_a_body_that_is_no_form_and_another_method_than_post(shared):
    no_form = ask(shared, "POST", "/_upload", b"{}", login=basic(), kind="application/json")
    got = ask(shared, "GET", "/_upload")

    assert (no_form.status, "multipart/form-data" in no_form.text) == (405, True)
    assert (got.status, got.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ([file_part("x", "other")], 405),
        ([file_part("x")] * 5, 405),
        ([b"--" + FORM.partition("=")[2].encode() + b"\r\nno head\r\n\r\n"], 400),
    ],
    ids=["another name", "a sixth file", "no form"],
)
def test_what_is_wrong_behind_the_first_file_fails_the_job(rest, status, shared, client):
    client.follow()

    answer = upload(shared, data_part("in.never"), file_part("x"), *rest)

    assert answer.status == status
    job = client.job_when(
        client.result("core.get_jobs", [], {"order_by": ["-id"], "limit": 1})[0]["id"],
        lambda one: one["state"] == "FAILED",
        "its failure",
    )
    assert (job["method"], job["error"]) == ("in.never", "[ECONNABORTED] the upload broke off")


def test_a_form_without_its_last_boundary_is_not_whole(shared, client):
    body = data_part("in.sum") + file_part("x")

    answer = ask(shared, "POST", "/_upload", body, login=basic(), kind=FORM)

    (job,) = client.result("core.get_jobs", [], {"order_by": ["-id"], "limit": 1})
    assert (answer.status, "last boundary" in answer.text) == (400, True)
    assert client.finished(job["id"])["state"] == "FAILED"


def test_a_full_queue_is_answered_with_412_and_the_reason(shared, client):
    client.result("dispatcher.pause", "narrow")
    first = upload(shared, data_part("in.narrow"), file_part("x"))
    second = upload(shared, data_part("in.narrow"), file_part("y"))
    client.result("dispatcher.resume", "narrow")

    assert (second.status, second.text.startswith("[EBUSY] cannot add to queue 'narrow'")) == (412, True)
    # The queue attaches equal requests to the one that waits; two uploads are never equal.
    assert client.finished(first.job)["result"] == "x"


def test_a_job_that_waits_gets_its_input_when_its_turn_comes_though_the_upload_is_over(shared, client):
    client.result("dispatcher.pause", "narrow")
    answer = upload(shared, data_part("in.narrow"), file_part("early"))
    waiting = client.job(answer.job)["state"]
    client.result("dispatcher.resume", "narrow")

    assert waiting == "WAITING"
    assert client.finished(answer.job)["result"] == "early"


def test_what_a_job_does_not_read_is_thrown_away(shared, client):
    answer = upload(shared, data_part("in.deaf"), file_part(bytes(5 * MIB)))

    assert client.finished(answer.job)["state"] == "SUCCESS"


def test_a_killed_job_does_not_hold_up_its_upload(shared, client):
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.append(upload(shared, data_part("in.never"), file_part(bytes(5 * MIB))))
    )
    thread.start()
    until(
        lambda: client.result("core.get_jobs", [["state", "=", "RUNNING"], ["method", "=", "in.never"]]),
        "it runs",
    )
    (job,) = client.result("core.get_jobs", [["state", "=", "RUNNING"], ["method", "=", "in.never"]])
    client.result("core.job_abort", job["id"])
    thread.join(20)

    assert [answer.job for answer in answers] == [job["id"]]
    assert client.finished(job["id"])["state"] == "ABORTED"


@pytest.mark.parametrize("method", ["in.sum", "in.narrow"])
def test_an_upload_that_breaks_off_fails_its_job_which_sees_no_end_of_input(method, shared, client):
    client.follow()
    if method == "in.narrow":
        client.result("dispatcher.pause", "narrow")
    begun = data_part(method) + file_part("half")[:-3]
    with connected(shared) as one:
        one.sendall(head(len(begun) + 1000) + begun)
        number = client.take(client.fields_of, "its job")["params"]["fields"]["id"]
    job = client.ended(number)
    if method == "in.narrow":
        client.result("dispatcher.resume", "narrow")

    assert (job["state"], job["error"]) == ("FAILED", "[ECONNABORTED] the upload broke off")
    assert job["exc_info"]["errno"] == 103
    assert job["result"] is None
    log = shared.cli("log", str(number)).stdout
    assert log == ""  # a command that took it for the end would have written its sum


def test_expect_100_continue_is_answered_when_the_login_was_accepted_and_only_then(shared, client):
    body = form(data_part(), file_part("x"))
    with connected(shared) as one:
        one.sendall(head(len(body), "Expect: 100-continue"))
        go_on = read_until(one, b"\r\n\r\n")
        one.sendall(body)
        done = read_until(one, b"}")
    with connected(shared) as one:
        one.sendall(head(len(body), "Expect: 100-continue").replace(basic().encode(), b"Bearer 1-x"))
        refused = read_until(one, b"Invalid API key")

    assert go_on == b"HTTP/1.1 100 \r\n\r\n" or go_on.startswith(b"HTTP/1.1 100 Continue")
    assert done.startswith(b"HTTP/1.1 200 ")
    assert refused.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in refused.lower()


def test_an_upload_goes_on_while_its_connection_is_kept_for_more(shared, client):
    body = form(data_part(), file_part("x"))
    with connected(shared) as one:
        for _ in range(2):
            one.sendall(head(len(body)) + body)
            assert read_until(one, b"}").startswith(b"HTTP/1.1 200 ")


# --- downloads -----------------------------------------------------------------------------------


def test_a_download_as_the_documents_have_it(shared, client):
    name = "freenas-FreeNAS-11.3-MASTER-201910090828-20191017122016.db"
    number, path = client.result("core.download", "config.save", [{}], name)
    job = client.job(number)

    answer = fetch(shared, path)

    assert re.fullmatch(rf"/_download/{number}\?auth_token=[A-Za-z0-9_-]{{64}}", path)
    assert (job["method"], job["arguments"], job["message_ids"]) == ("config.save", [{}], [])
    assert (answer.status, answer.body) == (200, b"one\ntwo\n")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert client.finished(number)["state"] == "SUCCESS"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_any_method_fetches(method, shared, client):
    _, path = client.result("core.download", "config.save", [{}], "x")

    assert fetch(shared, path, method).body == b"one\ntwo\n"


def test_head_fetches_too_and_gives_nothing(shared, client):
    number, path = client.result("core.download", "config.save", [{}], "x")

    answer = fetch(shared, path, "HEAD")

    assert (answer.status, answer.body) == (200, b"")
    assert client.finished(number)["state"] == "SUCCESS"


def test_a_file_name_cannot_leave_its_place_in_the_header(shared, client):
    for name, written in (
        (
            'a"; x="b\r\nX: y',
            "attachment; filename=\"a_; x=_bX: y\"; filename*=UTF-8''a%22%3B%20x%3D%22bX%3A%20y",
        ),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("späte.db", "attachment; filename=\"sp_te.db\"; filename*=UTF-8''sp%C3%A4te.db"),
        ("", 'attachment; filename="download"'),
    ):
        _, path = client.result("core.download", "config.save", [{}], name)
        assert fetch(shared, path).headers["content-disposition"] == written


def test_who_may_fetch_and_what_only_once(shared, client):
    number, path = client.result("core.download", "config.save", [{}], "x")
    other, _ = client.result("core.download", "config.save", [{}], "x")
    token = path.partition("=")[2]

    for wrong, status in (
        ("/_download", 404),
        ("/_download/x", 404),
        (f"/_download/x?auth_token={token}", 404),
        (f"/_download/{number}", 401),
        (f"/_download/{number}?auth_token=wrong", 401),
        (f"/_download/{number}?auth_token={client.result('auth.generate_token')}", 401),
        (f"/_download/{other}?auth_token={token}", 401),  # for another job: the token is used up by that
        (path, 401),
    ):
        answer = fetch(shared, wrong)
        assert answer.status == status, (wrong, answer)

    again = client.result("auth.generate_token", 600, {"job": number}, False, False)
    assert fetch(shared, f"/_download/{number}?auth_token={again}").body == b"one\ntwo\n"
    assert fetch(shared, f"/_download/{number}?auth_token={again}").status == 410


def test_a_token_is_for_the_address_that_asked(shared):
    with Current(shared, "ws") as client:
        client.log_in()
        _, path = client.result("core.download", "config.save", [{}], "x")
    local = curl("--unix-socket", str(shared.socket), "-w", "%{http_code}", f"http://localhost{path}")

    assert local.endswith("401")
    assert fetch(shared, path).status == 401


def test_what_cannot_be_downloaded(shared, client):
    with Current(shared, "ws") as reader:
        reader.log_in(READ)
        refused = reader.error("core.download", "config.save", [{}], "x")
        _, path = reader.result("core.download", "out.read", [], "x")
    unknown = client.error("core.download", "no.such", [], "x")
    no_output = client.error("core.download", "config.upload", [], "x")
    no_input = client.error("core.download", "in.out", [], "x")
    mistaken = client.error("core.download", "out.much", ["x"], "x")
    plain = client.finished(client.result("catalog.sync_all"))

    assert (refused["code"], refused["data"]["reason"]) == (-32001, "[EACCES] Not authorized")
    assert fetch(shared, path).body == b"for readers"
    assert (unknown["code"], unknown["data"]["error"]) == (-32001, 201)
    assert (no_output["code"], no_output["data"]["error"]) == (-32001, 201)
    assert no_input["data"]["reason"] == "[EINVAL] Pipe 'input' is not open"
    assert (mistaken["code"], mistaken["data"]["extra"][0][0]) == (-32602, "count")
    assert plain["state"] == "SUCCESS"


def test_a_download_that_breaks_off_fails_its_job(shared, client):
    for task, params in (("out.slow", []), ("out.much", [100])):
        number, path = client.result("core.download", task, params, "x")
        with connected(shared) as one:
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            read_until(one, b"\r\n\r\n")
        job = client.finished(number)
        assert (job["state"], job["error"]) == ("FAILED", "[ECONNABORTED] the download broke off"), task


def test_output_of_a_job_that_fails_is_not_taken_for_whole(shared, client):
    number, path = client.result("core.download", "out.bad", [], "x")
    with connected(shared) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        found = b""
        while piece := one.recv(65536):
            found += piece
    job = client.finished(number)
    later, later_path = client.result("core.download", "out.bad", [], "x")
    client.finished(later)

    assert found.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 410 "))
    assert not found.endswith(b"0\r\n\r\n")
    assert job["error"].startswith("[EFAULT] Command")
    assert fetch(shared, later_path).status == 410


def test_what_a_command_leaves_in_the_background_does_not_hold_up_a_download(shared, client):
    _, path = client.result("core.download", "out.left", [], "x")

    assert fetch(shared, path).body == b"one\n"


def test_a_download_that_is_not_begun_in_time_aborts_its_job(shared, client):
    client.follow()
    shared.configure(SETTINGS | {"limits": {"download_time": 0.2}})
    shared.cli("reload", check=True)
    try:
        number, path = client.result("core.download", "out.much", [100], "x")
        job = client.ended(number)
    finally:
        shared.configure(SETTINGS)
        shared.cli("reload", check=True)

    assert (job["state"], job["description"]) == ("ABORTED", "the download did not begin within 0.2 s")
    assert fetch(shared, path).status == 410


def test_a_buffered_download_does_not_hold_up_its_job(shared, client):
    before = {path.name for path in shared.state_dir.iterdir()}
    number, path = client.result("core.download", "out.much", [3], "x", True)
    job = client.finished(number)
    after = {path.name for path in shared.state_dir.iterdir()}
    answer = fetch(shared, path)
    failed, failed_path = client.result("core.download", "out.bad", [], "x", True)
    client.finished(failed)

    assert job["state"] == "SUCCESS"
    assert answer.body == bytes(range(256)) * 4096 * 3
    assert fetch(shared, failed_path).status == 410
    assert after == before


def test_a_buffered_download_that_is_fetched_early_waits_for_the_end_of_its_job(shared, client):
    _, path = client.result("core.download", "out.much", [20], "x", True)

    assert len(fetch(shared, path).body) == 20 * MIB


def test_a_log_is_downloaded(shared, client):
    number = client.result("dispatcher.run", {"commands": [["printf", "a\\nb\\n"]]})
    client.finished(number)
    path = client.result("core.job_download_logs", number, "job.log")
    none = client.error("core.job_download_logs", 10**9, "x")
    client.result("dispatcher.pause", "narrow")
    pending = client.result("dispatcher.run", {"commands": ["true"], "queue": "narrow"})
    no_log = client.error("core.job_download_logs", pending, "x")
    client.result("dispatcher.resume", "narrow")

    answer = fetch(shared, path)
    assert (answer.status, answer.body) == (200, b"a\nb\n")
    assert answer.headers["content-disposition"] == 'attachment; filename="job.log"'
    assert fetch(shared, path).status == 401
    assert (none["code"], none["data"]["extra"][0][2]) == (-32602, 2)
    assert no_log["data"]["reason"] == "[EFAULT] This job has no logs"


# --- the rest of HTTP ----------------------------------------------------------------------------


def test_the_small_answers(shared, client, key):
    versions = ask(shared, "GET", "/api/versions")
    boot = ask(shared, "GET", "/api/boot_id")
    ping = ask(shared, "GET", "/api/v2.0/core/ping")
    number = client.result("catalog.sync_all")
    job = client.finished(number)
    one = ask(shared, "GET", f"/api/v2.0/core/get_jobs?id={number}", login=f"Bearer {key}")
    last = ask(shared, "GET", "/api/v2.0/core/get_jobs?limit=2&offset=1", login=f"Bearer {key}")

    for answer in (versions, boot, ping, one, last):
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert {"v25.04.0", "v25.10.5", "v26.0.0"} <= set(json.loads(versions.body))
    assert isinstance(json.loads(boot.body), str)
    assert json.loads(ping.body) == "pong"
    assert json.loads(one.body) == [job]
    assert len(json.loads(last.body)) == 2
    assert ask(shared, "GET", "/api/v2.0/core/get_jobs").status == 401
    assert ask(shared, "GET", "/api/v2.0/core/get_jobs?id=x", login=f"Bearer {key}").status == 400
    assert ask(shared, "DELETE", "/api/versions").status == 405
    assert ask(shared, "GET", "/api/nothing").status == 401  # SysAdm's


# --- sizes ---------------------------------------------------------------------------------------


def resident(daemon: Daemon) -> int:
    """Give the memory of the daemon and its workers, in bytes, without what commands take."""
    supervisor = psutil.Process(daemon.pid)
    mine = [one for one in supervisor.children(recursive=True) if "dispatcher" in " ".join(one.cmdline())]
    return sum(one.memory_info().rss for one in (supervisor, *mine))


@pytest.mark.parametrize("way", ["up", "down"])
def test_much_goes_through_little_memory(way, shared, client):
    size = 256
    one = bytes(range(256)) * 4096
    sha = hashlib.sha256()
    for _ in range(size):
        sha.update(one)
    # What is made once, imports and buffers, is there after the first.
    upload(shared, data_part("in.sum"), file_part(one))
    fetch(shared, client.result("core.download", "out.much", [4], "x")[1])
    before, peak = resident(shared), 0
    seen = hashlib.sha256()
    with connected(shared) as stream:
        if way == "up":
            first, last = data_part("in.sum") + file_part("")[:-2], form(b"\r\n")
            stream.sendall(head(len(first) + size * MIB + len(last)) + first)
            for count in range(size):
                stream.sendall(one)
                if count % 16 == 0:
                    peak = max(peak, resident(shared))
            stream.sendall(last)
            answer = read_until(stream, b"}").rpartition(b"\r\n")[2]
            number = json.loads(answer)["job_id"]
            result = client.finished(number)["result"].strip()
        else:
            number, path = client.result("core.download", "out.much", [size], "x")
            stream.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            body = read_until(stream, b"\r\n\r\n").partition(b"\r\n\r\n")[2] or stream.recv(65536)
            count = 0
            while body:
                seen.update(body)
                count += 1
                if count % 500 == 0:
                    peak = max(peak, resident(shared))
                body = stream.recv(65536)
            result = seen.hexdigest()

    assert result == sha.hexdigest()
    assert client.finished(number)["state"] == "SUCCESS"
    assert peak - before < 16 * MIB, (before, peak)


def test_a_reader_that_pauses_holds_up_the_command_and_nobody_else(shared, client):
    number, path = client.result("core.download", "out.much", [50], "x")
    with connected(shared) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        read_until(stream, b"\r\n\r\n")
        began = time.monotonic()
        other = fetch(shared, client.result("core.download", "config.save", [{}], "x")[1])
        took = time.monotonic() - began
        state = client.job(number)["state"]

    assert (other.body, state) == (b"one\ntwo\n", "RUNNING")
    assert took < 5
