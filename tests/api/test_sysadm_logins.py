"""Who a SysAdm client is: passwords, tokens, and the end of a login."""

import pytest
import trio

from dispatcher.access.roles import Caller, Level
from tests.api.fakes import PLAIN_PEER, UNIX_PEER, call, house, run
from tests.api.told_jobs import pending

DENIED = {"code": "401", "message": "Unauthorized"}
LIST = call("dispatcher", {"action": "list"})


async def test_a_password_gets_a_token_that_another_connection_can_use(autojump_clock):
    async with house() as built:
        first, second = built.connect(), built.connect()

        heard = await first.ask(call("auth", {"username": "admin", "password": "a:b"}))
        token, seconds = heard["args"]
        again = await second.ask(call("auth_token", {"token": token}))

        assert (len(token), token.isalnum(), seconds) == (20, True, 900)
        assert again["args"] == [token, 900]
        assert (await second.ask(run(a="true")))["args"] == {"started": ["a"]}


@pytest.mark.parametrize(
    "args",
    [
        {"token": ""},
        {},
        "",
        None,
        {"token": "operator"},
        {"token": "user"},
        {"token": 5},
        {"token": "::::"},
        {"token": "part"},
        {"token": "suffix"},
        {"token": "longer"},
        {"token": "other case"},
    ],
)
async def test_what_is_not_a_whole_token_is_nobody(args, autojump_clock):
    async with house() as built:
        token, _ = built.tokens.issue(Caller("admin", Level.FULL))
        wrong = {
            "part": token[:-1],
            "suffix": token[1:],
            "longer": token + "x",
            "other case": token.swapcase(),
        }
        if isinstance(args, dict) and args.get("token") in wrong:
            args = {"token": wrong[args["token"]]}
        client = built.connect()

        heard = await client.ask(call("auth_token", args))

        assert heard["args"]["code"] == "401"
        assert (await client.ask(run(a="true")))["args"] == DENIED
        assert built.jobs.submitted == []


async def test_a_wrong_password_is_an_error_and_not_an_empty_token(autojump_clock):
    async with house() as built:
        await built.client()  # somebody else is logged in meanwhile
        client = built.connect()

        heard = await client.ask(call("auth", {"username": "root", "password": "bad"}))

        assert (heard["name"], heard["namespace"], heard["args"]["code"]) == ("error", "error", "401")
        assert (await client.ask(run(a="true")))["args"] == DENIED


async def test_nobody_runs_nothing_while_others_are_logged_in(autojump_clock):
    async with house() as built:
        await built.client()
        stranger = built.connect()

        heard = await stranger.ask(run(a="true"))

        assert heard["args"] == DENIED
        assert built.jobs.submitted == []


@pytest.mark.parametrize("name", ["auth", "auth_token", "auth_ssl", "authfoo"])
async def test_a_failed_login_drops_the_one_before(name, autojump_clock):
    async with house() as built:
        client = await built.client()

        wrong = {"username": "admin", "password": "wrong", "token": "bogus", "encrypted_string": "AAAA"}
        heard = await client.ask(call(name, wrong))

        assert heard["args"]["code"] == "401"
        assert (await client.ask(LIST))["args"] == DENIED
        assert len(built.tokens) == 0


async def test_a_client_may_show_its_own_token_again(autojump_clock):
    async with house() as built:
        client = built.connect()
        token = (await client.ask(call("auth", {"username": "admin", "password": "a:b"})))["args"][0]

        assert (await client.ask(call("auth_token", {"token": token})))["args"] == [token, 900]
        assert (await client.ask(LIST))["args"] == {"jobs": {}}


async def test_auth_clear_gets_no_reply_and_ends_the_token_everywhere(autojump_clock):
    async with house() as built:
        first, second = built.connect(), built.connect()
        token = (await first.ask(call("auth", {"username": "admin", "password": "a:b"})))["args"][0]
        await second.ask(call("auth_token", {"token": token}))

        first.say(call("auth_clear", ""))

        assert await first.silence() == []
        assert (await first.ask(LIST))["args"] == DENIED
        assert (await second.hear())["args"] == DENIED
        assert (await second.ask(call("auth_token", {"token": token})))["args"]["code"] == "401"


async def test_after_auth_clear_no_event_follows_and_a_listener_is_told(autojump_clock):
    async with house() as built:
        client = await built.listener()

        client.say(call("auth_clear", ""))
        heard = await client.hear()
        built.jobs.tell(pending(1, "true"))

        assert (heard["id"], heard["args"]) == ("", DENIED)
        assert await client.silence() == []


async def test_a_removed_account_is_out_at_once(autojump_clock):
    async with house() as built:
        client = await built.listener()

        built.tokens.end_account("reader")
        heard = await client.hear()
        built.jobs.tell(pending(1, "true"))

        assert (heard["id"], heard["args"]) == ("", DENIED)
        assert (await client.ask(LIST))["args"] == DENIED
        assert await client.silence() == []


async def test_an_account_that_was_removed_from_the_file_is_out_at_its_next_call(autojump_clock, monkeypatch):
    async with house() as built:
        client = await built.client()

        monkeypatch.setattr(built.accounts, "refresh", lambda: built.accounts.on_changed("admin"))
        client.say(LIST)

        assert [(one["id"], one["args"]) for one in await client.silence()] == [("", DENIED), ("x", DENIED)]


async def test_each_call_lets_the_token_live_on_and_the_session_outlives_it(autojump_clock):
    async with house() as built:
        client = built.connect()
        token = (await client.ask(call("auth", {"username": "admin", "password": "a:b"})))["args"][0]
        for _ in range(3):
            await trio.sleep(600)
            await client.ask(LIST)

        await trio.sleep(600)
        assert (await built.connect().ask(call("auth_token", {"token": token})))["args"] == [token, 900]
        await trio.sleep(900)
        assert (await built.connect().ask(call("auth_token", {"token": token})))["args"]["code"] == "401"
        assert (await client.ask(LIST))["args"] == {"jobs": {}}


async def test_a_login_keeps_the_subscription_if_it_succeeds(autojump_clock):
    async with house() as built:
        client = await built.listener()

        await client.ask(call("auth", {"username": "admin", "password": "a:b"}))
        built.jobs.tell(pending(1, "true"))

        assert (await client.hear())["args"]["state"] == "pending"


async def test_no_password_is_taken_over_an_open_network(autojump_clock):
    async with house() as built:
        client = built.connect(PLAIN_PEER)

        heard = await client.ask(call("auth", {"username": "admin", "password": "a:b"}))

        assert (heard["args"]["code"], heard["args"]["message"]) == ("401", "Unauthorized")
        assert "not encrypted" in heard["args"]["reason"]
        assert built.passwords.checks == 0


async def test_a_full_line_of_logins_says_so(autojump_clock):
    async with house() as built:
        built.passwords.busy = True
        client = built.connect()

        heard = await client.ask(call("auth", {"username": "admin", "password": "a:b"}))

        assert heard["args"] == {**DENIED, "reason": "100 logins are waiting"}


async def test_the_daemons_own_user_needs_no_login_over_the_unix_socket(autojump_clock):
    async with house() as built:
        client = built.connect(UNIX_PEER)

        assert (await client.ask(run(a="true")))["args"] == {"started": ["a"]}
