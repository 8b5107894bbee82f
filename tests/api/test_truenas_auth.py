"""Every way to log in as TrueNAS clients do, on one connection: what is answered, and who one is afterwards."""

import base64
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from dispatcher.access import accounts as accounts_module
from dispatcher.access import api_keys as api_keys_module
from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import ApiKeys
from dispatcher.access.audit import Audit
from dispatcher.access.client_keys import ClientKeys
from dispatcher.access.failures import Failures
from dispatcher.access.gate import Gate
from dispatcher.access.pam_check import PamCheck
from dispatcher.access.passwords import PasswordCheck
from dispatcher.access.roles import Caller, Level
from dispatcher.access.scram import keys_of
from dispatcher.api.truenas.client import Client, Clients
from dispatcher.api.truenas.logins import Logins, Place, a_second_or_two
from dispatcher.api.truenas.session_tokens import SessionTokens
from dispatcher.core.model import Finished, Outcome, Submission, Task
from dispatcher.errors import DispatcherError
from dispatcher.net.peer import Peer
from dispatcher.settings import Auth
from tests.api.fake_access import FakeUsers
from tests.api.jsonrpc_fakes import PLAIN, ROOT, STRANGER, FakeService, job, session
from tests.scram_client import ScramClient

LOCAL = Peer("", 0, 1000, 1000, is_tls=False, may_send_password=True)
LOOPBACK = Peer("127.0.0.1", 4711, None, None, is_tls=False, may_send_password=True)
END_POINT = b"e" * 32
AUTH_ERR = {"response_type": "AUTH_ERR"}
READER_INFO = {
    "pw_name": "reader",
    "pw_uid": 65534,
    "pw_gid": 65534,
    "pw_gecos": "",
    "pw_dir": "/nonexistent",
    "pw_shell": "/usr/sbin/nologin",
    "grouplist": [],
    "privilege": {
        "roles": {"$set": ["READONLY_ADMIN"]},
        "allowlist": [],
        "web_shell": False,
        "webui_access": True,
    },
    "account_attributes": ["LOCAL"],
    "sid": None,
    "source": "LOCAL",
    "local": True,
    "attributes": {},
    "two_factor_config": {
        "provisioning_uri": None,
        "secret_configured": False,
        "interval": 30,
        "otp_digits": 6,
    },
}


class NotedAudit(Audit):
    def __init__(self) -> None:
        super().__init__(None, time.time)
        self.logins: list[tuple[str, str, str]] = []

    def login(self, caller: Caller, by: str, error: DispatcherError | None = None) -> None:
        self.logins.append((caller.name, by, error.code if error else "done"))


class House:
    """Accounts `admin` (full, password "a") and `reader` (read, "r"), keys, and what is behind a login."""

    def __init__(self, folder: Any) -> None:
        self.auth = Auth(methods=("accounts",), failures=3)
        self.accounts = Accounts(folder / "accounts")
        self.accounts.set("admin", Level.FULL, "a")
        self.accounts.set("reader", Level.READ, "r")
        self.keys = ApiKeys(folder / "api_keys.json")
        self.users = FakeUsers(self.auth)
        self.failures = Failures(folder / "refused.json", self.auth, time.time)
        self.audit = NotedAudit()
        self.pauses = 0
        gate = Gate(
            self.auth,
            self.accounts,
            PasswordCheck(self.accounts),
            self.failures,
            ClientKeys(folder / "client_keys.json"),
            api_keys=self.keys,
            pam=PamCheck(self.users, 100, lambda *_: False),
            users=self.users,
            owner_of=lambda _: None,
        )
        self.tokens = SessionTokens(trio.current_time)
        self.logins = Logins(gate, self.accounts, self.audit, self.tokens, daemon_uid=0, pause=self._pause)
        self.logins.place = Place(12150, END_POINT)
        self.clients = Clients()
        self.accounts.on_changed = self._account_changed
        self.keys.on_removed = self._key_removed
        self.service = FakeService()

    def key(self, user: str = "admin", level: Level = Level.FULL, **more: Any) -> str:
        return self.keys.add(f"key {len(self.keys.all())}", user, level, now=0.0, **more)[0]

    def session(self, peer: Peer = STRANGER) -> Any:
        return session(self.service, peer, clients=self.clients, logins=self.logins)

    @property
    def client(self) -> Client:
        (client,) = self.clients._clients
        return client

    async def _pause(self) -> None:
        self.pauses += 1

    def _account_changed(self, name: str) -> None:
        self.tokens.end_account(name)
        self.clients.account_changed(name)

    def _key_removed(self, number: int) -> None:
        self.tokens.end_key(number)
        self.clients.key_removed(number)


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(accounts_module, "SCRYPT_N", 2)
    monkeypatch.setattr(api_keys_module, "keys_of", lambda secret: keys_of(secret, 50_000))
    return House(tmp_path)


async def result(client: Any, method: str, *params: object) -> Any:
    answer = await client.ask(method, *params)
    assert "result" in answer, answer
    return answer["result"]


async def errno(client: Any, method: str, *params: object) -> int:
    number: int = (await client.ask(method, *params))["error"]["data"]["error"]
    return number


async def is_nobody(client: Any) -> bool:
    return "error" in (answer := await client.ask("dispatcher.queues")) and (
        answer["error"]["data"]["error"] == 207
    )


def scram(kind: str, text: str) -> dict[str, str]:
    return {"mechanism": "SCRAM", "scram_type": f"CLIENT_{kind}_MESSAGE", "rfc_str": text}


# --- passwords ------------------------------------------------------------------------------------


async def test_a_password_login_tells_everything_about_its_user(house):
    login = {"mechanism": "PASSWORD_PLAIN", "username": "reader", "password": "r"}
    async with house.session() as client:
        answer = await result(client, "auth.login_ex", login)
        me = await result(client, "auth.me")

        assert answer == {
            "response_type": "SUCCESS",
            "user_info": READER_INFO,
            "authenticator": "LEVEL_1",
            "reconnect_token": None,
        }
        assert me == READER_INFO
        assert not await is_nobody(client)
        assert house.client.credentials.record() == {
            "type": "LOGIN_PASSWORD",
            "data": {
                "username": "reader",
                "login_id": house.client.credentials.login_id,
                "login_at": {"$date": round(house.client.credentials.login_at * 1000)},
            },
        }
        assert json.loads(house.client.credentials_json) == house.client.credentials.record()
    assert house.audit.logins == [("reader", "password", "done")]


async def test_full_access_is_the_role_that_clients_look_for(house):
    login = {"mechanism": "PASSWORD_PLAIN", "username": "admin", "password": "a"}
    async with house.session() as client:
        info = (await result(client, "auth.login_ex", login))["user_info"]

    assert info["privilege"]["roles"] == {"$set": ["FULL_ADMIN"]}
    assert info["privilege"]["allowlist"] == [{"method": "*", "resource": "*"}]


async def test_a_wrong_password_is_a_result_that_comes_late_counts_and_leaves_nobody(house):
    login = {"mechanism": "PASSWORD_PLAIN", "username": "reader", "password": "r"}
    async with house.session() as client:
        await result(client, "auth.login_ex", login)

        assert await result(client, "auth.login_ex", login | {"password": "x"}) == AUTH_ERR
        assert house.pauses == 1
        assert await is_nobody(client)
        assert await result(client, "auth.login", "reader", "x") is False
        assert await result(client, "auth.login_ex", login | {"username": "nobody"}) == AUTH_ERR
        # That was the third: the address is heard no more.
        assert await result(client, "auth.login_ex", login) == AUTH_ERR
    assert house.failures.is_refused(STRANGER.address)
    assert [one[2] for one in house.audit.logins] == ["done"] + ["not_authenticated"] * 4


async def test_what_was_wrong_costs_one_to_two_seconds_and_holds_nobody_up(house, mock_clock):
    house.logins._pause = a_second_or_two
    async with house.session() as client:
        client.call(1, "auth.login_with_api_key", "1-wrong")
        await trio.testing.wait_all_tasks_blocked()
        client.call(2, "core.ping")
        await client.until(1)
        mock_clock.jump(0.99)
        await trio.testing.wait_all_tasks_blocked()
        before = [one["id"] for one in client.sent]
        mock_clock.jump(1.1)
        await client.until(2)

        assert before == [2]
        assert client.sent[1]["result"] is False


async def test_login_options_leave_the_user_out_and_ask_for_a_token_to_come_back(house):
    options = {"user_info": False, "reconnect_token": True}
    login = {"mechanism": "PASSWORD_PLAIN", "username": "admin", "password": "a", "login_options": options}
    async with house.session() as client:
        answer = await result(client, "auth.login_ex", login)
    token = answer["reconnect_token"]
    async with house.session() as client:
        again = await result(client, "auth.login_ex", {"mechanism": "TOKEN_PLAIN", "token": token})
        async with house.session() as other:
            third = await result(other, "auth.login_ex", {"mechanism": "TOKEN_PLAIN", "token": token})

    assert answer["user_info"] is None
    assert len(token) == 64
    assert (again["response_type"], again["user_info"]["pw_name"]) == ("SUCCESS", "admin")
    assert third == AUTH_ERR


async def test_over_a_line_that_anybody_can_read_no_secret_is_looked_at(house):
    key, token = house.key(), "t" * 64
    tries = [
        ("auth.login", "admin", "a"),
        ("auth.login_with_api_key", key),
        ("auth.login_with_token", token),
        ("auth.login_ex", {"mechanism": "PASSWORD_PLAIN", "username": "admin", "password": "a"}),
        ("auth.login_ex", {"mechanism": "API_KEY_PLAIN", "username": "admin", "api_key": key}),
        ("auth.login_ex", scram("FIRST", "n,,n=admin:1,r=abc")),
    ]
    async with house.session(PLAIN) as client:
        for method, *params in tries:
            error = (await client.ask(method, *params))["error"]["data"]

            assert error["errname"] == "EACCES"
            assert "port 12150 (wss://)" in error["reason"]
            assert "allow_plain_login" in error["reason"]
    assert house.keys.find(1) is not None  # it lives on
    assert house.pauses == 0


async def test_there_is_no_second_factor(house):
    otp = {"mechanism": "OTP_TOKEN", "otp_token": "123456"}
    async with house.session() as client:
        assert await errno(client, "auth.login_ex", otp) == 22
        assert await errno(client, "auth.login_ex_continue", otp) == 22
        assert await errno(client, "auth.login", "admin", "a", "123456") == 22


@pytest.mark.parametrize(
    "params",
    [
        [],
        [{}],
        [{"mechanism": "MAGIC"}],
        [{"mechanism": "PASSWORD_PLAIN", "username": "admin"}],
        [{"mechanism": "PASSWORD_PLAIN", "username": "admin", "password": 7}],
        [{"mechanism": "SCRAM", "scram_type": "MIDDLE", "rfc_str": ""}],
        [{"mechanism": "SCRAM", "scram_type": "CLIENT_FIRST_MESSAGE", "rfc_str": "n,,"}],
        ["PASSWORD_PLAIN", "admin", "a"],
    ],
)
async def test_what_is_no_login_is_an_error_of_its_parameters(params, house):
    async with house.session() as client:
        error = (await client.ask("auth.login_ex", *params))["error"]

    assert (error["code"], error["data"]["error"]) == (-32602, 22)
    assert house.pauses == 0


# --- keys -----------------------------------------------------------------------------------------


async def test_a_key_logs_its_user_in(house):
    key = house.key()
    async with house.session() as client:
        assert await result(client, "auth.login_with_api_key", key) is True
        credentials = house.client.credentials.record()
        info = await result(client, "auth.me")

        assert credentials["type"] == "API_KEY"
        assert credentials["data"]["api_key"] == {"id": 1, "name": "key 0"}
        assert info["account_attributes"] == ["LOCAL", "API_KEY"]
        assert house.client.caller.level is Level.FULL
    assert house.audit.logins == [("admin", "api_key", "done")]


async def test_a_key_belongs_to_the_user_that_is_named(house):
    login = {"mechanism": "API_KEY_PLAIN", "username": "admin", "api_key": house.key()}
    async with house.session() as client:
        assert (await result(client, "auth.login_ex", login))["response_type"] == "SUCCESS"
        assert await result(client, "auth.login_ex", login | {"username": "reader"}) == AUTH_ERR
        assert await is_nobody(client)


async def test_a_wrong_key_is_false_counts_and_its_secret_is_noted_nowhere(house):
    async with house.session() as client:
        for wrong in ("7-SECRET", house.key() + "SECRET", "SECRET"):
            assert await result(client, "auth.login_with_api_key", wrong) is False
        # And now the address is not heard, whatever it shows.
        assert await result(client, "auth.login_with_api_key", house.key()) is False

    assert house.failures.is_refused(STRANGER.address)
    assert house.pauses == 4
    assert [one[0] for one in house.audit.logins] == ["key 7", "key 1", "", "key 2"]


@pytest.mark.parametrize(
    ("user", "level", "expected"),
    [
        ("admin", Level.FULL, Level.FULL),
        ("admin", Level.READ, Level.READ),
        ("reader", Level.FULL, Level.READ),
    ],
)
async def test_a_key_gives_no_more_than_itself_and_its_user_have(user, level, expected, house):
    async with house.session() as client:
        await result(client, "auth.login_with_api_key", house.key(user, level))

        assert house.client.caller.level is expected


async def test_an_expired_key_and_one_of_somebody_who_is_gone_are_told_apart(house):
    expired, orphaned = house.key(expires=1.0), house.key("gone")
    ask = {"mechanism": "API_KEY_PLAIN", "username": "admin", "api_key": expired}
    async with house.session() as client:
        assert await result(client, "auth.login_ex", ask) == {"response_type": "EXPIRED"}
        assert await result(client, "auth.login_with_api_key", expired) is False
        ask |= {"username": "gone", "api_key": orphaned}
        assert await result(client, "auth.login_ex", ask) == {"response_type": "DENIED"}
        assert await is_nobody(client)
    assert not house.failures.is_refused(STRANGER.address)


async def test_a_removed_key_logs_its_sessions_out_at_once_and_ends_their_tokens(house):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(house.session())
        await result(first, "auth.login_with_api_key", house.key())
        await result(first, "core.subscribe", "core.get_jobs")
        token = await result(first, "auth.generate_token")
        other = await stack.enter_async_context(house.session())
        await result(other, "auth.login_with_api_key", house.key())
        by_token = await stack.enter_async_context(house.session())
        assert await result(by_token, "auth.login_with_token", token) is True

        ApiKeys(house.keys._file.path).remove(1)
        # The next call notices.
        assert await is_nobody(first)
        assert await is_nobody(by_token)
        assert not await is_nobody(other)
        assert await result(other, "auth.login_with_token", token) is False


async def test_a_changed_account_is_logged_out_at_its_next_call_whatever_it_came_with(house):
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(house.session()) for _ in range(3)]
        await result(sessions[0], "auth.login", "admin", "a")
        await result(sessions[1], "auth.login_with_api_key", house.key())
        token = await result(sessions[0], "auth.generate_token")
        await result(sessions[2], "auth.login", "reader", "r")
        Accounts(house.accounts._file.path).set("admin", Level.FULL, "new")

        assert [await is_nobody(one) for one in sessions] == [True, True, False]
        assert await result(sessions[0], "auth.login_with_token", token) is False


# --- SCRAM ----------------------------------------------------------------------------------------


async def begin(client: Any, asked: ScramClient) -> str:
    answer = await result(client, "auth.login_ex", scram("FIRST", asked.first))
    assert {name: value for name, value in answer.items() if name != "rfc_str"} == {
        "response_type": "SCRAM_RESPONSE",
        "scram_type": "SERVER_FIRST_RESPONSE",
        "user_info": None,
    }
    first: str = answer["rfc_str"]
    return first


def client_of(key: str, user: str = "admin", **more: Any) -> ScramClient:
    number, _, secret = key.partition("-")
    return ScramClient(f"{user}:{number}", secret, **more)


BOUND = {"header": "p=tls-server-end-point,,", "binding": END_POINT}


@pytest.mark.parametrize(
    ("peer", "how", "is_in"),
    [
        (STRANGER, BOUND, True),
        (STRANGER, BOUND | {"binding": b"o" * 32}, False),
        (STRANGER, {}, True),
        (LOCAL, {}, True),
        (LOCAL, {"header": "y,,"}, True),
    ],
)
async def test_scram_logs_in_where_it_is_listed_bound_to_tls_if_the_client_can(peer, how, is_in, house):
    asked = client_of(house.key(), **how)
    async with house.session(peer) as client:
        assert "SCRAM" in await result(client, "auth.mechanism_choices")
        final = asked.final(await begin(client, asked))
        answer = await result(client, "auth.login_ex", scram("FINAL", final))

        if is_in:
            assert (answer["response_type"], answer["scram_type"]) == (
                "SCRAM_RESPONSE",
                "SERVER_FINAL_RESPONSE",
            )
            assert asked.is_server(answer["rfc_str"])
            assert answer["user_info"]["pw_name"] == "admin"
            assert house.client.credentials.record()["type"] == "API_KEY"
        else:
            assert answer == AUTH_ERR
            assert await is_nobody(client)
            assert house.pauses == 1


async def test_scram_is_neither_listed_nor_taken_on_plain_tcp(house):
    async with house.session(LOOPBACK) as client:
        ways = await result(client, "auth.mechanism_choices")

        assert ways == ["API_KEY_PLAIN", "TOKEN_PLAIN", "PASSWORD_PLAIN"]
        assert await errno(client, "auth.login_ex", scram("FIRST", "n,,n=admin:1,r=abc")) == 22
        # A key as it is may pass on loopback.
        assert await result(client, "auth.login_with_api_key", house.key()) is True


async def test_scram_is_not_listed_for_a_certificate_that_it_cannot_be_bound_to(house):
    house.logins.place = Place(12150)
    async with house.session() as client:
        assert "SCRAM" not in await result(client, "auth.mechanism_choices")


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        (STRANGER, "y,,", AUTH_ERR),
        (STRANGER, "p=tls-unique,,", 22),
        (LOCAL, "p=tls-server-end-point,,", 22),
    ],
)
async def test_a_binding_that_was_taken_away_or_is_not_there_is_refused(peer, header, expected, house):
    asked = client_of(house.key(), header=header)
    async with house.session(peer) as client:
        answer = await client.ask("auth.login_ex", scram("FIRST", asked.first))

        assert (answer.get("result") or answer["error"]["data"]["error"]) == expected


async def test_a_final_message_is_good_once_and_only_after_its_first(house):
    asked = client_of(house.key())
    async with house.session() as client:
        assert await errno(client, "auth.login_ex", scram("FINAL", "c=biws,r=a,p=b")) == 22
        final = asked.final(await begin(client, asked))
        first = await result(client, "auth.login_ex", scram("FINAL", final))
        replay = await errno(client, "auth.login_ex", scram("FINAL", final))
        await begin(client, client_of(house.key()))
        stale = await result(client, "auth.login_ex", scram("FINAL", final))

        assert first["scram_type"] == "SERVER_FINAL_RESPONSE"
        assert replay == 22
        assert stale == AUTH_ERR
        assert await is_nobody(client)


async def test_a_spoilt_final_message_ends_the_login_that_had_begun(house):
    asked = client_of(house.key())
    async with house.session() as client:
        final = asked.final(await begin(client, asked))

        assert await errno(client, "auth.login_ex", scram("FINAL", final[:-12])) == 22
        assert await errno(client, "auth.login_ex", scram("FINAL", final)) == 22
        assert await is_nobody(client)


async def test_another_login_in_between_ends_a_scram_login(house):
    asked = client_of(house.key())
    async with house.session() as client:
        final = asked.final(await begin(client, asked))
        await result(client, "auth.login", "reader", "r")

        assert await errno(client, "auth.login_ex", scram("FINAL", final)) == 22
        assert house.client.caller.name == "reader"


async def test_a_scram_login_that_takes_too_long_is_wrong(house, mock_clock):
    asked = client_of(house.key())
    async with house.session() as client:
        final = asked.final(await begin(client, asked))
        mock_clock.jump(30.0)

        assert await result(client, "auth.login_ex", scram("FINAL", final)) == AUTH_ERR


def _wrong_users(house: House) -> list[ScramClient]:
    secret = house.key().partition("-")[2]
    return [ScramClient(user, secret) for user in ("admin:2", "reader:1", "admin", "admin:x", ":1")]


async def test_who_has_no_such_key_sees_no_difference_until_the_end(house):
    house.failures._auth = Auth(failures=100)
    async with house.session() as client:
        for asked in _wrong_users(house):
            first, again = await begin(client, asked), await begin(client, asked)
            # Any proof will do, and half a million rounds for a right one take their time.
            nonce, proof = again.partition(",")[0], base64.b64encode(bytes(64)).decode()
            answer = await result(client, "auth.login_ex", scram("FINAL", f"c=biws,{nonce},p={proof}"))

            assert first.split(",")[1:] == again.split(",")[1:]
            assert again.endswith(",i=500000")
            assert answer == AUTH_ERR
    assert house.pauses == 5


async def test_wrong_proofs_count_as_wrong_passwords_do(house):
    async with house.session() as client:
        for _ in range(3):
            asked = client_of(house.key() + "x")
            final = asked.final(await begin(client, asked))
            assert await result(client, "auth.login_ex", scram("FINAL", final)) == AUTH_ERR

        assert await result(client, "auth.login_ex", scram("FIRST", asked.first)) == AUTH_ERR
    assert house.failures.is_refused(STRANGER.address)


# --- tokens, logout -------------------------------------------------------------------------------


async def test_a_token_logs_in_with_the_rights_of_who_made_it_and_ends_with_that_session(house):
    async with house.session() as maker:
        await result(maker, "auth.login_with_api_key", house.key(level=Level.READ))
        token = await result(maker, "auth.generate_token")
    async with house.session() as client:
        assert await result(client, "auth.login_with_token", token) is True
        data = house.client.credentials.record()["data"]

        assert house.client.caller.level is Level.READ
        assert data["username"] == "admin"
        assert data["parent"]["credentials"] == "API_KEY"
        assert data["parent"]["credentials_data"]["api_key"] == {"id": 1, "name": "key 0"}
    async with house.session() as client:
        assert await result(client, "auth.login_with_token", token) is False
    assert len(house.tokens) == 0


async def test_a_wrong_token_does_not_count_because_an_old_one_is_no_guess(house):
    async with house.session() as client:
        for _ in range(5):
            assert await result(client, "auth.login_with_token", "old") is False

    assert house.pauses == 5
    assert not house.failures.is_refused(STRANGER.address)


async def test_a_token_is_bound_to_its_address_unless_that_is_not_wished(house):
    elsewhere = Peer("192.0.2.8", 1, None, None, is_tls=True, may_send_password=True)
    async with house.session() as maker:
        await result(maker, "auth.login", "admin", "a")
        bound = await result(maker, "auth.generate_token", 60)
        free = await result(maker, "auth.generate_token", {"match_origin": False, "single_use": True})
    async with house.session(elsewhere) as client:
        assert await result(client, "auth.login_with_token", bound) is False
        assert await result(client, "auth.login_with_token", free) is True
    assert house.logins.check_token(free, elsewhere.address) is None


async def test_tokens_live_on_when_the_connection_breaks_and_end_with_a_logout(house):
    async with house.session() as client:
        await result(client, "auth.login", "admin", "a")
        kept = await result(client, "auth.generate_token")
    assert house.logins.check_token(kept, STRANGER.address) is not None
    async with house.session() as client:
        await result(client, "auth.login", "admin", "a")
        ended = await result(client, "auth.generate_token")

        assert await result(client, "auth.logout") is True
        assert await is_nobody(client)
    assert house.logins.check_token(ended, STRANGER.address) is None


def _with_output(number: int, owner: str) -> Any:
    task = Task("config.save", output=True)
    submission = Submission("no_queue", (), "k", owner, task=task)
    return type(job(1))(number, submission, 0.0, Finished(Outcome.SUCCESS, 1.0, 0.0))


async def test_a_token_for_a_download_needs_a_job_of_ones_own_that_has_something_to_fetch(house):
    for one in (job(1), _with_output(2, "reader"), _with_output(3, "admin")):
        house.service.jobs[one.number] = one
    async with house.session() as client:
        await result(client, "auth.login", "reader", "r")

        unknown = await client.ask("auth.generate_token", 60, {"job": 9})
        assert unknown["error"]["data"]["reason"].endswith("9: job does not exist.")
        assert await errno(client, "auth.generate_token", 60, {"job": 3}) == 13
        assert await errno(client, "auth.generate_token", 60, {"job": "x"}) == 22
        await result(client, "auth.login", "admin", "a")
        assert await errno(client, "auth.generate_token", 60, {"job": 1}) == 22
        token = await result(client, "auth.generate_token", 60, {"job": 2, "filename": "f"})

        assert await result(client, "auth.login_with_token", token) is False
    assert house.logins.check_token(token, STRANGER.address) is None
    assert house.logins.check_token(token, STRANGER.address, {"job": 3}) is None
    grant = house.logins.check_token(token, STRANGER.address, {"job": 2})
    assert grant.attrs == {"job": 2, "filename": "f"}
    assert grant.identity.caller.name == "admin"


@pytest.mark.parametrize("params", [[0], [-1], ["x"], [60, []], [60, {"a": "x" * 5000}], [60, {}, 1]])
async def test_a_token_that_cannot_be_is_refused(params, house):
    async with house.session() as client:
        await result(client, "auth.login", "admin", "a")

        assert await errno(client, "auth.generate_token", *params) == 22


@pytest.mark.parametrize(
    "method", ["auth.me", "auth.logout", "auth.generate_token", "auth.terminate_session"]
)
async def test_before_a_login_there_is_nothing_to_ask_or_end(method, house):
    async with house.session() as client:
        assert await errno(client, method) == 207


async def test_a_logout_ends_what_one_listens_to(house):
    async with house.session() as client:
        await result(client, "auth.login", "admin", "a")
        await result(client, "core.subscribe", "core.get_jobs")
        follower = house.client.subscriptions._follower
        await result(client, "auth.logout")

        assert follower is not None
        assert house.client.subscriptions._follower is None


async def test_a_login_on_a_connection_that_has_one_replaces_it(house):
    async with house.session() as client:
        await result(client, "auth.login", "admin", "a")
        await result(client, "core.subscribe", "*")
        await result(client, "auth.login_with_api_key", house.key("reader"))

        assert (await result(client, "auth.me"))["pw_name"] == "reader"
        assert house.client.subscriptions._follower is None


async def test_a_session_can_be_ended_by_its_id_or_its_login_by_its_owner_or_with_full_access(house):
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(house.session())
        await result(admin, "auth.login", "admin", "a")
        admins = house.client.credentials.login_id
        reader = await stack.enter_async_context(house.session())
        await result(reader, "auth.login", "reader", "r")
        token = await result(reader, "auth.generate_token")
        (readers,) = [one for one in house.clients._clients if one.caller.name == "reader"]

        assert await errno(reader, "auth.terminate_session", admins) == 13
        assert await result(admin, "auth.terminate_session", "nonesuch") is False
        assert await result(admin, "auth.terminate_session", readers.credentials.login_id) is True
        assert reader.closed == (1000, "the session was terminated")
        assert house.logins.check_token(token, STRANGER.address) is None


# --- Unix sockets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "level", "way"),
    [(0, Level.FULL, "UNIX_SOCKET"), (1000, Level.READ, "UNIX_SOCKET"), (1001, Level.NOBODY, None)],
)
async def test_over_a_unix_socket_the_kernel_says_who_one_is(uid, level, way, house, monkeypatch):
    names = {1000: "local", 1001: "plain"}
    monkeypatch.setattr(house.users, "of_uid", lambda one: house.users.find(names[one]))
    peer = Peer("", 0, uid, uid, is_tls=False, may_send_password=True)
    async with house.session(peer) as client:
        await client.ask("core.ping")

        assert house.client.caller.level is level
        credentials = house.client.credentials
        assert (credentials and credentials.record()["type"]) == way


async def test_where_being_the_owner_says_nothing_another_user_is_nobody(house, monkeypatch):
    monkeypatch.setattr(house.users, "of_uid", lambda _: house.users.find("local"))
    house.logins._gate._auth = Auth(loopback="off")
    async with house.session(LOCAL) as client:
        assert await is_nobody(client)


async def test_root_is_root_again_whatever_happens_to_an_account_of_its_name(house):
    async with house.session(ROOT) as client:
        await client.ask("core.ping")
        house.clients.account_changed("root")

        assert (await result(client, "auth.me"))["account_attributes"] == ["LOCAL", "SYS_ADMIN"]
